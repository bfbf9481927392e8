"""Values as JSON, on their way into the sandbox and out of it.

Whatever JSON comes, `loads` takes time and memory in proportion to its length, which is bounded, or raises ValueError. What comes
back equals what Python's `==` says the value equals: an `int` of numpy and a Decimal are numbers, a range is not a list.
"""

import collections
import json
import math
import re
import sys
import types
from collections.abc import Iterable, Iterator
from itertools import accumulate, repeat
from typing import Any

MOST_VALUES, MOST_DEPTH = 1 << 21, 100
"""Parts of one value, and how deep they may be nested."""
MOST_BITS, MOST_EXPONENT = 1 << 22, 10_000
"""Of an integer (HumanEval+ has some of 3.3 million); and of a Decimal's power of ten, and the bits of a Fraction's parts: a short text may stand for a number that fills the
memory or takes long to reduce."""
MOST_BRACKETS = 4 * MOST_DEPTH
"""How deep a value's JSON may be nested: each level of a value takes at most three."""
MOST_COMPARISONS = 1 << 27
"""Of members of sets and keys of dicts with one another, if all had hashes that collide: seconds of work."""
_Room = Iterator[None]


def dumps(value: object) -> str:
    """The value's JSON, which tells tuples, sets and mappings apart; what is not a plain value becomes its type's name.

    Raises:
        ValueError: It has too many parts or too deep ones.
    """
    return json.dumps(_encode(value, 0, repeat(None, MOST_VALUES)))


def loads(text: str, comparisons: float = MOST_COMPARISONS) -> Any:  # noqa: ANN401 - any value
    """The value of a JSON text. One that was none of a known type compares equal to nothing.

    Args:
        text: As `dumps` writes it; anything may have written it.
        comparisons: The most that the members of its sets and the keys of its dicts may need. A set or a dict that may need more
            becomes `Unknown`, equal to nothing: infinite only where a limit of CPU time holds.

    Raises:
        ValueError: It stands for no value, or for one that is too large.
    """
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise ValueError(f"a value of more than {MOST_VALUES} parts")
    try:
        return _decode(json_of(text), 0, [comparisons])
    except (TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def json_of(text: str) -> Any:  # noqa: ANN401 - any JSON
    """What a JSON text says that nobody trusts: Python's own reader crashes on deep nesting where its recursion limit was raised.

    Raises:
        ValueError: It is not JSON, or nested too deep.
    """
    if text.count("[") + text.count("{") > MOST_BRACKETS and _is_deep(text):
        raise ValueError(f"JSON nested deeper than {MOST_BRACKETS} levels")
    return json.loads(text)


def _is_deep(text: str) -> bool:
    """Whether brackets outside of strings are nested too deep."""
    outside = re.sub(r'"[^"]*"?', "", text.replace("\\\\", "").replace('\\"', ""))
    steps = map({"[": 1, "{": 1}.get, re.sub(r"[^][{}]+", "", outside), repeat(-1))
    return any(depth > MOST_BRACKETS for depth in accumulate(steps))


def _encode(value: Any, depth: int, room: _Room) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - a branch for each type
    if depth > MOST_DEPTH:
        raise ValueError(f"a value nested deeper than {MOST_DEPTH} levels")

    def inner(parts: Iterable[Any]) -> list[Any]:
        found = [
            part
            if type(part) in _PLAIN or (type(part) is int and -_PLAIN_INTS < part < _PLAIN_INTS)
            else _encode(part, depth + 1, room)
            for part, _ in zip(parts, room, strict=False)
        ]
        if next(room, room) is room:
            raise ValueError(f"a value of more than {MOST_VALUES} parts")
        return found

    # Of a subclass, what it inherited counts: that is what `==` compares, unless the class says otherwise.
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__int__(value)
        return number if abs(number) < _PLAIN_INTS else {"i": hex(number)}
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, list):
        return inner(list.__iter__(value))
    for mark, kind in _MARKED.items():
        if isinstance(value, kind):
            return {mark: inner(kind.__iter__(value))}
    if isinstance(value, (dict, types.MappingProxyType)):
        return {"d": [inner(pair) for pair in value.items()]}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"b": bytes(value).hex()}
    if isinstance(value, range):
        return {"r": inner([value.start, value.stop, value.step])}
    if isinstance(value, (collections.UserList, collections.UserDict, collections.UserString)):
        return _encode(value.data, depth + 1, room)
    if isinstance(value, _loaded("decimal", "Decimal")):
        return {"D": str(value)}
    if isinstance(value, _loaded("fractions", "Fraction")):
        return {"F": inner([value.numerator, value.denominator])}
    if isinstance(value, _loaded("numpy", "generic")) and not isinstance(value.item(), type(value)):
        return _encode(value.item(), depth + 1, room)
    if isinstance(value, Iterator):
        return {"g": inner(value)}
    parts = inner(value) if hasattr(value, "__iter__") and not isinstance(value, type) else None
    return {"?": [type(value).__name__, _truth(value, parts), parts]}


