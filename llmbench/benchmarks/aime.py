"""AIME: the American Invitational Mathematics Examination; 15 problems a paper, each answer an integer from 0 to 999.

Data: HuggingFaceH4/aime_2024 (`answer` is text, padded to three digits), math-ai/aime25 and math-ai/aime26 (`answer` may be an integer).
A row: {"id": 60, "problem": "Every morning Aya goes for a $9$-kilometer-long walk …", "answer": "204", "year": "2024"}
Protocol: zero-shot, the answer in a box; graded as an integer, so "025" and 25 are the same.
"""

import re

from llmbench.benchmarks.base import OwnColumns
from llmbench.benchmarks.dataset import Row, check_text, text_of
from llmbench.benchmarks.generic.numbers import IntegerAnswer
from llmbench.errors import DataError
from llmbench.records import Sample


class AIME(OwnColumns, IntegerAnswer):
    """Problems whose answer is an integer from 0 to 999."""

    name = "aime"
    columns = ("problem", "answer")
    question_field = "problem"

    def sample(self, row: Row, index: int) -> Sample:
        """Named by the row's own id."""
        check_text(row, "problem", index)
        answer = text_of(row, "answer", index)
        if not re.fullmatch(r"0*[0-9]{1,3}", answer):
            raise DataError(
                f"aime: the answer of row {index}, {answer!r}, is not an integer from 0 to 999; fix the row."
            )
        return Sample(text_of(row, "id", index) if "id" in row else str(index), row, answer)
