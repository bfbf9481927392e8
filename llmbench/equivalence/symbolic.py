r"""Equality of expressions that are no rational numbers: math-verify parses them, sampling decides.

math-verify's own comparison rounds to six decimals (0.0000672 equals 0.0000671), simplifies (slow) and depends on the order of
its arguments, so it is asked last. First both expressions are evaluated at the same random points to 60 digits: expressions
that differ anywhere differ, and those that agree everywhere are the same with near certainty (Schwartz 1980, Zippel 1979).
Variables are sampled positive, so $\sqrt{x^2}$ equals $x$; negative as well where an absolute value occurs.
"""

import importlib
import logging
import re
import zlib
from functools import cache, lru_cache
from typing import Any

from llmbench.equivalence.evaluate import TooLarge, Undecided, evaluate

MAX_LENGTH = 300
"""Characters; no answer in MATH-500 has more than 100, and the parser's time grows faster than the length."""
_MAX_DEPTH = 12  # brackets; the parser takes a second at 20
_POINTS = 3
_DIGITS = 60
_TOLERANCE_DIGITS = 40
_MAX_DIGITS = 3_000

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
        ratios = [_ratio(one, other, point) for point in range(_POINTS + 1)]
    except (TooLarge, Undecided, ZeroDivisionError):
        return False
    if any(abs(ratio - ratios[0]) > abs(ratios[0]) * _mp().mpf(10) ** -_TOLERANCE_DIGITS for ratio in ratios):
        return False
    return ratios[0] != 0 and (not positive or (ratios[0].imag == 0 and ratios[0].real > 0))


def rounds_to(expression: str, decimal: str) -> bool:
    """Whether a constant, rounded to the decimal's places, is that decimal."""
    parsed = _parsed(expression)
    if parsed is None or parsed.free_symbols:
        return False
    places = len(decimal.partition(".")[2])
    try:
        with _mp().workdps(_DIGITS):
            value = evaluate(parsed, {}, _mp())
            return bool(abs(value - _mp().mpf(decimal)) <= _mp().mpf(10) ** -places / 2)
    except (TooLarge, Undecided, ZeroDivisionError, ValueError):
        return False


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
    text = re.sub(r"\\text\{\s*degrees?\s*\}", "", text).replace("\n", " ")
    if (
        not text.strip()
        or len(text) > MAX_LENGTH
        or "$" in text
        or _BLOW_UPS.search(text)
        or _depth(text) > _MAX_DEPTH
    ):
        return None
    try:
        found = _parser()(f"${text}$")
    except Exception:  # noqa: BLE001 - math-verify, antlr and sympy raise whatever they like on strange input
        return None
    parsed = found[0] if found else None
    return parsed if hasattr(parsed, "free_symbols") else None


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _agree(one: Any, other: Any) -> bool:  # noqa: ANN401
    names = {str(symbol) for symbol in one.free_symbols | other.free_symbols}
    points = range(_POINTS) if names - {"i"} else range(1)
    signs = (1, -1) if _has_absolute(one) or _has_absolute(other) else (1,)
    decided = 0
    for point in points:
        for sign in signs:
            values = _values(one, other, point, sign)
            if values is None:
                continue
            if not _close(*values):
                return False
            decided += 1
    if not decided:
        raise Undecided
    return True


def _has_absolute(expression: Any) -> bool:  # noqa: ANN401
    return bool(expression.has(importlib.import_module("sympy").Abs)) if hasattr(expression, "has") else False


def _values(one: Any, other: Any, point: int, sign: int) -> tuple[Any, Any] | None:  # noqa: ANN401
    """Both values at a point, with digits enough to tell large integers apart; None where they are not defined."""
    digits = _DIGITS
    while True:
        with _mp().workdps(digits):
            where = _Point(point, sign)
            try:
                first, second = evaluate(one, where, _mp()), evaluate(other, where, _mp())
            except ZeroDivisionError:
                return None
            size = max(abs(first), abs(second))
            needed = _DIGITS + (int(_mp().log10(size)) if size > 1 else 0)
        if needed <= digits + 10:
            return first, second
        if needed > _MAX_DIGITS:
            raise TooLarge
        digits = needed + 10


class _Point(dict[str, Any]):
    """Values of variables: the same name has the same value in every expression and every process."""

    def __init__(self, number: int, sign: int) -> None:
        super().__init__()
        self._number = number
        self._sign = sign

    def __missing__(self, name: str) -> Any:  # noqa: ANN401
        seed = zlib.crc32(f"{name}:{self._number}".encode(errors="backslashreplace"))
        value = _mp().mpf(seed % 9_973 + 1_009) / 4_999
        return self._sign * value


def _close(first: Any, second: Any) -> bool:  # noqa: ANN401
    with _mp().workdps(_DIGITS):
        scale = max(abs(first), abs(second), _mp().mpf(10) ** -5)
        return bool(abs(first - second) <= scale * _mp().mpf(10) ** -_TOLERANCE_DIGITS)


def _ratio(one: Any, other: Any, point: int) -> Any:  # noqa: ANN401
    with _mp().workdps(_DIGITS):
        where = _Point(point, 1)
        return evaluate(one, where, _mp()) / evaluate(other, where, _mp())


def _verified(one: Any, other: Any) -> bool:  # noqa: ANN401
    """math-verify's word, both ways, for what cannot be sampled: sums, integrals, functions without a name."""
    from math_verify import verify

    try:
        return bool(verify(one, other, timeout_seconds=None) or verify(other, one, timeout_seconds=None))
    except Exception:  # noqa: BLE001 - as above
        return False
