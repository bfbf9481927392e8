"""Numbers as a reader wants them; a dash for what was not measured."""

from collections.abc import Mapping, Sequence
from typing import Any

GIB = 2**30
NONE = "-"


def percent(value: float | None) -> str:
    """A share of 1."""
    return NONE if value is None else f"{100 * value:.1f} %"


def interval(ends: Sequence[float] | None) -> str:
    """A 95 % interval of shares."""
    return "" if not ends else f"95 % interval {100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


def number(value: float | None, unit: str = "") -> str:
    """Three digits, more where there are more before the point."""
    if value is None:
        return NONE
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough
    return f"{digits} {unit}".rstrip()


def seconds(value: float | None) -> str:
    """Milliseconds, seconds or minutes."""
    if value is None:
        return NONE
    if 0 < value < 0.1:  # noqa: PLR2004 - below a tenth in milliseconds
        return f"{1000 * value:.3g} ms"
    return number(value, "s") if value < 600 else f"{value / 60:.1f} min"  # noqa: PLR2004 - ten minutes


def gib(value: float | None) -> str:
    """Bytes in GiB."""
    return NONE if value is None else f"{value / GIB:.1f} GiB"


def joules(value: float | None) -> str:
    """Energy."""
    if value is None:
        return NONE
    return number(value, "J") if value < 10_000 else f"{value / 3600:.1f} Wh"  # noqa: PLR2004 - then watt-hours


def at(content: Mapping[str, Any] | None, *names: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """What stands at a path of names; None where there is nothing."""
    value: Any = content
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
