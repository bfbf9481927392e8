"""How long a run paused because its folder took nothing, over all its sittings."""

import io
import signal
from pathlib import Path

import pytest

from llmbench import pipeline
from llmbench.asking import Stop
from llmbench.cli import compose
from llmbench.errors import Interrupted, RunError
from llmbench.patience import Patience
from llmbench.resume import sittings
from llmbench.store import MANIFEST, Manifest, load_run, read_object
from llmbench.terminal import Terminal
from tests.test_journal import FOR_EVER, stubborn

SETTINGS = ("benchmark=arithmetic", "engine=fake", "limit=12", "batch_size=3", "report=false")


def test_pauses_of_earlier_sittings_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmbench.patience.LOOK_S", 0.001)
    folder, config, known = tmp_path / "run", compose(SETTINGS), list[float]()
    note = pipeline._Run.note_pause

    def then(run: pipeline._Run) -> None:
        """Ends the run the moment its pause is over."""
        note(run)
        known.append(sittings.read(read_object(folder / MANIFEST, Manifest).get("sittings"))[-1].paused_s)
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(pipeline._Run, "note_pause", then)
    refused = stubborn(monkeypatch, 3)
    with pytest.raises(Interrupted):
        pipeline.run(config, folder)
    assert len(refused) == 3
    first = load_run(folder).summary
    assert first["time_s"]["paused"] > 0
    assert known == [
        first["time_s"]["paused"]
    ]  # it was there while the run went on: kill -9 does not take it along
    assert [s["paused_s"] for s in first["sittings"]] == known
    monkeypatch.undo()
    monkeypatch.setattr("llmbench.patience.LOOK_S", 0.001)
    found = pipeline.run(config, folder, goes_on=True, resumes=True)
    assert found.time_s.paused == first["time_s"]["paused"]
    assert [s["paused_s"] for s in found.sittings] == [first["time_s"]["paused"], 0.0]
    assert any("paused" in warning for warning in found.warnings)


def test_a_wait_that_ends_in_vain_is_not_written_down_where_nothing_can_be_written(tmp_path: Path) -> None:
    stop, told = Stop(), list[str]()
    patience = Patience(60, stop, then=lambda: told.append("over"))
    stop.signal_number = None
    patience.over()
    assert told == []
    error = OSError(28, "No space left on device")
    patience.wait(error, tmp_path)
    patience.over()
    assert told == ["over"]
    patience.wait(error, tmp_path)
    patience.limit_s = 1e-9
    with pytest.raises(Exception, match="cannot be written"):
        patience.wait(error, tmp_path)
    assert told == ["over"]
    assert patience.paused_s > 0


def test_a_sitting_counts_what_its_journal_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses, patience ends, and a moment later there is room again."""
    folder, config = tmp_path / "run", compose((*SETTINGS, "disk_wait_s=0"))
    refused = stubborn(monkeypatch, 2)  # half of a line is written
    with pytest.raises(RunError, match="cannot be written"):
        pipeline.run(config, folder)
    assert len(refused) == 2
    run = load_run(folder)
    assert run.results
    assert [(s["status"], s["results"]) for s in run.summary["sittings"]] == [("failed", len(run.results))]
    found = pipeline.run(config, folder, goes_on=True, resumes=True)
    assert sum(s["results"] for s in found.sittings) == len(load_run(folder).results) == 12


def test_what_was_waited_for_in_vain_is_not_waited_for_again(tmp_path: Path) -> None:
    said: list[str] = []
    patience = Patience(1e-9, say=said.append)
    full = OSError(28, "No space left on device")
    patience.wait(full, tmp_path / "a")
    for name in ("a", "b"):
        with pytest.raises(RunError, match=f"{name} cannot be written"):
            patience.wait(full, tmp_path / name)
    patience.over()
    with pytest.raises(RunError):
        patience.wait(full, tmp_path / "a")
    assert [sentence.rpartition("; the run ")[2].split()[0] for sentence in said] == ["pauses", "The"]
    assert "gives up" in said[-1]


def test_a_signal_is_what_is_told_of_a_run_that_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    stop = Stop(signal.SIGTERM)
    patience = Patience(60, stop, said.append)
    with pytest.raises(Interrupted):
        patience.wait(OSError(28, "No space left on device"), tmp_path)
    assert len(said) == 1
    assert "cannot be written" in said[0]
    stubborn(monkeypatch, FOR_EVER)
    stop.signal_number = None

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if "the run pauses" in text:
                stop.signal_number = signal.SIGTERM
            return super().write(text)

    err = Heard()
    with pytest.raises(Interrupted):
        pipeline.run(compose(SETTINGS), tmp_path / "run", stop=stop, terminal=Terminal(err, err))
    assert "because the run is to end" in err.getvalue()
    assert load_run(tmp_path / "run").summary["status"] == "interrupted"
