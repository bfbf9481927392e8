"""Questions whose answer is a number."""

import re
from decimal import Decimal
from typing import Any

from llmbench import answers
from llmbench.answers.equivalence import integer_equal, number_equal
from llmbench.benchmarks.generic.base import GenericBenchmark
from llmbench.records import Sample


class NumberAnswer(GenericBenchmark):
    """Questions whose answer is a number, whole or not."""

    grading = "numbers: the one that is stated, else the last of a text that ended by itself"
    kind_of_gold = "a number such as 1,450 or 0.5 or 3/4, with a point for decimals and at most 60 digits"

    def target(self, gold: str) -> str | None:
        """The number, without a currency sign and commas between thousands; none that no answer can equal, such as 3/0."""
        found = number(gold)
        stated = answers.number_answer(_stated(found)) if found else None
        return found if found and stated and number_equal(found, stated) else None

    def shown_answer(self, sample: Sample) -> str:
        """The bare number, as a sentence."""
        return _stated(sample.target)

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The stated number, or the last one of a complete text."""
        find = answers.number_answer if complete else answers.stated_number
        return find(text, str(sample.fields.get(self.question_field, "")))  # journals of before have none

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Equality of numbers."""
        return number_equal(sample.target, answer)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by; and the question, which tells which unit counts."""
        name = self.question_field
        question = {name: sample.fields[name]} if name in sample.fields else {}
        return {**super().stored_fields(sample), **question}


def _stated(number: str) -> str:
    return f"The final answer is {number}"


class IntegerAnswer(GenericBenchmark):
    """Questions whose answer is a whole number, boxed or stated."""

    grading = "whole numbers: the one in the last box, or the one that is stated"
    kind_of_gold = "a whole number such as 1,450 or -3, of at most 400 digits"

    def target(self, gold: str) -> str | None:
        """The number, without commas between thousands."""
        found = number(gold)
        if found is None or not re.fullmatch(r"[-+]?\d+(?:\.0*)?", found):
            return None
        whole = found.partition(".")[0]
        return whole if integer_equal(whole, whole) else None

    def shown_answer(self, sample: Sample) -> str:
        """The answer in its box, behind the solution where the row has one."""
        return f"{self.solution(sample)}\n\nThe final answer is \\boxed{{{sample.target}}}.".strip()

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The boxed or stated integer."""
        return answers.integer_answer(text, complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Equality of integers."""
        return integer_equal(sample.target, answer)


def number(gold: str) -> str | None:
    """A gold answer that is a number, without a currency sign and commas between thousands; None for anything else."""
    plain = gold.strip().replace("\u2212", "-").replace("$", "").removesuffix(".")
    plain = re.sub(r"(?<=\d)[, ](?=\d{3}(?!\d))", "", plain)
    is_number = re.fullmatch(
        r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,2}|\s*/\s*\d+)?%?", plain, re.IGNORECASE | re.ASCII
    )
    if is_number is None:
        return None
    if "e" not in plain.lower():
        return plain
    return format(Decimal(plain.removesuffix("%")), "f") + "%" * plain.endswith("%")
