"""Grades a run again without an engine and without its data: texts, gold answers and what grading needs of the samples are in the journal.

Verdicts of a judge stay as they are, unless another judge is asked (`run/rejudging`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from omegaconf import MISSING

from llmbench import sandbox
from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.importing import import_benchmark
from llmbench.config.choices import EarlyStopping
from llmbench.config.schema import Config
from llmbench.errors import RunError
from llmbench.records import FinishReason, Outcome, Result, Sample
from llmbench.results import cost, likelihood
from llmbench.results.agreement import JudgeAgreement
from llmbench.results.manifest import CONFIG, REGRADED_JOURNAL, REGRADED_SUMMARY, replace_file, write_object
from llmbench.results.metrics import results_of, summarise, warnings_of
from llmbench.results.reader import Run, load_run
from llmbench.results.serialization import line_of
from llmbench.results.settings import read_settings
from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.run import stopping
from llmbench.run.grading import Grader
from llmbench.run.judging import unlike_published
from llmbench.run.rejudging import judge_again, settings_of

MEASURED = (
    "expected", "repeats", "latency_s", "queue_s", "prefill_s", "ttft_s", "decode_s", "inter_token_s", "tokens",
    "time_s", "throughput", "cache", "selection",
)  # fmt: skip
"""What grading has no part in: kept from the old summary of a benchmark."""


@dataclass(frozen=True, slots=True)
class Change:
    """An answer that is graded otherwise than before. Answers of sealed benchmarks are None."""

    benchmark: str
    sample_id: str
    repeat: int
    old_outcome: Outcome
    new_outcome: Outcome
    old_answer: str | None
    new_answer: str | None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A benchmark's accuracy, a share of 1, by the journal's old grades and by the new ones, over `n` answers."""

    benchmark: str
    n: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Regraded:
    """What came of it, and the new results in the journal's order.

    Attributes:
        never_given: Answers that the engine never gave: they stay errors, there is nothing to grade.
        summary: What summary.regraded.json holds.
        notes: What is wrong with the run's files, such as a torn last line.
        agreements: How far another judge agrees with the one before, by benchmark.
    """

    folder: Path
    accuracies: tuple[Accuracy, ...]
    changes: tuple[Change, ...]
    never_given: int
    results: tuple[Result, ...]
    summary: Summary
    notes: tuple[str, ...] = ()
    agreements: Mapping[str, JudgeAgreement] = field(default_factory=dict)


def regrade_run(folder: str | Path, judge: Sequence[str] = (), *, workers: int | None = None) -> Regraded:
    """Grades a run's journal again, in so many worker processes, and writes the new files beside the old ones; the run need not have finished.

    `judge` has settings of another judge, `judge.NAME=VALUE` each; without any, verdicts stay.

    Raises:
        RunError: The folder holds no run, says nothing of a benchmark's module, or cannot be written.
        ConfigError: A benchmark's module cannot be imported, what models wrote would have to run without a sandbox, or a setting of the judge is refused.
        EngineError: The judge cannot be asked.
    """
    run = load_run(folder)
    config = read_settings(run.folder)
    if config is None:
        raise RunError(f"{run.folder} holds no {CONFIG}, which says how its benchmarks are graded.")
    modules = _modules(run, config)
    sealed = {name for name in modules if config.benchmarks[name].sealed}
    benchmarks = {name: import_benchmark(name, path) for name, path in modules.items()}
    if any(benchmark.runs_code for benchmark in benchmarks.values()):
        sandbox.choose(config.sandbox.value)
        sandbox.check()
    judging = settings_of(config, judge, benchmarks) if judge else None
    notes = list(run.notes)
    results, to_judge = _grade(run.results, modules, benchmarks, workers)
    if judging is not None:
        for place, result in judge_again(judging, benchmarks, to_judge, notes).items():
            results[place] = result
    before, after = (_summarise(run, each, benchmarks) for each in (run.results, results))
    summary = _summary(run, before, after, asks=config.early_stopping is EarlyStopping.answer)
    _stop_again(run, config, results, summary, notes)
    if judging is not None:
        summary = _of_judge(summary, results, benchmarks, config, judging)
    pairs = list(zip(run.results, results, strict=True))
    agreed = {name: JudgeAgreement.of(p for p in pairs if p[0].benchmark == name) for name in modules}
    lines = (line_of(result, sealed=result.benchmark in sealed) for result in results)
    replace_file(run.folder / REGRADED_JOURNAL, lines)
    write_object(run.folder / REGRADED_SUMMARY, summary.as_dict())
    return Regraded(
        folder=run.folder,
        notes=tuple(notes),
        accuracies=tuple(
            Accuracy(name, found.n, before[name].accuracy, found.accuracy) for name, found in after.items()
        ),
        changes=_changes(pairs, sealed),
        never_given=sum(_never_given(result) for result in run.results),
        results=tuple(results),
        summary=summary,
        agreements={name: each for name, each in agreed.items() if judge and each is not None},
    )


