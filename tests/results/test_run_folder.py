import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.errors import RunError
from llmbench.records import Outcome, Score
from llmbench.report.compare.comparison import compare_runs
from llmbench.report.export import export_run
from llmbench.report.write import write_many, write_one
from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import load_run, read_journal
from llmbench.results.run_folder import RunFolder
from llmbench.results.serialization import from_row, to_row
from llmbench.results.summary import Summary
from llmbench.run.regrade import regrade_run
from tests.helpers.factories import RICH_COMPLETION, RICH_RESULT
from tests.helpers.runs import FORTY, make, patched

KEPT = replace(RICH_RESULT, completions=tuple(replace(c, output_ids=()) for c in RICH_RESULT.completions))


@pytest.mark.parametrize("sealed", [False, True])
def test_a_result_survives_its_row(*, sealed: bool) -> None:
    assert from_row(to_row(RICH_RESULT, sealed=sealed)) == KEPT


def test_a_sealed_row_shows_ids_and_outcome_only() -> None:
    row = to_row(RICH_RESULT, sealed=True)
    assert row["id"] == "1"
    assert row["outcome"] == "correct"
    assert not row.keys() & {"prompt", "text", "fields", "completions", "score"}


def test_the_journal_is_there_line_by_line(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as store:
        for number in range(3):
            store.append(replace(RICH_RESULT, sample_id=str(number)))
            assert [r.sample_id for r in read_journal(tmp_path / "run")] == [
                str(n) for n in range(number + 1)
            ]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as store:
        store.append(RICH_RESULT)
        store.append(replace(RICH_RESULT, sample_id="2"))
    journal = tmp_path / "run" / JOURNAL
    whole = journal.read_bytes()
    for length in range(len(whole.split(b"\n")[0]) + 1, len(whole) - 1):
        journal.write_bytes(whole[:length])
        assert [r.sample_id for r in read_journal(tmp_path / "run")] == ["1"]


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as store:
        store.append(RICH_RESULT)
        store.append(RICH_RESULT)
    journal = tmp_path / "run" / JOURNAL
    journal.write_bytes(b"{}\n" + journal.read_bytes())
    with pytest.raises(RunError, match="line 1"):
        list(read_journal(tmp_path / "run"))


@pytest.mark.parametrize("sealed", [False, True])
def test_what_utf8_cannot_hold_is_replaced(tmp_path: Path, *, sealed: bool) -> None:
    odd = replace(RICH_COMPLETION, text="\udc80 \ud83d\ude00 é \ud800", error="\udfff")
    result = replace(RICH_RESULT, completions=(odd,), score=Score(0.0, "\ud800", Outcome.WRONG, "\udc00"))
    with RunFolder(tmp_path / "run", frozenset("b") if sealed else frozenset()) as store:
        store.append(result)
    (found,) = read_journal(tmp_path / "run")
    assert (found.completions[0].text, found.completions[0].error) == ("\ufffd 😀 é \ufffd", "\ufffd")
    assert (found.score.answer, found.score.explanation) == ("\ufffd", "\ufffd")


def test_a_run_without_summary_is_read_from_its_journal(tmp_path: Path) -> None:
    whole = make(tmp_path / "run", lambda r: "7" if r.repeat else "\\boxed{1}", *FORTY, "sampling.repeats=2")
    other = shutil.copytree(whole, tmp_path / "other")
    known = load_run(whole).summary["benchmarks"]["arithmetic"]
    (whole / "summary.json").unlink()
    run = load_run(whole)
    found = run.summary["benchmarks"]["arithmetic"]
    assert {name: found[name] for name in ("n", "expected", "accuracy", "repeats")} == {
        name: known[name] for name in ("n", "expected", "accuracy", "repeats")
    }
    assert run.summary["status"] == "running"
    for name in ("model", "profile"):
        assert run.summary[name] == load_run(other).summary[name]
    assert "holds no summary.json" in run.notes[0]
    assert "holds no summary.json" in write_one(whole).read_text()
    assert "holds no summary.json" in write_many([other, whole], tmp_path / "many.html").read_text()
    assert len(compare_runs(other, whole).runs[0].benchmarks) == 1
    assert len(regrade_run(whole, workers=1).results) == 80
    assert len(export_run(whole)) >= 3


@pytest.mark.parametrize(("typed", "name"), [((), "fake"), (("model.name=mine",), "mine")])
def test_a_run_without_a_model_is_called_by_the_engine_unless_one_is_named(
    tmp_path: Path, typed: tuple[str, ...], name: str
) -> None:
    run = make(tmp_path / "run", lambda _: "\\boxed{1}", *FORTY, "engine=fake", *typed)
    assert load_run(run).summary.model == name
    (run / "summary.json").unlink()
    assert load_run(run).summary.model == name


def test_a_run_that_was_killed_before_it_added_up_has_the_scores_of_its_journal(tmp_path: Path) -> None:
    """As after kill -9: the summary that was written when the run began holds no scores."""
    run = make(tmp_path / "run", lambda _: "\\boxed{1}", *FORTY)
    known = load_run(run).summary["benchmarks"]["arithmetic"]["accuracy"]
    patched(run, "summary.json", status="running", benchmarks={})
    found = load_run(run)
    assert (found.summary["status"], found.summary["benchmarks"]["arithmetic"]["n"]) == ("running", 40)
    assert found.summary["benchmarks"]["arithmetic"]["accuracy"] == known
    assert "without scores" in found.notes[0]
    assert found.summary["benchmarks"]["arithmetic"]["throughput"]["samples_per_s"] > 0
    attempts = load_run(run).manifest["sittings"] * 2
    patched(run, "manifest.json", sittings=attempts)  # the times of two do not add up to a speed
    assert load_run(run).summary["benchmarks"]["arithmetic"]["throughput"]["samples_per_s"] is None


def test_folders_that_hold_no_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not the folder of a run"):
        load_run(tmp_path)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(RunError, match="must be an object, not list"):
        load_run(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"hydra\.run\.dir"):
        RunFolder(tmp_path / "file" / "run")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunFolder(tmp_path / "run") as store:
        store.append(RICH_RESULT)
        monkeypatch.setattr("os.write", lambda *_: 0)  # what a full disk does to a write
        with pytest.raises(RunError, match="No space left on device"):
            store.append(RICH_RESULT)
        monkeypatch.undo()


def test_the_summary_is_replaced_as_a_whole(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as store:
        store.write_summary(Summary("running", "m", "p", comparable=False))
        store.write_summary(Summary("finished", "m", "p", comparable=False))
        assert not list((tmp_path / "run").glob(".*.part"))
    assert b'"finished"' in (tmp_path / "run" / "summary.json").read_bytes()
