"""Plots of the answers: how long they took, how long they are, and where they are right."""

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from llmbench.records import Result
from llmbench.report.escaping import label
from llmbench.report.figures import GREY, LABELS, OUTCOMES, axis, bars, colour, drawn, figure, intervals
from llmbench.results import cache_use, stats
from llmbench.results.likelihood import choices_of
from llmbench.results.thinking_use import own_completions
from llmbench.system import number_format

BINS = 40
GROUPS = ("subject", "level", "difficulty", "month", "domain", "repo")
"""Fields of a result by which accuracy is shown, where a benchmark keeps them."""
MOST_GROUPS = 60
"""MMLU has 57 subjects."""
POINTS = 5000
"""Points of the plot of lengths at most: a browser draws each."""


DISTRIBUTIONS = {
    "latency": ("Latency of a sample", "seconds to the last token"),
    "ttft": ("Time to the first token, waiting included", "seconds: queue and prefill"),
    "queue": ("Waiting in the engine's scheduler (queue)", "seconds"),
    "prefill": ("Reading the prompt (prefill)", "seconds from scheduling to the first token"),
    "decode": ("Writing (decode)", "seconds from the first token to the last"),
    "inter_token": ("Time between tokens", "milliseconds, mean of a sample"),
}
AT_CLIENT = {
    "latency": ("Latency of a sample, at the client", "seconds from sending to the last token"),
    "ttft": ("Time to the first token, at the client", "seconds: network, the server's queue and prefill"),
    "decode": ("First to last token, at the client", "seconds"),
    "inter_token": DISTRIBUTIONS["inter_token"],
}
"""Of these what the client of a server can see, and what that is: title and unit."""


def _time(result: Result, name: str) -> float | None:
    """A result's time in the unit of its plot: to and between tokens of its first text, else of all its completions together."""
    if name not in ("ttft", "inter_token"):
        timings, part = cache_use.timings(result), "e2e" if name == "latency" else name
        return math.fsum(getattr(t, part) for t in timings) if timings else None
    timing = result.completions[0].timing if result.completions and not choices_of(result) else None
    if timing is None or name == "ttft":
        return None if timing is None else timing.ttft
    return None if timing.inter_token is None else 1e3 * timing.inter_token


def distributions(results: Sequence[Result], *, client: bool = False) -> list[dict[str, Any]]:
    """Histograms of latency, its phases and the time between tokens, a colour for each benchmark, with percentiles of all; or what the `client` of a server sees."""
    kinds = AT_CLIENT if client else DISTRIBUTIONS
    return drawn(_distribution(results, name, title, unit) for name, (title, unit) in kinds.items())


def _distribution(results: Sequence[Result], name: str, title: str, unit: str) -> dict[str, Any] | None:
    values: dict[str, list[float]] = {}
    for result in results:
        if (value := _time(result, name)) is not None:
            values.setdefault(result.benchmark, []).append(value)
    ordered = sorted(value for of_one in values.values() for value in of_one)
    # nothing was timed, or nothing took any time, as writing where only choices are scored
    if not any(ordered):
        return None
    low, high = ordered[0], ordered[-1]
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * abs(low), high + 0.5 * abs(high)
    width = (high - low) / BINS
    centres = [round(low + (place + 0.5) * width, 6) for place in range(BINS)]
    traces = [
        {
            "type": "bar",
            "name": label(benchmark),
            "x": centres,
            "y": np.histogram(of_one, BINS, (low, high))[0].tolist(),
            "width": [width] * BINS,
            "marker": {"color": colour(place)},
            "hovertemplate": "%{y} samples at %{x:.4g}<extra>" + label(benchmark) + "</extra>",
        }
        for place, (benchmark, of_one) in enumerate(values.items())
    ]
    marks = [(percent, stats.percentile(ordered, percent)) for percent in (50, 95, 99)]
    line = {"dash": "dot", "width": 1.5, "color": GREY}
    lines = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}
        for _, at in marks
    ]
    notes = [
        {
            "x": at,
            "y": 1.0,
            "yref": "paper",
            "yanchor": "bottom",
            "yshift": 12 * row,
            "text": f"p{percent} {number_format.number(at)}",
            "showarrow": False,
            "font": {"size": 11},
        }
        for row, (percent, at) in enumerate(marks)
    ]
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": axis(unit),
        "yaxis": axis("samples"),
        "shapes": lines,
        "annotations": notes,
        "margin": {"t": 56},
    }
    return figure(name, title, traces, layout=layout)


