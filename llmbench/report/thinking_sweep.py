"""Runs that differ in `sampling.thinking_budget` alone: accuracy against tokens and time, and the cheapest budget that is enough."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmbench.report.compare.comparison import compare_benchmark
from llmbench.report.compare.records import BenchmarkComparison
from llmbench.report.compare.terminal_page import p_value
from llmbench.report.escaping import visible
from llmbench.report.figures import axis, colour, figure, intervals
from llmbench.report.point_labels import ROOM, accuracy_axis, named_points
from llmbench.report.run_entry import NO_SECONDS, RunEntry, benchmarks_of, differing
from llmbench.results.paired_tests import ALPHA, Method
from llmbench.system.number_format import count, interval, number, percent, points, seconds

SETTING = "sampling.thinking_budget"
TESTS = {
    Method.MCNEMAR: "McNemar's exact test",
    Method.SIGN_FLIP: "the sign-flip permutation test over questions",
}

STOPPED = " With stop_when the number of questions was not fixed beforehand, so a test and an interval of a difference claim too much here."


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """A finished run of a benchmark under a thinking budget.

    Attributes:
        budget: In tokens; None: no budget.
        accuracy: 0 to 1, with its 95% interval.
        tokens: Mean output tokens of an answer that counts, thinking included.
        time_s: Seconds of generating, all benchmarks of the run together; None where they are not of all its answers.
    """

    entry: RunEntry
    budget: int | None
    accuracy: float
    ci95: tuple[float, float]
    tokens: float
    time_s: float | None

    @property
    def name(self) -> str:
        """The budget in words."""
        return "no budget" if self.budget is None else f"{self.budget:,}"

    @property
    def found(self) -> str:
        """Its accuracy and tokens."""
        return f"{percent(self.accuracy)} with {number(self.tokens)} tokens an answer"


def budget_points(entries: Sequence[RunEntry], benchmark: str) -> list[BudgetPoint]:
    """The finished runs of a benchmark, those with the fewest tokens first."""
    found = []
    for entry in entries:
        score, sampling = entry.benchmark(benchmark), (entry.config or {}).get("sampling") or {}
        tokens = _tokens(entry, benchmark)
        if entry.summary.status != "finished" or score.accuracy is None or tokens is None:
            continue
        found.append(
            BudgetPoint(
                entry=entry,
                budget=sampling.get("thinking_budget"),
                accuracy=score.accuracy,
                ci95=score.ci95 or (score.accuracy, score.accuracy),
                tokens=tokens,
                time_s=entry.generate_s,
            )
        )
    return sorted(found, key=lambda point: (point.tokens, math.inf if point.budget is None else point.budget))


def _tokens(entry: RunEntry, benchmark: str) -> float | None:
    """The mean output tokens of a run's answers, without those that `stop_when` left out; None without any answer."""
    made = [r.completions for r in entry.run.results if r.benchmark == benchmark and r.completions]
    sums = [sum(c.output_tokens for c in of_one) for of_one in made if not of_one[0].failed]
    return math.fsum(sums) / len(sums) if sums else None


def _tried(entries: Sequence[RunEntry]) -> dict[str, list[BudgetPoint]]:
    """The points of each benchmark whose runs differ in the budget and in nothing else, where there are two or more."""
    own = {name: [e for e in entries if name in e.summary.benchmarks] for name in benchmarks_of(entries)}
    found = {name: budget_points(runs, name) for name, runs in own.items() if differing(runs) == [SETTING]}
    return {name: tried for name, tried in found.items() if len(tried) > 1}


def sentences(entries: Sequence[RunEntry]) -> list[str]:
    """For each benchmark the cheapest budget whose accuracy is not detectably lower than the best's; nothing where something else was varied."""
    return [said for name, tried in _tried(entries).items() if (said := _cheapest(name, tried))]


