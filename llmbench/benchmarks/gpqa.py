"""GPQA: multiple-choice questions written by experts so that search does not help (https://arxiv.org/abs/2311.12022).

Data: Idavidrein/gpqa, configs gpqa_diamond, 198 rows, gpqa_main, 448, and gpqa_extended, 546; gated, and its authors ask that questions are not shown in plain text.
A row's fields: "Record ID", "Question", "Correct Answer", "Incorrect Answer 1" to 3, "High-level domain", "Subdomain".
Texts carry stray white space and are stripped. Choices are shuffled by a generator seeded with the question's id and the
run's seed, so that every question's order is its own and repeatable.
Protocol: zero-shot, choices A to D, the answer as a line `Answer: LETTER`.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.generic.multiple_choice import MultipleChoice
from llmbench.errors import DataError
from llmbench.records import Sample

LETTERS = "ABCD"


class GPQA(MultipleChoice):
    """Questions with up to four choices, whose answer is a letter."""

    columns = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    question_field = "Question"
    subject_fields = ("High-level domain",)

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples whose `choices` are shuffled and whose target is a letter."""
        check_options("gpqa", options, {})
        return [_sample(row, index, seed) for index, row in enumerate(rows)]

    def letters(self, sample: Sample) -> str:
        """All four, also for journals of before, which have no choices."""
        return LETTERS

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """The choices as shown, and the domain."""
        return {"choices": sample.fields["choices"], "domain": sample.fields.get("High-level domain")}


def _sample(row: Row, index: int, seed: int) -> Sample:
    if "choices" in row and "answer" in row:  # shuffled already
        return _shuffled(row, index)
    question, correct, *others = (text_of(row, column, index) for column in GPQA.columns)
    name = str(row.get("Record ID") or hashlib.sha256(question.encode()).hexdigest()[:16])
    choices = [correct, *others]
    if correct in others:
        raise DataError(
            f"gpqa: row {index} ({name}) has its correct answer among the incorrect ones; fix the row."
        )
    random.Random(f"{seed}:{name}").shuffle(choices)
    return Sample(name, {**row, "Question": question, "choices": choices}, LETTERS[choices.index(correct)])


def _shuffled(row: Row, index: int) -> Sample:
    shown, answer = row["choices"], text_of(row, "answer", index)
    are_texts = isinstance(shown, list) and all(isinstance(choice, str) for choice in shown)
    if not are_texts or len(shown) > len(LETTERS) or answer not in LETTERS[: len(shown)]:
        raise DataError(
            f"gpqa: row {index} has no list of up to four texts under 'choices' with the letter of one under 'answer'; fix the row."
        )
    return Sample(str(row.get("Record ID") or index), row, answer)
