"""Two or more runs against the first of them: scores, tests, times and settings, as plain records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from llmbench.errors import RunError
from llmbench.records import Result
from llmbench.report.compare.pairing import Pairing, pair
from llmbench.report.compare.records import (
    BenchmarkComparison,
    Comparison,
    Quantity,
    RunComparison,
    RunHead,
    Side,
)
from llmbench.report.run_entry import Key, RunEntry
from llmbench.report.server_words import NOT_KNOWN, served, server_of
from llmbench.results import attempts, paired_tests, stats
from llmbench.results.agreement import JudgeAgreement
from llmbench.results.cache_use import CacheUse
from llmbench.results.judge_use import JudgeUse
from llmbench.results.metrics import UNSCORED
from llmbench.results.settings import differing
from llmbench.system.number_format import count

VERSION = 1
"""Of the names in `as_dict`."""
SIDES = ("baseline", "run")

RUN_QUANTITIES = (
    ("time_s.total", "s"),
    ("time_s.load", "s"),
    ("time_s.generate", "s"),
    ("memory.peak_gpu_bytes", "bytes"),
    ("memory.peak_rss_bytes", "bytes"),
    ("gpu.utilization_mean", "share"),
    ("gpu.energy_j", "J"),
    ("cost", "price"),
)
BENCHMARK_QUANTITIES = (
    ("time_s", "s"),
    ("throughput.samples_per_s", "1/s"),
    ("throughput.output_tokens_per_s", "1/s"),
    ("latency_s.mean", "s"),
    ("latency_s.p95", "s"),
    ("tokens.output", "tokens"),
)


def compare_runs(
    baseline: str | Path,
    run: str | Path,
    *others: str | Path,
    allow_different: bool = False,
    regraded: bool = False,
) -> Comparison:
    """Compares runs, given by their folders, with the first.

    Args:
        baseline: The folder of the run that the others are compared with.
        run: The folder of a run to compare.
        others: More of them.
        allow_different: Compare the questions in common even where the runs were not asked the same.
        regraded: Take all but the baseline as `llmbench.regrade` graded them again.

    Raises:
        RunError: A folder holds no run, or one that was not graded again; two runs have no question in common; or, without `allow_different`, they were
            asked different questions, prompts or repeats, or hold different gold answers.
    """
    first = RunEntry.read(baseline)
    compared = (RunEntry.read(other, regraded=regraded) for other in (run, *others))
    return Comparison(
        _head(first), tuple(compare(first, other, allow_different=allow_different) for other in compared)
    )


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as `--json` prints it: the records' names, and the version of these names."""
    return {"version": VERSION, **asdict(comparison)}


def _head(entry: RunEntry) -> RunHead:
    summary = entry.summary
    return RunHead(str(entry.run.folder), summary.model, summary.profile, summary.status, summary.comparable)


def compare(baseline: RunEntry, run: RunEntry, *, allow_different: bool = False) -> RunComparison:
    """Compares one run with another.

    Raises:
        RunError: As `compare_runs`.
    """
    shared = [name for name in baseline.benchmarks() if name in run.benchmarks()]
    pairings = [pair(baseline, run, name) for name in shared]
    if not allow_different:
        _refuse_different(baseline, run, pairings)
    compared = [pairing for pairing in pairings if pairing.keys]
    if not compared:
        raise RunError(f"{baseline.run.folder} and {run.run.folder} have no answered question in common.")
    first, second = baseline.config, run.config
    return RunComparison(
        run=_head(run),
        benchmarks=tuple(_benchmark(baseline, run, pairing) for pairing in compared),
        quantities=_quantities(baseline.summary, run.summary, RUN_QUANTITIES),
        settings=None if first is None or second is None else differing(first, second),
        notes=_run_notes(baseline, run, [p.benchmark for p in pairings if not p.keys]),
    )


