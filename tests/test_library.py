import json
from pathlib import Path

import pytest

import llmbench
from llmbench.errors import ConfigError, RunError
from llmbench.records import Outcome
from tests.helpers.paths import CASES

ROWS: dict[str, dict[str, object]] = {
    "math": {"problem": "?", "answer": "\\frac{1}{2}", "unique_id": "test/1"},
    "aime": {"problem": "?", "answer": "025", "id": 60},
    "gsm8k": {"question": "?", "answer": "It is. #### 2,125"},
    "arithmetic": {"question": "?", "answer": "12", "level": "sum1"},
    "gpqa": {"Question": "?", "choices": ["w", "x", "y", "z"], "answer": "C"},
}
RIGHT = {
    "math": "\\boxed{0.5}",
    "aime": "\\boxed{25}",
    "gsm8k": "So 2125 eggs.",
    "arithmetic": "12",
    "gpqa": "Answer: C",
}


@pytest.mark.parametrize("benchmark", list(ROWS))
def test_a_row_and_a_text_make_a_score(benchmark: str) -> None:
    assert llmbench.grade(benchmark, ROWS[benchmark], RIGHT[benchmark]).outcome is Outcome.CORRECT
    assert llmbench.grade(benchmark, ROWS[benchmark], "\\boxed{998} Answer: A").value == 0.0
    assert llmbench.grade(benchmark, ROWS[benchmark], "Hm").outcome is Outcome.NO_ANSWER
    assert (
        llmbench.grade(benchmark, ROWS[benchmark], "Hm", finish_reason="length").outcome is Outcome.TRUNCATED
    )


def test_in_a_text_that_the_limit_cut_off_only_a_stated_answer_counts() -> None:
    row, said, stated = ROWS["gsm8k"], RIGHT["gsm8k"], "The answer is 2125."
    assert llmbench.grade("gsm8k", row, said, "length").outcome is Outcome.TRUNCATED
    assert llmbench.grade("gsm8k", row, stated, "length").outcome is Outcome.CORRECT
    assert llmbench.grade("gsm8k", row, said, "stop_string").outcome is Outcome.CORRECT


def test_the_gold_answer_alone_is_enough() -> None:
    assert llmbench.grade("math", {"answer": "3"}, "\\boxed{3}").value == 1.0
    assert llmbench.grade("aime", {"answer": 25}, "\\boxed{025}").value == 1.0
    assert llmbench.grade("gsm8k", {"answer": "1,450"}, "That makes 1450.").value == 1.0


def test_the_edge_cases_grade_as_the_table_says() -> None:
    """Through the public function, with the rows of the table as the hub would name their fields."""
    table = CASES / "edge_cases.jsonl"
    fields = {"math": "math", "aime": "aime", "gsm8k": "gsm8k"}
    for case in map(json.loads, table.read_text().splitlines()):
        if case["kind"] not in fields:
            continue
        gold = f"#### {case['gold']}" if case["kind"] == "gsm8k" else case["gold"]
        row = {"problem": "?", "question": "?", "answer": gold, "id": 1, "unique_id": "1"}
        graded = llmbench.grade(fields[case["kind"]], row, case["output"])
        assert (graded.value == 1.0) == case["expected_correct"], case["id"]


def test_unknown_names_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="math"):
        llmbench.grade("mathh", {}, "")
    with pytest.raises(RunError, match="not the folder of a run"):
        llmbench.load_run(tmp_path)
    with pytest.raises(ValueError, match="halted"):
        llmbench.grade("math", ROWS["math"], "", finish_reason="halted")
