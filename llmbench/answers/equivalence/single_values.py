"""Comparisons of answers with one value: ratios, residues, numbers of a base, values less their units and parentheses."""

import re
from itertools import combinations

from llmbench.answers.equivalence import structure
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.relations import Equal, relation
from llmbench.answers.equivalence.units import conflict, split_unit
from llmbench.answers.equivalence.values import same_value
from llmbench.answers.equivalence.words import choice_letter, same_text

_PAIR = 2


def as_ratios(gold: str, answer: str, equal: Equal) -> bool:
    """`1:2:3` and `2:4:6`; two numbers that may be a time, such as 10:30, are not reduced."""
    one, other = structure.ratio(gold), structure.ratio(answer)
    if one is None or other is None or len(one) != len(other):
        return False
    if any(all(rational(part) == 0 for part in parts) for parts in (one, other)):
        return False
    if structure.is_time(one) or structure.is_time(other):
        return [rational(part) for part in one] == [rational(part) for part in other]
    pairs = list(zip(one, other, strict=True))
    return all(
        equal(f"({one_left}) \\cdot ({other_right})", f"({other_left}) \\cdot ({one_right})")
        for (one_left, other_left), (one_right, other_right) in combinations(pairs, 2)
    )


_RESIDUE = re.compile(
    r"(?P<value>.*?)\s*(?:\\pmod\s*|(?:\\text\{\s*)?\(\s*(?:\\text\{\s*)?\\?mod\b\s*\}?)\s*\{?\s*(?P<modulus>\w+)\s*\}?\s*\)?"
)


def as_residues(gold: str, answer: str, equal: Equal) -> bool:
    r"""`3 \pmod{7}` and 3; two moduli must be the same."""
    one, other = _RESIDUE.fullmatch(gold), _RESIDUE.fullmatch(answer)
    if (one is None and other is None) or (one and other and one["modulus"] != other["modulus"]):
        return False
    return equal(one["value"] if one else gold, other["value"] if other else answer)


def as_single_values(gold: str, answer: str, equal: Equal) -> bool:
    """A choice's letter, numbers of a base, other values less their units and parentheses."""
    if choice_letter(gold):
        return same_text(gold, answer)
    chosen = _CHOSEN.fullmatch(answer)
    if chosen and structure.bracketed(gold) is None:
        return equal(gold, f"\\binom{{{chosen[1]}}}{{{chosen[2]}}}")
    (digits, base), (other_digits, other_base) = structure.based(gold), structure.based(answer)
    if base or other_base:
        return digits == other_digits and other_base in {base, None}
    return _as_bare_values(gold, answer, equal)


_CHOSEN = re.compile(r"C\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)")
"""10 choose 3 as `C(10, 3)`, which may be a point too."""


def _as_bare_values(gold: str, answer: str, equal: Equal) -> bool:
    (one, one_unit), (other, other_unit) = split_unit(gold), split_unit(answer)
    if conflict(one_unit, other_unit):
        return False
    one, other = structure.unparenthesized(one), structure.unparenthesized(other)
    if (one, other) != (gold, answer):
        return equal(one, other)
    if _is_plural(one) or _is_plural(other):
        return False
    if one.endswith("%") or other.endswith("%"):
        return _same_percentage(one, other, equal)
    return same_value(one, other)


def _is_plural(text: str) -> bool:
    return (
        structure.bracketed(text) is not None
        or relation(text) is not None
        or len(structure.split_top(text, ",")) > 1
        or _is_no_quotient(text)
        or "\\begin{" in text
        or "\\cup" in text
        or "\\pm" in text
    )


def _is_no_quotient(text: str) -> bool:
    """Whether it is a ratio of three, or a time: two numbers with a colon are a quotient only in lowest terms."""
    parts = structure.ratio(text)
    return parts is not None and (len(parts) > _PAIR or structure.is_time(parts))


def _same_percentage(one: str, other: str, equal: Equal) -> bool:
    values = [text.removesuffix("%").strip() for text in (one, other)]
    if equal(*values):
        return True
    if one.endswith("%") and other.endswith("%"):
        return False
    parts = [
        f"\\frac{{{value}}}{{100}}" if text.endswith("%") else value
        for text, value in zip((one, other), values, strict=True)
    ]
    return equal(*parts)