def _refuse_different(baseline: RunEntry, run: RunEntry, pairings: Sequence[Pairing]) -> None:
    different = [f"{p.benchmark}: {', '.join(p.differences)}" for p in pairings if p.differences]
    if not different:
        return
    common = sum(len({sample_id for sample_id, _ in pairing.keys}) for pairing in pairings)
    first, second = baseline.summary.model, run.summary.model
    hint = "" if first == second else f" (the models {first} and {second} may write prompts differently)"
    raise RunError(
        f"{run.run.folder} was not asked what the baseline {baseline.run.folder} was: {'; '.join(different)}{hint}; "
        f"--allow-different compares the {common} questions in common."
    )


def _run_notes(baseline: RunEntry, run: RunEntry, empty: Sequence[str]) -> tuple[str, ...]:
    sides = dict(zip(SIDES, (baseline, run), strict=True))
    notes = [
        f"The {side} is unfinished (status {entry.summary.status}): what it has is compared. What finishes "
        "first is no random part of the questions, so the rest may differ otherwise."
        for side, entry in sides.items()
        if not entry.finished
    ]
    first, second = set(baseline.benchmarks()), set(run.benchmarks())
    for side, names in zip(SIDES, (first - second, second - first), strict=True):
        if names:
            notes.append(f"Only the {side} has {', '.join(sorted(names))}.")
    notes += [f"{name} is left out: no answered question in common." for name in empty]
    notes += _cache_notes(
        [entry.summary.cache for entry in (baseline, run)], "Time to score, memory and energy"
    )
    if first != second:
        notes.append(
            "Time to score, memory and energy are of the whole runs, which had different benchmarks to run."
        )
    for side, entry in sides.items():
        if (server := server_of(entry.summary.engine)) is not None:
            notes.append(f"The {side} asked {served(server)}. {NOT_KNOWN}")
        if len(sat := entry.summary.sittings) > 1:
            notes.append(
                f"The {side} was done in {attempts.sentence(sat)}: its time to score, loading and generating are the last one's."
            )
    return (*baseline.run.notes, *run.run.notes, *notes)


def _cache_notes(uses: Sequence[CacheUse | None], what: str) -> list[str]:
    said = [
        f"{cached.hits} of the {side}'s {cached.completions} completions came from the response cache"
        for side, cached in zip(SIDES, uses, strict=True)
        if cached is not None and cached.hits
    ]
    return [f"{what} are not comparable: {', '.join(said)}."] if said else []


def compare_benchmark(baseline: RunEntry, run: RunEntry, benchmark: str) -> BenchmarkComparison | None:
    """Returns how a benchmark of two runs compares; None where they have no question in common."""
    pairing = pair(baseline, run, benchmark)
    return _benchmark(baseline, run, pairing) if pairing.keys else None


def _benchmark(baseline: RunEntry, run: RunEntry, pairing: Pairing) -> BenchmarkComparison:
    name = pairing.benchmark
    answers = baseline.results(name), run.results(name)
    before, after = (_by_question(results, pairing.keys) for results in answers)
    first, second = _means(before), _means(after)
    significance = paired_tests.significance(first, second)
    better, worse = paired_tests.flips(list(before), first, second)
    summaries = [entry.benchmark(name) for entry in (baseline, run)]
    uses = [summary.cache for summary in summaries]
    return BenchmarkComparison(
        benchmark=name,
        questions=len(first),
        answers=len(pairing.keys),
        baseline=_side(first, before),
        run=_side(second, after),
        difference=paired_tests.difference(first, second),
        significance=significance,
        distinguishable=significance.p_value < paired_tests.ALPHA,
        smallest_detectable=paired_tests.smallest_detectable(
            first, second, max(1, round(len(pairing.keys) / len(first)))
        ),
        better=better,
        worse=worse,
        quantities=_quantities(summaries[0], summaries[1], BENCHMARK_QUANTITIES),
        notes=(
            *_benchmark_notes(pairing),
            *_stop_notes(baseline, run, name),
            *_judge_notes(before, after),
            *_cache_notes(uses, "Time, throughput and latency"),
        ),
        judges=JudgeAgreement.of((answers[0][key], answers[1][key]) for key in pairing.keys),
    )


