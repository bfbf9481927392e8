"""What all plots share: their colours, and the form in which plotly.js takes them. What is the same in all, such as grids, is in `assets/page.js`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Trace = dict[str, Any]

OUTCOMES = {
    "correct": "#1b9e77",
    "wrong": "#d95f02",
    "no_answer": "#7570b3",
    "truncated": "#e6ab02",
    "timeout": "#a6761d",
    "error": "#e7298a",
    "unjudged": "#666666",
}
"""Colours that people with colour-blindness can tell apart (ColorBrewer's Dark2, https://colorbrewer2.org)."""
SERIES = (
    "#3b82c4",
    "#d9822b",
    "#2f9e6e",
    "#9467bd",
    "#c44e52",
    "#8c8c3a",
    "#17a2b8",
    "#b5651d",
    "#e377c2",
    "#7f8fa6",
    "#66a61e",
    "#5b5ea6",
    "#e6ab02",
    "#a6cee3",
    "#888888",
)
GREY = "#888"
"""Of limits and intervals; seen on light and on dark."""


def figure(  # noqa: PLR0913 - all but three are optional
    name: str,
    title: str,
    traces: Sequence[Trace],
    *,
    note: str = "",
    height: int = 300,
    layout: Mapping[str, Any],
    wide: bool = False,
) -> dict[str, Any]:
    """A plot for the page: `note` says in words how to read it, a `wide` one takes the page's whole width."""
    return {
        "name": name,
        "title": title,
        "note": note,
        "height": height,
        "data": traces,
        "layout": layout,
        "wide": wide,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly's own names and values
    """An axis."""
    return {"title": {"text": title}, **more}


def bars(labels: Sequence[str], values: Sequence[float | None], place: int, hover: str) -> Trace:
    """A bar for each label, from the top down with the axis `LABELS`; `hover` is plotly's template."""
    return {
        "type": "bar",
        "orientation": "h",
        "y": labels,
        "x": values,
        "marker": {"color": colour(place)},
        "hovertemplate": f"{hover}<extra></extra>",
        "showlegend": False,
    }


LABELS = {"autorange": "reversed", "type": "category"}
"""The axis of `bars`: its first label is at the top."""


def intervals(values: Sequence[float], ends: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The intervals of values, as plotly draws them."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(high - value, 2) for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [round(value - low, 2) for value, (low, _) in zip(values, ends, strict=True)],
        "thickness": 1,
        "color": GREY,
    }


def scaled(value: float | None, unit: float) -> float | None:
    """In the unit that an axis shows; what was not measured stays so."""
    return None if value is None else round(value / unit, 4)


def colour(place: int) -> str:
    """The colour of the series at a place."""
    return SERIES[place % len(SERIES)]


def drawn(figures: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Those for which there was anything to draw."""
    return [found for found in figures if found is not None]
