"""IFEval: rows as the hub has them, what of a text is graded, the four scores, and the whole pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks.base import score
from llmbench.benchmarks.ifeval import Followed, IFEval, instructions_followed
from llmbench.benchmarks.ifeval.checks import CHECKS
from llmbench.errors import ConfigError, DataError
from llmbench.records import FinishReason, Outcome, Result, Sample, Score
from llmbench.results.reader import load_run
from llmbench.run.regrade import regrade_run
from tests.helpers.paths import DATA
from tests.helpers.runs import make


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


ROWS = lines("ifeval_sample.jsonl")
OUTPUTS = {str(output["key"]): output for output in lines("ifeval_sample_outputs.jsonl")}
SETTINGS = (
    "benchmark=ifeval",
    "engine=fake",
    "profile=published",
    f"benchmarks.ifeval.data_files={DATA / 'ifeval_sample.jsonl'}",
)
COMMAS: dict[str, Any] = {
    "key": 7,
    "prompt": "  Name a bird.\n",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{}, {"relation": "at least", "num_words": 2}],
}


def sample(**changes: object) -> Sample:
    (found,) = IFEval().load([{**COMMAS, **changes}], {}, 0)
    return found


def graded(text: str, reason: FinishReason = FinishReason.STOP) -> Score:
    return score(IFEval(), sample(), text, reason)


def result(found: Score, key: int = 7) -> Result:
    fields = IFEval().stored_fields(sample())
    return Result("ifeval", str(key), 0, "", "", "", "", (), found, fields=fields)


def test_the_sample_rows_have_all_checks() -> None:
    assert {name for row in ROWS for name in row["instruction_id_list"]} == set(CHECKS)


@pytest.mark.parametrize("key", OUTPUTS)
def test_right_answers_pass_and_wrong_ones_do_not(key: str) -> None:
    samples = {each.id: each for each in IFEval().load(ROWS, {}, 0)}
    outcomes = {
        name: score(IFEval(), samples[key], OUTPUTS[key][name], FinishReason.STOP).outcome
        for name in ("right", "wrong")
    }
    assert outcomes == {"right": Outcome.CORRECT, "wrong": Outcome.WRONG}


def test_the_prompt_is_asked_as_it_stands() -> None:
    assert IFEval().question(sample()) == "  Name a bird.\n"


def test_what_a_check_does_not_read_is_not_kept() -> None:
    padded = {"relation": "at least", "num_words": 2, "keywords": None, "num_bullets": None}
    assert sample(kwargs=[{"num_words": None}, padded]).fields["kwargs"] == COMMAS["kwargs"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": None}, "Row 0 .* 'key'"),
        ({"prompt": " "}, "'prompt'"),
        ({"instruction_id_list": "punctuation:no_comma"}, "list of names"),
        ({"instruction_id_list": []}, "list of names"),
        ({"kwargs": [{}]}, "as many objects"),
        ({"kwargs": None}, "as many objects"),
        ({"kwargs": [{}, "2"]}, "'2' as 'kwargs'"),
        ({"instruction_id_list": ["punctuation:no_comma", "length:words"]}, "'length:words', which is none"),
        ({"kwargs": [{}, {"num_words": 2}]}, "None as the 'relation'"),
        ({"kwargs": [{}, {"num_words": 2, "relation": "at most"}]}, "'at most' as the 'relation'"),
        ({"kwargs": [{}, {"num_words": "2", "relation": "at least"}]}, "'2' as the 'num_words'"),
        ({"kwargs": [{}, {"num_words": True, "relation": "at least"}]}, "True as the 'num_words'"),
        ({"kwargs": [{}, {"num_words": -1, "relation": "at least"}]}, "-1 as the 'num_words'"),
    ],
)
def test_rows_that_cannot_be_graded_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        sample(**changes)


@pytest.mark.parametrize("words", [[], ["a", ""], "a", None])
def test_keywords_are_texts(words: object) -> None:
    with pytest.raises(DataError, match="'keywords'"):
        sample(instruction_id_list=["keywords:existence"], kwargs=[{"keywords": words}])


def test_there_are_no_options() -> None:
    with pytest.raises(ConfigError, match="strict"):
        IFEval().load([COMMAS], {"strict": True}, 0)


@pytest.mark.parametrize("text", ["", " \n\t", "<think>A wren</think>\n\n"])
def test_an_empty_text_is_no_answer(text: str) -> None:
    assert graded(text).outcome is Outcome.NO_ANSWER


def test_a_text_that_was_cut_off_is_graded_as_it_stands() -> None:
    assert graded("A wren and a", FinishReason.LENGTH).outcome is Outcome.CORRECT
    assert graded("A wren, a", FinishReason.LENGTH).outcome is Outcome.WRONG


def test_a_text_that_was_cut_off_in_its_thinking_is_truncated() -> None:
    assert graded("<think>A wren, or", FinishReason.LENGTH).outcome is Outcome.TRUNCATED


def test_thinking_is_not_graded() -> None:
    found = graded("<think>A wren, or a lark</think>\n\nA wren.")
    assert (found.outcome, found.answer) == (Outcome.CORRECT, "A wren.")


def test_the_empty_line_at_an_end_is_the_last_line() -> None:
    """As in the published checks: without its last line the remark is still there."""
    assert graded("A fine wren.\nHope it helps, friend.").explanation == (
        "followed: length_constraints:number_words; only loosely: punctuation:no_comma"
    )
    assert graded("A fine wren.\nHope it helps, friend.\n").explanation == (
        "followed: length_constraints:number_words; not followed: punctuation:no_comma"
    )


def test_the_explanation_tells_of_each_instruction() -> None:
    found = graded("A wren, a lark")
    assert instructions_followed(result(found)) == [
        ("length_constraints:number_words", Followed.STRICTLY),
        ("punctuation:no_comma", Followed.NOT),
    ]


def test_the_four_scores() -> None:
    texts = ["A wren.", "Sure, here:\nA wren.", "wren", "a, b", ""]
    assert IFEval().details([result(graded(text), n) for n, text in enumerate(texts)]) == {
        "accuracy_is": "prompt_level_strict",
        "prompt_level_loose": 2 / 5,
        "inst_level_strict": 5 / 10,
        "inst_level_loose": 6 / 10,
        "groups": {
            "length_constraints": {"n": 5, "strict": 3 / 5, "loose": 3 / 5},
            "punctuation": {"n": 5, "strict": 2 / 5, "loose": 3 / 5},
        },
        "instructions": {
            "punctuation:no_comma": {"n": 5, "strict": 2 / 5, "loose": 3 / 5},
            "length_constraints:number_words": {"n": 5, "strict": 3 / 5, "loose": 3 / 5},
        },
    }


def test_an_answer_that_was_not_graded_follows_nothing() -> None:
    broken = Score(0.0, None, Outcome.ERROR, "the engine broke: followed: all; sorry")
    assert instructions_followed(result(broken)) == [
        ("punctuation:no_comma", Followed.NOT),
        ("length_constraints:number_words", Followed.NOT),
    ]


@pytest.mark.parametrize(("name", "accuracy"), [("right", 1.0), ("wrong", 0.0)])
def test_a_run_gives_right_answers_all_and_wrong_ones_nothing(
    tmp_path: Path, name: str, accuracy: float
) -> None:
    folder = make(tmp_path / name, lambda request: str(OUTPUTS[request.sample_id][name]), *SETTINGS)
    summary = load_run(folder).summary.benchmarks["ifeval"]
    assert (summary.n, summary.accuracy) == (len(ROWS), accuracy)
    assert summary.details is not None
    assert summary.details["prompt_level_loose"] == accuracy
    assert set(summary.details["instructions"]) == set(CHECKS)
    assert regrade_run(folder, workers=1).changes == ()
