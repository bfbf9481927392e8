"""Runs that differ in `sampling.thinking_budget` alone: accuracy against tokens and time, and the cheapest budget that is enough."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmbench.report.compare.comparison import compare_benchmark
from llmbench.report.compare.pairing import Planned
from llmbench.report.compare.terminal_page import statistics
from llmbench.report.escaping import label, visible
from llmbench.report.figures import GREY, axis, colour, figure
from llmbench.report.run_entry import RunEntry, benchmarks_of, differing
from llmbench.results.paired_tests import ALPHA
from llmbench.system.number_format import count, interval, number, percent, seconds

SETTING = "sampling.thinking_budget"


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
    def planned(self) -> Planned:
        """The run, to be compared."""
        return Planned(self.entry.run, self.entry.config)

    @property
    def name(self) -> str:
        """The budget in words."""
        return "no budget" if self.budget is None else f"{self.budget:,}"

    @property
    def title(self) -> str:
        """The same where no setting stands before it."""
        return self.name if self.budget is None else f"budget {self.name}"

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
    head = f"{benchmark}: the best accuracy was {best.found} ({SETTING}: {best.name})"
    if best is tried[0]:
        return f"{head}, and no other was cheaper."
    level = f"The {percent(ALPHA, 0)} level is not corrected for the {count(len(tried), 'budget')} tried."
    last = None
    for point in tried[: tried.index(best)]:
        compared = compare_benchmark(best.planned, point.planned, benchmark)
        if compared is None:
            continue
        last = " ".join(statistics(point.title, best.title, compared))
        if not compared.distinguishable or compared.difference.difference >= 0:
            return f"{head}; the cheapest budget that is not detectably lower is {point.name}: {point.found}. {level} {last}"
    if last is None:
        return f"{head}; no cheaper budget has a question in common with it."
    return f"{head}; every cheaper budget is detectably lower. {level} {last}"


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
