"""GSM8K: word problems of grade-school arithmetic (Cobbe et al., 2021, https://arxiv.org/abs/2110.14168).

Data: openai/gsm8k, config main, 1,319 test rows. `answer` holds the reasoning with `<<16-3-4=9>>` marks and the gold behind
`#### `, sometimes with a comma ("2,125").
A row: {"question": "Janet's ducks lay 16 eggs per day. …", "answer": "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 … #### 18"}
Protocol: zero-shot unless `fewshot` is set; the stated number, else the last number of a text that ended by itself.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmbench import answers
from llmbench.benchmarks.base import check_options
from llmbench.data import Row, check_text, text_of
from llmbench.equivalence import number_equal
from llmbench.errors import DataError
from llmbench.records import Sample

COLUMNS: tuple[str, ...] = ("question", "answer")
PRELOAD: tuple[str, ...] = ()


def load(rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:  # noqa: ARG001 - nothing is drawn
    """Samples named by their place in the data set.

    Raises:
        DataError: A row's answer has no `####`.
    """
    check_options("gsm8k", options, {})
    return [_sample(row, index) for index, row in enumerate(rows)]


def _sample(row: Row, index: int) -> Sample:
    check_text(row, "question", index)
    return Sample(str(index), row, _gold(text_of(row, "answer", index), index))


def _gold(answer: str, index: int) -> str:
    _, mark, gold = answer.rpartition("####")
    if not mark and not re.fullmatch(r"-?[\d,.]+", gold.strip()):
        raise DataError(f"gsm8k: the answer of row {index} has no '####' before its number.")
    return gold.strip().replace(",", "")


def render(sample: Sample) -> str:
    """The question as it stands."""
    return str(sample.fields["question"])


def worked(sample: Sample) -> str:
    """The reasoning without the calculator's marks, and the number."""
    reasoning = str(sample.fields["answer"]).rpartition("####")[0]
    return f"{re.sub('<<[^>]*>>', '', reasoning).strip()}\nThe final answer is {sample.target}"


def extract(sample: Sample, text: str, *, complete: bool) -> str | None:
    """The stated number, or the last one of a complete text."""
    find = answers.number_answer if complete else answers.stated_number
    return find(text, render(sample))


def equal(sample: Sample, answer: str) -> bool:
    """Equality of numbers."""
    return number_equal(sample.target, answer)


def stored(sample: Sample) -> dict[str, Any]:
    """What results are grouped by: the level, where the data has one."""
    return {"level": sample.fields["level"]} if "level" in sample.fields else {}
