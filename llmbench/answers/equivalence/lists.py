"""Comparisons of answers with several values: lists, sets, tuples, unions of intervals."""

import re
from collections.abc import Sequence
from itertools import product

from llmbench.answers.equivalence import structure
from llmbench.answers.equivalence.latex import fold
from llmbench.answers.equivalence.reals import as_union
from llmbench.answers.equivalence.relations import Equal, relation
from llmbench.answers.equivalence.structure import Bracketed
from llmbench.answers.equivalence.units import label

_MAX_ITEMS = 40


def as_lists(gold: str, answer: str, equal: Equal) -> bool:
    r"""Lists and sets, whatever their order; `1 \pm 2` is a list."""
    one, other = _items(gold), _items(answer)
    if max(len(one), len(other)) == 1 and not (_is_set(gold) or _is_set(answer)):
        return False
    if [fold(text) for text in (gold, answer)].count("\\emptyset") == 1:
        return False  # a set of the empty set is not empty
    if structure.bracketed(gold) and not _is_set(gold) and not _is_set(answer):
        return False  # a tuple as gold has an order
    if [_has_several_names(text) for text in (gold, answer)].count(True) == 1:
        return False  # "x=1, y=2" has one too, though not against "y=2, x=1"
    inner = structure.bracketed(answer)
    if _is_set(gold) or inner is None or inner.is_set:
        return _same_set(one, other, equal)
    return not inner.is_interval and len(one) > 1 and _same_set(one, inner.items, equal)


def _is_set(text: str) -> bool:
    found = structure.bracketed(text)
    return found is not None and found.is_set


def _items(text: str) -> list[str]:
    """The values of a list or set, each without "x =" and with plus-minus written out."""
    related = relation(text)
    if (
        related
        and related.is_equation
        and structure.is_name(related.members[0])
        and "," in related.members[-1]
    ):
        parts = structure.split_top(text, ",")
        text = related.members[-1] if all("=" not in part for part in parts[1:]) else text
    found = structure.bracketed(text)
    parts = list(found.items) if found and found.is_set else structure.split_top(text, ",")
    return [value for part in parts if part for value in structure.expanded(part)]


def _same_set(one: Sequence[str], other: Sequence[str], equal: Equal) -> bool:
    """Every value of each side has an equal on the other."""
    if not one or not other or max(len(one), len(other)) > _MAX_ITEMS:
        return not one and not other
    labelled, others = _by_label(one), _by_label(other)
    if labelled.keys() & others.keys():
        return labelled.keys() == others.keys() and all(
            equal(item, others[name]) for name, item in labelled.items()
        )
    rows = [[equal(gold, answer) for answer in other] for gold in one]
    return all(any(row) for row in rows) and all(any(column) for column in zip(*rows, strict=True))


def _by_label(items: Sequence[str]) -> dict[str, str]:
    r"""The items by what each is said to be, as in `\text{A: }3, \text{B: }4`; empty unless all have labels of their own."""
    found = {name: item for item in items if (name := label(item))}
    return found if len(found) == len(items) > 1 else {}


def as_tuples(gold: str, answer: str, equal: Equal) -> bool:
    """Points, intervals and vectors: in order, and intervals with the same brackets."""
    if structure.matrix(gold) and structure.matrix(answer):
        return False  # a row is no column
    names = structure.point_name(gold), structure.point_name(answer)
    if all(names) and names[0] != names[1]:
        return False
    return any(_same_tuple(*pair, equal) for pair in product(_tuples(gold), _tuples(answer)))


def _same_tuple(one: Bracketed, other: Bracketed, equal: Equal) -> bool:
    if one.is_set or other.is_set or len(one.items) != len(other.items):
        return False
    if (one.is_interval or other.is_interval) and one.opening + one.closing != other.opening + other.closing:
        return False
    return len(one.items) <= _MAX_ITEMS and all(map(equal, one.items, other.items))


def _tuples(text: str) -> list[Bracketed]:
    """Values in order; without parentheses those of the list, and of "y=-2, x=8" the values as named or by name."""
    found = structure.bracketed(text)
    if found:
        return [found]
    cells = structure.flat_vector(text)
    if cells and len(cells) > 1:
        return [Bracketed("(", tuple(cells), ")")]
    parts = structure.split_top(text, ",")
    if len(parts) == 1:
        return []
    named = _named(parts)
    if not named:
        return [Bracketed("(", tuple(parts), ")")]
    is_alphabetic = all(re.fullmatch("[a-z]", name) for name, _ in named)
    orders = [named, sorted(named)] if is_alphabetic and sorted(named) != named else [named]
    return [Bracketed("(", tuple(value for _, value in order), ")") for order in orders]


def _named(parts: Sequence[str]) -> list[tuple[str, str]] | None:
    """Name and value of each part, where all of them are equations such as `x = 8`."""
    relations = [relation(part) for part in parts]
    if not all(found and found.is_equation and structure.is_name(found.members[0]) for found in relations):
        return None
    return [(found.members[0], found.value) for found in relations if found]


def _has_several_names(text: str) -> bool:
    named = _named(structure.split_top(text, ","))
    return named is not None and len({name for name, _ in named}) > 1


def as_unions(gold: str, answer: str, equal: Equal) -> bool:
    """Unions, whatever the order of their parts."""
    one, other = (structure.split_top(text, "\\cup") for text in (gold, answer))
    return max(len(one), len(other)) > 1 and len(one) == len(other) and _same_set(one, other, equal)


def as_real_sets(gold: str, answer: str, equal: Equal) -> bool:
    """Set builders, "all real numbers" and the line less points, as unions of intervals."""
    one, other = as_union(gold), as_union(answer)
    return (one is not None or other is not None) and equal(one or gold, other or answer)
