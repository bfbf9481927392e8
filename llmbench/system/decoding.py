"""Plain data of a file as records: JSON or YAML against dataclasses, by msgspec; what does not fit is named by its place.

Names that a record does not know are let pass, and what is missing has the record's default: older and newer versions have other names.
"""

import math
import re
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


def decode(content: bytes, kind: type[T]) -> T:
    """Returns the record that JSON text holds.

    Raises:
        ValueError: It is not JSON.
        TypeError: It does not fit the record; the message names the part.
    """
    return build(orjson.loads(content), kind)


def build(value: object, kind: type[T]) -> T:
    """Returns the record, or what else msgspec knows, that lists, mappings and scalars describe.

    Raises:
        TypeError: It does not fit; the message names the part.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TypeError(_sentence(value, kind, error)) from error


def check_numbers(value: object, place: Place = ()) -> None:
    """Looks for numbers that JSON, or a column of 64 bits, cannot hold, as YAML can.

    Raises:
        TypeError: There is one; the message names its place.
    """
    wanted = None
    if isinstance(value, float) and not math.isfinite(value):
        wanted = "a finite number"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        wanted = "a number of at most 64 bits"
    if wanted is not None:
        raise TypeError(f"{_name(place)} must be {wanted}, not {_shown(value)}")
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            check_numbers(inner, (*place, key))


def plain(record: object) -> Any:  # noqa: ANN401 - nested plain data
    """Returns a record as what `build` reads: nested dicts, lists and scalars, as JSON holds them."""
    return orjson.loads(msgspec.json.encode(record, enc_hook=_scalar))


def finite(value: object) -> float | None:
    """Returns a finite number; None for anything else that a file may hold in its place."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None  # type: ignore[return-value]


def _scalar(value: Any) -> Any:  # noqa: ANN401 - numpy's numbers and arrays have `tolist`
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _message(value: object, kind: Any) -> str | None:  # noqa: ANN401 - annotations have no common type
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


def _name(place: Place) -> str:
    parts = (f"[{step}]" if isinstance(step, int) else f".{str(step)[:SHOWN]}" for step in place)
    return "".join(parts).lstrip(".") or "it"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    return repr(value)[:SHOWN] if isinstance(value, str | int | float) else type(value).__name__