def lengths(results: Sequence[Result], limits: Mapping[str, int | None]) -> dict[str, Any] | None:
    """A point for each sample: its output tokens, in its benchmark's row, coloured by outcome; a bar marks the limit.

    Samples of which only choices were scored have none.
    """
    results = [result for result in results if not choices_of(result)]
    benchmarks = list(dict.fromkeys(result.benchmark for result in results))
    if not results:
        return None
    shown = results[:: max(1, -(-len(results) // POINTS))]
    rows = {name: place for place, name in enumerate(benchmarks)}
    traces = [
        _points(points, outcome, tint, rows)
        for outcome, tint in OUTCOMES.items()
        if (points := [(number, r) for number, r in enumerate(shown) if r.score.outcome.value == outcome])
    ]
    shapes = [
        {
            "type": "line",
            "x0": limits[name],
            "x1": limits[name],
            "y0": place - 0.42,
            "y1": place + 0.42,
            "line": {"color": GREY, "width": 2},
        }
        for name, place in rows.items()
        if limits.get(name)
    ]
    layout = {
        "xaxis": axis("output tokens", rangemode="tozero"),
        "yaxis": {
            "tickvals": list(rows.values()),
            "ticktext": [label(name, 24) for name in rows],
            "range": [-0.6, len(rows) - 0.4],
            "zeroline": False,
        },
        "shapes": shapes,
    }
    note = "Grey bars are the limits; points piled up there are answers that were cut off. A click on a point opens its sample."
    title, height = "Output length and outcome", 140 + 70 * len(rows)
    return figure("lengths", title, traces, note=note, height=height, layout=layout, wide=True)


def _points(
    points: Sequence[tuple[int, Result]], outcome: str, tint: str, rows: Mapping[str, int]
) -> dict[str, Any]:
    """The samples of one outcome; their numbers scatter them over the height of their benchmark's row."""
    title = outcome.replace("_", " ")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title,
        "x": [sum(c.output_tokens for c in own_completions(r)) for _, r in points],
        "y": [round(rows[r.benchmark] + 0.62 * (number * 0.618034 % 1 - 0.5), 3) for number, r in points],
        "text": [label(f"{r.benchmark} {r.sample_id}") for _, r in points],
        "customdata": [[r.benchmark, r.sample_id, r.repeat] for _, r in points],
        "marker": {"color": tint, "size": 7, "opacity": 0.75},
        "hovertemplate": f"%{{text}}: %{{x}} tokens<extra>{title}</extra>",
    }


FIXED = ", which hold only for a number of questions that was fixed beforehand, and with stop_when it was not"
"""Said of ordinary intervals."""


def by_group(results: Sequence[Result], stopped: Container[str] = ()) -> list[dict[str, Any]]:
    """Accuracy with its interval by subject, level, difficulty, month: a plot for each that a benchmark keeps; of those that `stopped` early intervals claim too much."""
    found = []
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        note = f"With 95% intervals{FIXED if benchmark in stopped else ''}; in brackets how many questions."
        for group in GROUPS:
            scores: dict[str, dict[str, list[float]]] = {}
            for r in results:
                if r.benchmark == benchmark and r.fields.get(group) is not None:
                    of_value = scores.setdefault(str(r.fields[group]), {})
                    of_value.setdefault(r.sample_id, []).append(r.score.value)
            if 1 < len(scores) <= MOST_GROUPS:
                found.append(_group(benchmark, group, scores, note))
    return found


def _natural(value: str) -> tuple[float, str]:
    known = {"easy": 0.0, "medium": 1.0, "hard": 2.0}
    digits = value.rpartition(" ")[2]
    return known.get(value.lower(), float(digits) if digits.isdecimal() else math.inf), value


def _group(
    benchmark: str, group: str, scores: Mapping[str, Mapping[str, Sequence[float]]], note: str
) -> dict[str, Any]:
    """The plot of the scores by the values of a field and by questions."""
    names, shares, ends = [], [], []
    for value in sorted(scores, key=_natural):
        means = [math.fsum(of_one) / len(of_one) for of_one in scores[value].values()]
        low, high = stats.interval(means)
        names.append(f"{label(value, 28)} ({len(means)})")
        shares.append(100 * math.fsum(means) / len(means))
        ends.append((100 * low, 100 * high))
    trace = bars(names, shares, 0, "%{y}: %{x:.1f}%") | {"error_x": intervals(shares, ends)}
    layout = {"xaxis": axis("accuracy, %", range=[0, 100]), "yaxis": LABELS}
    title, height = f"{benchmark}: accuracy by {group}", 110 + 30 * len(names)
    return figure(f"by-{benchmark}-{group}", title, [trace], note=note, height=height, layout=layout)
