"""Numbers as a reader wants them; a dash for what was not measured."""

from collections.abc import Sequence

MIB, GIB = 1 << 20, 1 << 30
NONE = "-"


def percent(value: float | None, digits: int = 1) -> str:
    """A share of 1."""
    return NONE if value is None else f"{100 * value:.{digits}f}%"


def interval(ends: Sequence[float] | None) -> str:
    """The two ends of an interval of shares."""
    return f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else NONE


def points(value: float) -> str:
    """A difference of two shares, in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


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
        return number(1000 * value, "ms")
    return number(value, "s") if value < 1000 else f"{value / 60:.1f} min"  # noqa: PLR2004 - three digits


def memory(size: float | None) -> str:
    """Bytes in GiB, or in MiB where there is less than one."""
    if size is None:
        return NONE
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def joules(value: float | None) -> str:
    """Energy."""
    if value is None:
        return NONE
    return number(value, "J") if value < 10_000 else f"{value / 3600:,.1f} Wh"  # noqa: PLR2004 - then watt-hours


def count(number: int, noun: str) -> str:
    """A number of things, whose name gets an `s` unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Words with commas between them and an `and` before the last."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