def _of_judge(
    summary: Summary,
    results: Sequence[Result],
    benchmarks: Mapping[str, Benchmark],
    before: Config,
    now: Config,
) -> Summary:
    """The summary with what the new judge cost, and with its name among what keeps scores apart."""
    old, new = unlike_published(before, benchmarks), unlike_published(now, benchmarks)
    kept = [reason for reason in summary.not_comparable if reason not in old]
    named = new if len(kept) < len(summary.not_comparable) else []
    return replace(
        summary,
        not_comparable=[*kept, *named],
        judge_cost=cost.of_judge(results, now.judge.price),
    )


def _modules(run: Run, config: Config) -> dict[str, str]:
    """The modules of the benchmarks that there are results of, in the settings' order."""
    present = {result.benchmark for result in run.results}
    known = {name: each.module for name, each in config.benchmarks.items() if each.module != MISSING}
    for name in sorted(present - known.keys()):
        raise RunError(
            f"{run.folder / CONFIG} has no benchmarks.{name}.module, which says how {name} is graded."
        )
    return {name: module for name, module in known.items() if name in present}


def _never_given(result: Result) -> bool:
    """Whether there is no answer to grade: the engine refused or dropped the request, or its continuation."""
    made = result.completions
    return not made or made[0].finish_reason is FinishReason.ABORT or any(c.failed for c in made)


def _grade(
    results: Sequence[Result],
    modules: Mapping[str, str],
    benchmarks: Mapping[str, Benchmark],
    workers: int | None,
) -> tuple[list[Result], dict[int, Result]]:
    """Grades again; answers that a judge grades keep its verdict, and stand beside by their places."""
    graded, to_judge = list(results), dict[int, Result]()
    needed = {heavy for benchmark in benchmarks.values() for heavy in benchmark.preload}
    with Grader[int](sorted(needed | set(modules.values())), workers) as grader:
        for place, result in enumerate(results):
            if _never_given(result):
                continue
            if choices := likelihood.choices_of(result):
                graded[place] = replace(result, score=likelihood.score(choices, result.target))
                continue
            sample = Sample(result.sample_id, result.fields, result.target)
            reason = result.completions[-1].finish_reason
            grader.submit(place, modules[result.benchmark], sample, result.text, reason)
        for place, score in grader.finished(wait=True):
            before = graded[place].score
            if score.outcome is Outcome.UNJUDGED:
                to_judge[place] = replace(graded[place], score=score)
                continue
            later = benchmarks[graded[place].benchmark].scored_later and score.outcome is Outcome.ERROR
            if not (later and score.answer == before.answer):  # else the score came from elsewhere, and stays
                graded[place] = replace(graded[place], score=score, judgement=None)
    return graded, to_judge


def _summarise(
    run: Run, results: Sequence[Result], benchmarks: Mapping[str, Benchmark]
) -> dict[str, BenchmarkSummary]:
    """The benchmarks' metrics; how much was planned is what the old summary says, else what is there."""
    found = {}
    for name, benchmark in benchmarks.items():
        of_one, old = results_of(name, results), run.summary.benchmarks.get(name)
        repeats = max(old.repeats if old else 1, 1 + max(result.repeat for result in of_one))
        expected = (old.expected if old else 0) or len(of_one)
        found[name] = summarise(of_one, expected, repeats, details=benchmark.details)
    return found


def _summary(
    run: Run,
    before: Mapping[str, BenchmarkSummary],
    after: Mapping[str, BenchmarkSummary],
    *,
    asks: bool,
) -> Summary:
    """The old summary with the new grades in it; a killed run's has no benchmarks yet, then all comes from the journal."""
    benchmarks = dict(run.summary.benchmarks)
    for name, found in after.items():
        old = benchmarks.get(name, found)
        unknown = BenchmarkSummary()  # what an older summary had no name for: then the journal's counts
        kept = {name: getattr(old, name) for name in MEASURED if getattr(old, name) != getattr(unknown, name)}
        benchmarks[name] = replace(found, **kept)
    outdated = warnings_of(before, asks=asks)
    other = [warning for warning in run.summary.warnings if warning not in outdated]
    return replace(run.summary, benchmarks=benchmarks, warnings=[*warnings_of(after, asks=asks), *other])


def _stop_again(
    run: Run, config: Config, results: Sequence[Result], summary: Summary, notes: list[str]
) -> None:
    """Puts into the summary what `stop_when` comes to with the new grades, on the questions that counted before."""
    for name, found in summary.benchmarks.items():
        if own := results_of(name, results):
            summary.benchmarks[name] = stopping.regraded(found, run, config, own, notes)


def _changes(pairs: Sequence[tuple[Result, Result]], sealed: set[str]) -> tuple[Change, ...]:
    return tuple(
        Change(
            benchmark=after.benchmark,
            sample_id=after.sample_id,
            repeat=after.repeat,
            old_outcome=before.score.outcome,
            new_outcome=after.score.outcome,
            old_answer=None if after.benchmark in sealed else before.score.answer,
            new_answer=None if after.benchmark in sealed else after.score.answer,
        )
        for before, after in pairs
        if replace(before.score, explanation="") != replace(after.score, explanation="")
    )