def _cheapest(benchmark: str, tried: Sequence[BudgetPoint]) -> str:
    best = max(tried, key=lambda point: point.accuracy)  # of equals the cheapest
    cheaper = tried[: tried.index(best)]
    others = cheaper or [max(tried[1:], key=lambda point: point.accuracy)]
    compared = [compare_benchmark(best.entry, point.entry, benchmark) for point in others]
    known = [(point, found) for point, found in zip(others, compared, strict=True) if found is not None]
    if len(known) < len(others):  # they have no question in common
        return ""
    level = f"at the {ALPHA:.0%} level, not corrected for the {count(len(tried), 'budget')} tried"
    enough = (each for each in known if not each[1].distinguishable or each[1].difference.difference >= 0)
    said = f"{benchmark}: the best accuracy was {best.found} ({SETTING}: {best.name})"
    if not cheaper:
        said += f", and no other was cheaper; {_power(known[0][1])}."
    elif (first := next(enough, None)) is not None:
        point, found = first
        test, change = found.significance, found.difference
        ends = "not known" if change.ci95 is None else f"[{points(change.ci95[0])}, {points(change.ci95[1])}]"
        said += (
            f"; the cheapest budget that is not detectably lower is {point.name}: {point.found}, {points(change.difference)} points, "
            f"95% interval {ends}, p = {p_value(test.p_value)} by {TESTS[test.method]} {level}; {_power(found)}."
        )
    else:
        said += f"; every cheaper budget is detectably lower, by {TESTS[known[0][1].significance.method]} {level}."
    return said + (STOPPED if any(point.entry.benchmark(benchmark).stopping for point in tried) else "")


def _power(compared: BenchmarkComparison) -> str:
    """How large a difference had to be to be found."""
    least, questions = compared.smallest_detectable, count(compared.questions, "question")
    if least is None:
        return f"with {questions} no difference could have been found"
    return f"on {questions} a true difference of {points(least).lstrip('+')} points is found with 80% probability"


def figures(entries: Sequence[RunEntry]) -> list[dict[str, Any]]:
    """For each benchmark accuracy with its 95% interval, and the time of generating, against the mean tokens of an answer."""
    return [_figure(name, tried) for name, tried in _tried(entries).items()]


def _figure(benchmark: str, tried: Sequence[BudgetPoint]) -> dict[str, Any]:
    places, widest = (
        [(point.tokens, 100 * point.accuracy) for point in tried],
        (tried[-1].tokens or 1.0) * ROOM,
    )
    hover = [f"{each.name}: {each.found}, {interval(each.ci95)}, {seconds(each.time_s)}" for each in tried]
    ends = [(100 * point.ci95[0], 100 * point.ci95[1]) for point in tried]
    names, labelled_first = [point.name for point in tried], (len(tried) - 1, 0)
    accuracy = named_points(places, names, hover, first=labelled_first, widest=widest) | {
        "mode": "lines+markers+text",
        "name": "accuracy",
        "error_y": intervals([score for _, score in places], ends),
    }
    time = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "seconds of generating",
        "x": accuracy["x"],
        "y": [point.time_s for point in tried],
        "yaxis": "y2",
        "line": {"color": colour(1), "dash": "dot"},
        "marker": {"size": 6, "color": colour(1)},
    }
    layout = {
        "xaxis": axis("output tokens of an answer, mean", range=[0, widest]),
        "yaxis": accuracy_axis(),
        "yaxis2": axis(
            "seconds of generating", overlaying="y", side="right", rangemode="tozero", showgrid=False
        ),
        "margin": {"t": 28, "r": 56},
    }
    title = f"{visible(benchmark)}: accuracy, tokens and time by thinking budget"
    note = f"{_read(tried, all_named=all(accuracy['text']))} {_cheapest(benchmark, tried)}"
    traces = [accuracy, time]
    return figure(
        f"thinking-{benchmark}", title, traces, note=visible(note.strip()), height=380, layout=layout
    )


def _read(tried: Sequence[BudgetPoint], *, all_named: bool) -> str:
    """How the plot is read."""
    read = f"Numbers at the points are values of {SETTING}."
    if not all_named:
        read += " Some are left out where they would cover others."
    if any(len(point.entry.summary.benchmarks) > 1 for point in tried):
        read += " Seconds are of all benchmarks of a run together."
    if any(point.time_s is None for point in tried):
        read += f" {NO_SECONDS}"
    return read
