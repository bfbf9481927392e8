"""Answers in models' texts: pure functions from text to text or None.

| function | for | policy |
|---|---|---|
| `math_answer`, `integer_answer` | MATH, AIME | `math.py` |
| `number_answer`, `stated_number` | GSM8K, arithmetic | `numbers.py` |
| `choice` | GPQA and other multiple choice | `choices.py` |
| `stated_text` | any words | `free_text.py` |
| `code_block`, `patch` | LiveCodeBench, SWE-bench | `code.py` |

All of them leave the model's thinking out (`strip_thinking`): only what it says counts.
"""

from llmbench.answers.choices import choice
from llmbench.answers.code import code_block, code_blocks, patch
from llmbench.answers.free_text import stated_text
from llmbench.answers.integers import integer_answer
from llmbench.answers.math import math_answer
from llmbench.answers.numbers import number_answer, stated_number
from llmbench.answers.text import strip_thinking

__all__ = [
    "choice",
    "code_block",
    "code_blocks",
    "integer_answer",
    "math_answer",
    "number_answer",
    "patch",
    "stated_number",
    "stated_text",
    "strip_thinking",
]
