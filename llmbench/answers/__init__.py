"""Answers in models' texts: pure functions from text to text or None. A module is imported when its function is first asked for.

| function | for | policy |
|---|---|---|
| `math_answer`, `integer_answer` | MATH, AIME | `math.py` |
| `number_answer`, `stated_number` | GSM8K, arithmetic | `numbers.py` |
| `choice` | GPQA and other multiple choice | `choices.py` |
| `stated_text` | any words | `free_text.py` |
| `code_block`, `patch` | LiveCodeBench, SWE-bench | `code.py` |

All of them leave the model's thinking out (`strip_thinking`): only what it says counts.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmbench.answers.choices import choice
    from llmbench.answers.code import code_block, code_blocks, patch
    from llmbench.answers.free_text import stated_text
    from llmbench.answers.math import integer_answer, math_answer
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
MODULES = {
    "choice": "choices",
    "code_block": "code",
    "code_blocks": "code",
    "integer_answer": "math",
    "math_answer": "math",
    "number_answer": "numbers",
    "patch": "code",
    "stated_number": "numbers",
    "stated_text": "free_text",
    "strip_thinking": "text",
}
"""Where each function is: the regular expressions of all take a quarter of a second, and no run needs them all."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a function of theirs
    """A public function, from its module."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
