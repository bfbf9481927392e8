"""What the tests of HumanEval+ and MBPP+ ask of numpy: whether values are the same numbers within a tolerance.

Its source goes into the sandbox, where it takes numpy's place: numpy is not in every sandbox, and importing it would take longer than most
checks. What is no number, and no list, tuple or range of such, raises TypeError, as it does there. Unlike there, a single number is not close to
a list, whose values numpy would each compare with it: EvalPlus asks for values of one type and length (evalplus/eval/__init__.py).
"""

import math
import re
import sys
import types
from typing import Any

_NAMES = {"allclose", "testing", "ndarray", "float32", "float64"}
"""What tests may use of numpy for this module to take its place."""


def allclose(one: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:  # noqa: ANN401 - a program's values
    """`numpy.allclose`: every |one - other| is at most atol + rtol * |other|."""
    return _close(one, other, (rtol, atol), equal_nan=False)


def assert_allclose(actual: Any, desired: Any, rtol: float = 1e-7, atol: float = 0) -> None:  # noqa: ANN401 - as above
    """`numpy.testing.assert_allclose`: the same with a smaller tolerance, and what is not a number equals itself.

    Raises:
        AssertionError: They differ.
    """
    if not _close(actual, desired, (rtol, atol), equal_nan=True):
        raise AssertionError(f"not equal within rtol={rtol}, atol={atol}")


def _close(one: Any, other: Any, tolerance: tuple[float, float], *, equal_nan: bool) -> bool:  # noqa: ANN401
    ours, theirs = (isinstance(value, (list, tuple, range)) for value in (one, other))
    if ours and theirs:
        return len(one) == len(other) and all(
            _close(left, right, tolerance, equal_nan=equal_nan)
            for left, right in zip(one, other, strict=True)
        )
    if ours or theirs:
        return False
    for value in (one, other):
        if not isinstance(value, (int, float, complex)):
            raise TypeError(f"{type(value).__name__} is no number")
    if one == other:
        return True
    if one != one or other != other:  # noqa: PLR0124 - not a number, complex or not
        return equal_nan and one != one and other != other  # noqa: PLR0124
    relative, absolute = tolerance
    return (
        math.isfinite(abs(one))
        and math.isfinite(abs(other))
        and abs(one - other) <= absolute + relative * abs(other)
    )


def suffices(test: str) -> bool:
    """Whether a test asks no more of numpy, which it names `np`, than this module has."""
    return set(re.findall(r"\bnp\.(\w+)", test)) <= _NAMES and "from numpy" not in test


def install() -> None:
    """Lets `import numpy` find this."""
    numpy: Any = types.ModuleType("numpy")
    numpy.testing = types.ModuleType("numpy.testing")
    numpy.allclose, numpy.testing.assert_allclose = allclose, assert_allclose
    numpy.ndarray = type("ndarray", (), {})
    numpy.float32 = numpy.float64 = float
    sys.modules.update({"numpy": numpy, "numpy.testing": numpy.testing})
