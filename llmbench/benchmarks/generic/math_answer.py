"""Questions whose answer is a formula or a number."""

import ast
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from llmbench import answers
from llmbench.answers.equivalence import Tolerance, math_close, math_equal
from llmbench.answers.statements import is_balanced
from llmbench.benchmarks.generic.base import MAPPED, GenericBenchmark
from llmbench.benchmarks.generic.templates import Gold, cell, no_column, plain, short
from llmbench.benchmarks.rows import Rows
from llmbench.errors import ConfigError
from llmbench.records import Sample

TOLERANCE = "tolerance"
"""The option, and the field of samples whose answers have one."""
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_TEXTS = re.compile(rf"\s*\[\s*{_TEXT}(?:\s*,\s*{_TEXT})*\s*,?\s*\]\s*", re.DOTALL)
"""A list of quoted texts; `[1, 2]` is an interval."""


class MathAnswer(GenericBenchmark):
    """Questions whose answer is a formula or a number, boxed or stated."""

    options = (*GenericBenchmark.options, TOLERANCE)
    preload = ("math_verify",)
    grading = "mathematics: what is in the last box, or what is stated, is to be the same value"
    kind_of_gold = "a formula: its box is not closed, or empty, or it is a list of several"

    def answers(
        self, rows: Rows, options: Mapping[str, Any], columns: Collection[str], seed: int
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Returns each row's gold answer, and how far from it a number may be where the option `tolerance` says so.

        Raises:
            ConfigError: The tolerance is neither a share such as `1%` nor a column.
            RowError: A row's gold answer or tolerance cannot be read, or its braces do not balance.
        """
        column = Gold.read(options.get("answer", "answer"), columns, rows.source).column
        found = super().answers(rows, options, columns, seed)
        for index, (gold, _) in enumerate(found):
            if wrong := unbalanced(gold, column):
                raise rows.wrong(index, wrong)
        allowed = options.get(TOLERANCE)
        if allowed is None:
            return found
        return [
            (gold, {TOLERANCE: _tolerance(str(allowed), rows, index, columns)})
            for index, (gold, _) in enumerate(found)
        ]

    def target(self, gold: str) -> str | None:
        r"""The cell itself, or the one text of a list, or of a worked solution what its last `\boxed{}` holds."""
        texts = _listed(gold)
        if len(texts) != 1:
            return None
        (text,) = texts
        return answers.math_answer(text) if "\\boxed" in text else text.strip() or None

    def shown_answer(self, sample: Sample) -> str:
        """The solution, which ends in a box, or the boxed answer alone."""
        return self.solution(sample) or f"The final answer is \\boxed{{{sample.target}}}."

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The last box, or a stated answer."""
        return answers.math_answer(text, complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Mathematical equality; of numbers that have a tolerance, being within it."""
        if math_equal(sample.target, answer):
            return True
        allowed = Tolerance.read(str(sample.fields.get(TOLERANCE) or ""))
        return allowed is not None and math_close(sample.target, answer, allowed)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by; and the tolerance, which grading again needs."""
        allowed = sample.fields.get(TOLERANCE) if MAPPED in sample.fields else None
        return super().stored_fields(sample) | ({TOLERANCE: allowed} if allowed else {})


def _listed(cell: str) -> list[str]:
    r"""Returns the texts of a list that JSON or Python wrote, `["\\frac{1}{2}"]`, as a CSV file has it; its backslashes may be single ones; another cell as it is."""
    if not _TEXTS.fullmatch(cell):
        return [cell]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `\sqrt`, which is no escape
        try:
            texts: list[str] = ast.literal_eval(cell)
            if any(re.search(r"[\a\b\t\v\f\r]", text) for text in texts):  # of `\frac`, which is one
                texts = ast.literal_eval(cell.replace("\\", "\\\\"))
        except (SyntaxError, ValueError):
            return [cell]
    return texts


def unbalanced(gold: str, column: str) -> str | None:
    r"""Says that no right answer would equal this column's gold answer: its braces, or `\left` and `\right`, do not balance."""
    if is_balanced(gold):
        return None
    return f"{column!r} holds the gold answer {short(gold)}, whose braces, or \\left and \\right, do not balance; fix the row."


def _tolerance(allowed: str, rows: Rows, index: int, columns: Collection[str]) -> str | None:
    """A row's tolerance as text: the one of all rows, or what the column holds; None for none."""
    if allowed not in columns:
        if "%" in allowed and Tolerance.read(allowed):
            return allowed
        raise ConfigError(
            f"{TOLERANCE}={allowed}: {no_column(allowed, columns, rows.source)} (A tolerance of all rows is a share of the gold number, such as 1%.)"
        )
    if plain(rows[index].get(allowed)) in (None, "", []):
        return None
    text = cell(rows, index, allowed)
    if Tolerance.read(text) is None:
        raise rows.wrong(
            index, f"the tolerance {short(text)} is not a number such as 0.01 or 1%; fix the row."
        )
    return text
