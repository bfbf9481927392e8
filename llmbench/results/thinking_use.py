"""How much of a benchmark's answers was thinking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from llmbench.records import Completion, FinishReason, Result
from llmbench.system.number_format import number, percent


def own_completions(result: Result) -> Sequence[Completion]:
    """Returns the completions of a text before its answer was elicited: two where its thinking was ended."""
    return result.completions[:-1] if result.elicited else result.completions


def last_own(result: Result) -> Completion | None:
    """Returns the completion with which a text ended before its answer was elicited; None where nothing came back."""
    own = own_completions(result)
    return own[-1] if own else None


def _stopped(result: Result) -> bool:
    """Whether a stop string ended a text within its thinking: nothing stands behind it but an answer that was elicited."""
    thought, last = result.thinking, last_own(result)
    if thought is None or thought.ended or last is None or last.finish_reason is not FinishReason.STOP_STRING:
        return False
    return thought.answer_tokens <= (result.completions[-1].output_tokens if result.elicited else 0)


@dataclass(frozen=True, slots=True)
class ThinkingUse:
    """The thinking of a benchmark's answers.

    Attributes:
        answers: Answers with a think block; the means are over these.
        tokens_mean: Output tokens of thinking, the block's tags included; `answer_tokens_mean`: behind it.
        ended: Share of all answers whose thinking the budget ended, 0 to 1; `stopped`: whose thinking a stop string ended.
    """

    answers: int = 0
    tokens_mean: float = 0.0
    answer_tokens_mean: float = 0.0
    ended: float = 0.0
    stopped: float = 0.0

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self | None:
        """Counts; None where no answer has a think block."""
        known = [result.thinking for result in results if result.thinking is not None]
        if not known:
            return None
        return cls(
            answers=len(known),
            tokens_mean=math.fsum(each.tokens for each in known) / len(known),
            answer_tokens_mean=math.fsum(each.answer_tokens for each in known) / len(known),
            ended=sum(each.ended for each in known) / len(results),
            stopped=sum(map(_stopped, results)) / len(results),
        )

    def sentence(self, results: int) -> str:
        """What a reader of the score has to know of it, of so many answers with and without a think block."""
        whose = "" if self.answers == results else f" of the {self.answers:,} of {results:,} that thought"
        causes = (("the budget", self.ended), ("a stop string", self.stopped))
        ended = [
            f"{cause} ended the thinking of {percent(share)} of the answers"
            for cause, share in causes
            if share
        ]
        return (
            f"{number(self.tokens_mean)} tokens of thinking and {number(self.answer_tokens_mean)} of answering on average{whose}; "
            f"{', '.join(ended) or 'no thinking was ended by a budget'}."
        )

    def warnings(self, name: str, most: float) -> list[str]:
        """Says that stop strings ended the thinking of more than `most` of a benchmark's answers, 0 to 1."""
        if self.stopped <= most:
            return []
        said = f"{name}: a stop string ended the thinking of {self.stopped:.0%} of the answers"
        return [f"{said}; early_stopping=off or benchmarks.{name}.stop=[] lets the model think on."]

    def facts(self) -> list[tuple[str, str]]:
        """Rows of the score's card."""
        return [
            ("answers with thinking", f"{self.answers:,}"),
            ("thinking tokens, mean", number(self.tokens_mean)),
            ("answer tokens, mean", number(self.answer_tokens_mean)),
            ("thinking ended by the budget", percent(self.ended)),
            ("thinking ended by a stop string", percent(self.stopped)),
        ]
