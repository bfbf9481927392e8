"""Questions whose answer is a formula or a number."""

import re
from collections.abc import Sequence

from llmbench import answers
from llmbench.answers.equivalence import math_equal
from llmbench.answers.equivalence.latex import clean
from llmbench.answers.equivalence.units import split_unit
from llmbench.answers.expressions import is_expression
from llmbench.benchmarks.generic.base import MAPPED, GenericBenchmark
from llmbench.records import Sample
from llmbench.system.number_format import count


class MathAnswer(GenericBenchmark):
    """Questions whose answer is a formula or a number, boxed or stated."""

    preload = ("math_verify",)
    grading = "mathematics: what is in the last box, or what is stated, is to be the same value"
    kind_of_gold = "a formula: its box is not closed, or empty"

    def target(self, gold: str) -> str | None:
        r"""The cell itself, or of a worked solution what its last `\boxed{}` holds."""
        return answers.math_answer(gold) if "\\boxed" in gold else gold

    def shown_answer(self, sample: Sample) -> str:
        """The solution, which ends in a box, or the boxed answer alone."""
        solution = "" if MAPPED in sample.fields else str(sample.fields.get("solution") or "").strip()
        return solution or f"The final answer is \\boxed{{{sample.target}}}."

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The last box, or a stated answer."""
        return answers.math_answer(text, complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Mathematical equality."""
        return math_equal(sample.target, answer)

    def data_notes(self, samples: Sequence[Sample]) -> list[str]:
        """How the data was understood, and how many gold answers are words, which may be a wrong column's."""
        notes = super().data_notes(samples)
        worded = [sample.id for sample in samples if _is_worded(sample.target)] if notes else []
        if worded:
            notes.append(
                f"{count(len(worded), 'gold answer')} in words, such as that of question {worded[0]}: words are compared as they stand."
            )
        return notes


def _is_worded(gold: str) -> bool:
    plain = clean(gold)
    words = re.search(r"(?<![\\A-Za-z])[A-Za-z]{3}", plain)
    return bool(words) and not (is_expression(plain) or is_expression(split_unit(plain)[0] or plain))
