"""Records with values that a test does not care about."""

from dataclasses import replace
from typing import Any

from llmbench.records import Completion, FinishReason, Outcome, Result, Score, Timing


def timing(queued: float = 0.0, seconds: float = 2.0) -> Timing:
    """Ten tokens of a request that waits for 0.1 s and reads its prompt for 0.4 s."""
    return Timing.of(queued, queued + 0.1, queued + 0.5, queued + seconds, 10)


def score(outcome: Outcome = Outcome.CORRECT, answer: str | None = None) -> Score:
    """A score of an outcome; right and wrong ones have an answer, "4" or "5" unless it is given."""
    answers = {Outcome.CORRECT: "4", Outcome.WRONG: "5"}
    return Score(float(outcome is Outcome.CORRECT), answer or answers.get(outcome), outcome)


def result(
    number: int | str = 0,
    outcome: Outcome = Outcome.CORRECT,
    text: str = "so 4",
    *,
    answer: str | None = None,
    tokens: int = 10,
    **fields: Any,  # noqa: ANN401 - the record's own
) -> Result:
    """The answer of one completion to the question "2 + 2?" of the benchmark `b`, its id the number."""
    done = Completion(f"b/{number}/0", text, (), tokens, 100, 0, FinishReason.STOP, None, timing())
    whole = Result("b", str(number), 0, "4", "2 + 2?", "f" * 64, text, (done,), score(outcome, answer))
    return replace(whole, **fields)
