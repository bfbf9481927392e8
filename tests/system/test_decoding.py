"""Records from plain data: what is let pass, and how what does not fit is named."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from llmbench.system.decoding import build, check_numbers, decode, plain


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Part:
    n: int
    share: float | None = None
    colour: Colour = Colour.RED
    pair: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError(f"n must be 0 or more, not {self.n}")


@dataclass(frozen=True, slots=True)
class Whole:
    parts: dict[str, Part] = field(default_factory=dict)
    rows: list[Part] = field(default_factory=list)
    anything: dict[str, Any] = field(default_factory=dict)


def test_numpys_numbers_and_arrays_become_plain() -> None:
    numpy = pytest.importorskip("numpy")
    whole = Whole(anything={"share": numpy.float64(0.5), "counts": numpy.arange(3)})
    assert plain(whole)["anything"] == {"share": 0.5, "counts": [0, 1, 2]}


def test_names_of_other_versions_are_let_pass() -> None:
    assert decode(b'{"rows": [{"n": 1, "mood": "good"}], "new": 1}', Whole) == Whole(rows=[Part(1)])


def test_a_record_survives_as_plain_data() -> None:
    whole = Whole({"a": Part(1, 0.5, pair=(0.0, 1.0))}, [Part(2)], {"x": [None, 2**70]})
    assert build(plain(whole), Whole) == whole


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "it must be an object, not list"),
        ({"parts": {"a": {"n": 1}, "b": {"n": "x"}, "c": {"n": "y"}}}, "parts.b.n must be a whole number, not 'x'"),
        ({"parts": {"a": {"n": True}}}, "parts.a.n must be a whole number, not True"),
        ({"parts": {"a": {"n": 1, "share": False}}}, "parts.a.share must be a number, not False"),
        ({"parts": {"a": {"n": 1.5}}}, "parts.a.n must be a whole number, not 1.5"),
        ({"rows": [{"n": 1}, 3]}, "rows[1] must be an object, not 3"),
        ({"rows": [{"n": 1}, {}]}, "rows[1] lacks n"),
        ({"rows": [{"n": 1, "pair": [1]}]}, "rows[0].pair must be a list of 2, not list"),
        ({"rows": [{"n": 1, "colour": "blue"}]}, "rows[0].colour cannot be 'blue'"),
        ({"rows": [{"n": -1}]}, "rows[0].n must be 0 or more, not -1"),
        ({"parts": {1: {}}}, "parts must be an object whose keys are text, not 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(value: object, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        build(value, Whole)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"parts": {"a": {"n": 2**63}}}, "parts.a.n must be a number of at most 64 bits, not 9223372036854775808"),
        ({"rows": [{"n": 1, "share": float("nan")}]}, "rows[0].share must be a finite number, not nan"),
    ],
)  # fmt: skip
def test_numbers_that_json_cannot_hold_are_named(value: object, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        check_numbers(value)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"rows": [{"n": NaN}]}', b'{"rows": [{"n": 1e999}]}', b"[" * 100_000]
)
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode(content, Whole)
