"""GSM8K: word problems of grade-school arithmetic (Cobbe et al., 2021, https://arxiv.org/abs/2110.14168).

Data: openai/gsm8k, config main, 1,319 test rows. `answer` holds the reasoning with `<<16-3-4=9>>` marks and the gold behind
`#### `, sometimes with a comma ("2,125").
A row: {"question": "Janet's ducks lay 16 eggs per day. …", "answer": "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 … #### 18"}
Protocol: zero-shot unless `fewshot` is set; the stated number, else the last number of a text that ended by itself.
"""

import re
from typing import Any

from llmbench.benchmarks.base import OwnColumns
from llmbench.benchmarks.dataset import Row, check_text, text_of
from llmbench.benchmarks.generic.numbers import NumberAnswer, number
from llmbench.errors import DataError
from llmbench.records import Sample


class GSM8K(OwnColumns, NumberAnswer):
    """Word problems whose answer is a number."""

    name = "gsm8k"
    columns: tuple[str, ...] = ("question", "answer")

    def sample(self, row: Row, index: int) -> Sample:
        """Named by its place in the data set; its gold answer stands behind `####`."""
        check_text(row, "question", index)
        gold = text_of(row, "answer", index).rpartition("####")[2].strip()
        target = number(gold)
        if target is None:
            raise DataError(
                f"{self.name}: the gold answer of row {index}, {gold[:40]!r}, is not a number, and no '####' stands before one; fix the row."
            )
        return Sample(str(index), row, target)

    def worked_example(self, sample: Sample) -> str:
        """The reasoning without the calculator's marks, and the number."""
        reasoning = str(sample.fields["answer"]).rpartition("####")[0]
        return f"{re.sub('<<[^>]*>>', '', reasoning).strip()}\nThe final answer is {sample.target}"

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by, the level, where the data has one; and the question, which tells which unit counts."""
        return {name: sample.fields[name] for name in ("level", "question") if name in sample.fields}
