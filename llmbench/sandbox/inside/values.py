"""Values as JSON, on their way into the sandbox and out of it."""

import operator
from collections.abc import Callable
from typing import Any


def encode(value: object) -> Any:  # noqa: ANN401, C901, PLR0911 - any JSON; a branch for each type
    """A value as JSON that tells tuples, sets and mappings apart; what is no plain value becomes its type's name."""
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 62 else {"i": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [encode(inner) for inner in value]
    for mark, kind in (("t", tuple), ("s", set), ("f", frozenset)):
        if isinstance(value, kind):
            return {mark: [encode(inner) for inner in value]}
    if isinstance(value, dict):
        return {"d": [[encode(key), encode(inner)] for key, inner in value.items()]}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"b": bytes(value).hex()}
    if hasattr(value, "__index__"):
        return encode(operator.index(value))
    if hasattr(value, "__float__"):
        return float(value)
    return {"?": type(value).__name__}


def decode(value: Any) -> Any:  # noqa: ANN401, PLR0911 - as above
    """What `encode` was given. A value that was none compares equal to nothing."""
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    ((mark, inner),) = value.items()
    if mark == "i":
        return int(inner, 16)
    if mark == "c":
        return complex(*inner)
    if mark == "b":
        return bytes.fromhex(inner)
    if mark == "d":
        return {decode(key): decode(one) for key, one in inner}
    if mark in _COLLECTIONS:
        return _COLLECTIONS[mark](decode(one) for one in inner)
    return Unknown(inner)


_COLLECTIONS: dict[str, Callable[..., Any]] = {"t": tuple, "s": set, "f": frozenset}


class Unknown:
    """Stands for a value that cannot leave the sandbox, by the name of its type; equal to nothing."""

    def __init__(self, name: str) -> None:
        """Takes the type's name."""
        self.name = str(name)

    def __repr__(self) -> str:
        return f"<{self.name}>"
