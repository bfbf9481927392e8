"""Sympy trees as numbers of many digits, refusing what would not fit into memory before it is computed."""

from collections.abc import Callable, Mapping
from typing import Any

MAX_BITS = 100_000
"""Of a value's integer part. A power tower passes it at its second storey, 20,000! does not."""
_MAX_FACTORIAL = 20_000


class TooLarge(Exception):  # noqa: N818 - an outcome, not an error
    """A value has too many digits."""


class Undecided(Exception):  # noqa: N818 - an outcome, not an error
    """The expression holds something that has no value at a point."""


def evaluate(expression: Any, point: Mapping[str, Any], mp: Any) -> Any:  # noqa: ANN401 - sympy and mpmath have no types
    """The value of a sympy expression with mpmath's current precision; `i` is the imaginary unit.

    Raises:
        TooLarge: A part of it has too many digits.
        Undecided: It holds sums, integrals, sets or functions that have no value here.
        ZeroDivisionError: It is not defined at this point.
    """
    value = _evaluated(expression, point, mp)
    if value and isinstance(point, Scale):
        bits = int(mp.mag(value))
        point.large = max(point.large, bits)
        if -bits > point.small and _keeps_its_size(expression):
            point.small = -bits
    return value


class Scale(dict[str, Any]):
    """A point that remembers how large and how small the values on the way were: the powers of two, of small ones less the sign."""

    large = small = 0


def _keeps_its_size(expression: Any) -> bool:  # noqa: ANN401
    """Whether a small value is no remainder of rounding, as that of a sum or of sin(pi) may be."""
    name = type(expression).__name__
    if name in {"Mul", "Pow"}:
        factors = expression.args if name == "Mul" else expression.args[:1]
        return all(map(_keeps_its_size, factors))
    return name in {"exp", "factorial", "Symbol", "Pi", "Exp1"} or bool(
        getattr(expression, "is_Rational", False)
    )


def _evaluated(expression: Any, point: Mapping[str, Any], mp: Any) -> Any:  # noqa: ANN401
    name = type(expression).__name__
    node = _NODES.get(name)
    if node:
        return _bounded(node(expression, point, mp), mp)
    if getattr(expression, "is_Integer", False):
        return mp.mpf(int(expression))
    if getattr(expression, "is_Rational", False):
        return mp.mpf(int(expression.p)) / int(expression.q)
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Undecided
    arguments = _arguments(expression, point, mp)
    try:
        return _bounded(function(mp, *arguments), mp)
    except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
        raise Undecided from error


def _bounded(value: Any, mp: Any) -> Any:  # noqa: ANN401
    if not mp.isfinite(value):
        raise ZeroDivisionError
    if value and mp.mag(value) > MAX_BITS:
        raise TooLarge
    return value


def _symbol(expression: Any, point: Mapping[str, Any], mp: Any) -> Any:  # noqa: ANN401
    if expression.name == "e":
        return +mp.e
    return mp.mpc(0, 1) if expression.name == "i" else point[expression.name]


def _arguments(expression: Any, point: Mapping[str, Any], mp: Any) -> list[Any]:  # noqa: ANN401
    return [evaluate(argument, point, mp) for argument in expression.args]


def _power(expression: Any, point: Mapping[str, Any], mp: Any) -> Any:  # noqa: ANN401
    base, exponent = _arguments(expression, point, mp)
    if base == 0:
        if exponent == 0 or mp.re(exponent) < 0:
            raise ZeroDivisionError
        return base
    if abs(exponent) * (abs(mp.mag(base)) + 1) > MAX_BITS:
        raise TooLarge
    root = expression.args[1]
    if (
        mp.im(base) == 0
        and mp.re(base) < 0
        and getattr(root, "is_Rational", False)
        and int(root.q) % 2
        and int(root.q) > 1
    ):
        sign = -1 if int(root.p) % 2 else 1
        return sign * abs(base) ** exponent  # the real root of a negative number
    return base**exponent


def _exp(expression: Any, point: Mapping[str, Any], mp: Any) -> Any:  # noqa: ANN401
    (exponent,) = _arguments(expression, point, mp)
    if abs(exponent) > MAX_BITS:
        raise TooLarge
    return mp.exp(exponent)


def _log(mp: Any, value: Any, base: Any = None) -> Any:  # noqa: ANN401
    if value == 0 or base == 1:
        raise ZeroDivisionError
    return mp.log(value) if base is None else mp.log(value) / mp.log(base)


def _factorial(mp: Any, value: Any) -> Any:  # noqa: ANN401
    if abs(value) > _MAX_FACTORIAL:
        raise TooLarge
    return mp.factorial(value)


def _binomial(mp: Any, above: Any, below: Any) -> Any:  # noqa: ANN401
    if max(abs(above), abs(below)) > _MAX_FACTORIAL:
        raise TooLarge
    return mp.binomial(above, below)


_NODES: dict[str, Callable[[Any, Mapping[str, Any], Any], Any]] = {
    "Symbol": _symbol,
    "Dummy": _symbol,
    "Float": lambda number, _, mp: mp.mpf(repr(float(number))),  # as it was written, not its binary neighbour
    "Add": lambda expression, point, mp: mp.fsum(_arguments(expression, point, mp)),
    "Mul": lambda expression, point, mp: mp.fprod(_arguments(expression, point, mp)),
    "Pow": _power,
    "exp": _exp,
    "UnevaluatedExpr": lambda expression, point, mp: evaluate(expression.args[0], point, mp),
    "Pi": lambda _expression, _point, mp: +mp.pi,
    "Exp1": lambda _expression, _point, mp: +mp.e,
    "ImaginaryUnit": lambda _expression, _point, mp: mp.mpc(0, 1),
    "GoldenRatio": lambda _expression, _point, mp: +mp.phi,
}
_SAME_NAME = (
    "sin cos tan cot sec csc sinh cosh tanh asin acos atan acot asec acsc asinh acosh atanh floor re im sign"
)


def _of_mpmath(name: str) -> Callable[..., Any]:
    return lambda mp, value: getattr(mp, name)(value)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _of_mpmath(name) for name in _SAME_NAME.split()},
    "ceiling": _of_mpmath("ceil"),
    "conjugate": _of_mpmath("conj"),
    "Abs": lambda _mp, value: abs(value),
    "log": _log,
    "factorial": _factorial,
    "binomial": _binomial,
    "Max": lambda _mp, *values: max(values),
    "Min": lambda _mp, *values: min(values),
}
