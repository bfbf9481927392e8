"""Mathematics graded as runs grade it: tables of outputs and of boxed answers by kind, each with near misses."""

import json

import pytest

import llmbench
from llmbench.answers.equivalence import math_equal
from tests.helpers.paths import CASES
from tests.helpers.tables import each_of

pytestmark = pytest.mark.slow


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@each_of({f"{row['id']} {row['kind']}": row for row in rows("math_outputs")})
def test_output_is_graded_as_an_expert_would(row: dict[str, str]) -> None:
    sample = {"id": "1", "problem": "?", "question": "?", "answer": row["gold"]}
    score = llmbench.grade(row["benchmark"], sample, row["output"], row["finish_reason"])

    assert score.outcome.value == row["expected"], score.answer


BOXED = {
    f"{row['kind']}: {row['gold']} | {answer}": (row["gold"], answer, verdict)
    for row in rows("math_boxed")
    for verdict in ("right", "wrong")
    for answer in row[verdict]
}


@each_of(BOXED)
def test_boxed_answer_is_right_or_a_near_miss(case: tuple[str, str, str]) -> None:
    gold, answer, verdict = case
    score = llmbench.grade(
        "math", {"problem": "?", "answer": gold}, f"Hence the answer is $\\boxed{{{answer}}}$."
    )

    assert (score.outcome.value == "correct") is (verdict == "right"), score.answer
    assert math_equal(gold, gold)
