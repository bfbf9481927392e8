"""Pairs of runs compared question by question, as the page shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llmbench.report.compare.comparison import compare
from llmbench.report.compare.records import BenchmarkComparison
from llmbench.report.compare.terminal_page import statistics
from llmbench.report.escaping import visible
from llmbench.report.run_entry import RunEntry
from llmbench.report.run_pairs import RunPair
from llmbench.results.agreement import JudgeAgreement
from llmbench.results.paired_tests import Flip
from llmbench.system.number_format import count, percent

MOST_FLIPS = 400
"""Questions that are listed in each direction, and whose texts are in the page."""

Key = tuple[str, str, int]
"""Benchmark, question and repeat."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What the template shows of two runs, their places among all, and the results that differ."""

    context: dict[str, Any]
    places: RunPair
    keys: frozenset[Key]


def compared(entries: Sequence[RunEntry], names: Sequence[str], places: RunPair) -> Pair:
    """Two runs, which have a question in common, compared."""
    (baseline, run), (first, second) = (entries[p] for p in places), (names[p] for p in places)
    found = compare(baseline, run, allow_different=True)
    linked = {(each.benchmark, sample_id) for each in found.benchmarks for sample_id in _linked(each)}
    keys = frozenset(r.key for r in run.run.results if r.key[:2] in linked)
    shown = [_benchmark(benchmark, first, second) for benchmark in found.benchmarks]
    better, worse = (sum(len(getattr(b, side)) for b in found.benchmarks) for side in ("better", "worse"))
    flips = f"better on {count(better, 'question')}, worse on {worse}"
    context = {
        "title": f"{second} against {first}",
        "flips": flips,
        "benchmarks": shown,
        "settings": [
            (each.name, visible(str(each.baseline)), visible(str(each.run))) for each in found.settings or ()
        ],
        "runs": [first, second],
    }
    return Pair(context, places, keys)


def _linked(comparison: BenchmarkComparison) -> set[str]:
    """The questions that are listed with a link: their scores differ, or the verdicts of two judges on the same answer."""
    differing = comparison.judges.differing if comparison.judges is not None else ()
    found = {flip.sample_id for side in (comparison.better, comparison.worse) for flip in side[:MOST_FLIPS]}
    return found | {each.sample_id for each in differing[:MOST_FLIPS]}


def _benchmark(comparison: BenchmarkComparison, first: str, second: str) -> dict[str, Any]:
    scores = (
        f"{percent(comparison.run.accuracy)} with {second}, {percent(comparison.baseline.accuracy)} with {first}, "
        f"on {count(comparison.questions, 'question')}"
    )
    sentences = [*comparison.notes, *statistics(second, first, comparison)]
    flips = [
        _side(f"Better with {second}", comparison, comparison.better, second),
        _side(f"Better with {first}", comparison, comparison.worse, second),
    ]
    if comparison.judges is not None:
        sentences.append(comparison.judges.sentence())
        flips.append(_verdicts(comparison, comparison.judges, second))
    title = visible(f"{comparison.benchmark}: {scores}")
    return {"title": title, "sentences": [visible(s) for s in sentences], "flips": flips}


def _verdicts(comparison: BenchmarkComparison, judges: JudgeAgreement, run: str) -> dict[str, Any]:
    listed = [
        {
            "id": visible(f"{each.sample_id} ({each.baseline} → {each.run})"),
            "link": _link(run, comparison.benchmark, each.sample_id, each.repeat)
            if place < MOST_FLIPS
            else None,
        }
        for place, each in enumerate(judges.differing)
    ]
    return {"title": visible(f"Verdicts that differ, {judges.baseline} → {judges.run}"), "flips": listed}


def _side(title: str, comparison: BenchmarkComparison, flips: Sequence[Flip], run: str) -> dict[str, Any]:
    listed = [
        {
            "id": visible(flip.sample_id),
            "link": _link(run, comparison.benchmark, flip.sample_id) if place < MOST_FLIPS else None,
        }
        for place, flip in enumerate(flips)
    ]
    return {"title": title, "flips": listed}


def _link(run: str, benchmark: str, sample_id: str, repeat: int = 0) -> str:
    parts = (run, visible(benchmark), visible(sample_id), str(repeat))
    return "#sample=" + "/".join(quote(part, safe="!*'()~") for part in parts)
