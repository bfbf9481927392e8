r"""MATH: competition problems in seven subjects and five levels (Hendrycks et al., 2021, https://arxiv.org/abs/2103.03874).

Data: HuggingFaceH4/MATH-500 (`answer` is LaTeX) and, for all 5,000, DigitalLearningGmbH/MATH-lighteval, which has no
`answer`: there the gold is the last box of `solution`.
A row: {"problem": "Convert the point $(0,3)$ in rectangular …", "answer": "\left( 3, \frac{\pi}{2} \right)",
"subject": "Precalculus", "level": 2, "unique_id": "test/precalculus/807.json"}
Protocol: zero-shot, the answer in a box; equal if math-verify finds it mathematically the same.
"""

from typing import Any

from llmbench import answers
from llmbench.benchmarks.base import OwnColumns
from llmbench.benchmarks.dataset import Row, check_text, text_of
from llmbench.benchmarks.generic.math_answer import MathAnswer, unbalanced
from llmbench.errors import DataError
from llmbench.records import Sample


class MATH(OwnColumns, MathAnswer):
    """Problems whose answer is a formula or a number."""

    name = "math"
    columns = ("problem",)
    question_field = "problem"
    subject_fields = ("subject", "type")  # as the larger data set calls it

    def sample(self, row: Row, index: int) -> Sample:
        """Named by `unique_id`, or by its place where it has none."""
        check_text(row, "problem", index)
        is_given = row.get("answer") is not None
        solution = str(row.get("solution") or "")
        gold = text_of(row, "answer", index) if is_given else answers.math_answer(solution)
        if gold is None:
            raise DataError(f"math: row {index} has no answer, and its solution has no box to take one from.")
        if wrong := unbalanced(gold, "answer" if is_given else "solution"):
            raise DataError(f"math: row {index}: {wrong}")
        return Sample(text_of(row, "unique_id", index) if "unique_id" in row else str(index), row, gold)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by."""
        level = sample.fields.get("level")
        return super().stored_fields(sample) | ({} if level is None else {"level": level})
