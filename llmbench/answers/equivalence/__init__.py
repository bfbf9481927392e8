"""Whether two answers are equal.

`math_equal` may be slow on strange input (seconds; a caller gives it a process it can kill), the others never are. None of
them raises, whatever the strings. The policies stand in `compare.py`.
"""

from llmbench.answers.equivalence.compare import choice_equal, integer_equal, math_equal, number_equal

__all__ = ["choice_equal", "integer_equal", "math_equal", "number_equal"]
