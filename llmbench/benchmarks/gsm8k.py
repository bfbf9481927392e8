"""GSM8K: word problems of grade-school arithmetic (Cobbe et al., 2021, https://arxiv.org/abs/2110.14168).

Data: openai/gsm8k, config main, 1,319 test rows. `answer` holds the reasoning with `<<16-3-4=9>>` marks and the gold behind
`#### `, sometimes with a comma ("2,125").
A row: {"question": "Janet's ducks lay 16 eggs per day. …", "answer": "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 … #### 18"}
Protocol: zero-shot unless `fewshot` is set; the stated number, else the last number of a text that ended by itself.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.dataset import Row, check_text, text_of
from llmbench.benchmarks.generic.numbers import NumberAnswer, number
from llmbench.errors import DataError
from llmbench.records import Sample


class GSM8K(NumberAnswer):
    """Word problems whose answer is a number."""

    columns: tuple[str, ...] = ("question", "answer")

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named by their place in the data set.

        Raises:
            DataError: A row's answer has no `####`, or no number behind it.
        """
        check_options("gsm8k", options, {})
        return [_sample(row, index) for index, row in enumerate(rows)]

    def worked_example(self, sample: Sample) -> str:
        """The reasoning without the calculator's marks, and the number."""
        reasoning = str(sample.fields["answer"]).rpartition("####")[0]
        return f"{re.sub('<<[^>]*>>', '', reasoning).strip()}\nThe final answer is {sample.target}"

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by, the level, where the data has one; and the question, which tells which unit counts."""
        return {name: sample.fields[name] for name in ("level", "question") if name in sample.fields}


def _sample(row: Row, index: int) -> Sample:
    check_text(row, "question", index)
    return Sample(str(index), row, _gold(text_of(row, "answer", index), index))


def _gold(answer: str, index: int) -> str:
    _, mark, gold = answer.rpartition("####")
    if not mark and number(gold) is None:
        raise DataError(f"gsm8k: the answer of row {index} has no '####' before its number.")
    if (found := number(gold)) is None:
        raise DataError(
            f"gsm8k: the gold answer of row {index}, {gold.strip()[:40]!r}, is not a number; fix the row."
        )
    return found
