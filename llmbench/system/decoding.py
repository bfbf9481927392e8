"""Plain data of a file as records: JSON or YAML against dataclasses, by msgspec; what does not fit is named by its place.

Names that a record does not know are let pass, and what is missing has the record's default: older and newer versions have other names.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import orjson

T = TypeVar("T")
Place = tuple[str | int, ...]
"""Keys and numbers that lead to a part of nested data."""

CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
"""Of `orjson.dumps`, for keys: equal values give equal bytes. The keys of `logit_bias` in a request's body are token ids."""
SHOWN = 60
"""Characters of a value or a name that a message shows."""
WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
LONG_NUMBER = re.compile(rb"\d{19}")
"""Every whole number of more than 63 bits has that many digits."""


def decode(content: bytes, kind: type[T]) -> T:
    """Returns the record that JSON text holds.

    Raises:
        ValueError: It is not JSON.
        TypeError: It does not fit the record; the message names the part.
    """
    return build(orjson.loads(content), kind, numbers=has_long_numbers(content))


def has_long_numbers(content: bytes) -> bool:
    """Whether JSON text may hold a whole number of the 64th bit; orjson refuses longer ones, NaN and infinity by itself."""
    return LONG_NUMBER.search(content) is not None


def build(value: object, kind: type[T], *, numbers: bool = True) -> T:
    """Returns the record that plain data describes.

    Args:
        value: Lists, mappings and scalars.
        kind: A dataclass or any other type that msgspec knows.
        numbers: Look for NaN, infinity and whole numbers of more than 64 bits.

    Raises:
        TypeError: It does not fit; the message names the part.
    """
    try:
        made = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TypeError(_sentence(value, kind, error)) from error
    for place, wanted in _unusable(value) if numbers else ():
        if not fits(_with(value, place, _Nothing()), kind):  # else nothing says that a number belongs there
            raise TypeError(f"{_name(place)} must be {wanted}, not {_shown(_at(value, place))}")
    return made


def plain(record: object) -> Any:  # noqa: ANN401 - nested plain data
    """Returns a record as what `build` reads: nested dicts, lists and scalars, as JSON holds them."""
    return orjson.loads(msgspec.json.encode(record, enc_hook=_scalar))


def finite(value: object) -> float | None:
    """Returns a finite number; None for anything else that a file may hold in its place."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None  # type: ignore[return-value]


class _Nothing:
    """Fits no annotation but Any."""


def _scalar(value: Any) -> Any:  # noqa: ANN401 - numpy's numbers and arrays have `tolist`
    return value.tolist() if hasattr(value, "tolist") else str(value)


def fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - annotations have no common type
    """Whether plain data describes a record; numbers are not looked at further."""
    return _message(value, kind) is None


def _message(value: object, kind: Any) -> str | None:  # noqa: ANN401
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _sentence(value: object, kind: Any, error: msgspec.ValidationError) -> str:  # noqa: ANN401
    """Returns an error of msgspec in our words: the place, what belongs there, and the refused value."""
    message, _, path = str(error).partition(" - at `")
    place = _place(value, kind, str(error), path.rpartition("$")[2])
    name, here = _name(place), _at(value, place)
    if path.startswith("key"):
        key = next((key for key in here if not isinstance(key, str)), None)
        return f"{name} must be an object whose keys are text, not {_shown(key)}"
    lacking = re.fullmatch("Object missing required field `(.+)`", message)
    if lacking:
        return f"{name} lacks {lacking[1]}"
    if message.startswith("Invalid enum value"):
        return f"{name} cannot be {_shown(here)}"
    expected = re.match(r"Expected `([^`]+)`(?: of length (\d+))?", message)
    if expected is None:  # a record's own check, which begins with the field's name
        return f"{name}.{message}" if place else message
    wanted = " or ".join(WORDS.get(word, word) for word in expected[1].split(" | "))
    length = f" of {expected[2]}" if expected[2] else ""
    return f"{name} must be {wanted.removesuffix(' or null')}{length}, not {_shown(here)}"


def _place(value: object, kind: Any, message: str, path: str) -> Place:  # noqa: ANN401
    """Where msgspec's path leads; it has `[...]` for a key of a mapping, so that is looked for."""
    place: Place = ()
    for name, number in STEP.findall(path):
        if name:
            place = (*place, name)
        elif number != "...":
            place = (*place, int(number))
        else:
            alone = ((key, _with(value, place, {key: part})) for key, part in _at(value, place).items())
            place = (*place, next(key for key, only in alone if _message(only, kind) == message))
    return place


def _at(value: Any, place: Place) -> Any:  # noqa: ANN401
    for step in place:
        value = value[step]
    return value


def _with(value: Any, place: Place, part: object) -> Any:  # noqa: ANN401
    """Returns a copy of nested data with another part at a place."""
    if not place:
        return part
    copy = list(value) if isinstance(value, list | tuple) else dict(value)
    copy[place[0]] = _with(value[place[0]], place[1:], part)  # type: ignore[index]
    return copy


def _unusable(value: object, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """The places of numbers that JSON, or a column of 64 bits, cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, "a finite number"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield place, "a number of at most 64 bits"
    elif isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unusable(inner, (*place, key))


def _name(place: Place) -> str:
    parts = (f"[{step}]" if isinstance(step, int) else f".{str(step)[:SHOWN]}" for step in place)
    return "".join(parts).lstrip(".") or "it"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    return repr(value)[:SHOWN] if isinstance(value, str | int | float) else type(value).__name__
