"""`stop_when`: which benchmarks of a run have been asked enough. The rules are made from settings and data; the statistics are in `results/stopping`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from llmbench.config.schema import Config
from llmbench.errors import ConfigError, RunError
from llmbench.records import Result
from llmbench.results import metrics
from llmbench.results.likelihood import LikelihoodStatistics
from llmbench.results.pass_at_k import repeat_statistics
from llmbench.results.reader import Run, load_run
from llmbench.results.settings import read_settings
from llmbench.results.stopping import Reason, StopMonitor, StopRule, entry, failed_of, means_of
from llmbench.results.summary import BenchmarkSummary
from llmbench.run.request_plan import RequestPlan


@dataclass(slots=True)
class Stopping:
    """The monitors of a run's benchmarks, by name; none without `stop_when`."""

    monitors: dict[str, StopMonitor] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: RequestPlan, results: Iterable[Result] = ()) -> Self:
        """Returns the monitors of what is planned, which have seen the results of an earlier part of the run.

        Raises:
            ConfigError: A benchmark cannot stop early, or the run to compare with cannot be read, did not finish or has no question in common with it.
        """
        if not plan.config.stop_when.is_set:
            return cls()
        late = [name for name, part in plan.samples.items() if part.benchmark.scored_later]
        if late:
            raise ConfigError(
                f"stop_when is refused with benchmark={late[0]}: its scores are known only when all is answered; leave one of both out."
            )
        baseline = _baseline(plan.config)
        targets = {name: {s.id: s.target for s in part.chosen} for name, part in plan.samples.items()}
        stopping = cls(
            {
                name: StopMonitor(_rule(plan.config, name, plan.draw_order(name), baseline, targets[name]))
                for name in plan.samples
            }
        )
        for result in results:
            stopping.add(result)
        return stopping

    def add(self, result: Result) -> None:
        """Takes a result."""
        if result.benchmark in self.monitors:
            self.monitors[result.benchmark].add(result)

    def ended(self, benchmark: str) -> bool:
        """Whether no more of a benchmark is to be asked."""
        return benchmark in self.monitors and self.monitors[benchmark].reason is not None

    def in_flight(self, benchmarks: Iterable[str]) -> int:
        """Returns how many requests may be without a result: as many as were answered, since each may be one too many."""
        asked = [self.monitors[name] for name in benchmarks if not self.ended(name)]
        return sum(max(monitor.rule.least, monitor.answered) * monitor.rule.repeats for monitor in asked)

    def summarised(
        self, name: str, results: Sequence[Result], summarise: "metrics.Summarise"
    ) -> BenchmarkSummary:
        """Returns a benchmark's metrics: of the questions that count, whether it has stopped or was interrupted; what was generated, of all."""
        monitor = self.monitors.get(name)
        if monitor is None or not monitor.counted:
            return summarise(results)
        ids = set(monitor.rule.order[: monitor.counted])
        own = [result for result in results if result.sample_id in ids]
        found, whole = summarise(own), summarise(results)
        if self.ended(name):  # else the others are missing
            found = replace(found, expected=found.n, bounds=metrics.bounds(own, found.n))
        found = replace(
            found,
            tokens=whole.tokens,
            time_s=whole.time_s,
            throughput=whole.throughput,
            cache=whole.cache,
        )
        return _held(found, monitor.rule, own, len(results) - len(own))


def not_all_asked(benchmarks: Mapping[str, BenchmarkSummary]) -> list[str]:
    """Returns what keeps scores of benchmarks that stopped early from standing beside published ones."""
    found = [(name, each.stopping) for name, each in benchmarks.items()]
    return [
        f"{name} stopped after {stopped.questions} of {stopped.of} questions"
        for name, stopped in found
        if stopped is not None and stopped.reason != Reason.OPEN and stopped.questions < stopped.of
    ]


def regraded(
    summary: BenchmarkSummary, run: Run, config: Config, results: Sequence[Result], notes: list[str]
) -> BenchmarkSummary:
    """Returns a benchmark's summary with what its rule comes to now that its results (one at least) are graded again; without a rule as it is.

    `notes` gets a sentence where the run to compare with is gone.
    """
    name = results[0].benchmark
    before, order = run.summary.benchmarks[name].stopping, run.manifest.samples.get(name, [])
    if before is None:
        return summary
    targets = {result.sample_id: result.target for result in results}
    try:
        baseline = _baseline(config, run.manifest.directory)
        rule = _rule(config, name, order, baseline, targets)
    except ConfigError as error:
        notes.append(f"{name}: the difference that it stopped for is not known any more. {error}")
        rule = _rule(config, name, order, None, targets)
        rule = replace(rule, against=before.against, margin=before.margin)
    return _held(summary, rule, results, before.left_out)


def _held(
    summary: BenchmarkSummary, rule: StopRule, results: Sequence[Result], left_out: int
) -> BenchmarkSummary:
    """Returns a summary with what the rule came to, and intervals that hold whenever a run stops in place of ordinary ones."""
    places = {sample_id: place for place, sample_id in enumerate(rule.order)}
    ordered = sorted(results, key=lambda result: (places[result.sample_id], result.repeat))
    return replace(
        summary,
        ci95=rule.ci95(list(means_of(rule, ordered).values())),
        repeated=None if summary.repeated is None else repeat_statistics(ordered, rule.ci95),
        likelihood=LikelihoodStatistics.of(ordered, rule.ci95),
        stopping=entry(rule, ordered, left_out),
    )


def _rule(
    config: Config, name: str, order: Sequence[str], baseline: Run | None, targets: Mapping[str, str]
) -> StopRule:
    settings, repeats = config.stop_when, config.benchmarks[name].repeats
    if baseline is None:
        return StopRule(order, repeats, settings.level, settings.min_questions, settings.ci_width)
    own = metrics.results_of(name, baseline.results)
    shared = [result for result in own if targets.get(result.sample_id) == result.target]
    scores = means_of(StopRule(order), shared)
    if not scores:
        raise ConfigError(
            f"stop_when.compare={settings.compare} is refused: that run has no question of {name} in common with this one; "
            "compare with a run of the same questions."
        )
    return StopRule(
        order,
        repeats,
        settings.level,
        settings.min_questions,
        margin=settings.margin,
        against=settings.compare,
        scores=scores,
        failed=failed_of(shared),
    )


def _baseline(config: Config, directory: str | None = None) -> Run | None:
    """Returns the run to compare with; a relative path begins in the folder where the run was begun, or here."""
    folder = config.stop_when.compare
    if folder is None:
        return None
    try:
        run = load_run(Path(directory or "") / Path(folder).expanduser())
        theirs = read_settings(run.folder)
    except RunError as error:
        raise ConfigError(f"stop_when.compare={folder} is refused: {error}") from error
    if theirs is not None and theirs.seed != config.seed:
        raise ConfigError(
            f"stop_when.compare={folder} is refused: that run has seed={theirs.seed}, and seed={config.seed} draws other questions, or asks them in "
            f"another order; set seed={theirs.seed}."
        )
    if run.summary.status != "finished":
        raise ConfigError(
            f"stop_when.compare={folder} is refused: that run is {run.summary.status}, and what was answered first is no random part of its "
            f"questions; finish it with `python -m llmbench resume={folder}`."
        )
    return run
