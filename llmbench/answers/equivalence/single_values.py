"""Comparisons of answers with one value: ratios, residues, numbers of a base, values less their units and parentheses."""

import re
from fractions import Fraction
from itertools import combinations

from llmbench.answers.equivalence import structure
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.relations import Equal, relation
from llmbench.answers.equivalence.symbolic import rounds_to, same_expression
from llmbench.answers.equivalence.units import conflict, split_unit
from llmbench.answers.equivalence.words import choice_letter, fraction, is_text, numeral, same_text

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
        or ((parts := structure.ratio(text)) and (len(parts) > _PAIR or structure.is_time(parts)))
        or "\\begin{" in text
        or "\\cup" in text
        or "\\pm" in text
    )


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


_ROUNDED_PLACES = 6
SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 1_000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_PARTS = {"halves": 2, "thirds": 3, "fourths": 4, "fifths": 5, "sixths": 6, "sevenths": 7, "eighths": 8, "ninths": 9, "tenth": 10, "tenths": 10, "hundredth": 100, "hundredths": 100, "thousandth": 1_000, "thousandths": 1_000}  # fmt: skip
_FACTORS = (
    {word: Fraction(scale) for name, scale in SCALES.items() for word in (name, f"{name}s")}
    | {
        "tens": Fraction(10),
    }
    | {word: Fraction(1, parts) for word, parts in _PARTS.items()}
)
_SCALED = re.compile(
    rf"(?P<number>[-+\d.,]+)(?:\s|-|\\text\{{)*(?P<scale>{'|'.join(sorted(_FACTORS, reverse=True))})\b\s*\}}?(?:\s+[a-z]+)?\}}?",
    re.IGNORECASE,
)


def same_value(one: str, other: str) -> bool:
    """Whether two cleaned values without structure, unit and percent sign are equal."""
    values = _value(one), _value(other)
    if (is_text(one) or is_text(other)) and None in values:
        named = [
            _in_words(text) if value is None else value
            for text, value in zip((one, other), values, strict=True)
        ]
        return same_text(one, other) or (named[0] is not None and named[0] == named[1])
    if values[0] is not None and values[1] is not None:
        return values[0] == values[1] or _rounded(one, values[0], other) or _rounded(other, values[1], one)
    for exact, decimal in ((one, other), (other, one)):
        if _is_precise(decimal) and rounds_to(exact, _digits(decimal), cut=decimal.endswith("\\dots")):
            return True
    return same_expression(one, other)


def _value(text: str) -> Fraction | None:
    scaled = _SCALED.fullmatch(text)
    if scaled:
        number = rational(scaled["number"])
        return None if number is None else number * _FACTORS[scaled["scale"].lower()]
    return rational(text)


def _in_words(text: str) -> Fraction | None:
    number = numeral(text)
    return fraction(text) if number is None else Fraction(number)


_DECIMAL = re.compile(r"-?\d*\.\d+(?:\s*\\dots)?")


def _digits(decimal: str) -> str:
    return decimal.replace("\\dots", "").strip()


def _is_precise(text: str) -> bool:
    """Whether it is a decimal of at least six places and six digits."""
    if not _DECIMAL.fullmatch(text):
        return False
    places = _digits(text).partition(".")[2]
    return (
        len(places) >= _ROUNDED_PLACES
        and len(_digits(text).replace(".", "").replace("-", "").lstrip("0")) >= _ROUNDED_PLACES
    )


def _rounded(exact: str, value: Fraction, decimal: str) -> bool:
    """Whether the decimal is the exact value, rounded to many places; another decimal is not exact."""
    if not _is_precise(decimal) or _DECIMAL.fullmatch(exact):
        return False
    places = len(_digits(decimal).partition(".")[2])
    return abs(value - Fraction(_digits(decimal))) <= Fraction(1, 2 * 10**places)
