r"""Equations, inequalities and memberships: what they say, and when two of them say the same."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from llmbench.answers.equivalence.latex import fold
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.reals import FLIPPED, PAIR, RELATION, UPWARDS, solutions
from llmbench.answers.equivalence.structure import is_name, nesting, split_top
from llmbench.answers.equivalence.symbolic import proportional

Equal = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Relation:
    r"""A chain such as `2 < x \le 5`: members, and the operators between them."""

    members: tuple[str, ...]
    operators: tuple[str, ...]

    @property
    def is_equation(self) -> bool:
        """Whether it says only what is equal."""
        return set(self.operators) <= {"=", "\\approx", "\\equiv"}

    @property
    def is_membership(self) -> bool:
        r"""Whether it is `x \in …`."""
        return self.operators == ("\\in",)

    @property
    def is_inequality(self) -> bool:
        """Whether it bounds something."""
        return bool(self.operators) and set(self.operators) <= {"<", ">", "\\le", "\\ge"}

    @property
    def value(self) -> str:
        r"""What an equation says in the end; of `\frac13 \approx 0.333` the exact member."""
        *before, last = self.members
        is_rounded = self.operators[-1] == "\\approx" or (
            len(before) > 1 and re.fullmatch(r"-?\d*\.\d+", last)
        )
        if is_rounded and (len(before) > 1 or not is_name(before[0])):
            return before[-1]
        is_reversed = is_name(last) and re.fullmatch(r"-?[\d.,/]+", before[0])
        return before[0] if is_reversed else last


def relation(text: str) -> Relation | None:
    """The chain of relations at the top level, if there is one."""
    # What stands inside brackets is blotted out; escaped brackets are none.
    depths = pairwise(nesting(re.sub(r"\\[(\[{)\]}]", "  ", text)))
    masked = "".join(" " if min(around) > 0 else each for each, around in zip(text, depths, strict=True))
    found = list(RELATION.finditer(masked))
    if not found:
        return None
    edges = [0, *(edge for match in found for edge in match.span()), len(text)]
    members = tuple(text[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True))
    operators = tuple("=" if match[0] == ":=" else match[0] for match in found)
    return Relation(members, operators) if members[-1] else None


def same_by_relation(gold: str, answer: str, equal: Equal) -> bool:
    """Whether a relation equals another relation or a value; `equal` compares their parts."""
    if any("=" in text and len(split_top(text, ",")) > 1 for text in (gold, answer)):
        return False  # "x=1, x=2" is a list of equations, not one of three members
    one, other = relation(gold), relation(answer)
    if any(found and _contradicts(found) for found in (one, other)):
        return False
    sets = _sets(gold, one, answer, other)
    if sets is not None:
        return bool(sets) and equal(*sets)
    if one and other:
        return _same_relation(one, other, equal)
    found, value = (one, answer) if one else (other, gold)
    if found is None or not (found.is_membership or found.is_equation):
        return False
    return _gives_value(found, is_gold=one is not None) and (
        equal(found.value, value) if one else equal(value, found.value)
    )


def _sets(
    gold: str, one: Relation | None, answer: str, other: Relation | None
) -> tuple[str, str] | tuple[()] | None:
    """Both as sets of real numbers where a relation of either bounds something; empty if they bound different variables."""
    first, second = solutions(gold), solutions(answer)
    if first and second:
        return (first.union, second.union) if first.variable == second.variable else ()
    if first and len(split_top(answer, ",")) > 1:
        return ()  # "2, 5" is not an interval
    if first and not (other and other.is_inequality):
        return first.union, other.members[-1] if other and other.is_membership else answer
    if second and one and one.is_membership:
        return one.members[-1], second.union
    return None


def _gives_value(relation: Relation, *, is_gold: bool) -> bool:
    """Whether an equation says what something is; as an answer "x + y = 5" may stand for 5, though "x^2 - 4 = 0" not for 0."""
    if not _is_condition(relation):
        return True
    return not is_gold and relation.value != "0" and rational(relation.members[0]) is None


def _contradicts(relation: Relation) -> bool:
    """Whether it equates different numbers, as "1 = 2" does."""
    if set(relation.operators) != {"="}:
        return False
    values = {value for member in relation.members if (value := rational(member)) is not None}
    decimal = any(re.fullmatch(r"-?\d*\.\d+", member) for member in relation.members)  # rounded, perhaps
    return len(values) > 1 and not decimal


# Commands that are no variables; what is left of a member in small letters is.
_OBJECTS = re.compile(
    r"\\(?:frac|sqrt|binom|cdot|times|pi|angle|measuredangle|triangle|overline|widehat|text|sin|cos|tan|log|ln)(?![A-Za-z])|m(?=\\angle)"
)


def _is_condition(relation: Relation) -> bool:
    """An equation such as `5x - 7y = 4` or `4 = 5x - 7y`, which gives no value to a name."""
    first, last = relation.members[0], relation.members[-1]
    if not relation.is_equation or is_name(first):
        return False
    if re.search(r"[a-z]", _OBJECTS.sub("", fold(first))):
        return True
    return (
        rational(first) is not None
        and not is_name(last)
        and bool(re.search(r"[a-z]", _OBJECTS.sub("", fold(last))))
    )


def _same_relation(one: Relation, other: Relation, equal: Equal) -> bool:
    if one.is_membership or other.is_membership:
        return one.is_membership and other.is_membership and equal(one.members[-1], other.members[-1])
    if one.is_equation and other.is_equation:
        return _same_equation(one, other, equal)
    if one.is_inequality and other.is_inequality:
        return _same_inequality(one, other)
    return one.operators == other.operators and all(
        equal(*members) for members in zip(one.members, other.members, strict=True)
    )


def _same_equation(one: Relation, other: Relation, equal: Equal) -> bool:
    names = [found.members[0] for found in (one, other)]
    if all(is_name(name) for name in names):
        same_name = fold(names[0]) == fold(names[1])
        are_functions = "(" in "".join(names) and all(
            re.search(r"[a-z]", found.value) for found in (one, other)
        )
        if (same_name or are_functions) and equal(one.value, other.value):
            return True
    if len(one.members) == len(other.members) == PAIR:
        return proportional(one.members, other.members, positive=False)
    return False


def _same_inequality(one: Relation, other: Relation) -> bool:
    if not len(one.members) == len(other.members) == PAIR:
        return False
    (operator, *_), (other_operator, *_) = one.operators, other.operators
    is_turned = (operator in UPWARDS) != (other_operator in UPWARDS)
    members = other.members[::-1] if is_turned else other.members
    same_way = operator == (FLIPPED[other_operator] if is_turned else other_operator)
    return same_way and proportional(one.members, members, positive=True)