def _truth(value: object, parts: list[Any] | None) -> bool:
    try:
        return bool(value)
    except ValueError:  # numpy's, of more than one part
        return bool(parts)


def _loaded(module: str, name: str) -> Any:  # noqa: ANN401 - a class, or no class
    """A class of a module that this process has imported: without the module there is no value of the class."""
    return getattr(sys.modules.get(module), name, ())


def _decode(value: Any, depth: int, left: list[float]) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - as above
    if depth > MOST_DEPTH:
        raise ValueError(f"a value nested deeper than {MOST_DEPTH} levels")

    def inner(parts: Any) -> list[Any]:  # noqa: ANN401 - from JSON
        return [_decode(part, depth + 1, left) if type(part) in _NESTED else part for part in parts]

    if isinstance(value, list):
        return inner(value)
    if not isinstance(value, dict):
        return value
    ((mark, told),) = value.items()
    if mark == "i":
        number = int(told, 16)
        return number if number.bit_length() <= MOST_BITS else Unknown("int")
    if mark in _COLLECTIONS:
        parts = inner(told)
        kind = _COLLECTIONS[mark]
        return kind(parts) if mark == "t" or _few(parts, left) else Unknown(kind.__name__)
    if mark in _VIEWS:
        members = inner(told)
        if mark == "V":
            return dict(enumerate(members)).values()
        keys = members if mark == "K" else [key for key, _ in members]
        if not _few(keys, left):
            return Unknown(_VIEWS[mark].__name__)
        return dict(members).items() if mark == "I" else dict.fromkeys(members).keys()
    if mark == "d":
        pairs = list(map(inner, told))
        return dict(pairs) if _few([key for key, _ in pairs], left) else Unknown("dict")
    if mark == "c":
        return complex(*told)
    if mark == "b":
        return bytes.fromhex(told)
    if mark == "r":
        return range(*inner(told))
    if mark == "g":
        return iter(inner(told))
    if mark == "D":
        return _decimal(told)
    if mark == "F":
        return _fraction(*inner(told))
    if mark != "?":
        raise ValueError(f"no value is marked {mark[:9]!r}")
    name, truth, parts = told
    if parts is None:
        return Unknown(name, truth=bool(truth))
    return UnknownParts(name, inner(parts), truth=bool(truth))


def _fraction(numerator: int, denominator: int) -> Any:  # noqa: ANN401 - a Fraction, which most processes need not import
    from fractions import Fraction

    if max(numerator.bit_length(), denominator.bit_length()) > MOST_EXPONENT:
        return Unknown("Fraction")
    return Fraction(numerator, denominator)


def _decimal(text: str) -> Any:  # noqa: ANN401 - as above
    from decimal import Decimal

    number = Decimal(text)
    if number.is_nan() or (number.is_finite() and abs(number.adjusted()) > MOST_EXPONENT):
        return Unknown("Decimal")
    return number


def _few(members: list[Any], left: list[float]) -> bool:
    """Whether a set or a dict with these members or keys needs no more comparisons than there are left, however their hashes collide."""
    # Nobody can foresee a text's hash.
    if left[0] < math.inf and not all(type(member) is str for member in members):
        left[0] -= len(members) * sum(map(_size, members))
    return left[0] >= 0


def _size(member: Any) -> int:  # noqa: ANN401 - any value that can be hashed
    """The most comparisons of parts that tell a member from another."""
    if isinstance(member, tuple):
        return 1 + sum(map(_size, member))
    return 1 + len(member) * sum(map(_size, member)) if isinstance(member, frozenset) else 1


_PLAIN, _NESTED = frozenset({str, float, bool, type(None)}), frozenset({list, dict})
_PLAIN_INTS = 1 << 62
_COLLECTIONS: dict[str, Any] = {"t": tuple, "s": set, "f": frozenset}
_VIEWS: dict[str, Any] = {"K": type({}.keys()), "V": type({}.values()), "I": type({}.items())}
_MARKED = _COLLECTIONS | _VIEWS


class Unknown:
    """Stands for a value of another type, by the type's name: equal to nothing, true or false as the value is."""

    def __init__(self, name: object, *, truth: bool = True) -> None:
        """Takes the type's name and the value's truth."""
        self.name, self._truth = str(name), truth

    def __bool__(self) -> bool:
        return self._truth

    def __repr__(self) -> str:
        return f"<{self.name}>"


class UnknownParts(Unknown):
    """Stands for one that can be iterated over."""

    def __init__(self, name: object, parts: list[Any], *, truth: bool) -> None:
        """Takes what iterating over it gives, too."""
        super().__init__(name, truth=truth)
        self._parts = parts

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
