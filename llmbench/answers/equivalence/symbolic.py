r"""Equality of expressions that are no rational numbers: math-verify parses them, sampling decides.

math-verify's own comparison rounds to six decimals (0.0000672 equals 0.0000671), simplifies (slow) and depends on the order of
its arguments, so it is asked last. First both expressions are evaluated at the same random points to 60 digits: expressions
that differ anywhere differ, and those that agree everywhere are the same with near certainty (Schwartz 1980, Zippel 1979).
Variables are sampled positive, so $\sqrt{x^2}$ equals $x$; negative, large and at more points where an absolute value or
another function in pieces occurs.
"""

import importlib
import logging
import re
import zlib
from functools import cache, lru_cache
from typing import Any

from llmbench.answers.equivalence.evaluate import Scale, TooLarge, Undecided, evaluate
from llmbench.answers.equivalence.notation import ROW
from llmbench.answers.equivalence.structure import nesting

MAX_LENGTH = 300
"""Characters; no answer in MATH-500 has more than 100, and the parser's time grows faster than the length."""
_MAX_DEPTH = 12  # brackets; the parser takes a second at 20
_POINTS = 3
_DIGITS = 60
_TOLERANCE_DIGITS = 40
_MORE_DIGITS = (0, 180, 420)
"""Digits added to tell a small difference from rounding: the one keeps its size, the other falls with the digits."""
_MAX_DIGITS = 12_500
_DIGITS_A_BIT = 0.30103
_NEAR, _FAR = 17, 17 * 10**9
"""Factors of the sample points of expressions in pieces; values beyond the far ones are passed over where they are too large."""

# What the parser gives a value to though it has none: derivatives of symbols become 0, gcd(a, b) becomes 1.
_VALUELESS = re.compile(
    r"\\frac\{\s*(?:d|\\partial)(?![A-Za-z]{2})[^{}]*\}\{\s*(?:d\s*[a-z]|\\partial)[^{}]*\}|\\(?:gcd|lcm)(?![A-Za-z])[^A-Za-z]*[A-Za-z]"
    r"|(?<![A-Za-z\\])[fgh]\s*\^\s*\{?\s*-\s*1\s*\}?\s*(?:\\left)?\s*\("  # an inverse function is no reciprocal
    r"|\d\s*'|\\otimes"  # 5' are feet or minutes
)
# What math-verify evaluates while parsing, or what no answer needs: large arguments of binomials, factorials and gamma.
_BLOW_UPS = re.compile(
    r"(?:binom|choose|Gamma|gcd|lcm)\D*\d*\D*\d{5}|\d{60}|!\s*\)?\s*!|\\(?:sum|prod|int|lim)(?![A-Za-z]).*(?:\d{5}|.{120}|\^\s*\{?\s*\d+\s*\^)"
)


def same_expression(gold: str, answer: str) -> bool:
    """Whether two cleaned expressions always have the same value. May be slow: simplification is the last resort."""
    one, other = _parsed(gold), _parsed(answer)
    if one is None or other is None:
        return False
    try:
        return _agree(one, other)
    except TooLarge:
        return bool(one == other)
    except Undecided:
        return _verified(one, other)


def proportional(gold: tuple[str, ...], answer: tuple[str, ...], *, positive: bool) -> bool:
    """Whether left less right of one relation (of two members) is a constant multiple (a positive one) of that of the other."""
    one, other = (_parsed(f"({left})-({right})") for left, right in (gold, answer))
    if one is None or other is None or one.free_symbols != other.free_symbols or not one.free_symbols:
        return False
    try:
        factors = (1, -1, _NEAR, -_NEAR) if _in_pieces(one) or _in_pieces(other) else (1,)
        points = [_Point(number, factor) for number in range(_POINTS + 1) for factor in factors]
        with _mp().workdps(_DIGITS):
            ratios = [evaluate(one, where, _mp()) / evaluate(other, where, _mp()) for where in points]
    except (TooLarge, Undecided, ZeroDivisionError):
        return False
    if any(abs(ratio - ratios[0]) > abs(ratios[0]) * _mp().mpf(10) ** -_TOLERANCE_DIGITS for ratio in ratios):
        return False
    return ratios[0] != 0 and (not positive or (ratios[0].imag == 0 and ratios[0].real > 0))


