"""The benchmarks that are built on the generic classes ask, store and grade what they did before there were any.

`cases/asked.jsonl` was written by the code before them: for each benchmark some rows, and what became of each under two seeds.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

import llmbench
from llmbench.benchmarks.importing import import_benchmark
from llmbench.run.request_plan import RequestPlan
from tests.helpers.paths import CASES, SHARED
from tests.helpers.settings import compose


def cases() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    rows: list[dict[str, Any]] = []
    for line in (CASES / "asked.jsonl").read_text().splitlines():
        case = json.loads(line)
        rows = case.pop("rows", rows)
        yield case, rows


@pytest.mark.parametrize(("case", "rows"), list(cases()))
def test_a_row_is_asked_and_stored_as_before(case: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    settings = compose([f"benchmark={case['benchmark']}"]).benchmarks[case["benchmark"]]
    assert settings.module == case["module"]  # else runs of before could not be resumed
    benchmark = import_benchmark(case["benchmark"], settings.module)
    sample = benchmark.load(rows, settings.options, case["seed"])[case["place"]]
    found = {
        "id": sample.id,
        "target": sample.target,
        "question": benchmark.question(sample),
        "worked_example": benchmark.worked_example(sample),
        "stored_fields": benchmark.stored_fields(sample),
    }
    assert found == {name: case[name] for name in found}


WHOLE = {
    "aime": ("aime24.jsonl", "94f31ce58ae0483c"),
    "aime25": ("aime25.jsonl", "bcb925de9f81aaeb"),
    "math": ("math500.jsonl", "23c4c02c32ac17db"),
    "gsm8k": ("gsm8k_test_sample.jsonl", "bf435694b411daa9"),
}
"""Files of real questions, and the SHA-256 of all that is asked and stored of them."""


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_data_set_is_asked_and_stored_as_before(name: str) -> None:
    file, digest = WHOLE[name]
    if not (SHARED / file).exists():
        pytest.skip(f"{SHARED} is not here")
    overrides = [f"benchmark={name}", f"benchmarks.{name}.data_files={SHARED / file}", "profile=published"]
    part = RequestPlan.read(compose(overrides)).samples[name]
    found = [
        [s.id, s.target, question, part.benchmark.stored_fields(s), part.benchmark.worked_example(s)]
        for s, question in zip(part.chosen, part.questions, strict=True)
    ]
    assert sha256(json.dumps(found).encode()).hexdigest()[:16] == digest


GRADED = [
    ("aime", "So \\boxed{025}.", "wrong", "25"),
    ("aime", "The answer is 204", "correct", "204"),
    ("math", "\\boxed{(3,\\frac{\\pi}{2})}", "correct", "(3,\\frac{\\pi}{2})"),
    ("math", "The answer is $0.5$.", "wrong", "0.5"),
    ("math_full", "\\boxed{0.5}", "correct", "0.5"),
    ("gsm8k", "The answer is 2,125.", "correct", "2,125"),
    ("gsm8k", "7 apples and then 2125", "correct", "2125"),
    ("gpqa", "Answer: C", "wrong", "C"),
    ("gpqa", "The answer is right.", "correct", "D"),
    *((name, "nothing", "no_answer", None) for name in ("aime", "math", "math_full", "gsm8k", "gpqa")),
]


@pytest.mark.parametrize(("name", "text", "outcome", "answer"), GRADED)
def test_an_answer_is_graded_as_before(name: str, text: str, outcome: str, answer: str | None) -> None:
    row = next(rows[0] for case, rows in cases() if case["benchmark"] == name)
    score = llmbench.grade(name, row, text)
    assert (score.outcome, score.answer) == (outcome, answer)
