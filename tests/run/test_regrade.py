"""Grading again from the journal. What is found there is first made otherwise than a grader would have it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmbench.errors import ConfigError, EngineError, RunError
from llmbench.records import Outcome, Request
from llmbench.regrade import main
from llmbench.results.serialization import from_row
from llmbench.run.regrade import regrade_run
from tests.helpers.commands import python
from tests.helpers.runs import MCQ, edited, gold, make, patched, place

TWELVE = ("benchmark=arithmetic", "limit=12")
OLD = ("config.yaml", "manifest.json", "samples.jsonl", "summary.json")


def reply(request: Request) -> str:
    """Right, wrong, elicited and silent ones."""
    if request.id.endswith("+"):
        return f" {gold(request.sample_id)}."
    texts = [gold(request.sample_id), "The final number is 987654321.", "Hm. Therefore 3", "I cannot say"]
    return texts[place(request) % 4]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("regrade") / "run", reply, *TWELVE)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OLD}


def misgraded(row: dict[str, Any]) -> dict[str, Any]:
    """What was right is wrong, with another answer."""
    if row["outcome"] != "correct":
        return row
    return row | {"outcome": "wrong", "value": 0.0, "score": {"answer": "-1", "explanation": ""}}


def test_the_same_grader_finds_the_same(run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run, tmp_path / "run")
    before = contents(run)
    found = regrade_run(run, workers=1)
    assert (found.changes, found.never_given) == ((), 0)
    assert {r.score.outcome for r in found.results} >= {Outcome.CORRECT, Outcome.WRONG, Outcome.NO_ANSWER}
    assert any(result.elicited for result in found.results)
    assert contents(run) == before
    assert (run / "samples.regraded.jsonl").read_bytes() == before["samples.jsonl"]
    assert (run / "summary.regraded.json").read_bytes() == before["summary.json"]
    (accuracy,) = found.accuracies
    assert (accuracy.benchmark, accuracy.n) == ("arithmetic", 12)
    assert accuracy.before == accuracy.after


def test_other_grades_are_found_and_written_beside_the_old_ones(run: Path, tmp_path: Path) -> None:
    wrong = edited(run, tmp_path / "wrong", misgraded)
    before = contents(wrong)
    found = regrade_run(wrong, workers=1)
    assert contents(wrong) == before
    truth = json.loads((run / "summary.json").read_text())["benchmarks"]["arithmetic"]
    (accuracy,) = found.accuracies
    assert (accuracy.before, accuracy.after) == (0.0, truth["accuracy"])
    assert len(found.changes) == round(12 * truth["accuracy"])
    for change in found.changes:
        assert (change.old_outcome, change.new_outcome) == (Outcome.WRONG, Outcome.CORRECT)
        assert (change.old_answer, change.new_answer) == ("-1", gold(change.sample_id))
    new = json.loads((wrong / "summary.regraded.json").read_text())
    assert new == found.summary == json.loads((run / "summary.json").read_text())
    assert (wrong / "samples.regraded.jsonl").read_bytes() == (run / "samples.jsonl").read_bytes()


def test_the_statistics_of_repeats_follow_the_new_grades(tmp_path: Path) -> None:
    overrides = (*TWELVE, "sampling.temperature=1", "sampling.repeats=3")
    run = make(tmp_path / "run", lambda r: gold(r.sample_id) if r.repeat else "-1", *overrides)
    found = regrade_run(edited(run, tmp_path / "wrong", misgraded), workers=1)
    assert found.summary == json.loads((run / "summary.json").read_text())
    assert found.summary["benchmarks"]["arithmetic"]["repeated"]["maj"]["value"] == 1.0


def test_requests_that_the_engine_refused_stay_errors(tmp_path: Path) -> None:
    names: list[str] = []
    make(tmp_path / "learn", lambda r: names.append(r.id) or "7", *TWELVE)  # type: ignore[func-returns-value]
    refused = frozenset(names[:3])
    folder = make(tmp_path / "run", lambda _: "7", *TWELVE, refuse=refused)
    found = regrade_run(folder, workers=1)
    assert found.never_given == 3
    assert found.changes == ()
    assert sum(result.score.outcome is Outcome.ERROR for result in found.results) == 3


def test_a_grader_that_failed_is_given_another_chance(run: Path, tmp_path: Path) -> None:
    failed = {
        "outcome": "timeout",
        "value": 0.0,
        "score": {"answer": None, "explanation": "grading ran past its limit"},
    }
    folder = edited(run, tmp_path / "run", lambda row: row | failed)
    found = regrade_run(folder, workers=1)
    assert len(found.changes) == 12
    assert Outcome.TIMEOUT not in {result.score.outcome for result in found.results}
    assert not any("error" in warning for warning in found.summary["warnings"])


def test_a_broken_run_is_graded_as_far_as_it_went(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        make(tmp_path / "run", lambda _: "7", *TWELVE, "batch_size=2", break_after=4)
    with (tmp_path / "run" / "samples.jsonl").open("a") as journal:
        journal.write('{"benchmark": "arith')
    found = regrade_run(tmp_path / "run", workers=1)
    assert len(found.results) == 4
    assert found.summary["status"] == "failed"
    assert found.summary["benchmarks"]["arithmetic"]["expected"] == 12


def test_a_killed_runs_metrics_come_from_its_journal(run: Path, tmp_path: Path) -> None:
    killed = shutil.copytree(run, tmp_path / "killed")
    patched(killed, "summary.json", status="running", benchmarks={})
    found = regrade_run(killed, workers=1)
    truth = json.loads((run / "summary.json").read_text())["benchmarks"]
    assert json.loads((killed / "summary.regraded.json").read_text())["benchmarks"] == truth
    assert found.summary["status"] == "running"


def test_a_run_without_answers_has_nothing_to_grade(run: Path, tmp_path: Path) -> None:
    empty = edited(run, tmp_path / "empty", lambda _: None)
    found = regrade_run(empty, workers=1)
    assert (found.results, found.accuracies) == ((), ())


def test_sealed_questions_stay_sealed_and_their_answers_unsaid(tmp_path: Path) -> None:
    overrides = ("benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", "profile=published")
    rows = [json.loads(line) for line in MCQ.read_text().splitlines()]
    folder = make(tmp_path / "run", lambda _: f"{rows[0]['Question']} Answer: B", *overrides)
    wrong = edited(folder, tmp_path / "wrong", lambda row: row | {"outcome": "wrong", "value": 0.0})
    found = regrade_run(wrong, workers=1)
    assert found.changes
    assert {(change.old_answer, change.new_answer) for change in found.changes} == {(None, None)}
    written = (wrong / "samples.regraded.jsonl").read_text() + (wrong / "summary.regraded.json").read_text()
    assert all(row["Question"][:30] not in written for row in rows)
    lines = [json.loads(line) for line in (wrong / "samples.regraded.jsonl").read_text().splitlines()]
    assert all("sealed" in line and "text" not in line for line in lines)
    assert {from_row(line).score.answer for line in lines} == {"B"}


def test_what_grading_needs_must_be_in_the_settings(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "config.yaml").write_text("benchmarks: {arithmetic: {module: llmbench.benchmarks.gone}}")
    with pytest.raises(ConfigError, match="cannot be imported"):
        regrade_run(folder, workers=1)
    (folder / "config.yaml").write_text("benchmarks: {}")
    with pytest.raises(RunError, match=r"no benchmarks\.arithmetic\.module"):
        regrade_run(folder, workers=1)
    (folder / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"holds no config\.yaml"):
        regrade_run(folder, workers=1)
    assert not (folder / "samples.regraded.jsonl").exists()


def test_the_command_lists_what_changed(run: Path, tmp_path: Path) -> None:
    wrong = edited(run, tmp_path / "wrong", misgraded)
    done = python("-m", "llmbench.regrade", str(wrong), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *changes, accuracy, where = done.stdout.splitlines()
    assert changes
    assert all(": wrong '-1' → correct '" in line for line in changes)
    assert accuracy.startswith("arithmetic: accuracy 0.0% → ")
    assert where == f"written to {wrong}/summary.regraded.json and samples.regraded.jsonl"


def test_the_command_fails_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], [str(tmp_path)], [str(tmp_path / "gone")]):
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("llmbench: ")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_command_writes_the_page_of_the_new_grades_where_the_run_has_one(
    run: Path, tmp_path: Path, *, wanted: bool
) -> None:
    wrong = edited(run, tmp_path / "wrong", misgraded)
    (wrong / "config.yaml").write_text(
        (wrong / "config.yaml").read_text().replace("report: true", f"report: {str(wanted).lower()}")
    )
    assert main([str(wrong)]) == 0
    page = wrong / "report.regraded.html"
    assert page.exists() is wanted
    assert not wanted or "Graded again after the run" in page.read_text()
