"""What all plots share: their colours, and the form in which plotly.js takes them."""

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
    layout: Mapping[str, Any] | None = None,
    links: bool = False,
) -> dict[str, Any]:
    """A plot for the page: `note` says in words how to read it, `links` that its points name samples."""
    return {
        "name": name,
        "title": title,
        "note": note,
        "height": height,
        "data": list(traces),
        "layout": dict(layout or {}),
        "links": links,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly's own names and values
    """An axis."""
    return {"title": {"text": title}, "automargin": True, **more}


def scaled(value: float | None, unit: float) -> float | None:
    """In the unit that an axis shows; what was not measured stays so."""
    return None if value is None else round(value / unit, 4)


def colour(place: int) -> str:
    """The colour of the series at a place."""
    return SERIES[place % len(SERIES)]


def vertical(x: float, text: str, *, row: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """A dotted line across a plot, and its name at the top."""
    shape = {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dot", "width": 1.5, "color": GREY},
    }
    note = {
        "x": x,
        "y": 1.0,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 12 * row,
        "text": text,
        "showarrow": False,
        "font": {"size": 11},
    }
    return shape, note


def drawn(figures: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Those for which there was anything to draw."""
    return [found for found in figures if found is not None]
