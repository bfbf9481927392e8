"""SimpleQA: short questions about facts with one answer each, written so that GPT-4 often failed (https://arxiv.org/abs/2411.04368).

Data: basicv8vc/SimpleQA, a copy of OpenAI's simple_qa_test_set.csv, 4,326 test rows: `problem`, `answer`, and `metadata`, a Python dict as text with `topic`,
`answer_type` and `urls`. An answer that holds the gold answer and nothing that contradicts it is right, however it hedges; one
that lacks it and contradicts nothing was not attempted, which is no wrong answer.
Protocol: the question alone, zero-shot; a judge says CORRECT, INCORRECT or NOT_ATTEMPTED. The paper's judge was an OpenAI model with the authors' prompt; ours has
words of its own for the same three verdicts.
"""

import ast
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from llmbench.benchmarks.base import OwnColumns
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.generic.texts import JudgedAnswer
from llmbench.benchmarks.rubric import Rubric
from llmbench.records import Outcome, Result, Sample

RUBRIC = Rubric(
    {"CORRECT": Outcome.CORRECT, "INCORRECT": Outcome.WRONG, "NOT_ATTEMPTED": Outcome.NO_ANSWER},
    """\
- CORRECT: the answer holds all that the question asks for of the reference, and nothing that contradicts it. Only the meaning counts: not capitals, order, wording or grammar. Doubt is no fault where the right answer is given.
- INCORRECT: something in the answer contradicts the reference, also where it is only offered as possible, as one of several guesses, or asked back.
- NOT_ATTEMPTED: the answer lacks what is asked for, in whole or in part, and contradicts nothing: it declines, asks for more, or speaks of something else.
- A number must agree with the reference to the reference's last significant digit. A vague one, such as "more than 50" or "around 100", that neither gives nor contradicts the reference is NOT_ATTEMPTED.
- The reference may hold more than is asked; the answer needs only what is asked. What the question itself says, such as a unit or a first name's family name, may be left out.
- A name that is misspelt and clearly means the same person or place is the same.""",
)


class SimpleQA(OwnColumns, JudgedAnswer):
    """Questions about facts, judged with three verdicts."""

    name = "simpleqa"
    columns = ("problem", "answer")
    question_field = "problem"
    subject_fields = ("subject",)
    rubric = RUBRIC

    def sample(self, row: Row, index: int) -> Sample:
        """Named by its place in the data set."""
        text_of(row, "problem", index)
        return Sample(str(index), {**row, "subject": _topic(row)}, text_of(row, "answer", index))

    def details(self, results: Sequence[Result]) -> dict[str, Any] | None:
        """The paper's figures, from 0 to 1: the shares of the three verdicts, accuracy of what was attempted, and the F-score, the harmonic mean of the two.

        A text without any answer counts as not attempted; results without a verdict are in none of them.
        """
        kinds = {
            Outcome.CORRECT: "correct",
            Outcome.WRONG: "incorrect",
            Outcome.NO_ANSWER: "not_attempted",
            Outcome.TRUNCATED: "not_attempted",
        }
        counts = Counter(kinds[r.score.outcome] for r in results if r.score.outcome in kinds)
        if not (total := counts.total()):
            return None
        shares: dict[str, Any] = {name: counts[name] / total for name in dict.fromkeys(kinds.values())}
        attempted = counts["correct"] + counts["incorrect"]
        given = counts["correct"] / attempted if attempted else 0.0
        both = shares["correct"] + given
        return shares | {
            "correct_given_attempted": given,
            "f_score": 2 * shares["correct"] * given / both if both else 0.0,
        }


def _topic(row: Row) -> str | None:
    """The topic in the metadata, a dict that stands there as text."""
    found = row.get("metadata")
    if isinstance(found, str):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            found = ast.literal_eval(found)
    topic = found.get("topic") if isinstance(found, dict) else row.get("topic")
    return None if topic is None else str(topic)
