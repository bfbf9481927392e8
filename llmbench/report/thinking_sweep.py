"""Runs that differ in `sampling.thinking_budget` alone: accuracy against tokens and time, and the cheapest budget that is enough."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmbench.report.compare.pairing import Planned, by_question, pair
from llmbench.report.compare.terminal_page import p_value
from llmbench.report.escaping import label, visible
from llmbench.report.figures import GREY, axis, colour, figure
from llmbench.report.run_entry import RunEntry, benchmarks_of, differing
from llmbench.results import paired_tests
from llmbench.results.paired_tests import ALPHA, Method
from llmbench.system.number_format import count, interval, number, percent, points, seconds

SETTING = "sampling.thinking_budget"
TESTS = {
    Method.MCNEMAR: "McNemar's exact test",
    Method.SIGN_FLIP: "the sign-flip permutation test over questions",
}


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """A finished run of a benchmark under a thinking budget.

    Attributes:
        budget: In tokens; None: no budget.
        accuracy: 0 to 1, with its 95% interval.
        tokens: Mean output tokens of an answer, thinking included.
        time_s: Seconds of generating, all benchmarks of the run together; None where they are not known.
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


def varied(entries: Sequence[RunEntry]) -> bool:
    """Whether the runs differ in the budget and in nothing else."""
    return differing(entries) == [SETTING]


def budget_points(entries: Sequence[RunEntry], benchmark: str) -> list[BudgetPoint]:
    """The finished runs of a benchmark, those with the fewest tokens first."""
    found = []
    for entry in entries:
        score, sampling = entry.benchmark(benchmark), (entry.config or {}).get("sampling") or {}
        if entry.summary.status != "finished" or score.accuracy is None or not score.n:
            continue
        found.append(
            BudgetPoint(
                entry=entry,
                budget=sampling.get("thinking_budget"),
                accuracy=score.accuracy,
                ci95=score.ci95 or (score.accuracy, score.accuracy),
                tokens=score.tokens.output / score.n,
                time_s=entry.summary.time_s.generate,
            )
        )
    return sorted(found, key=lambda point: (point.tokens, math.inf if point.budget is None else point.budget))


def sentences(entries: Sequence[RunEntry]) -> list[str]:
    """For each benchmark the cheapest budget whose accuracy is not detectably lower than the best's; nothing where something else was varied."""
    if not varied(entries):
        return []
    found = [_cheapest(name, budget_points(entries, name)) for name in benchmarks_of(entries)]
    return [sentence for sentence in found if sentence is not None]


def _cheapest(benchmark: str, tried: Sequence[BudgetPoint]) -> str | None:
    if len(tried) < 2:  # noqa: PLR2004 - nothing to compare
        return None
    best = max(tried, key=lambda point: point.accuracy)  # of equals the cheapest
    level = f"at the {ALPHA:.0%} level, not corrected for the {count(len(tried), 'budget')} tried"
    head = f"{benchmark}: the best accuracy was {best.found} ({SETTING}: {best.name})"
    for point in tried:
        if point is best:
            break
        scores = _scores(point, best, benchmark)
        if scores is None:
            continue
        first, second, repeats = scores
        test = paired_tests.significance(first, second)
        change = paired_tests.difference(second, first)
        if test.p_value < ALPHA and change.difference < 0:
            continue
        least = paired_tests.smallest_detectable(first, second, repeats)
        power = (
            f"with {count(len(first), 'question')} no difference could have been found"
            if least is None
            else f"on {count(len(first), 'question')} a true difference of {points(least).lstrip('+')} points is found with 80% probability"
        )
        return (
            f"{head}; the cheapest budget that is not detectably lower is {point.name}: {point.found}, {points(change.difference)} points, "
            f"95% interval {_ends(change.ci95)}, p = {p_value(test.p_value)} by {TESTS[test.method]} {level}; {power}."
        )
    if best is tried[0]:
        return f"{head}, and no other was cheaper."
    return f"{head}; every cheaper budget is detectably lower, by {_test(best, tried, benchmark)} {level}."


def _ends(ci95: tuple[float, float] | None) -> str:
    return "not known" if ci95 is None else f"[{points(ci95[0])}, {points(ci95[1])}]"


def _test(best: BudgetPoint, tried: Sequence[BudgetPoint], benchmark: str) -> str:
    scores = _scores(tried[0], best, benchmark)
    return TESTS[paired_tests.significance(*scores[:2]).method] if scores else TESTS[Method.MCNEMAR]


def _scores(
    one: BudgetPoint, other: BudgetPoint, benchmark: str
) -> tuple[list[float], list[float], int] | None:
    """The mean score of each question that both were asked, and the answers to one; None where there is none in common."""
    sides = [Planned(point.entry.run, point.entry.config) for point in (one, other)]
    keys = pair(sides[0], sides[1], benchmark).keys
    if not keys:
        return None
    first, second = (
        [math.fsum(r.score.value for r in of_one) / len(of_one) for of_one in grouped.values()]
        for grouped in (by_question(side.results(benchmark), keys) for side in sides)
    )
    return first, second, max(1, round(len(keys) / len(first)))


def figures(entries: Sequence[RunEntry]) -> list[dict[str, Any]]:
    """For each benchmark accuracy with its 95% interval, and the time of generating, against the mean tokens of an answer."""
    if not varied(entries):
        return []
    said = {sentence.partition(": ")[0]: sentence for sentence in sentences(entries)}
    return [
        _figure(name, tried, said.get(name, ""))
        for name in benchmarks_of(entries)
        if len(tried := budget_points(entries, name)) > 1
    ]


def _figure(benchmark: str, tried: Sequence[BudgetPoint], note: str) -> dict[str, Any]:
    tokens = [round(point.tokens, 1) for point in tried]
    accuracy = {
        "type": "scatter",
        "mode": "lines+markers+text",
        "name": "accuracy",
        "x": tokens,
        "y": [round(100 * point.accuracy, 2) for point in tried],
        "text": [label(point.name) for point in tried],
        "textposition": "top center",
        "textfont": {"size": 10},
        "cliponaxis": False,
        "hovertext": [
            label(f"{point.name}: {point.found}, {interval(point.ci95)}, {seconds(point.time_s)}", 120)
            for point in tried
        ],
        "hoverinfo": "text",
        "marker": {"size": 9, "color": colour(0)},
        "line": {"color": colour(0), "width": 1},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [round(100 * (point.ci95[1] - point.accuracy), 2) for point in tried],
            "arrayminus": [round(100 * (point.accuracy - point.ci95[0]), 2) for point in tried],
            "thickness": 1,
            "color": GREY,
        },
    }
    time = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "seconds of generating",
        "x": tokens,
        "y": [None if point.time_s is None else round(point.time_s, 3) for point in tried],
        "yaxis": "y2",
        "line": {"color": colour(1), "dash": "dot"},
        "marker": {"size": 6, "color": colour(1)},
    }
    layout = {
        "xaxis": axis("output tokens of an answer, mean", rangemode="tozero"),
        "yaxis": axis("accuracy, %", range=[0, 108], tickvals=list(range(0, 101, 20))),
        "yaxis2": axis(
            "seconds of generating", overlaying="y", side="right", rangemode="tozero", showgrid=False
        ),
        "hovermode": "closest",
        "margin": {"t": 28, "r": 56},
    }
    title = f"{visible(benchmark)}: accuracy, tokens and time by thinking budget"
    read = f"Numbers at the points are values of {SETTING}."
    return figure(
        f"thinking-{benchmark}",
        title,
        [accuracy, time],
        note=visible(f"{read} {note}".strip()),
        height=380,
        layout=layout,
    )
