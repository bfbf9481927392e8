"""`stop_when`: which benchmarks of a run have been asked enough. The rules are made from settings and data; the statistics are in `results/stopping`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from llmbench.config.schema import Config
from llmbench.errors import ConfigError, RunError
from llmbench.records import Result
from llmbench.results import metrics
from llmbench.results.reader import Run, load_run
from llmbench.results.stopping import Interval, StopEntry, StopRule, StopWatch, ci95, entry
from llmbench.results.summary import BenchmarkSummary
from llmbench.run.request_plan import RequestPlan

Key = tuple[str, str, int]
"""Benchmark, question and repeat of a result."""


@dataclass(slots=True)
class Stopping:
    """The watches of a run's benchmarks, by name; none without `stop_when`."""

    watches: dict[str, StopWatch] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: RequestPlan, results: Iterable[Result] = ()) -> Self:
        """Returns the watches of what is planned, which have seen the results of an earlier part of the run.

        Raises:
            ConfigError: A benchmark cannot stop early, or has no question in common with the run to compare with.
            RunError: That run cannot be read.
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
                name: StopWatch(_rule(plan.config, name, plan.draw_order(name), baseline, targets[name]))
                for name in plan.samples
            }
        )
        for result in results:
            stopping.add(result)
        return stopping

    def add(self, result: Result) -> None:
        """Takes a result."""
        if result.benchmark in self.watches:
            self.watches[result.benchmark].add(result)

    def ended(self, benchmark: str) -> bool:
        """Whether no more of a benchmark is to be asked."""
        return benchmark in self.watches and self.watches[benchmark].reason is not None

    def in_flight(self, benchmarks: Iterable[str]) -> int:
        """Returns how many requests may be without a result: as many as were answered, since each may be one too many."""
        asked = [self.watches[name] for name in benchmarks if not self.ended(name)]
        return sum(max(watch.rule.least, watch.answered) * watch.rule.repeats for watch in asked)

    def unjudged(self, answers: Mapping[Key, Result]) -> dict[Key, Result]:
        """Returns those of the answers without a verdict that one is still wanted for."""
        return {key: answer for key, answer in answers.items() if not self.ended(answer.benchmark)}

    def summarised(
        self, name: str, results: Sequence[Result], summarise: "metrics.Summarise"
    ) -> BenchmarkSummary:
        """Returns a benchmark's metrics: of the questions that count, where it has stopped; what was generated, of all."""
        watch = self.watches.get(name)
        if watch is None or watch.reason is None:
            return summarise(results)
        ids = set(watch.rule.order[: watch.counted])
        own = [result for result in results if result.sample_id in ids]
        found, whole = summarise(own), summarise(results)
        found = replace(
            found,
            expected=found.n,
            bounds=metrics.bounds(own, found.n),
            tokens=whole.tokens,
            time_s=whole.time_s,
            throughput=whole.throughput,
            cache=whole.cache,
        )
        stopped = entry(watch.rule, own, len(results) - len(own))
        return replace(found, ci95=ci95(watch.rule, stopped, own), stopping=stopped)


def not_all_asked(benchmarks: Mapping[str, BenchmarkSummary]) -> list[str]:
    """Returns what keeps scores of benchmarks that stopped early from standing beside published ones."""
    found = [(name, each.stopping) for name, each in benchmarks.items()]
    return [
        f"{name} stopped after {stopped.questions} of {stopped.of} questions"
        for name, stopped in found
        if stopped is not None and stopped.questions < stopped.of
    ]


def regraded(
    name: str, run: Run, config: Config, results: Sequence[Result], notes: list[str]
) -> tuple[StopEntry, Interval | None] | None:
    """Returns what the rule of a benchmark comes to now that its results are graded again, and the interval that holds; None without a rule.

    Args:
        name: The benchmark's.
        run: As it was graded first.
        config: Its settings.
        results: The benchmark's, which all count.
        notes: Gets a sentence where the run to compare with is gone.
    """
    before, order = run.summary.benchmarks[name].stopping, run.manifest.samples.get(name, [])
    if before is None or not results:
        return None
    targets = {result.sample_id: result.target for result in results}
    try:
        rule = _rule(config, name, order, _baseline(config), targets)
    except (RunError, ConfigError) as error:
        notes.append(f"{name}: the difference that it stopped for is not known any more. {error}")
        rule = replace(_rule(config, name, order, None, targets), against=before.against)
    found = entry(rule, results, before.left_out)
    return found, ci95(rule, found, results)


def _rule(
    config: Config, name: str, order: Sequence[str], baseline: Run | None, targets: Mapping[str, str]
) -> StopRule:
    settings, repeats = config.stop_when, config.benchmarks[name].repeats
    if baseline is None:
        return StopRule(order, repeats, settings.level, settings.min_questions, settings.ci_width)
    values: dict[str, list[float]] = {}
    for result in metrics.results_of(name, baseline.results):
        if targets.get(result.sample_id) == result.target:
            values.setdefault(result.sample_id, []).append(result.score.value)
    scores = {sample_id: sum(each) / len(each) for sample_id, each in values.items()}
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
    )


def _baseline(config: Config) -> Run | None:
    folder = config.stop_when.compare
    if folder is None:
        return None
    run = load_run(Path(folder).expanduser())
    if run.summary.status != "finished":
        raise RunError(
            f"stop_when.compare={folder} is refused: that run is {run.summary.status}, and what was answered first is no random part of its "
            f"questions; finish it with `python -m llmbench resume={folder}`."
        )
    return run
