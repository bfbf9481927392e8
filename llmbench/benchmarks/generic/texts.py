"""Questions whose answer is a text."""

import re
from abc import abstractmethod
from typing import Any

from llmbench import answers
from llmbench.answers.free_text import same_text, whole_text
from llmbench.benchmarks.generic.base import GenericBenchmark
from llmbench.benchmarks.rubric import CORRECT_OR_NOT, Rubric
from llmbench.records import Sample

SPACED = r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\uffff]"
"""A letter or digit of a script that sets spaces between words, which Chinese, Japanese, Thai and others do not."""

SIGN = r"(?<!(?<![\w)\]])[-\u2212])(?<!\d[eE][-+])"
"""Before a number: no minus that is its sign, as that of "3-5" is not, nor what makes it an exponent."""


class ExactMatch(GenericBenchmark):
    """Questions whose answer is a text that is to be the same."""

    grading = "texts: what follows the last `Answer:`, else the only line, is to be the same but for capitals and marks around it"

    def shown_answer(self, sample: Sample) -> str:
        """The line that is asked for."""
        return f"Answer: {sample.target}"

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """What the text states as its answer."""
        return answers.stated_text(text, complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """The same text."""
        return same_text(sample.target, answer)


class _Anywhere(GenericBenchmark):
    """Questions whose answer may stand anywhere in the text: it is given as the answer where it does, else the last line is."""

    @abstractmethod
    def found(self, target: str, text: str) -> str | None:
        """Returns the part of a text that is the gold answer, or None."""

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The gold answer where it stands in the text; else the last line of a complete text, which is wrong.

        Where that part by itself would be graded otherwise than the text, as an expression may look beyond it, the whole text.
        """
        whole = whole_text(text)
        found = self.found(sample.target, whole)
        if found is None and not (complete and whole):
            return None
        part = whole.splitlines()[-1].strip() if found is None else found
        return part if self.is_equal(sample, part) == (found is not None) else whole

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Whether the gold answer is in what was extracted."""
        return self.found(sample.target, answer) is not None


class ContainsMatch(_Anywhere):
    """Questions whose gold answer is to stand in the text, as words of its own."""

    grading = (
        "texts: the gold answer is to stand anywhere in the answer, in capitals or not, as words of its own"
    )

    def found(self, target: str, text: str) -> str | None:
        """The gold answer as it is written in the text, with any white space between its words."""
        words = r"\s+".join(map(re.escape, target.split()))
        before = rf"(?<!{SPACED})(?<!\d[.,])" if re.match(SPACED, target) else ""
        if re.match(r"[-+]?\d", target):
            before += SIGN if target[0].isdigit() else r"(?<![\w)\]])"
        behind = rf"(?!{SPACED}|[.,]\d)" if re.search(rf"{SPACED}\Z", target) else ""
        match = re.search(f"{before}{words}{behind}", text, re.IGNORECASE)
        return match[0] if match else None

    def shown_answer(self, sample: Sample) -> str:
        """The gold answer."""
        return sample.target


class RegexMatch(_Anywhere):
    """Questions whose gold answer is a regular expression of Python's `re` that is to match in the text."""

    grading = "texts: the gold answer, a regular expression, is to match anywhere in the answer"
    kind_of_gold = "a regular expression"

    def target(self, gold: str) -> str | None:
        """The expression, if it is one."""
        try:
            re.compile(gold, re.MULTILINE)
        except re.error:
            return None
        return gold

    def found(self, target: str, text: str) -> str | None:
        """The line that the expression matches in, or the lines; `^` and `$` are the ends of a line.

        The whole line, since an expression may look at what stands before or behind its match.
        """
        match = re.search(target, text, re.MULTILINE)
        if match is None:
            return None
        end = text.find("\n", match.end())
        return text[text.rfind("\n", 0, match.start()) + 1 : end if end >= 0 else len(text)]


class JudgedAnswer(GenericBenchmark):
    """Questions whose answers a judge grades: the whole text without its thinking is shown to it."""

    grading = "free texts: a model, the judge, says whether they mean the same as the gold answer"
    rubric: Rubric | None = CORRECT_OR_NOT

    def shown_answer(self, sample: Sample) -> str:
        """The gold answer."""
        return sample.target

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The whole text without its thinking; of a text that was cut only where it states an answer before its end."""
        if not complete and answers.stated_text(text, complete=False) is None:
            return None
        return whole_text(text) or None

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Whether it is the gold answer to the letter; the judge decides."""
        return same_text(sample.target, answer)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """The question too, which another judge needs (`llmbench.regrade`)."""
        return {**super().stored_fields(sample), self.question_field: self.question(sample)}
