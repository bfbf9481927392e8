r"""Numbers that need not be equal: how far from the gold answer a number may be.

| tolerance | a number is right within |
|---|---|
| `0.01`, `1e-2` | 0.01 of the gold number |
| `1%` | one hundredth of the gold number |
| `0.1,0.5` | 0.1 of the first and 0.5 of the second of several gold numbers; nothing between two commas is 0 |

Several numbers are right in any order, as many as there are. What is no number, or a tuple of numbers, has no tolerance; neither has a number in
another known unit, or one with a qualifier ("at least 5").
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from llmbench.answers.equivalence.compare import readings
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.relations import same_by_relation
from llmbench.answers.equivalence.structure import expanded, split_top
from llmbench.answers.equivalence.symbolic import constant
from llmbench.answers.equivalence.units import split_unit

_MAX_NUMBERS = 40
_LIMIT = re.compile(r"(?P<number>\d+(?:\.\d*)?(?:e[-+]?\d{1,3})?|\.\d+)?\s*(?P<percent>%)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from a gold number another may be.

    Attributes:
        share: Of the gold number, for a relative tolerance.
        distance: In the gold number's own unit, for an absolute one.
    """

    share: Fraction
    distance: Fraction

    @classmethod
    def read(cls, text: str) -> tuple[Self, ...] | None:
        """Returns the tolerances that a text such as `1%` or `0.1,0.5` states, one or one for each gold number; None for another text."""
        found = [_LIMIT.fullmatch(part.strip()) for part in text.split(",")]
        if not text.strip() or any(match and match["percent"] and not match["number"] for match in found):
            return None
        limits = [(Fraction(match["number"] or 0), match["percent"]) for match in found if match]
        read = (cls(n / 100, Fraction(0)) if percent else cls(Fraction(0), n) for n, percent in limits)
        return tuple(read) if all(found) else None


def math_close(gold: str, answer: str, tolerances: Sequence[Tolerance]) -> bool:
    """Whether both are numbers, as many, and those of the answer within the tolerances of the gold ones, in any order."""
    return any(_close(_items(one), _items(other), tolerances) for one, other in readings(gold, answer))


def _items(text: str) -> list[str]:
    return [value for part in split_top(text, ",") for value in expanded(part)]


def _close(golds: Sequence[str], answers: Sequence[str], tolerances: Sequence[Tolerance]) -> bool:
    allowed = list(tolerances) * len(golds) if len(tolerances) == 1 else list(tolerances)
    if not len(golds) == len(answers) == len(allowed) <= _MAX_NUMBERS:
        return False
    left = list(answers)
    for gold, tolerance in zip(golds, allowed, strict=True):
        near = next((answer for answer in left if _within(gold, answer, tolerance)), None)
        if near is None:
            return False
        left.remove(near)
    return True


def _within(gold: str, answer: str, tolerance: Tolerance) -> bool:
    def close(one: str, other: str) -> bool:
        wanted, given = _number(one), _number(other)
        if wanted is None or given is None:
            return False
        return abs(wanted - given) <= tolerance.distance + tolerance.share * abs(wanted)

    return close(gold, answer) or same_by_relation(gold, answer, close)


def _number(text: str) -> Fraction | None:
    bare = split_unit(text)[0].removesuffix("%").rstrip("\\")
    exact = rational(bare)
    if exact is not None:
        return exact
    value = constant(bare)
    return None if value is None or not math.isfinite(value) else Fraction(value)