def rounds_to(expression: str, decimal: str, *, cut: bool = False) -> bool:
    """Whether a constant, rounded to the decimal's places (or cut off there), is that decimal."""
    value = _value(expression)
    if value is None:
        return False
    places = len(decimal.partition(".")[2])
    with _mp().workdps(_DIGITS):
        beyond = value - _mp().mpf(decimal)
        is_cut = cut and beyond.real * (-1 if decimal.startswith("-") else 1) >= 0
        return bool(abs(beyond) <= _mp().mpf(10) ** -places / (1 if is_cut else 2))


def constant(expression: str) -> float | None:
    """The value of a real constant, for putting constants in order."""
    value = _value(expression)
    return None if value is None or value.imag else float(value.real)


def _value(expression: str) -> Any:  # noqa: ANN401 - mpmath has no types
    """The value of an expression without variables, to many digits, or None."""
    parsed = _parsed(expression)
    if parsed is None or parsed.free_symbols:
        return None
    try:
        with _mp().workdps(_DIGITS):
            return evaluate(parsed, {}, _mp())
    except (TooLarge, Undecided, ZeroDivisionError, ValueError):
        return None


@cache
def _mp() -> Any:  # noqa: ANN401 - mpmath has no types
    return importlib.import_module("mpmath").mp


