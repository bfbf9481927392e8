"""Scores from the log-likelihoods of choices: `acc` is the accuracy, `acc_norm` stands beside it.

As lm-evaluation-harness (0.4.13) has it: `acc` takes the choice with the largest sum over its tokens, `acc_norm` that with the
largest sum for each character of its text; the space before the text is no character of it. Of equal ones the first is taken.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from llmbench.records import Outcome, Result, Score, ScoredChoice
from llmbench.results import stats
from llmbench.system.number_format import count, interval, percent


@dataclass(frozen=True, slots=True)
class LikelihoodStatistics:
    """What the log-likelihoods of choices say beside the accuracy, which is `acc`.

    Attributes:
        acc_norm: The share of questions whose right choice has the largest log-likelihood for each character of its text.
        stderr: Its standard error; None for a single question.
        questions: How many had log-likelihoods.
        ties: Of those, how many have several choices with the largest log-likelihood, of which the first counts as the answer.
    """

    acc_norm: float
    stderr: float | None
    ci95: tuple[float, float]
    questions: int
    ties: int = 0

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self | None:
        """Returns the statistics of a benchmark's results; None where they have no log-likelihoods."""
        scored = [(choices_of(result), result.target) for result in results]
        if not any(choices for choices, _ in scored):
            return None
        # a question that the engine failed on counts as wrong, as it does in the accuracy
        right = [float(bool(choices) and most_likely_by_length(choices) == gold) for choices, gold in scored]
        return cls(
            acc_norm=math.fsum(right) / len(right),
            stderr=stats.standard_error(right),
            ci95=stats.interval(right, len(right)),
            questions=sum(bool(choices) for choices, _ in scored),
            ties=sum(_tied(choices) for choices, _ in scored if choices),
        )

    def figures(self) -> str:
        """`acc_norm` with its interval, as tables show it."""
        return f"{percent(self.acc_norm)} {interval(self.ci95)}"

    def rows(self) -> list[tuple[str, str]]:
        """The rows of a report's card."""
        ties = [("ties", f"{self.ties} of {count(self.questions, 'question')}")] if self.ties else []
        return [("acc_norm", self.figures()), *ties]

    def sentence(self) -> str:
        """What stands under a table of scores."""
        tied = f"; of {count(self.ties, 'question')} several choices have the largest, and the first counts"
        return (
            "the accuracy is acc, by the choice with the largest log-likelihood; by the largest for each character, acc_norm, it is "
            f"{self.figures()}{tied if self.ties else ''}."
        )


def _tied(choices: Sequence[ScoredChoice]) -> bool:
    values = sorted((choice.loglikelihood for choice in choices), reverse=True)
    return values[:1] == values[1:2]


def choices_of(result: Result) -> tuple[ScoredChoice, ...]:
    """Returns the scored choices of a result; none where a text was written."""
    return result.completions[0].choices if result.completions else ()


def score(choices: Sequence[ScoredChoice], gold: str) -> Score:
    """Returns the score by the choice with the largest log-likelihood; the explanation names that by length where it is another."""
    chosen, by_length = most_likely(choices), most_likely_by_length(choices)
    right = chosen == gold
    said = "" if by_length == chosen else f"acc_norm takes {by_length}"
    return Score(float(right), chosen, Outcome.CORRECT if right else Outcome.WRONG, said)


def most_likely(choices: Sequence[ScoredChoice]) -> str:
    """Returns the letter of the choice with the largest log-likelihood."""
    return max(choices, key=lambda choice: choice.loglikelihood).name


def most_likely_by_length(choices: Sequence[ScoredChoice]) -> str:
    """Returns the letter of the choice with the largest log-likelihood for each character."""
    return max(choices, key=lambda choice: choice.loglikelihood / choice.characters).name


def table(choices: Sequence[ScoredChoice]) -> str:
    """Returns a line for each choice, the most likely first: what stands where an answer's text would."""
    lines = []
    for choice in sorted(choices, key=lambda choice: -choice.loglikelihood):
        tokens = "1 token" if choice.tokens == 1 else f"{choice.tokens} tokens"
        text = "" if choice.text == choice.name else f"  {choice.text}"
        lines.append(f"{choice.name}  {choice.loglikelihood:.4f}  ({tokens}){text}")
    return "\n".join(lines)
