"""Which runs of a page are compared with which, those that differ in one setting that was typed, and what each comparison shows."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from llmbench.report.compare.comparison import compare
from llmbench.report.compare.records import BenchmarkComparison
from llmbench.report.compare.terminal_page import statistics
from llmbench.report.escaping import visible
from llmbench.report.run_entry import RunEntry
from llmbench.system.number_format import count, percent

MOST_FLIPS = 400
"""Questions of a list whose texts are in the page."""

ELSEWHERE = ("hydra.", "resume", "runs_dir", "report", "export", "tracker", "log_level")
"""Begin the names of settings that change no result."""

Key = tuple[str, str, int]
"""Benchmark, question and repeat."""
RunPair = tuple[int, int]
"""Places of two runs; the first is the one that is compared with."""


def pairs_of(entries: Sequence[RunEntry]) -> list[RunPair]:
    """The pairs of runs that answered a question in common, those with the most such questions first, then by the second run.

    A run is compared, for each setting, with the run that has the first value of it and all else alike. Where there is none, as
    that job failed, it is compared with one run that differs in one setting; where there is none either, with the first run.
    """
    typed = [_typed(entry.run.manifest.overrides) for entry in entries]
    answered = [frozenset((r.key, r.target) for r in entry.run.results) for entry in entries]
    found: list[RunPair] = []
    for place in range(1, len(typed)):
        others = [o for o in range(len(typed)) if o != place and not answered[o].isdisjoint(answered[place])]
        near = {o: name for o in others if (name := _changed(typed[o], typed[place])) is not None}
        partners = [o for o, name in near.items() if o < place and typed[o].get(name) == typed[0].get(name)]
        partners = partners or list(near)[:1] or [o for o in others if o < place][:1]
        found += [(min(other, place), max(other, place)) for other in partners]
    in_common = {(one, other): len(answered[one] & answered[other]) for one, other in found}
    return sorted(in_common, key=lambda pair: (-in_common[pair], pair[1], pair[0]))


def unpaired(entries: Sequence[RunEntry], pairs: Sequence[RunPair]) -> list[int]:
    """The places of runs in no pair: none of their questions was answered in another run."""
    return sorted(set(range(len(entries))).difference(*pairs)) if len(entries) > 1 else []


def _typed(overrides: Sequence[str]) -> dict[str, str]:
    """The settings that were typed and may change a result, with their values."""
    named = [override.lstrip("+").partition("=") for override in overrides]
    return {name: value for name, _, value in named if not name.startswith(ELSEWHERE)}


def _changed(one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """The setting in which two runs differ, if it is a single one."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return names[0] if len(names) == 1 else None


def compared(baseline: RunEntry, run: RunEntry, names: tuple[str, str]) -> tuple[dict[str, Any], set[Key]]:
    """Returns what the template shows of two runs, which have a question in common, and the results whose texts it links to."""
    found, (first, second) = compare(baseline, run, allow_different=True), names
    better, worse = (sum(len(getattr(b, side)) for b in found.benchmarks) for side in ("better", "worse"))
    context = {
        "title": f"{second} against {first}",
        "flips": f"better on {count(better, 'question')}, worse on {worse}",
        "benchmarks": [_benchmark(benchmark, first, second) for benchmark in found.benchmarks],
        "settings": [
            (each.name, visible(str(each.baseline)), visible(str(each.run))) for each in found.settings or ()
        ],
        "runs": names,
    }
    linked = {
        (each.benchmark, sample_id)
        for each in found.benchmarks
        for listed in _lists(each, first, second).values()
        for sample_id, *_ in listed[:MOST_FLIPS]
    }
    return context, {r.key for r in run.run.results if r.key[:2] in linked}


def _lists(comparison: BenchmarkComparison, first: str, second: str) -> dict[str, list[tuple[str, int, str]]]:
    """The lists of questions by their titles, each with its repeat and its words: scores differ, or the verdicts of two judges on one answer."""
    sides = {f"Better with {second}": comparison.better, f"Better with {first}": comparison.worse}
    found = {title: [(flip.sample_id, 0, flip.sample_id) for flip in flips] for title, flips in sides.items()}
    if (judges := comparison.judges) is not None:
        found[f"Verdicts that differ, {judges.baseline} → {judges.run}"] = [
            (each.sample_id, each.repeat, f"{each.sample_id} ({each.baseline} → {each.run})")
            for each in judges.differing
        ]
    return found


def _benchmark(comparison: BenchmarkComparison, first: str, second: str) -> dict[str, Any]:
    title = (
        f"{comparison.benchmark}: {percent(comparison.run.accuracy)} with {second}, {percent(comparison.baseline.accuracy)} with {first}, "
        f"on {count(comparison.questions, 'question')}"
    )
    sentences = [*comparison.notes, *statistics(second, first, comparison)]
    if comparison.judges is not None:
        sentences.append(comparison.judges.sentence())
    flips = [
        {
            "title": visible(title),
            "flips": [
                {
                    "id": visible(words),
                    "link": _link(second, comparison.benchmark, sample_id, str(repeat))
                    if place < MOST_FLIPS
                    else None,
                }
                for place, (sample_id, repeat, words) in enumerate(listed)
            ],
        }
        for title, listed in _lists(comparison, first, second).items()
    ]
    return {"title": visible(title), "sentences": [visible(s) for s in sentences], "flips": flips}


def _link(*parts: str) -> str:
    """The address of a sample in the page, from the names of its run and benchmark, its id and its repeat."""
    return "#sample=" + "/".join(quote(visible(part), safe="!*'()~") for part in parts)
