"""Mathematics graded as runs grade it: tables of outputs and of boxed answers by kind, each with near misses."""

import json

import pytest

import llmbench
from llmbench.answers.equivalence import math_equal
from tests.helpers.paths import CASES

pytestmark = pytest.mark.slow


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("row", rows("math_outputs"), ids=lambda row: f"{row['id']} {row['kind']}")
def test_output_is_graded_as_an_expert_would(row: dict[str, str]) -> None:
    sample = {"id": "1", "problem": "?", "question": "?", "answer": row["gold"]}
    score = llmbench.grade(row["benchmark"], sample, row["output"], row["finish_reason"])

    assert score.outcome.value == row["expected"], score.answer


BOXED = [
    (row["kind"], row["gold"], answer, is_right)
    for row in rows("math_boxed")
    for is_right in (True, False)
    for answer in row["right" if is_right else "wrong"]
]


@pytest.mark.parametrize(
    ("gold", "answer", "is_right"),
    [case[1:] for case in BOXED],
    ids=[f"{kind}: {gold} | {answer}" for kind, gold, answer, _ in BOXED],
)
def test_boxed_answer_is_right_or_a_near_miss(gold: str, answer: str, is_right: bool) -> None:  # noqa: FBT001
    sample = {"problem": "?", "answer": gold}
    score = llmbench.grade("math", sample, f"Hence the answer is $\\boxed{{{answer}}}$.")

    assert (score.outcome.value == "correct") is is_right, score.answer
    assert math_equal(gold, gold)
