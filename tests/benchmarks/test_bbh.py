"""BIG-Bench Hard: rows as the hub has them, the published prompts, what of a text is graded for each kind of task, and the whole pipeline."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks import dataset, hub
from llmbench.benchmarks.base import score
from llmbench.benchmarks.bbh import BBH, PROMPTS
from llmbench.benchmarks.bbh.tasks import KINDS
from llmbench.benchmarks.rows import Loaded, Row
from llmbench.config.schema import BenchmarkConfig
from llmbench.engine.fake import WordTokenizer
from llmbench.errors import ConfigError, DataError
from llmbench.records import FinishReason, Outcome, Request, Sample, Score
from llmbench.results.reader import load_run
from llmbench.run.comparability import few_shot_from_evaluated, why_not_comparable
from llmbench.run.prompts import PromptWriter
from llmbench.run.request_plan import RequestPlan
from tests.helpers.paths import DATA
from tests.helpers.runs import make
from tests.helpers.settings import compose

FILE = DATA / "bbh_sample.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text().splitlines()]
SETTINGS = ("benchmark=bbh", "engine=fake", "profile=published", f"benchmarks.bbh.data_files={FILE}")
SAMPLES = {sample.id: sample for sample in BBH().load(ROWS, {}, 0)}


def graded(task: str, text: str, reason: FinishReason = FinishReason.STOP) -> Score:
    sample = SAMPLES[f"{task}/0"]
    return score(
        BBH(), Sample(sample.id, BBH().stored_fields(sample), sample.target), text, reason
    )  # as a grader has it


def test_there_are_27_tasks_each_with_three_published_examples() -> None:
    assert len(KINDS) == 27
    assert {path.stem for path in PROMPTS.glob("*.txt")} == set(KINDS)
    for task in KINDS:
        examples = BBH().own_examples(Sample("", {"subject": task}, ""))
        assert ["description" in example.fields for example in examples] == [True, False, False]


def test_the_published_prompts_are_unchanged() -> None:
    texts = {path.stem: path.read_text().partition("\n-----\n")[2] for path in sorted(PROMPTS.glob("*.txt"))}
    assert texts["sports_understanding"].startswith(
        "Determine whether an artificially constructed sentence relating to sports is plausible or not.\n\nQ: "
    )
    assert sha256(json.dumps(texts).encode()).hexdigest()[:16] == "b6446481637769f5"
    assert all("canary GUID 26b5c67b-" in path.read_text() for path in PROMPTS.glob("*.txt"))
    assert "MIT License" in (PROMPTS / "LICENSE").read_text()


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_a_published_solution_is_right(task: str, reason: FinishReason) -> None:
    for example in BBH().own_examples(Sample("", {"subject": task}, "")):
        solution = BBH().worked_example(example)
        gold = solution.rpartition("the answer is ")[2].removesuffix(".")
        row = {"input": example.fields["input"], "target": gold, "config": task}
        (sample,) = BBH().load([row], {}, 0)
        assert score(BBH(), sample, solution, reason).outcome is Outcome.CORRECT


def test_ids_are_the_task_and_the_place_in_it() -> None:
    assert list(SAMPLES)[-2:] == ["word_sorting/0", "word_sorting/1"]
    assert next(iter(SAMPLES)) == "boolean_expressions/0"
    assert {BBH().subject(sample) for sample in SAMPLES.values()} <= set(KINDS)


def test_a_smaller_number_of_tasks_keeps_the_ids() -> None:
    options = {"tasks": ["word_sorting", "navigate"]}
    assert BBH().hub_configs(options) == ["word_sorting", "navigate"]
    assert [sample.id for sample in BBH().load(ROWS, options, 0)] == [
        "navigate/0",
        "word_sorting/0",
        "word_sorting/1",
    ]
    assert BBH().hub_configs({"tasks": None}) == list(KINDS)


@pytest.mark.parametrize("tasks", [["wordsorting"], [], "navigate", 3])
def test_a_task_that_there_is_not_is_refused(tasks: object) -> None:
    with pytest.raises(ConfigError, match=r"benchmarks\.bbh\.options\.tasks"):
        BBH().hub_configs({"tasks": tasks})


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"config": "chess"}, "'chess' as 'config', which is none of the 27 tasks"),
        ({"target": "(D)"}, r"'\(D\)', is none of its options"),
        ({"config": "navigate"}, r"'\(A\)', is not a word as navigate has"),
        ({"config": "object_counting"}, r"'\(A\)', is not a number as object_counting has"),
        ({"config": "dyck_languages", "target": "none"}, "'none', is not a brackets as dyck_languages has"),
        ({"input": ""}, "nothing under 'input'"),
    ],
)
def test_a_row_that_cannot_be_graded_is_named(changes: dict[str, object], hint: str) -> None:
    with pytest.raises(DataError, match=hint) as caught:
        BBH().load([{**ROWS[2], **changes}], {}, 0)
    assert "row 0" in str(caught.value).lower()


TEXTS = [
    ("boolean_expressions", "So the answer is **True**.", "correct", "True"),
    ("boolean_expressions", "= not False = True. So the answer is False.", "wrong", "False"),
    ("boolean_expressions", "\\boxed{\\text{True}}", "correct", "True"),
    ("boolean_expressions", "The answer is $\\boxed{true}$.", "correct", "True"),
    ("boolean_expressions", "The answer is False. Wait, no.\n\nSo the answer is True.", "correct", "True"),
    ("boolean_expressions", "<think>So the answer is False.</think>It is True", "correct", "True"),
    ("boolean_expressions", "True or False, who can say", "no_answer", None),
    ("boolean_expressions", "So the answer is unclear.", "no_answer", None),
    ("navigate", "A short answer, no more.", "no_answer", None),
    ("navigate", "No, you end up one step away.", "correct", "No"),
    ("navigate", "You do, yes", "wrong", "Yes"),
    ("causal_judgement", "**Answer:** Yes", "correct", "Yes"),
    ("causal_judgement", "So the answer is:\n\n**No**", "wrong", "No"),
    ("date_understanding", "So the answer is (A).", "correct", "A"),
    ("date_understanding", "So the answer is 03/01/2031.", "correct", "A"),
    ("date_understanding", "So the answer is (C).", "wrong", "C"),
    ("date_understanding", "So the answer is (F).", "no_answer", None),
    ("dyck_languages", "So the answer is > ] }.", "correct", "> ] }"),
    ("dyck_languages", "So the answer is: `>]}`", "correct", "> ] }"),
    ("dyck_languages", "So the answer is\n\n> ] }", "correct", "> ] }"),
    ("dyck_languages", "So the answer is ] > }.", "wrong", "] > }"),
    ("dyck_languages", "So the answer is { [ < ( ) > ] }.", "wrong", "{ [ < ( ) > ] }"),
    ("dyck_languages", "We close them.\n> ] }", "correct", "> ] }"),
    ("dyck_languages", "The stack (of brackets) is empty", "no_answer", None),
    ("formal_fallacies", "The argument is deductively valid.", "correct", "valid"),
    ("formal_fallacies", "So the answer is not valid.", "wrong", "invalid"),
    ("formal_fallacies", "So the answer is Invalid.", "wrong", "invalid"),
    ("hyperbaton", "So the answer is (B).", "correct", "B"),
    ("movie_recommendation", "So the answer is Salt, Inc.", "correct", "Salt, Inc"),
    ("movie_recommendation", "So the answer is (C).", "wrong", "(C)."),
    ("multistep_arithmetic_two", "2 * -5 = -10. So the answer is -10.", "correct", "-10"),
    ("multistep_arithmetic_two", "So the answer is 10.", "wrong", "10"),
    ("navigate", "So the answer is No, you do not.", "correct", "No"),
    ("object_counting", "2 + 5 = 7. So the answer is 7.", "correct", "7"),
    ("object_counting", "So the answer is 8.", "wrong", "8"),
    ("sports_understanding", "So the answer is No.", "correct", "no"),
    ("web_of_lies", "So the answer is No.\n\nQ: Does Kim?\nA: So the answer is Yes.", "correct", "No"),
    ("word_sorting", "So the answer is anchor lamp plum r&b.", "correct", "anchor lamp plum r&b"),
    ("word_sorting", "So the answer is anchor, lamp, plum, R&B.", "correct", "anchor lamp plum r&b"),
    (
        "word_sorting",
        "The answer is:\n\n1. anchor\n2. lamp\n3. plum\n4. r&b\n",
        "correct",
        "anchor lamp plum r&b",
    ),
    ("word_sorting", '"anchor" < "lamp" < "plum" < "r&b"', "correct", "anchor lamp plum r&b"),
    (
        "word_sorting",
        "So the answer is anchor lamp plum r&b. That was easy.",
        "correct",
        "anchor lamp plum r&b",
    ),
    ("word_sorting", "So the answer is lamp anchor plum r&b.", "wrong", "lamp anchor plum r&b"),
    ("word_sorting", "So the answer is anchor lamp plum.", "wrong", "anchor lamp plum"),
    ("boolean_expressions", "So the answer is not False, so True.", "correct", "True"),
    ("boolean_expressions", "So the answer is not ( False ) and ( True ) = True.", "correct", "True"),
    ("boolean_expressions", "So the answer is not not False.", "wrong", "False"),
    ("boolean_expressions", "So the answer is True or False.", "no_answer", None),
    ("boolean_expressions", "not False = True. True or False = True", "correct", "True"),
    ("causal_judgement", "So the answer is not No.", "correct", "Yes"),
    ("causal_judgement", "So the answer is yes or no.", "no_answer", None),
    ("causal_judgement", "So the answer is Yes, not No.", "correct", "Yes"),
    ("formal_fallacies", "The argument is **not** valid.", "wrong", "invalid"),
    ("formal_fallacies", "So the argument isn't deductively valid.", "wrong", "invalid"),
    ("formal_fallacies", "Hence it cannot be valid.", "wrong", "invalid"),
    ("formal_fallacies", "So the answer is not invalid.", "correct", "valid"),
    ("dyck_languages", "So the answer is > ] } (three brackets).", "correct", "> ] }"),
    ("dyck_languages", "So the answer is > ] }. So the whole is { [ < > ] }.", "correct", "> ] }"),
    ("dyck_languages", "So the answer is, in order: > ] }.", "correct", "> ] }"),
    ("dyck_languages", "So the answer is $\\boxed{> ] }}$.", "correct", "> ] }"),
    ("dyck_languages", "\\boxed{\\text{> ] \\}}}", "correct", "> ] }"),
    ("dyck_languages", "So the answer is \\(> ] }\\).", "correct", "> ] }"),
    ("dyck_languages", "The rest of the sequence is: > ] }", "correct", "> ] }"),
    ("dyck_languages", "```\n> ] }\n```", "correct", "> ] }"),
    ("word_sorting", "So the answer is anchor, lamp, plum, and r&b.", "correct", "anchor lamp plum r&b"),
    ("word_sorting", "Sorted:\n1. anchor\n2. lamp\n3. plum\n4. r&b", "correct", "anchor lamp plum r&b"),
    ("word_sorting", "By letters:\n\nanchor lamp plum r&b", "correct", "anchor lamp plum r&b"),
    ("word_sorting", "The sorted words: anchor lamp plum r&b", "correct", "anchor lamp plum r&b"),
    ("word_sorting", "I sort them.\n\nThis is hard to say.", "no_answer", None),
    *((task, "", "no_answer", None) for task in ("navigate", "word_sorting", "dyck_languages")),
]


@pytest.mark.parametrize(("task", "text", "outcome", "answer"), TEXTS)
def test_an_answer_is_graded_as_its_task_has_it(
    task: str, text: str, outcome: str, answer: str | None
) -> None:
    found = graded(task, text)
    assert (found.outcome, found.answer) == (outcome, answer)


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("word_sorting", "So the answer is anchor lamp plum r&b"),
        ("dyck_languages", "So the answer is > ] }"),
        ("formal_fallacies", "The argument is valid"),
        ("navigate", "So the answer is"),
    ],
)
def test_what_the_token_limit_may_have_cut_is_no_answer(task: str, text: str) -> None:
    assert graded(task, text, FinishReason.LENGTH).outcome is Outcome.TRUNCATED
    assert (
        graded(task, f"So the answer is {SAMPLES[f'{task}/0'].target}. And", FinishReason.LENGTH).value == 1
    )


def test_a_question_is_asked_behind_the_published_examples() -> None:
    plan = RequestPlan.read(compose(SETTINGS))
    asked = {each.sample.id: each for each in plan.write(WordTokenizer()).asked.values()}
    turns = asked["sports_understanding/0"].messages
    instruction = '\n\nThink step by step, and end with the sentence "So the answer is ANSWER."'
    assert [turn.role for turn in turns] == ["user", "assistant"] * 3 + ["user"]
    assert turns[0].content == (
        "Determine whether an artificially constructed sentence relating to sports is plausible or not.\n\n"
        f'Is the following sentence plausible? "Bam Adebayo scored a reverse layup in the Western Conference Finals."{instruction}'
    )
    assert turns[1].content == (
        "Let's think step by step. Bam Adebayo is an American basketball player. Scoring a reverse layup in the Western Conference Finals is "
        "part of the NBA Finals. So the answer is yes."
    )
    assert turns[-1].content == ROWS[10]["input"] + instruction


@pytest.mark.parametrize(("shown", "turns"), [(0, 1), (1, 3), (3, 7)])
def test_fewer_examples_are_shown_where_the_settings_say_so(shown: int, turns: int) -> None:
    config = compose([*SETTINGS, f"benchmarks.bbh.fewshot={shown}"])
    questions = RequestPlan.read(config).write(WordTokenizer())
    assert {len(each.messages) for each in questions.asked.values()} == {turns}
    said = why_not_comparable(config, questions, None)
    assert (f"benchmarks.bbh.fewshot={shown}" in said) == (shown != 3)


def test_more_examples_than_were_published_are_refused() -> None:
    plan = RequestPlan.read(compose([*SETTINGS, "benchmarks.bbh.fewshot=4"]))
    with pytest.raises(DataError, match=r"fewshot=4 is more than the 3 worked examples that there are"):
        plan.write(WordTokenizer())


def test_a_base_model_continues_the_published_examples() -> None:
    config = compose([*SETTINGS, "chat=false"])
    writer = PromptWriter(config, "bbh", BBH(), WordTokenizer())
    sample = SAMPLES["word_sorting/1"]
    text = writer.ask(sample, BBH().question(sample), BBH().own_examples(sample)).text
    assert text.startswith(
        "Question: Sort a list of words.\n\nSort the following words alphabetically: List: oven"
    )
    assert text.count("\nAnswer: Let's think step by step.\nThe first letter:") == 3
    assert text.endswith("\nAnswer:")


def test_the_published_examples_are_not_evaluated_questions() -> None:
    config = compose(SETTINGS)
    assert few_shot_from_evaluated(config) == []


def solution(request: Request) -> str:
    gold = {f"{s.id}": s.target for s in SAMPLES.values()}[request.sample_id]
    return f"Let's think step by step.\nThat is it. So the answer is {f'({gold})' if len(gold) == 1 and gold.isalpha() else gold}."


def test_gold_answers_are_all_right_and_wrong_ones_are_not(tmp_path: Path) -> None:
    right = load_run(make(tmp_path / "right", solution, *SETTINGS)).summary.benchmarks["bbh"]
    assert (right.n, right.accuracy) == (14, 1.0)
    wrong = load_run(make(tmp_path / "wrong", lambda _: "So the answer is 12 x.", *SETTINGS))
    assert wrong.summary.benchmarks["bbh"].accuracy == 0.0


def test_the_summary_has_the_mean_over_questions_and_over_tasks(tmp_path: Path) -> None:
    def sorts_alone(request: Request) -> str:
        return solution(request) if request.sample_id.startswith("word_sorting") else "So the answer is 12 x."

    found = load_run(make(tmp_path / "run", sorts_alone, *SETTINGS)).summary.benchmarks["bbh"]
    assert found.accuracy == pytest.approx(2 / 14)
    assert found.details is not None
    assert found.details["mean_over_tasks"] == pytest.approx(1 / 13)
    assert found.details["tasks"]["word_sorting"] == {"n": 2, "accuracy": 1.0}
    assert found.details["tasks"]["navigate"] == {"n": 1, "accuracy": 0.0}


def test_a_few_questions_are_drawn_from_all_tasks() -> None:
    rows = [{**row, "input": f"{row['input']} ({place})"} for row in ROWS[:13] for place in range(4)]
    samples = BBH().load(rows, {}, 0)
    assert len({sample.id for sample in samples}) == 52
    chosen = RequestPlan.read(compose([*SETTINGS, "limit=13"])).samples["bbh"].chosen
    assert len({BBH().subject(sample) for sample in chosen}) == 13


def test_each_configuration_on_the_hub_is_read_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(name: str, config: BenchmarkConfig) -> Loaded:
        assert (name, config.hub_id, config.split) == ("bbh", "SaylorTwift/bbh", "test")
        rows: list[Row] = [
            {name: row[name] for name in ("input", "target")}
            for row in ROWS
            if row["config"] == config.hub_config
        ]
        return Loaded(rows, "a" * 40, f"of {config.hub_config}", 10)

    monkeypatch.setattr(hub, "read_hub", read)
    config = compose(["benchmark=bbh"]).benchmarks["bbh"]
    tasks = ["word_sorting", "navigate"]
    rows, source = dataset.read_rows("bbh", config, BBH.columns, (), tasks)
    assert [row["config"] for row in rows] == ["word_sorting", "word_sorting", "navigate"]
    assert (source.source, source.revision, source.size_bytes) == ("SaylorTwift/bbh", "a" * 40, 20)
    again = dataset.read_rows("bbh", config, BBH.columns, (), tasks[:1])[1]
    assert again.fingerprint != source.fingerprint
