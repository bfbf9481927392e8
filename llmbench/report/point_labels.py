"""Points with names in a plot: where each name has room, and the axis of accuracy."""

from collections.abc import Sequence
from typing import Any

from llmbench.report.escaping import label
from llmbench.report.figures import Trace, axis, colour

ROOM = 1.15
"""Seconds of an axis to those of the longest run: labels stand at the right of their points."""
BELOW = 9
"""Points of accuracy that the axis goes below 0 and above 100, for the labels there."""
PLOT = (300.0, 260.0)
"""Pixels of a plot on a phone. What does not overlap there does so nowhere."""
LETTER, LINE = 6.2, 14.0
"""Pixels of a label."""

Box = tuple[float, float, float, float]


def label_positions(
    points: Sequence[tuple[float, float]], texts: Sequence[str], first: Sequence[int], widest: float
) -> list[str | None]:
    """Where the label of each point stands, in plotly's words, so that none covers another or a point; None where it would."""
    pixels = [(x / widest * PLOT[0], y / (100 + 2 * BELOW) * PLOT[1]) for x, y in points]
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in pixels]
    found: list[str | None] = [None] * len(points)
    order = [*first, *(place for place in range(len(points)) if place not in first)]
    for place in order:
        x, y = pixels[place]
        width = LETTER * len(texts[place])
        for down, across in ((-1, 1), (1, 1), (1, -1), (-1, -1)):
            near, low = x + 6 * across, y + 5 * down
            far, high = near + width * across, low + LINE * down
            box = (min(near, far), min(low, high), max(near, far), max(low, high))
            if box[0] >= 0 and box[2] <= PLOT[0] and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found[place] = f"{'top' if down > 0 else 'bottom'} {'right' if across > 0 else 'left'}"
                break
    return found


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def named_points(  # noqa: PLR0913 - of each point four, and the ends of both axes
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    hover: Sequence[str],
    *,
    first: Sequence[int] = (),
    widest: float,
    highest: float = 100.0,
) -> Trace:
    """Points with a label each, where there is room for it, those of `first` before others, and what is said of one under the mouse.

    The axes end at `widest` and, but for room for labels, at `highest`.
    """
    shares = [(x, 100 * y / highest) for x, y in points]
    positions = label_positions(shares, texts, first, widest)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "text": [text if at else "" for text, at in zip(texts, positions, strict=True)],
        "hovertext": [label(said, 120) for said in hover],
        "hoverinfo": "text",
        "textposition": [at or "top center" for at in positions],
        "textfont": {"size": 10},
        "cliponaxis": False,
        "marker": {"size": 9, "color": colour(0)},
        "line": {"color": colour(0), "width": 1},
    }


def accuracy_axis() -> dict[str, Any]:
    """The axis of accuracy in percent, with room for labels below and above."""
    return axis("accuracy, %", range=[-BELOW, 100 + BELOW], tickvals=list(range(0, 101, 20)))
