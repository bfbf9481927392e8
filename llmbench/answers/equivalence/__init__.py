"""Whether two answers are equal.

`math_equal` and `math_close` may be slow on strange input (seconds; a caller gives them a process it can kill), the others
never are. None of them raises, whatever the strings. The policies stand in `compare.py`, those of tolerances in `tolerance.py`.
"""

from llmbench.answers.equivalence.compare import choice_equal, integer_equal, math_equal, number_equal
from llmbench.answers.equivalence.tolerance import Tolerance, math_close

__all__ = ["Tolerance", "choice_equal", "integer_equal", "math_close", "math_equal", "number_equal"]
