"""What a process left out that was killed when its run had just finished is made up when the run is resumed."""

import json
import os
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.report import trackers
from llmbench.results.manifest import MANIFEST, REPORT, SUMMARY
from llmbench.results.reader import load_run
from tests.helpers.runs import TWELVE

pytestmark = pytest.mark.slow

OLD = 1000.0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that a tracker got."""
    found: list[str] = []

    def send(_tracked: object, _config: object, folder: Path) -> str:
        found.append(folder.name)
        return "sent"

    monkeypatch.setattr(trackers, "check", lambda _: None)
    monkeypatch.setattr(trackers, "_mlflow", send)
    return found


def test_an_old_report_and_old_exports_are_written_anew(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main([*TWELVE, "hydra.run.dir=run", "export=[csv,lm_eval]"]) == 0
    lm_eval = [path for path in (run / "lm_eval").rglob("*") if path.is_file()]
    for path in (run / REPORT, run / "samples.csv", *lm_eval):
        path.write_text("of before")
        os.utime(path, (OLD, OLD))
    assert main(["resume=run"]) == 0
    for path in (run / REPORT, run / "samples.csv", *lm_eval):
        assert path.read_text() != "of before"
        path.write_text("of now")
    assert main(["resume=run"]) == 0
    assert (run / REPORT).read_text() == "of now"
    assert (run / "samples.csv").read_text() == "of now"


def test_page_and_terminal_say_that_answers_are_made_up(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*TWELVE, "hydra.run.dir=run"]) == 0
    assert "engine=fake answers nonsense: the scores mean nothing." in capfd.readouterr().out
    assert "engine=fake made up the answers: the scores mean nothing." in Path("run", REPORT).read_text()


def test_an_old_report_of_a_sweeps_job_is_written_anew(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *TWELVE, "seed=1,2", "hydra.sweep.dir=sweep"]) == 0
    pages = [tmp_path / "sweep" / name / REPORT for name in "01"]
    for page in pages:
        page.write_text("before")
    os.utime(pages[0], (OLD, OLD))
    assert main(["resume=sweep"]) == 0
    assert [page.read_text() == "before" for page in pages] == [False, True]
    os.utime(pages[0], (OLD, OLD))
    (tmp_path / "sweep" / "0" / "samples.jsonl").write_text("{}\n{}\n")
    capfd.readouterr()
    assert main(["resume=sweep"]) == 0
    assert "cannot be read" in capfd.readouterr().err


def test_a_tracker_gets_the_run_that_it_was_to_get(sent: list[str]) -> None:
    assert main([*TWELVE, "hydra.run.dir=run", "report=false", "tracker=mlflow"]) == 0
    assert sent == ["run"]
    assert load_run("run").manifest["tracked"] == ["mlflow"]
    assert main(["resume=run"]) == 0
    assert sent == ["run"]
    manifest = Path("run", MANIFEST)
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"tracked": []}))
    assert main(["resume=run"]) == 0
    assert sent == ["run", "run"]
    assert load_run("run").manifest == told
    manifest.write_text(json.dumps({name: value for name, value in told.items() if name != "tracked"}))
    assert main(["resume=run"]) == 0
    assert sent == ["run", "run"]
    assert json.loads(Path("run", SUMMARY).read_text())["status"] == "finished"


def test_a_tracker_that_failed_is_tried_again(sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> dict[str, float]:
        raise OSError("there is no server")

    with monkeypatch.context() as patch:
        patch.setattr(trackers, "metrics_of", fails)
        assert main([*TWELVE, "hydra.run.dir=run", "report=false", "tracker=mlflow"]) == 0
    assert (sent, load_run("run").manifest["tracked"]) == ([], [])
    assert main(["resume=run"]) == 0
    assert sent == ["run"]
