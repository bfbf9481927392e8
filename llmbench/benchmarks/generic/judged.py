"""Questions whose answer is a text in free words, which a judge compares with the gold answer."""

from typing import Any

from llmbench import answers
from llmbench.answers.free_text import same_text, whole_text
from llmbench.benchmarks.generic.base import GenericBenchmark
from llmbench.benchmarks.rubric import CORRECT_OR_NOT, Rubric
from llmbench.records import Sample


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
