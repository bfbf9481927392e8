"""The knowledge benchmarks that a YAML alone describes: rows in the hub's schema, read from folders as the hub has them.

Each set has twelve questions of our own, in two subjects, and where its protocol has worked examples, five more of each subject.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import llmbench
from llmbench.config.schema import Config
from llmbench.engine.fake import WordTokenizer
from llmbench.errors import DataError
from llmbench.records import Outcome, Request
from llmbench.report.score_charts import by_group
from llmbench.run.comparability import why_not_comparable
from llmbench.run.request_plan import Questions, RequestPlan
from tests.helpers.reports import figures_of
from tests.helpers.runs import make
from tests.helpers.settings import compose

LETTERS = "ABCDEFGHIJ"


class Fact(NamedTuple):
    subject: str
    question: str
    choices: tuple[str, ...]
    right: int

    @property
    def letter(self) -> str:
        return LETTERS[self.right]


def facts(subject: str, first: int, count: int) -> list[Fact]:
    """Sums and products; the places of the right choice go round."""
    found = []
    for number in range(first, first + count):
        value = 2 * number if subject == "math" else 12 * number
        ask = f"What is {number} + {number}?" if subject == "math" else f"Months in {number} years?"
        right = number % 4
        choices = tuple(str(value + place - right) for place in range(4))
        found.append(Fact(subject, ask, choices, right))
    return found


ASKED = [*facts("math", 1, 6), *facts("time", 1, 6)]
SHOWN = [*facts("time", 20, 5), *facts("math", 20, 5)]


def mmlu(fact: Fact, _number: int) -> dict[str, Any]:
    return {
        "question": fact.question,
        "subject": fact.subject,
        "choices": list(fact.choices),
        "answer": fact.right,
    }


def mmlu_pro(fact: Fact, number: int) -> dict[str, Any]:
    more = [f"none of {number}", f"all of {number}"] * (number % 4)
    worked = f"A: Let's think step by step. It is {fact.choices[fact.right]}. The answer is ({fact.letter})."
    return {
        "question_id": 70 + number, "question": fact.question, "options": [*fact.choices, *more], "answer": fact.letter,
        "answer_index": fact.right, "cot_content": worked if fact in SHOWN else "", "category": fact.subject, "src": "own",
    }  # fmt: skip


def supergpqa(fact: Fact, number: int) -> dict[str, Any]:
    return {
        "uuid": f"{number:032x}", "question": fact.question, "options": list(fact.choices), "answer": fact.choices[fact.right],
        "answer_letter": fact.letter, "discipline": fact.subject, "field": "Numbers", "subfield": "Small numbers",
        "difficulty": "easy", "is_calculation": True,
    }  # fmt: skip


def arc(fact: Fact, number: int) -> dict[str, Any]:
    labels = list("1234" if number % 3 == 0 else "ABCD")
    choices = {"text": list(fact.choices), "label": labels}
    return {
        "id": f"Own_{number}",
        "question": fact.question,
        "choices": choices,
        "answerKey": labels[fact.right],
    }


def gpqa(fact: Fact, number: int) -> dict[str, Any]:
    right, *wrong = fact.choices[fact.right :] + fact.choices[: fact.right]
    others = {f"Incorrect Answer {place}": f"{text}\n" for place, text in enumerate(wrong, 1)}
    return {
        "Record ID": f"rec{number}", "Question": fact.question, "Correct Answer": right, **others,
        "High-level domain": fact.subject.title(), "Subdomain": "Numbers",
    }  # fmt: skip


class KnowledgeSet(NamedTuple):
    """A benchmark, how a fact is a row of it, its splits, and how an answer is written."""

    row: Callable[[Fact, int], dict[str, Any]]
    config: str
    splits: Mapping[str, Sequence[Fact]]
    said: str = "So it is.\nAnswer: {}"
    group: str | None = "subject"
    ids: Callable[[int], str] = str


SETS = {
    "mmlu": KnowledgeSet(mmlu, "all", {"test": ASKED, "dev": SHOWN}),
    "mmlu_pro": KnowledgeSet(
        mmlu_pro, "default", {"test": ASKED, "validation": SHOWN}, "So it is. The answer is ({})."
    ),
    "supergpqa": KnowledgeSet(supergpqa, "default", {"train": ASKED}),
    "arc_challenge": KnowledgeSet(arc, "ARC-Challenge", {"test": ASKED, "train": SHOWN}, group=None),
    "arc_easy": KnowledgeSet(arc, "ARC-Easy", {"test": ASKED, "train": SHOWN}, group=None),
    "gpqa_main": KnowledgeSet(gpqa, "gpqa_main", {"train": ASKED}, group="domain", ids="rec{}".format),
    "gpqa_extended": KnowledgeSet(
        gpqa, "gpqa_extended", {"train": ASKED}, group="domain", ids="rec{}".format
    ),
}
SIZES = {
    "mmlu": 14042, "mmlu_pro": 12032, "supergpqa": 26529, "arc_challenge": 1172, "arc_easy": 2376, "gpqa_main": 448,
    "gpqa_extended": 546,
}  # fmt: skip


def features(name: str) -> Any:  # noqa: ANN401 - of `datasets`
    """The types of the hub's columns, where they are not what plain values get."""
    from datasets import ClassLabel, Features, Sequence, Value

    text = Value("string")
    if name == "mmlu":
        texts = {"question": text, "subject": text, "choices": Sequence(text)}
        return Features({**texts, "answer": ClassLabel(names=list("ABCD"))})
    if name.startswith("arc"):
        lists = Sequence({"text": text, "label": text})
        return Features({"id": text, "question": text, "choices": lists, "answerKey": text})
    return None


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each set, with the files that the hub has of it."""
    import datasets

    datasets.disable_progress_bars()
    root = tmp_path_factory.mktemp("hub")
    datasets.config.HF_DATASETS_CACHE = root / "cache"
    for name, each in SETS.items():
        files = ""
        for split, content in each.splits.items():
            rows = [each.row(fact, number) for number, fact in enumerate(content, 1)]
            path = f"{each.config}/{split}-00000-of-00001.parquet"
            (root / name / each.config).mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_list(rows, features=features(name)).to_parquet(root / name / path)
            files += f"  - split: {split}\n    path: {path}\n"
        card = f"---\nconfigs:\n- config_name: {each.config}\n  data_files:\n{files}---\n"
        (root / name / "README.md").write_text(card)
    return root


def typed(hub: Path, name: str, *more: str) -> list[str]:
    return [f"benchmark={name}", f"benchmarks.{name}.hub_id={hub / name}", "profile=published", *more]


def written(hub: Path, name: str, *more: str) -> tuple[Config, Questions]:
    config = compose(typed(hub, name, *more))
    return config, RequestPlan.read(config).write(WordTokenizer())


def answers(hub: Path, name: str, folder: Path, *, right: bool) -> llmbench.Run:
    """A whole run, in which each answer is right or wrong."""
    _, questions = written(hub, name)

    def reply(request: Request) -> str:
        target = questions.asked[request.benchmark, request.sample_id].sample.target
        return SETS[name].said.format(target if right else "BCDA"["ABCD".index(target)])

    return llmbench.load_run(make(folder / name, reply, *typed(hub, name)))


@pytest.mark.parametrize("name", SETS)
def test_right_answers_score_everything_and_wrong_ones_nothing(hub: Path, tmp_path: Path, name: str) -> None:
    run = answers(hub, name, tmp_path / "right", right=True)
    summary = run.summary.benchmarks[name]
    assert (summary.samples, summary.accuracy) == (12, 1.0)
    group = SETS[name].group
    subjects = {"subject": ["math (6)", "time (6)"], "domain": ["Math (6)", "Time (6)"]}
    shown = [trace["y"] for figure in by_group(run.results) for trace in figure["data"]]
    assert shown == ([] if group is None else [subjects[group]])
    page = (run.folder / "report.html").read_text()
    assert (f"by-{name}-{group}" in figures_of(page)) is (group is not None)
    journal = (run.folder / "samples.jsonl").read_text()
    assert (ASKED[0].question in journal) is not name.startswith("gpqa")
    wrong = answers(hub, name, tmp_path / "wrong", right=False)
    assert wrong.summary.benchmarks[name].accuracy == 0
    assert {result.score.outcome for result in wrong.results} == {Outcome.WRONG}


@pytest.mark.parametrize("name", SETS)
def test_a_question_has_the_same_id_on_the_hub_and_in_a_local_copy(
    hub: Path, tmp_path: Path, name: str
) -> None:
    _, questions = written(hub, name)
    ids = list(map(SETS[name].ids, range(1, 13)))
    assert questions.samples_of(name) == ids
    copy = tmp_path / "copy.jsonl"
    (split,) = {"test", "train"} & SETS[name].splits.keys() if name[:3] != "arc" else {"test"}
    rows = [SETS[name].row(fact, number) for number, fact in enumerate(SETS[name].splits[split], 1)]
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, questions = written(hub, name, f"benchmarks.{name}.data_files={copy}")
    assert questions.samples_of(name) == ids


LINE = "End with a line `Answer: LETTER`, where LETTER is the letter of the right choice."
STEPS = 'Think step by step, and finish with "The answer is (X)", where X is the letter of the right choice.'
FIRST = "What is 1 + 1?\n\nA. 1\nB. 2\nC. 3\nD. 4"
PROMPTS = {
    "mmlu": f"{FIRST}\n\n{LINE}",
    "mmlu_pro": f"{FIRST}\nE. none of 1\nF. all of 1\n\n{STEPS}",
    "supergpqa": f"{FIRST}\n\n{LINE}",
    "arc_challenge": f"{FIRST}\n\n{LINE}",
    "arc_easy": f"{FIRST}\n\n{LINE}",
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_question_without_worked_examples(hub: Path, name: str) -> None:
    _, questions = written(hub, name, "fewshot=0")
    assert questions.asked[name, "1"].text == f"<user>\n{PROMPTS[name]}\n<assistant>\n"


EXAMPLES = {
    "mmlu": "What is 20 + 20?\n\nA. 40\nB. 41\nC. 42\nD. 43\n\n" + LINE + "\n<assistant>\nAnswer: A",
    "mmlu_pro": "What is 20 + 20?\n\nA. 40\nB. 41\nC. 42\nD. 43\nE. none of 6\nF. all of 6\nG. none of 6\nH. all of 6\n\n"
    + STEPS
    + "\n<assistant>\nLet's think step by step. It is 40. The answer is (A).",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_published_protocol_shows_the_first_examples_of_the_subject_in_their_order(
    hub: Path, name: str
) -> None:
    config, questions = written(hub, name)
    text = questions.asked[name, "1"].text
    assert text.startswith(f"<user>\n{EXAMPLES[name]}\n<user>\nWhat is 21 + 21?")
    assert text.endswith(f"<user>\n{PROMPTS[name]}\n<assistant>\n")
    shown = [line for line in text.splitlines() if line.startswith(("What", "Months"))]
    assert shown == [fact.question for fact in [*facts("math", 20, 5), ASKED[0]]]
    of_time = questions.asked[name, "7"].text
    shown = [line for line in of_time.splitlines() if line.startswith(("What", "Months"))]
    assert shown == [fact.question for fact in [*facts("time", 20, 5), ASKED[6]]]
    said = why_not_comparable(config, questions, None)
    assert not any("fewshot" in reason for reason in said)
    assert f"{name}'s questions out of a folder, which may be others than the published ones" in said
    config, questions = written(hub, name, "fewshot=2")
    assert questions.asked[name, "1"].text.count("<user>") == 3
    assert f"benchmarks.{name}.fewshot=2" in why_not_comparable(config, questions, None)


def test_a_base_model_reads_the_worked_answers_as_mmlu_pro_has_them(hub: Path) -> None:
    _, questions = written(hub, "mmlu_pro", "chat=false", "fewshot=1")
    assert "\nAnswer: Let's think step by step. It is 40. The answer is (A).\n\nQuestion: What is 1 + 1?" in (
        questions.asked["mmlu_pro", "1"].text
    )


SCORED = {
    "mmlu": "The following are multiple choice questions (with answers) about math.\n\nWhat is 20 + 20?\nA. 40\nB. 41\nC. 42\nD. 43\n"
    "Answer: A\n\nWhat is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:",
    "mmlu_pro": "What is 20 + 20?\nA. 40\nB. 41\nC. 42\nD. 43\nE. none of 6\nF. all of 6\nG. none of 6\nH. all of 6\nAnswer: A\n\n"
    "What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nE. none of 1\nF. all of 1\nAnswer:",
}


@pytest.mark.parametrize("name", SCORED)
def test_where_choices_are_scored_examples_have_letters_and_nothing_is_asked_for(
    hub: Path, name: str
) -> None:
    """MMLU's prompt is lm-evaluation-harness's, with the name of the subject."""
    config, questions = written(hub, name, "scoring=loglikelihood", "fewshot=1")
    assert questions.asked[name, "1"].text == SCORED[name]
    assert [choice.text for choice in questions.asked[name, "1"].choices][:4] == list("ABCD")
    said = why_not_comparable(config, questions, None)
    assert f"benchmarks.{name}.scoring=loglikelihood" in said
    assert not any("chat" in reason or "max_tokens" in reason for reason in said)


@pytest.mark.parametrize("name", ["arc_challenge", "arc_easy"])
def test_where_choices_are_scored_arc_has_their_texts_behind_the_question_alone(hub: Path, name: str) -> None:
    _, questions = written(hub, name, "scoring=loglikelihood")
    asked = questions.asked[name, "1"]
    assert asked.text == "Question: What is 1 + 1?\nAnswer:"
    assert [(choice.name, choice.text) for choice in asked.choices] == list(zip("ABCD", "1234", strict=True))
    _, questions = written(hub, name, "scoring=loglikelihood", "fewshot=2")
    shown = questions.asked[name, "1"].text.split("\n\n")
    assert len(shown) == 3
    assert all(re.fullmatch(r"Question: .+\?\nAnswer: \d+", example) for example in shown[:-1])


def test_more_examples_than_a_subject_has_are_refused(hub: Path) -> None:
    with pytest.raises(
        DataError, match=r"fewshot=6 is more than the 5 worked examples of the subject 'math'"
    ):
        written(hub, "mmlu", "fewshot=6")
    _, questions = written(hub, "mmlu", "fewshot=6", "benchmarks.mmlu.fewshot_by=null")
    assert questions.asked["mmlu", "1"].text.count("<user>") == 7


def test_examples_out_of_the_evaluated_questions_are_never_the_question_itself(hub: Path) -> None:
    config, questions = written(hub, "supergpqa", "fewshot=5")
    for asked in questions.asked.values():
        assert asked.text.count(f"{asked.sample.fields['question']}\n") == 1
        assert asked.text.count("<user>") == 6
    assert "worked examples out of supergpqa's evaluated questions" in why_not_comparable(
        config, questions, None
    )


@pytest.mark.parametrize("name", SETS)
def test_the_settings_name_the_split_and_its_size(name: str) -> None:
    settings = compose([f"benchmark={name}"]).benchmarks[name]
    each = SETS[name]
    assert settings.hub_config in (each.config, None)
    assert settings.split in each.splits
    assert settings.fewshot_split is None or settings.fewshot_split in each.splits
    assert settings.size == SIZES[name]
    assert settings.sealed is name.startswith("gpqa")
    assert settings.fewshot == 0
