"""Data of one's own, from the command to the score: understood, or refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import llmbench
from llmbench.cli.main import main
from tests.helpers.own_data import colours, golds, grade_of, jsonl, right, sums
from tests.helpers.runs import make
from tests.helpers.settings import compose

QUICK = ("engine=fake", "report=false")


Write = Callable[[Path], object]
FILES: dict[str, tuple[Write, list[str], list[str]]] = {
    "jsonl, numbers with commas": (
        lambda f: jsonl(f / "mine.jsonl", *sums()),
        ["custom.data=mine.jsonl", "custom.grade=number", "custom.subject=topic"],
        ["1001", "2002", "3003", "4004", "5005", "6006"],
    ),
    "json list, whole numbers": (
        lambda f: (f / "mine.json").write_text(json.dumps([{"q": "1+1?", "a": 2}, {"q": "2+3?", "a": 5}])),
        ["custom.data=mine.json", "custom.question=q", "custom.answer=a", "custom.grade=integer"],
        ["2", "5"],
    ),
    "csv, a template, columns of choices, letters, other scripts": (
        colours,
        ["custom.data=mine.csv", r"custom.question={passage}\n\n{q}", "custom.choices=[a,b,c,d]", "custom.answer=label"],
        ["B", "A", "D"],
    ),
    "csv, semicolons": (
        lambda f: (f / "mine.csv").write_text('question;answer\n"1+1; and then?";2\n'),
        ["custom.data=mine.csv", "custom.grade=number"],
        ["2"],
    ),
    "csv, duplicates": (
        lambda f: (f / "mine.csv").write_text("question,answer\n1+1?,2\n1+1?,2\n"),
        ["custom.data=mine.csv", "custom.grade=number"],
        ["2", "2"],
    ),
    "parquet, lists of choices, numbers from 0": (
        lambda f: pd.DataFrame(
            {"question": ["1?", "2?"], "choices": [["a", "b", "c"], ["d", "e", "f"]], "answer": [2, 0]}
        ).to_parquet(f / "mine.parquet"),
        ["custom.data=mine.parquet", "custom.choices=choices"],
        ["C", "A"],
    ),
    "parquet, numbers beside a missing subject": (
        lambda f: pd.DataFrame({"question": ["1?", "2?"], "answer": [1.5, 3.0], "topic": ["x", None]}).to_parquet(
            f / "mine.parquet"
        ),
        ["custom.data=mine.parquet", "custom.grade=number", "custom.subject=topic"],
        ["1.5", "3"],
    ),
    "jsonl, choices by letter, texts as answers": (
        lambda f: jsonl(
            f / "mine.jsonl",
            {"question": "1?", "opts": {"A": "one", "B": "two"}, "answer": "two"},
            {"question": "2?", "opts": {"A": "one", "B": "two", "C": "three"}, "answer": "three"},
        ),
        ["custom.data=mine.jsonl", "custom.choices=opts"],
        ["B", "C"],
    ),
    "jsonl, the gold answer behind a mark": (
        lambda f: jsonl(f / "mine.jsonl", {"question": "1+1?", "answer": "so #### 2"}, {"question": "1+2?", "answer": "#### 3"}),
        ["custom.data=mine.jsonl", "custom.grade=number", "custom.answer=#### {}"],
        ["2", "3"],
    ),
    "jsonl, the gold answer in a box": (
        lambda f: jsonl(f / "mine.jsonl", {"problem": "$x$?", "solution": r"So \boxed{\frac{1}{2}}."}),
        ["custom.data=mine.jsonl", "custom.grade=math", "custom.question=problem", "custom.answer=solution"],
        [r"\frac{1}{2}"],
    ),
    "jsonl, texts, fields that some rows lack": (
        lambda f: jsonl(f / "mine.jsonl", {"question": "Where?", "answer": "نيويورك", "note": "x"}, {"question": "Who?", "answer": "An"}),
        ["custom.data=mine.jsonl", "custom.grade=exact"],
        ["نيويورك", "An"],
    ),
    "jsonl, texts anywhere": (
        lambda f: jsonl(f / "mine.jsonl", {"question": "Where?", "answer": "New York"}),
        ["custom.data=mine.jsonl", "custom.grade=contains"],
        ["New York"],
    ),
    "a path with a space and an equals sign": (
        lambda f: jsonl(f / "my = data, v2.jsonl", {"question": "Year?", "answer": r"\b19\d\d\b"}),
        ["custom.data=my = data, v2.jsonl", "custom.grade=regex"],
        [r"\b19\d\d\b"],
    ),
}  # fmt: skip
WRONG = {"choice": "Answer: Z", "regex": "It was in 2001.", "math": r"\boxed{77}", "integer": r"\boxed{77}"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_gold_answers_score_everything_and_wrong_ones_nothing(here: Path, name: str) -> None:
    write, overrides, targets = FILES[name]
    write(here)
    assert list(golds(overrides).values()) == targets
    run = llmbench.load_run(make(here / "right", right(overrides), *overrides))
    (found,) = run.summary.benchmarks.values()
    assert (found.n, found.accuracy) == (len(targets), 1.0)
    wrong = WRONG.get(grade_of(overrides), "The final answer is 987654321.\nAnswer: nobody")
    run = llmbench.load_run(make(here / "wrong", lambda _: wrong, *overrides))
    (found,) = run.summary.benchmarks.values()
    assert (found.n, found.accuracy) == (len(targets), 0.0)


UNUSABLE: dict[str, tuple[str, str, list[str], str]] = {
    "empty": ("mine.jsonl", "", [], "mine.jsonl holds no rows; check the file."),
    "no rows": ("mine.csv", "question,answer\n", [], "mine.csv holds no rows; check the file."),
    "a mistyped column": ("mine.csv", "qestion,answer\n1?,1\n", [], "custom.question=question: mine.csv has no column 'question'; did you mean qestion?"),
    "no such column": ("mine.csv", "text,answer\n1?,1\n", [], "there are text, answer"),
    "a missing cell": ("mine.csv", "question,answer\n1?,1\n2?,\n", [], "mine.csv, line 3: the row has nothing under 'answer'"),
    "a missing question": ("mine.jsonl", '{"question": "1?", "answer": 1}\n{"answer": 2}\n', [], "mine.jsonl, line 2: the row has nothing under 'question'"),
    "no number": ("mine.json", '[{"question": "1?", "answer": "one"}]', [], "mine.json, row 1: the answer 'one' is not a number"),
    "a comma for a point": ("mine.csv", 'question,answer\n1?,"1,5"\n', [], "line 2: the answer '1,5' is not a number such as 1,450 or 0.5"),
    "too few cells": ("mine.csv", "question,answer\n1?\n", [], "line 2: 1 values under 2 column names"),
    "not JSON": ("mine.jsonl", '{"question": "1?", "answer": 1}\nbroken\n', [], "line 2:"),
    "no such ending": ("mine.txt", "x", [], "is none of .jsonl, .json, .csv, .parquet; check custom.data"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_does_not_fit_is_one_sentence(here: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    file, content, more, hint = UNUSABLE[name]
    (here / file).write_text(content)
    assert main([f"custom.data={file}", "custom.grade=number", *more, *QUICK]) == 1
    (sentence,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("llmbench: ")]
    assert hint in sentence


REFUSED = [
    (["custom.data=mine.jsonl"], "type custom.grade=NAME, one of math, number, integer, choice, exact"),
    (["custom.data=mine.jsonl", "scoring=loglikelihood"], "or custom.choices=COLUMN for multiple choice"),
    (["custom.data=mine.jsonl", "custom.grade=numbr"], "expected one of [math, number"),
    (["custom.data=mine.jsonl", "custom.grade=choice"], "type custom.choices=COLUMN"),
    (["custom.data=mine.jsonl", "custom.grade=number", "custom.choices=c"], "leave one of them out"),
    (["custom.grade=number"], "type custom.data=FILE"),
    (["custom.data=", "custom.grade=number"], "custom.data= is empty"),
    (["custom.data=none.jsonl", "custom.grade=number"], "none.jsonl cannot be read (No such file or directory); check custom.data"),
    (["custom.data=hub:a:b:c:d", "custom.grade=number"], "hub:ORG/NAME:CONFIG:SPLIT"),
    (["benchmark=arithmetic", "custom.data=mine.jsonl"], "type 'benchmark=[arithmetic,custom]' for both"),
    (["suite=fastest", "custom.data=mine.jsonl"], "beside suite=fastest; leave that out."),
    (["custom.data=mine.jsonl", "custom.grad=number"], "did you mean custom.grade?"),
    (["data=mine.jsonl"], "type custom.data=mine.jsonl"),
    (["custom={data: mine.jsonl, grade: number}"], "type each setting by itself"),
    (["custom.data=mine.jsonl", "custom.name=arithmetic", "custom.grade=number", "benchmark=[arithmetic,custom]"], "name it with custom.name=NAME"),
    (["custom.data=mine.jsonl", "custom.grade=number", "custom.count_from=0"], "NumberAnswer has no such option"),
    (["custom.data=mine.jsonl", "custom.choices=topic", "custom.count_from=2"], "custom.count_from=2 is refused"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "hint"), REFUSED)
def test_settings_that_do_not_go_together_are_refused(
    here: Path, arguments: list[str], hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    jsonl(here / "mine.jsonl", *sums())
    assert main([*arguments, *QUICK]) == 1
    assert hint in capfd.readouterr().err


def test_own_data_is_asked_whole_and_long_under_every_profile_but_what_is_typed_wins() -> None:
    settings = ["custom.data=mine.jsonl", "custom.grade=number", "model=qwen14b"]
    for profile in ("documented", "before", "published"):
        found = compose([*settings, f"profile={profile}"]).benchmarks["mine"]
        assert (found.num_samples, found.max_tokens, found.stop) == (None, 2048, [])
    assert compose([*settings, "limit=5"]).benchmarks["mine"].num_samples == 5
    typed = ["custom.name=my-own", "benchmarks.my_own.max_tokens=7", "benchmarks.custom.num_samples=3"]
    found = compose([*settings, *typed, "benchmarks.custom.instruction=Think, then say {it}."]).benchmarks[
        "my_own"
    ]
    assert (found.max_tokens, found.num_samples) == (7, 3)
    assert found.instruction == "Think, then say {it}."
    assert not found.sealed


TYPED = [
    ("custom.question={passage}\\n\\n{q}", "question", "{passage}\\n\\n{q}"),
    ('custom.question="{passage}, {q}"', "question", "{passage}, {q}"),
    ("custom.question=What's {q}?", "question", "What's {q}?"),
    ("custom.question=Frage: {q}, schön", "question", "Frage: {q}, schön"),
    ("custom.answer=#### {}", "answer", "#### {}"),
    ('custom.answer="#### {}"', "answer", "#### {}"),
    ("custom.choices=[Choice 1,Größe]", "choices", ["Choice 1", "Größe"]),
    ("custom.choices=['a','b']", "choices", ["a", "b"]),
    ("custom.choices=the choices", "choices", "the choices"),
    ("custom.subject=null", "subject", None),
    ("custom.subject=Hoch & tief", "subject", "Hoch & tief"),
    ("custom.data=a=b, c.jsonl", "data", "a=b, c.jsonl"),
    ("custom.data=hub:openai/gsm8k:main:test", "data", "hub:openai/gsm8k:main:test"),
]


@pytest.mark.parametrize(("typed", "name", "value"), TYPED)
def test_texts_need_no_quotes_of_hydras(typed: str, name: str, value: object) -> None:
    grade = [] if name == "choices" else ["custom.grade=number"]
    assert getattr(compose([typed, *grade]).custom, name) == value


def test_the_hub_is_named_with_its_configuration_and_split() -> None:
    found = compose(["custom.data=hub:openai/gsm8k:main:test", "custom.grade=number"]).benchmarks["own_gsm8k"]
    assert (found.hub_id, found.hub_config, found.split, found.data_files) == (
        "openai/gsm8k",
        "main",
        "test",
        None,
    )
    found = compose(["custom.data=hub:me/mine", "custom.grade=number"]).benchmarks["mine"]
    assert (found.hub_id, found.hub_config, found.split) == ("me/mine", None, "test")


def test_own_data_is_not_called_a_few_samples_and_short_answers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "n.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    typed = ["engine=fake", "report=false", f"runs_dir={tmp_path}", f"custom.data={tmp_path / 'n.jsonl'}"]
    assert main([*typed, "custom.grade=number"]) == 0
    assert "few samples" not in capfd.readouterr().out
