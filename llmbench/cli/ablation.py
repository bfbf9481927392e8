"""The guide's claims beside what was measured: what `+ablation=guide` prints when its points have run.

A point's time is that of asking: from the first request to the last token. Loading is paid once and stands apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmbench.cli.job import Job
from llmbench.errors import RunError
from llmbench.records import Outcome, Result
from llmbench.results.paired_tests import difference
from llmbench.results.reader import load_run
from llmbench.results.settings import read_config
from llmbench.results.summary import Summary

BEFORE, SKIP, ALL, OURS = "before", "skipping", "all_together", "llmbench"
ORDER = (
    BEFORE, "larger_batches", "fewer_samples", "shorter_outputs", "dynamic_batching", "early_stopping", SKIP, ALL, "vllm", OURS,
)  # fmt: skip
"""Of the table, whatever order the points ran in."""
SKIPPING = 0.60
"""What the guide claims for leaving out its slowest benchmark (Expected Time Reduction)."""
NAMES = ("point", "profile", "hydra", "runs_dir", "resume")
"""Settings that change nothing of what a point asks."""
SAME = "what was typed leaves it the same work as the starting point"
SITTINGS = "it, or the starting point, was done in two attempts"
POINT = "+ablation/point"
"""The override that makes a job a point."""
TOLERANCE = 0.05
"""The guide's figures are rounded to so much: a claim holds when it is missed by no more."""
STOPPED = "it, or the starting point, could stop early (stop_when), so that they asked different numbers of questions"
FIXED = "lengths are fixed (sampling.ignore_eos)"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the guide's table, measured.

    Attributes:
        time_s: Seconds of asking; None where it was not measured.
        reduction: Share of the starting point's time that was saved, negative where it took longer.
        claim: The guide's; with `claim_high` a range.
        held: Whether the claim held; None where there is none, or it could not be shown, for the reason in `note`.
        accuracy: Mean over benchmarks.
        no_answer: Share of results without an answer.
        change: Mean difference from the starting point over the questions that both asked; `ci95` is its paired interval.
        job: The number of the job; None for what was computed from another's times.
    """

    name: str
    title: str
    claim: float | None
    claim_high: float | None = None
    note: str | None = None
    time_s: float | None = None
    reduction: float | None = None
    held: bool | None = None
    accuracy: float | None = None
    no_answer: float | None = None
    change: float | None = None
    ci95: tuple[float, float] | None = None
    questions: int = 0
    job: int | None = None


@dataclass(frozen=True, slots=True)
class AblationPoint:
    """A job that is a point of the ablation, with what it left."""

    job: Job
    config: Mapping[str, Any]
    results: Sequence[Result]

    @property
    def named(self) -> Mapping[str, Any]:
        """What its YAML says of it."""
        found: Mapping[str, Any] = self.config["point"]
        return found

    @property
    def time_s(self) -> float | None:
        """Seconds of asking; None where it was done in two attempts."""
        summary = self.job.summary
        if summary is None or any(found.time_s is None for found in summary.benchmarks.values()):
            return None
        return summary.time_s.generate

    def work(self) -> tuple[object, object]:
        """What decides its time: the settings but for names and limits that nothing reached, and the questions asked."""
        settings = {key: value for key, value in self.config.items() if key not in NAMES}
        settings["benchmarks"] = {
            name: {key: value for key, value in own.items() if key not in ("profiles", "num_samples")}
            for name, own in (self.config.get("benchmarks") or {}).items()
        }
        return settings, {r.key for r in self.results}

    @property
    def stops(self) -> bool:
        """Whether it could stop before all was asked."""
        summary = self.job.summary
        return summary is not None and any(found.stopping for found in summary.benchmarks.values())

    @property
    def fixed(self) -> bool:
        """Whether every text ran to its limit, so that neither answers nor stop strings mean anything."""
        return bool(self.config["sampling"]["ignore_eos"])


def points(jobs: Sequence[Job]) -> list[AblationPoint]:
    """The jobs that are points of an ablation and finished, in their order."""
    found = []
    for job in jobs:
        if job.summary is None or job.status != "finished":
            continue
        try:
            config = read_config(job.folder) or {}
            if (config.get("point") or {}).get("name"):
                found.append(AblationPoint(job, config, load_run(job.folder).results))
        except RunError:
            continue
    return found


def rows(points: Sequence[AblationPoint]) -> list[Row]:
    """The table of the points that finished; empty without one starting point, which everything is measured against: `no_table` says why."""
    starts = [point for point in points if point.named["name"] == BEFORE]
    if len(starts) != 1:
        return []
    (start,) = starts
    table = [*(_row(point, start) for point in points), _skipping(start)]
    return sorted(table, key=lambda row: ORDER.index(row.name) if row.name in ORDER else len(ORDER))


def no_table(points: Sequence[AblationPoint]) -> str:
    """Why there is no table of these points."""
    starts = sum(point.named["name"] == BEFORE for point in points)
    return f"The guide's table needs one starting point ({POINT}={BEFORE}) that finished, and there are {starts}."


def _row(point: AblationPoint, start: AblationPoint) -> Row:
    named, fixed = point.named, point.fixed
    time_s, whole = point.time_s, start.time_s
    note = FIXED if fixed and named["needs_ends"] else None
    if point is not start and note is None:
        if time_s is None or whole is None:
            note = SITTINGS
        elif point.stops or start.stops:
            note = STOPPED
        elif point.work() == start.work():
            note = SAME
    reduction = None if note or not time_s or not whole or point is start else 1 - time_s / whole
    change = None if point is start or fixed or note == STOPPED else _change(start.results, point.results)
    return Row(
        name=named["name"],
        title=named["title"],
        time_s=time_s,
        reduction=reduction,
        claim=named["claim"],
        claim_high=named["claim_high"],
        held=_held(reduction, named["claim"]),
        accuracy=None if fixed else _accuracy(point),
        no_answer=None if fixed else _unanswered(point.results),
        change=change.difference if change else None,
        ci95=change.ci95 if change else None,
        questions=change.questions if change else 0,
        note=note,
        job=point.job.number,
    )


def _held(reduction: float | None, claim: float | None) -> bool | None:
    return None if reduction is None or claim is None else reduction >= claim - TOLERANCE


def _skipping(start: AblationPoint) -> Row:
    """Told from the starting point's own times: its benchmarks run one after another."""
    row = Row(SKIP, "skipping", SKIPPING)
    skipped = start.config["model"]["skip_benchmarks"]
    if start.config.get("schedule", "sequential") != "sequential":
        return replace(row, note="benchmarks overlap with schedule=together")
    benchmarks = (start.job.summary or Summary()).benchmarks
    times = {name: found.time_s for name, found in benchmarks.items()}
    known = {name: time_s for name, time_s in times.items() if time_s is not None}
    whole = math.fsum(known.values()) if len(known) == len(times) else None
    left = None if whole is None else whole - math.fsum(known[name] for name in known if name in skipped)
    if not set(skipped) & set(times):
        return replace(row, note="model.skip_benchmarks names none of these benchmarks")
    reduction = None if not whole or left is None else 1 - left / whole
    return replace(row, time_s=left, reduction=reduction, held=_held(reduction, SKIPPING))


def _accuracy(point: AblationPoint) -> float | None:
    values = [found.accuracy for found in (point.job.summary or Summary()).benchmarks.values()]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _unanswered(results: Sequence[Result]) -> float | None:
    none = [r.score.outcome is not Outcome.CORRECT and r.score.answer is None for r in results]
    return sum(none) / len(none) if none else None


def _change(first: Sequence[Result], second: Sequence[Result]) -> Any:  # noqa: ANN401
    """The difference over the questions that both sides asked; None without any."""
    sides = []
    for results in (first, second):
        values: dict[tuple[str, str], list[float]] = {}
        for result in results:
            values.setdefault((result.benchmark, result.sample_id), []).append(result.score.value)
        sides.append({key: math.fsum(own) / len(own) for key, own in values.items()})
    common = [key for key in sides[0] if key in sides[1]]
    return (
        difference([sides[0][key] for key in common], [sides[1][key] for key in common]) if common else None
    )
