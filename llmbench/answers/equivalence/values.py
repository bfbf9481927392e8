r"""Single values: numbers, rounded decimals, words, and expressions as the last resort."""

import re
from fractions import Fraction

from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.symbolic import rounds_to, same_expression
from llmbench.answers.equivalence.words import fraction, is_text, numeral, same_text

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
    if (is_text(one) or is_text(other)) and (_value(one) is None or _value(other) is None):
        return _same_words(one, other)
    return _same_number(one, other)


def _value(text: str) -> Fraction | None:
    scaled = _SCALED.fullmatch(text)
    if scaled:
        number = rational(scaled["number"])
        return None if number is None else number * _FACTORS[scaled["scale"].lower()]
    return rational(text)


def _same_words(one: str, other: str) -> bool:
    if same_text(one, other):
        return True
    values = [_in_words(text) if (value := _value(text)) is None else value for text in (one, other)]
    return values[0] is not None and values[0] == values[1]


def _in_words(text: str) -> Fraction | None:
    number = numeral(text)
    return fraction(text) if number is None else Fraction(number)


_DECIMAL = re.compile(r"-?\d*\.\d+(?:\s*\\dots)?")


def _same_number(one: str, other: str) -> bool:
    values = _value(one), _value(other)
    if values[0] is not None and values[1] is not None:
        return values[0] == values[1] or _rounded(one, values[0], other) or _rounded(other, values[1], one)
    for exact, decimal in ((one, other), (other, one)):
        if _is_precise(decimal) and rounds_to(exact, _digits(decimal), cut=decimal.endswith("\\dots")):
            return True
    return same_expression(one, other)


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