@cache
def _parser() -> Any:  # noqa: ANN401 - math-verify has no types
    """math-verify's parser, without its units (`units.py` knows more), its alarm signal and its warning that there is none."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify.parser import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    normalization = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none"
    )
    config = [LatexExtractionConfig(normalization_config=normalization)]
    return lambda text: parse(text, config, fallback_mode="no_fallback", parsing_timeout=None)


@lru_cache(maxsize=512)
def _parsed(text: str) -> Any:  # noqa: ANN401 - sympy has no types
    """The sympy expression, or None for what cannot be parsed, or had better not be."""
    text = re.sub(r"\\text\{\s*degrees?\s*\}", "", text).replace("\n", " ").replace(ROW, r"\\")
    if (
        not text.strip()
        or len(text) > MAX_LENGTH
        or "$" in text
        or _BLOW_UPS.search(text)
        or _VALUELESS.search(text)
        or max(nesting(text)) > _MAX_DEPTH
    ):
        return None
    try:
        found = _parser()(f"${_distinct_names(text)}$")
    except Exception:  # noqa: BLE001 - math-verify, antlr and sympy raise whatever they like on strange input
        return None
    parsed = found[0] if found else None
    return parsed if hasattr(parsed, "free_symbols") else None


_SKIPPED = r"\\(?:text|mathbb|mathcal|begin|end|operatorname)\s*\{[^{}]*\}"
_CAPITAL_GREEK = r"\\(?P<greek>Gamma|Delta|Theta|Lambda|Xi|Sigma|Upsilon|Phi|Psi|Omega)(?![A-Za-z(])"
_NAMED = re.compile(
    rf"{_SKIPPED}|(?:{_CAPITAL_GREEK}|\\[A-Za-z]+|(?P<letter>[A-Za-z]))(?P<primes>'*)(?:_(?:\{{(?P<index>[^{{}}]*)\}}|(?P<digit>\w)))?"
)


def _distinct_names(text: str) -> str:
    """The text with capitals and primes written into indices, since the parser merges `R` and `r`, `f'` and `f`."""

    def renamed(match: re.Match[str]) -> str:
        name = match["greek"] or match["letter"]
        index = match["index"] or match["digit"] or ""
        if name is None or not (name[0].isupper() or match["primes"] or re.search("[A-Z]", index)):
            return match[0]
        mark = "cap" * name[0].isupper() + "prime" * len(match["primes"])
        index = re.sub("[A-Z]", lambda capital: f"cap{capital[0].lower()}", index)
        # E and I are constants of sympy.
        letter = f"x_{{{name.lower()}" if name in {"E", "I"} else f"{name}_{{"
        return ("\\" if match["greek"] else "") + f"{letter}{mark}{index}}}"

    return _NAMED.sub(renamed, text)


def _agree(one: Any, other: Any) -> bool:  # noqa: ANN401
    names = {str(symbol) for symbol in one.free_symbols | other.free_symbols}
    in_pieces = _in_pieces(one) or _in_pieces(other)
    points = range(_POINTS * (3 if in_pieces else 1)) if names - {"i", "e"} else range(1)
    factors = (1, -1, _NEAR, -_NEAR, _FAR, -_FAR) if in_pieces else (1,)
    decided = 0
    for point in points:
        for factor in factors:
            try:
                same = _same_at(one, other, _Point(point, factor))
            except TooLarge:
                if abs(factor) != _FAR:
                    raise
                continue
            if same is False:
                return False
            decided += same is not None
    if not decided:
        raise Undecided
    return True


def _in_pieces(expression: Any) -> bool:  # noqa: ANN401
    sympy = importlib.import_module("sympy")
    return bool(expression.has(sympy.Abs, sympy.floor, sympy.ceiling, sympy.sign, sympy.Max, sympy.Min))


def _same_at(one: Any, other: Any, where: "_Point") -> bool | None:  # noqa: ANN401
    r"""Whether both have the same value at a point, to hundreds of digits; None where they are not defined.

    Nothing is compared with a fixed tolerance: 1/1999! and 1/2001! differ, and so do $10^{100}\pi$ and one more.
    """
    differences: list[Any] = []
    for more in _MORE_DIGITS:
        values = _values(one, other, where, more)
        if values is None:
            return None
        first, second, digits = values
        with _mp().workdps(digits):
            difference, size = abs(first - second), max(abs(first), abs(second))
            differences.append(difference)
            if size > _mp().mpf(10) ** -20 and difference > size * _mp().mpf(10) ** -20:
                return False
    before, last = differences[-2:]
    return not last or not before or last < before / 2


def _values(one: Any, other: Any, where: "_Point", more: int) -> tuple[Any, Any, int] | None:  # noqa: ANN401
    """Both values at a point and the digits they have, enough to tell large integers apart; None where they are not defined."""
    digits = _DIGITS + more
    while True:
        with _mp().workdps(digits):
            try:
                first, second = evaluate(one, where, _mp()), evaluate(other, where, _mp())
            except ZeroDivisionError:
                return None
            needed = _DIGITS + more + int((where.large + where.small) * _DIGITS_A_BIT)  # 1 + e^-2000
        if needed <= digits + 10:
            return first, second, digits
        if needed > _MAX_DIGITS + more:
            raise TooLarge
        digits = needed + 10


class _Point(Scale):
    """Values of variables: the same name has the same value in every expression and every process."""

    def __init__(self, number: int, factor: int) -> None:
        super().__init__()
        self._number = number
        self._factor = factor

    def __missing__(self, name: str) -> Any:  # noqa: ANN401
        seed = zlib.crc32(f"{name}:{self._number}".encode(errors="backslashreplace"))
        value = _mp().mpf(seed % 9_973 + 1_009) / 4_999
        # ab and |ab| agree where both signs are the same.
        is_turned = self._factor != 1 and self._number % 2 and seed & 1
        return self._factor * (-value if is_turned else value)


def _verified(one: Any, other: Any) -> bool:  # noqa: ANN401
    """math-verify's word, both ways, for what cannot be sampled: sums, integrals, functions without a name."""
    from math_verify import verify

    try:
        if bool(one.is_infinite) != bool(other.is_infinite):
            return False  # of which math-verify says now the one, now the other
        options = {"float_rounding": 20, "numeric_precision": 40, "timeout_seconds": None}
        return bool(verify(one, other, **options) or verify(other, one, **options))
    except Exception:  # noqa: BLE001 - as above
        return False
