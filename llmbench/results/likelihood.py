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
from llmbench.results.pass_at_k import IntervalOf
from llmbench.system.number_format import count, interval, percent


@dataclass(frozen=True, slots=True)
class LikelihoodStatistics:
    """What the log-likelihoods of choices say beside the accuracy, which is `acc`.

    Attributes:
        acc_norm: The share of questions whose right choice has the largest log-likelihood for each character of its text.
        stderr: Its standard error; None for a single question.
        questions: How many had log-likelihoods.
        ties: Of those, how many have several choices with the largest log-likelihood, of which the first counts as the answer.
        letters: Whether the choices are their letters, of one character each, so that `acc_norm` is `acc`.
    """

    acc_norm: float
    stderr: float | None
    ci95: tuple[float, float]
    questions: int
    ties: int = 0
    letters: bool = False

    @classmethod
    def of(cls, results: Sequence[Result], interval_of: IntervalOf = stats.interval) -> Self | None:
        """Returns the statistics of a benchmark's results; None where they have no log-likelihoods."""
        scored = [(choices_of(result), result.target) for result in results]
        if not any(choices for choices, _ in scored):
            return None
        # a question that the engine failed on counts as wrong, as it does in the accuracy
        right = [float(bool(choices) and most_likely_by_length(choices) == gold) for choices, gold in scored]
        return cls(
            acc_norm=math.fsum(right) / len(right),
            stderr=stats.standard_error(right),
            ci95=interval_of(right, len(right)),
            questions=sum(bool(choices) for choices, _ in scored),
            ties=sum(_tied(choices) for choices, _ in scored if choices),
            letters=all(are_letters(choices) for choices, _ in scored),
        )

    def figures(self) -> str:
        """`acc_norm` with its interval, as tables show it."""
        return f"{percent(self.acc_norm)} {interval(self.ci95)}"

    def rows(self) -> list[tuple[str, str]]:
        """The rows of a report's card."""
        ties = [("ties", f"{self.ties} of {count(self.questions, 'question')}")] if self.ties else []
        return [("acc_norm", "the same for letters" if self.letters else self.figures()), *ties]

    def sentence(self) -> str:
        """What stands under a table of scores."""
        tied = f"; of {count(self.ties, 'question')} several choices have the largest, and the first counts"
        by_length = (
            "acc_norm is the same for letters"
            if self.letters
            else f"by the largest for each character, acc_norm, it is {self.figures()}"
        )
        return (
            f"the accuracy is acc, by the choice with the largest log-likelihood; {by_length}"
            f"{tied if self.ties else ''}."
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
    """Returns a line for each choice, the most likely first: what stands where an answer's text would.

    It has the choice's log-likelihood, that for each character, and in brackets the figures that take the choice. Letters have one character.

    >>> print(table([ScoredChoice("A", "Bern", -6.0, 1, 4, 4), ScoredChoice("B", "Zürich, not", -11.0, 3, 11, 12)]))
    A  -6.0000  -1.5000 per character  (1 token, acc)  Bern
    B  -11.0000  -1.0000 per character  (3 tokens, acc_norm)  Zürich, not
    """
    letters, lines = are_letters(choices), []
    takes = {"acc": most_likely(choices)} | ({} if letters else {"acc_norm": most_likely_by_length(choices)})
    for choice in sorted(choices, key=lambda choice: -choice.loglikelihood):
        by_length = "" if letters else f"  {choice.loglikelihood / choice.characters:.4f} per character"
        taken = [figure for figure, name in takes.items() if name == choice.name]
        marks = ", ".join([count(choice.tokens, "token"), *taken])
        text = "" if letters else f"  {choice.text}"
        lines.append(f"{choice.name}  {choice.loglikelihood:.4f}{by_length}  ({marks}){text}")
    return "\n".join(lines)


def are_letters(choices: Sequence[ScoredChoice]) -> bool:
    """Returns whether the choices' texts are their letters."""
    return all(choice.text == choice.name for choice in choices)
