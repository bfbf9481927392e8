"""Whether data read from a file has the shape that a class or an annotation tells: plain JSON or YAML against types.

Files of a run are read back by the commands that compare, report and regrade; whoever edited one by hand is told which part
of it is wrong, instead of some later line failing on it.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

Check = Callable[[Any, str], None]
"""Takes a value and where it stands; raises TypeError where it does not fit."""

SHOWN = 60
T = TypeVar("T")


def check(value: object, annotation: Any, where: str = "") -> None:  # noqa: ANN401 - annotations have no common type
    """Compares a value with a type.

    Of a dataclass or TypedDict what is there must fit; what is missing, and names it does not know, are let pass: older and
    newer versions have other names. Numbers must be finite. An Enum's value may be given by its name.

    Raises:
        TypeError: It does not fit; the message names the part.
    """
    checker(annotation)(value, where)


def built(kind: type[T], value: object, where: str = "") -> T:
    """The dataclass that an object of a file tells; names that it does not know are let pass, as in `check`.

    Raises:
        TypeError: It does not fit, or lacks a field; the message names the part.
    """
    check(value, kind, where)
    told = {field.name: value[field.name] for field in dataclasses.fields(kind) if field.name in value}  # type: ignore[arg-type, operator, index]
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.name not in told:
            raise TypeError(f"{where.lstrip('.') or 'it'} lacks {field.name}")
    return kind(**told)


def number(value: object) -> float | None:
    """A finite number; None for anything else that a file may hold in its place."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None  # type: ignore[return-value]


def at(content: Mapping[str, Any] | None, *names: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """What stands at a path of names; None where there is nothing."""
    value: Any = content
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


@cache
def checker(annotation: Any) -> Check:  # noqa: ANN401, PLR0911 - a line for each kind of annotation
    """The check of a type, made once."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is object:
        return lambda _value, _where: None
    if origin in (typing.Union, types.UnionType):
        return _any_of(arguments)
    if origin is tuple and Ellipsis not in arguments:
        return _fixed(arguments)
    if origin in (list, tuple, typing.get_origin(typing.Sequence[int])):
        return _list(arguments[0])
    if origin in (dict, typing.get_origin(Mapping[str, int])):
        return _mapping(arguments[1])
    if annotation in (list, tuple):
        return _list(Any)
    if annotation is dict:
        return _mapping(Any)
    if isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation)
    ):
        return _fields(annotation)
    return _scalar(annotation)


def _wrong(where: str, expected: str, value: object) -> TypeError:
    shown = f"{type(value).__name__}"
    if isinstance(value, str | int | float | bool):
        shown = repr(value)[:SHOWN]
    return TypeError(f"{where.lstrip('.') or 'it'} must be {expected}, not {shown}")


def _scalar(annotation: Any) -> Check:  # noqa: ANN401
    kinds: dict[Any, tuple[tuple[type, ...], str]] = {
        str: ((str,), "text"),
        int: ((int,), "a whole number"),
        float: ((float, int), "a number"),
        bool: ((bool,), "true or false"),
        type(None): ((type(None),), "null"),
    }
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        names = {name for member in annotation for name in (member.name, member.value)}
        allowed, wanted = (str,), f"one of {', '.join(sorted(map(str, names)))}"

        def check_name(value: object, where: str) -> None:
            if not isinstance(value, allowed) or value not in names:
                raise _wrong(where, wanted, value)

        return check_name
    allowed_types, said = kinds[annotation]

    def check_scalar(value: object, where: str) -> None:
        if not isinstance(value, allowed_types) or (isinstance(value, bool) and annotation is not bool):
            raise _wrong(where, said, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(where, "a finite number", value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise _wrong(where, "a number of at most 64 bits", value)

    return check_scalar


def _any_of(options: tuple[Any, ...]) -> Check:
    checks = [checker(option) for option in options]

    def check_union(value: object, where: str) -> None:
        if value is None and type(None) in options:
            return
        errors = []
        for one in checks:
            try:
                one(value, where)
            except TypeError as error:
                errors.append(error)
            else:
                return
        raise errors[0]

    return check_union


def _fixed(arguments: tuple[Any, ...]) -> Check:
    checks = [checker(argument) for argument in arguments]

    def check_tuple(value: Any, where: str) -> None:  # noqa: ANN401
        if not isinstance(value, list | tuple) or len(value) != len(checks):
            raise _wrong(where, f"a list of {len(checks)}", value)
        for number, (inner, one) in enumerate(zip(value, checks, strict=True)):
            one(inner, f"{where}[{number}]")

    return check_tuple


def _list(argument: Any) -> Check:  # noqa: ANN401
    one = checker(argument)

    def check_list(value: Any, where: str) -> None:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a list", value)
        for number, inner in enumerate(value):
            one(inner, f"{where}[{number}]")

    return check_list


def _mapping(argument: Any) -> Check:  # noqa: ANN401
    one = checker(argument)

    def check_mapping(value: Any, where: str) -> None:  # noqa: ANN401
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _wrong(where, "an object whose keys are text", key)
            one(inner, f"{where}.{key[:SHOWN]}")

    return check_mapping


def _fields(annotation: Any) -> Check:  # noqa: ANN401
    checks = {name.rstrip("_"): checker(kind) for name, kind in typing.get_type_hints(annotation).items()}

    def check_fields(value: Any, where: str) -> None:  # noqa: ANN401
        if dataclasses.is_dataclass(value):
            value = {name: getattr(value, name) for name in checks}
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _wrong(where, "an object whose keys are text", key)
            one = checks.get(key)
            if one is not None:
                one(inner, f"{where}.{key}")

    return check_fields
