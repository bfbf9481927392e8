"""Runs of data of one's own: what they show, and all that can be done with them."""

import json
import re
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.errors import ConfigError
from llmbench.plan import plan
from llmbench.report.compare.comparison import compare_runs
from llmbench.run.regrade import regrade_run
from tests.helpers.own_data import colours, golds, jsonl, right, sums
from tests.helpers.runs import make, only

QUICK = ("engine=fake", "report=false")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_called_after_its_data_and_shows_what_it_understood_once(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jsonl(here / "my sums.jsonl", *sums())
    assert main(["custom.data=my sums.jsonl", "custom.grade=number", *QUICK]) == 0
    said = capfd.readouterr().err
    assert said.count("my sums.jsonl: 6 questions. Answers are graded as numbers") == 1
    assert "Gold answers: 1001, 2002, 3003, 4004, 5005 and 1 other." in said
    assert (
        "Question 1: What is 1 + 1000? | Reason step by step, and end with the final number.  ->  1001"
        in said
    )
    assert "Question 3" not in said
    (folder,) = (here / "runs").iterdir()
    assert folder.name.endswith("_smollm2_my_sums")
    run = llmbench.load_run(folder)
    assert list(run.summary.benchmarks) == ["my_sums"]
    assert run.manifest["data"]["my_sums"]["source"] == "my sums.jsonl"
    assert run.manifest["data"]["my_sums"]["notes"][0].startswith("Answers are graded as numbers")
    assert run.manifest["overrides"][0] == "custom.data='my sums.jsonl'"
    assert main(["-m", "custom.data='my sums.jsonl'", "custom.grade=number", "seed=0,1", *QUICK]) == 0
    assert capfd.readouterr().err.count("Answers are graded as") == 1


def test_a_run_is_resumed_regraded_compared_and_exported(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    colours(here)
    mapping = [r"custom.question={passage}\n\n{q}", "custom.choices=[a,b,c,d]", "custom.answer=label"]
    settings = ["custom.data=mine.csv", *mapping, "custom.subject=c", *QUICK, "hydra.run.dir=run"]
    assert main([*settings, "batch_size=1", "engine.args={break_after: 1}"]) == 1
    assert main(["resume=run", "engine.args={}"]) == 1  # what an engine is given cannot change within a run
    assert "engine.args" in capfd.readouterr().err
    for _ in range(2):
        main(["resume=run"])
    run = llmbench.load_run(here / "run")
    assert (run.summary.status, len(run.results)) == ("finished", 3)
    regraded = regrade_run(here / "run")
    assert not regraded.changes
    assert [accuracy.benchmark for accuracy in regraded.accuracies] == ["mine"]
    other = make(here / "right", right(settings[:5]), *settings[:5])
    assert only(compare_runs(here / "run", other)).benchmarks[0].questions == 3
    main(["resume=run", "export=[parquet,csv,lm_eval]"])
    assert {path.name for path in (here / "run").iterdir()} >= {"samples.parquet", "samples.csv", "lm_eval"}
    assert main(["resume=run", "custom.answer=a"]) == 1
    assert "custom.answer=a (it was label)" in capfd.readouterr().err


def test_a_run_is_not_resumed_on_a_file_that_was_changed(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jsonl(here / "mine.jsonl", *sums(6))
    settings = ["custom.data=mine.jsonl", "custom.grade=number", *QUICK, "hydra.run.dir=run"]
    assert main([*settings, "batch_size=1", "engine.args={break_after: 2}"]) == 1
    before = (here / "run" / "samples.jsonl").read_bytes()
    asked = {json.loads(line)["id"] for line in before.splitlines()}
    rows = [row if str(n) in asked else {**row, "answer": "0"} for n, row in enumerate(sums(6), 1)]
    jsonl(here / "mine.jsonl", *rows)
    capfd.readouterr()
    assert main(["resume=run"]) == 1
    assert "mine.jsonl, the data of mine, was changed since the run in" in capfd.readouterr().err
    assert (here / "run" / "samples.jsonl").read_bytes() == before
    jsonl(here / "mine.jsonl", *sums(6))
    main(["resume=run"])  # the engine breaks again
    assert len((here / "run" / "samples.jsonl").read_bytes().splitlines()) > len(asked)


PRO = {"question": "Which?", "options": ["one", "two"], "answer": "B", "category": "law"}
WHOLE = "benchmark=mmlu_pro", "benchmarks.mmlu_pro.data_files=mine.jsonl"


@pytest.mark.parametrize(
    ("row", "overrides", "said"),
    [
        ({"problem": "1 + 1?", "answer": "2"}, ("benchmark=hmmt_feb25", "benchmarks.hmmt_feb25.data_files=mine.jsonl"), "Or type benchmarks.hmmt_feb25.options.subject=null."),
        (PRO, (*WHOLE, "fewshot=1"), "benchmarks.mmlu_pro.options.worked=cot_content: mine.jsonl has no column 'cot_content'"),
        (PRO, (*WHOLE, "fewshot=1"), "Or type benchmarks.mmlu_pro.options.worked=null."),
    ],
)  # fmt: skip
def test_a_column_that_own_rows_of_a_known_benchmark_lack_is_answered_with_the_setting_to_type(
    here: Path, row: dict[str, str], overrides: tuple[str, ...], said: str
) -> None:
    jsonl(here / "mine.jsonl", row, row)
    with pytest.raises(ConfigError, match=re.escape(said)):
        golds(overrides)


def test_worked_answers_are_needed_only_where_examples_are_shown(here: Path) -> None:
    jsonl(here / "mine.jsonl", PRO)
    assert golds((*WHOLE, "fewshot=0")) == {"1": "B"}


def test_a_regraded_run_is_graded_as_its_own_settings_say(here: Path) -> None:
    jsonl(here / "mine.jsonl", {"question": "Where?", "answer": "York"})
    settings = ["custom.data=mine.jsonl", "custom.grade=contains"]
    make(here / "run", lambda _: "In York, of course.", *settings)
    config = here / "run" / "config.yaml"
    (here / "mine.jsonl").unlink()
    assert regrade_run(here / "run").accuracies[0].after == 1.0
    config.write_text(config.read_text().replace("generic:ContainsMatch", "generic:ExactMatch"))
    assert regrade_run(here / "run").accuracies[0].after == 0.0


def test_the_library_evaluates_and_grades_own_rows(here: Path) -> None:
    jsonl(here / "mine.jsonl", *sums())
    custom = {"data": here / "mine.jsonl", "question": "{topic}: {question}", "grade": "number"}
    run = llmbench.evaluate(custom=custom, engine="fake", quiet=True, report=False)
    assert run.results[0].prompt.count("What is") == 1
    rows = {"q": "1 + 1?", "gold": "#### 2"}
    mapping = {"question": "q", "answer": "#### {gold}", "grade": "number"}
    assert llmbench.grade("custom", rows, "It is 2.", custom=mapping).value == 1
    assert llmbench.grade("custom", rows, "It is 3.", custom=mapping).value == 0


def test_a_refused_run_leaves_nothing_and_takes_nothing_of_others(here: Path) -> None:
    command = ["custom.data=sums.jsonl", "custom.grade=number", "hydra.run.dir=run", *QUICK]
    jsonl(here / "sums.jsonl", *sums(), {"question": "?", "answer": "many"})
    assert main(command) == 1
    assert not (here / "run").exists()
    (here / "run").mkdir()
    (here / "run" / "notes.txt").write_text("mine")
    assert main([*command, "model.path=nowhere"]) == 1
    assert [path.name for path in (here / "run").iterdir()] == ["notes.txt"]
    jsonl(here / "sums.jsonl", *sums())
    assert main(command) == 0  # under the same name
    assert main([*command, "limit=-1"]) == 1
    assert len(llmbench.load_run(here / "run").results) == 6


def test_nothing_of_a_sealed_row_is_told(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    jsonl(here / "mine.jsonl", {"question": "secret?", "answer": 1}, {"question": "two?", "answer": "hidden"})
    settings = ["custom.data=mine.jsonl", "custom.grade=number", "benchmarks.mine.sealed=true", *QUICK]
    assert main(settings) == 1
    assert "mine.jsonl, line 2: the row does not fit" in (said := capfd.readouterr().err)
    assert "hidden" not in said
    assert all(b"hidden" not in path.read_bytes() for path in (here / "runs").rglob("*.log"))
    jsonl(here / "mine.jsonl", {"question": "secret?", "answer": 1})
    assert main(settings) == 0
    assert "secret" not in (said := capfd.readouterr().err)
    assert "mine.jsonl: 1 question. Answers are graded as numbers" in said


def test_a_session_keeps_a_mapping_for_own_data_alone(here: Path) -> None:
    jsonl(here / "one.jsonl", *sums())
    jsonl(here / "two.jsonl", *sums(3))
    settings = {"custom": {"grade": "number"}, "engine": "fake", "quiet": True, "report": False}
    with llmbench.Session(**settings) as session:
        runs = [
            session.evaluate(custom={"data": name}, folder=name[:3]) for name in ("one.jsonl", "two.jsonl")
        ]
        assert [list(run.summary.benchmarks) for run in runs] == [["one"], ["two"]]
        assert list(session.evaluate("arithmetic", limit=2).summary.benchmarks) == ["arithmetic"]


def test_worked_examples_look_as_answers_should(here: Path) -> None:
    colours(here)
    mapping = ["custom.data=mine.csv", "custom.question=q", "custom.choices=[a,b,c,d]", "custom.answer=label"]
    run = llmbench.load_run(make(here / "run", lambda _: "Answer: A", *mapping, "fewshot=1"))
    assert all("Answer: " in result.prompt.rpartition("<user>")[0] for result in run.results)


def test_a_sweep_over_files_has_a_benchmark_for_each(here: Path) -> None:
    for name in ("one", "two"):
        jsonl(here / f"{name}.jsonl", *sums(2))
    arguments = [
        "-m",
        "custom.data=one.jsonl,two.jsonl",
        "custom.grade=number",
        "hydra.sweep.dir=sweep",
        *QUICK,
    ]
    assert main(arguments) == 0
    found = [llmbench.load_run(here / "sweep" / number).summary.benchmarks for number in "01"]
    assert [list(benchmarks) for benchmarks in found] == [["one"], ["two"]]


def test_a_plan_counts_the_rows_of_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonl(here / "mine.jsonl", *sums(5))
    plan(
        ["custom.data=mine.jsonl", "custom.grade=number", "model=qwen14b", "gpu=H100", "gpus=1"], as_json=True
    )
    assert [(each["benchmark"], each["n"]) for each in json.loads(capsys.readouterr().out)["lengths"]] == [
        ("mine", 5)
    ]
