"""How often a sweep was begun, how long it took and how many engines it loaded, also where an attempt of it was killed."""

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from llmbench.cli.job import begin_attempt
from llmbench.cli.main import main
from llmbench.results.manifest import JOURNAL, SUMMARY
from tests.helpers.commands import lines_in, start_llmbench, wait_until

pytestmark = pytest.mark.slow

TWO_ENGINES = (
    "-m",
    "benchmark=arithmetic",
    "engine=fake",
    "limit=24",
    "batch_size=2",
    "report=false",
    "model.max_length=4096,2048",
    "hydra.sweep.dir=sweep",
)
WITH_PAGE = tuple(a for a in TWO_ENGINES if a != "report=false")
SLOW = "engine.args={step_s: 0.05}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("sweep", SUMMARY).read_text())
    return found


def sums(found: dict[str, Any]) -> tuple[int, float]:
    return (
        sum(attempt["loads"] for attempt in found["sittings"]),
        sum(attempt["time_s"] for attempt in found["sittings"]),
    )


def test_a_killed_sweep_keeps_what_it_took(tmp_path: Path) -> None:
    with start_llmbench(tmp_path, *TWO_ENGINES, SLOW) as process:
        wait_until(lambda: lines_in(tmp_path / "sweep" / "1" / JOURNAL) >= 2, process)
        process.kill()
        process.communicate()
    killed = written()
    assert (killed["status"], killed["loads"], killed["groups"]) == ("running", 2, [[0]])
    assert [(job["job"], job["status"]) for job in killed["jobs"]] == [(0, "finished")]
    assert [(s["status"], s["loads"]) for s in killed["sittings"]] == [("running", 2)]
    assert main(["resume=sweep"]) == 0
    found = written()
    assert (found["status"], found["groups"]) == ("finished", [[0], [1]])
    assert [(s["status"], s["loads"]) for s in found["sittings"]] == [("killed", 2), ("finished", 1)]
    assert (found["loads"], found["time_s"]) == sums(found)
    assert found["loads"] == 3
    assert found["sittings"][0]["began"] == killed["sittings"][0]["began"]
    assert found["sittings"][0]["time_s"] >= killed["sittings"][0]["time_s"]  # to its last sign of life
    assert [job["status"] for job in found["jobs"]] == ["finished", "finished"]


def test_each_attempt_of_a_sweep_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*TWO_ENGINES, "engine.args={break_after: 20}"]) == 1
    first = written()
    assert (first["status"], first["loads"], len(first["jobs"])) == ("failed", 2, 2)
    assert main(["resume=sweep"]) == 0
    found = written()
    assert found["sittings"][0] == first["sittings"][0]
    assert [(s["status"], s["loads"]) for s in found["sittings"]] == [("failed", 2), ("finished", 2)]
    assert (found["loads"], found["time_s"]) == sums(found)
    assert "4 engine loads" in capfd.readouterr().out


def test_a_summary_that_cannot_be_written_on_the_way_costs_no_job(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("sweep").mkdir()
    Path("sweep", f".{SUMMARY}.part").mkdir()  # where the new one would be written
    assert main(list(TWO_ENGINES)) == 1
    assert "summary.json cannot be written" in capfd.readouterr().err
    for number in ("0", "1"):
        assert json.loads(Path("sweep", number, SUMMARY).read_text())["status"] == "finished"
    Path("sweep", f".{SUMMARY}.part").rmdir()
    assert main(["resume=sweep"]) == 0
    assert [job["status"] for job in written()["jobs"]] == ["finished", "finished"]


@pytest.mark.parametrize("name", ["summary.json", "report.html"])
def test_what_somebody_put_into_a_sweeps_folder_is_not_overwritten(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("sweep").mkdir()
    Path("sweep", name).write_text("mine")
    assert main(list(TWO_ENGINES)) == 1
    assert f"holds {name} already, which a sweep would overwrite" in capfd.readouterr().err
    assert Path("sweep", name).read_text() == "mine"


def test_hydras_own_launcher_has_an_attempt_too() -> None:
    assert main([*TWO_ENGINES, "hydra/launcher=basic"]) == 0
    found = written()
    assert [(s["status"], s["loads"]) for s in found["sittings"]] == [("finished", 2)]


def test_an_attempt_that_was_killed_gets_its_end_from_what_its_jobs_wrote(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    for path, moment in ((tmp_path / SUMMARY, 1000.0), (tmp_path / "1" / JOURNAL, 1020.0)):
        path.touch()
        os.utime(path, (moment, moment))
    (first,) = begin_attempt([], tmp_path, 990.0)
    second = begin_attempt([first], tmp_path, 2000.0)
    assert (second[0].status, second[0].time_s) == ("killed", 30.0)
    assert (begin_attempt(second, tmp_path, 3000.0)[1].status, second[1].time_s) == ("killed", None)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose jobs failed and were finished."""
    with contextlib.chdir(tmp_path_factory.mktemp("resumed")):
        assert main([*TWO_ENGINES, "engine.args={break_after: 20}"]) == 1
        assert [job["status"] for job in written()["jobs"]] == ["failed", "failed"]
        assert main(["resume=sweep"]) == 0
        return Path("sweep").absolute()


def test_a_sweep_whose_summary_is_lost_continues(resumed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(resumed, "sweep")
    before = {path: path.read_bytes() for path in Path("sweep").glob("*/samples.jsonl")}
    Path("sweep", SUMMARY).write_text("[]")
    assert main(["resume=sweep"]) == 1
    assert "summary.json cannot be read" in capfd.readouterr().err
    Path("sweep", SUMMARY).unlink()
    capfd.readouterr()
    assert main(["resume=sweep"]) == 0
    assert not capfd.readouterr().err
    assert [job["status"] for job in written()["jobs"]] == ["finished", "finished"]
    assert {path: path.read_bytes() for path in Path("sweep").glob("*/samples.jsonl")} == before


@pytest.mark.parametrize("blocked", [".report.html.part", f".{SUMMARY}.part"])
def test_trouble_with_a_sweeps_files_is_said_once_without_a_traceback(
    blocked: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("sweep", blocked, "taken").mkdir(parents=True)
    main(WITH_PAGE)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.count("report could not be written") == (blocked == ".report.html.part")
    assert said.count("At the end of the sweep it is tried again.") == (blocked != ".report.html.part")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_page_is_made_ends_the_sweep_in_order(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("llmbench.report.write.write_many", lambda *_, **__: os.kill(os.getpid(), number))
        assert main(WITH_PAGE) == 128 + number
    said = capfd.readouterr()
    assert "Interrupted" in said.err
    assert "resume=" in said.err
    assert "2 jobs: 1 finished, 1 not begun" in said.out
    assert written()["status"] == "interrupted"
    assert main(["resume=sweep"]) == 0
    assert [job["status"] for job in written()["jobs"]] == ["finished", "finished"]
