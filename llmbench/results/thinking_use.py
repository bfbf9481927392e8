"""How much of a benchmark's answers was thinking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from llmbench.records import Completion, Result
from llmbench.system.number_format import number, percent


def last_own(result: Result) -> Completion | None:
    """Returns the completion with which a text ended before its answer was elicited; None where nothing came back."""
    own = result.completions[:-1] if result.elicited else result.completions
    return own[-1] if own else None


@dataclass(frozen=True, slots=True)
class ThinkingUse:
    """The thinking of a benchmark's answers.

    Attributes:
        answers: Answers with a think block; the means are over these.
        tokens_mean: Output tokens of thinking, the block's tags included; `answer_tokens_mean`: behind it.
        ended: Share of all answers whose thinking the budget ended, 0 to 1.
    """

    answers: int = 0
    tokens_mean: float = 0.0
    answer_tokens_mean: float = 0.0
    ended: float = 0.0

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
        )

    def sentence(self) -> str:
        """What a reader of the score has to know of it."""
        ended = (
            f"the budget ended the thinking of {percent(self.ended)} of the answers"
            if self.ended
            else "no thinking was ended by a budget"
        )
        return f"{number(self.tokens_mean)} tokens of thinking and {number(self.answer_tokens_mean)} of answering on average; {ended}."

    def facts(self) -> list[tuple[str, str]]:
        """Rows of the score's card."""
        return [
            ("thinking tokens, mean", number(self.tokens_mean)),
            ("answer tokens, mean", number(self.answer_tokens_mean)),
            ("thinking ended by the budget", percent(self.ended)),
        ]
