"""Sympy trees as numbers of many digits, refusing what would not fit into memory before it is computed."""

import math
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
    if name in {"Symbol", "Dummy"}:
        constants = {"e": +mp.e, "i": mp.mpc(0, 1)}
        return constants[expression.name] if expression.name in constants else point[expression.name]
    if name == "Float":
        return mp.mpf(repr(float(expression)))  # as it was written, not its binary neighbour
    if getattr(expression, "is_Rational", False):
        return mp.mpf(int(expression.p)) / int(expression.q)
    if name not in _FUNCTIONS:
        raise Undecided
    arguments = [evaluate(argument, point, mp) for argument in expression.args]
    if name == "Pow":
        arguments.append(expression.args[1])
    try:
        value = _FUNCTIONS[name](mp, *arguments)
    except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
        raise Undecided from error
    if not mp.isfinite(value):
        raise ZeroDivisionError
    if value and mp.mag(value) > MAX_BITS:
        raise TooLarge
    return value


def _power(mp: Any, base: Any, exponent: Any, root: Any) -> Any:  # noqa: ANN401
    """The power; `root` is the exponent as it was written."""
    if base == 0:
        if exponent == 0 or mp.re(exponent) < 0:
            raise ZeroDivisionError
        return base
    if abs(exponent) * (abs(mp.mag(base)) + 1) > MAX_BITS:
        raise TooLarge
    is_root = getattr(root, "is_Rational", False) and int(root.q) % 2 and int(root.q) > 1
    if is_root and mp.im(base) == 0 and mp.re(base) < 0:
        sign = -1 if int(root.p) % 2 else 1
        return sign * abs(base) ** exponent  # the real root of a negative number
    return base**exponent


def _log(mp: Any, value: Any, base: Any = None) -> Any:  # noqa: ANN401
    if value == 0 or base == 1:
        raise ZeroDivisionError
    return mp.log(value) if base is None else mp.log(value) / mp.log(base)


def _of_mpmath(name: str, largest: float = math.inf) -> Callable[..., Any]:
    def function(mp: Any, *values: Any) -> Any:  # noqa: ANN401
        if max(map(abs, values)) > largest:
            raise TooLarge
        return getattr(mp, name)(*values)

    return function


_SAME_NAME = (
    "sin cos tan cot sec csc sinh cosh tanh asin acos atan acot asec acsc asinh acosh atanh floor re im sign"
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _of_mpmath(name) for name in _SAME_NAME.split()},
    "Add": lambda mp, *values: mp.fsum(values),
    "Mul": lambda mp, *values: mp.fprod(values),
    "Pow": _power,
    "UnevaluatedExpr": lambda _mp, value: value,
    "Pi": lambda mp: +mp.pi,
    "Exp1": lambda mp: +mp.e,
    "ImaginaryUnit": lambda mp: mp.mpc(0, 1),
    "GoldenRatio": lambda mp: +mp.phi,
    "ceiling": _of_mpmath("ceil"),
    "conjugate": _of_mpmath("conj"),
    "exp": _of_mpmath("exp", MAX_BITS),
    "factorial": _of_mpmath("factorial", _MAX_FACTORIAL),
    "binomial": _of_mpmath("binomial", _MAX_FACTORIAL),
    "Abs": lambda _mp, value: abs(value),
    "log": _log,
    "Max": lambda _mp, *values: max(values),
    "Min": lambda _mp, *values: min(values),
}