def _benchmark_notes(pairing: Pairing) -> list[str]:
    notes = []
    if pairing.differences:
        notes.append(
            f"The runs were not asked the same: {'; '.join(pairing.differences)}. Compared are the questions in common with the "
            "same gold answer."
        )
    notes += [
        f"The {side} did not come to {missing} of the other's answers; they are left out."
        for side, missing in zip(SIDES, pairing.unfinished, strict=True)
        if missing
    ]
    return (
        notes if pairing.whole else [*notes, "Time, throughput and latency are over all that each run asked."]
    )


def _stop_notes(baseline: RunEntry, run: RunEntry, name: str) -> list[str]:
    """Says which run stopped early, and what that means for interval and test."""
    sides = (("baseline", baseline.benchmark(name).stopping), ("run", run.benchmark(name).stopping))
    notes = [
        f"The {side} stopped early, after {stopped.questions} of {count(stopped.of, 'question')} (stop_when): the questions in common are compared."
        for side, stopped in sides
        if stopped is not None and stopped.questions < stopped.of
    ]
    if notes:
        notes.append(
            "The intervals of both accuracies and of the difference, the standard errors and the p value are those of a number of questions that was "
            f"fixed beforehand, which it was not; benchmarks.{name}.ci95 in summary.json has the interval of the accuracy that holds."
        )
    against = [stopped.against for _, stopped in sides if stopped is not None and stopped.against is not None]
    if against:
        notes.append(
            f"A run that stopped for its difference to {' or '.join(against)} was asked until that was settled, so interval and p value of that "
            f"difference claim too much here; benchmarks.{name}.stopping in summary.json has the interval that holds."
        )
    return notes


def _judge_notes(baseline: Mapping[str, Sequence[Result]], run: Mapping[str, Sequence[Result]]) -> list[str]:
    """Says where scores differ since judges do: other ones, or no verdict."""
    notes = []
    uses = [JudgeUse.of([r for results in side.values() for r in results]) for side in (baseline, run)]
    for side, use in zip(SIDES, uses, strict=True):
        if use is not None and use.unjudged:
            notes.append(
                f"The {side}'s judge, {use.name}, gave no verdict on {use.unjudged} of {count(use.asked, 'answer')}: they count as 0, right or not."
            )
    first, second = uses
    if first is not None and second is not None and first.name != second.name:
        notes.append(
            f"The baseline was judged by {first.name}, the run by {second.name}: a difference of the scores may be one of the judges."
        )
    return notes


def _by_question(results: Mapping[Key, Result], keys: Sequence[Key]) -> dict[str, list[Result]]:
    """The answers at these keys, by sample id in the order of the keys."""
    grouped: dict[str, list[Result]] = {}
    for key in keys:
        grouped.setdefault(key[0], []).append(results[key])
    return grouped


def _means(questions: Mapping[str, Sequence[Result]]) -> list[float]:
    return [math.fsum(r.score.value for r in results) / len(results) for results in questions.values()]


def _side(means: Sequence[float], questions: Mapping[str, Sequence[Result]]) -> Side:
    results = [result for of_one in questions.values() for result in of_one]
    return Side(
        accuracy=math.fsum(means) / len(means),
        stderr=stats.standard_error(means),
        ci95=stats.interval(means, len(results)),
        answered=sum(result.score.outcome not in UNSCORED for result in results) / len(results),
    )


def _quantities(baseline: object, run: object, named: Sequence[tuple[str, str]]) -> tuple[Quantity, ...]:
    found = []
    for name, unit in named:
        first, second = (attrgetter(name)(side) for side in (baseline, run))
        ratio = second / first if first and second is not None else None
        found.append(Quantity(name, unit, first, second, ratio))
    return tuple(found)
