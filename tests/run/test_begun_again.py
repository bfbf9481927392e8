"""Runs that are killed before they have begun: between making their folder and writing their manifest."""

import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import reduce
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.cli.run_job import claim
from llmbench.errors import RunError
from llmbench.report.run_list import list_runs
from llmbench.results.manifest import CONFIG, JOURNAL, LOG, MANIFEST, REPORT, SUMMARY
from llmbench.results.reader import load_run
from llmbench.run import pipeline
from llmbench.system.shell import quoted
from tests.helpers.commands import FORKS, LIMIT_S
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

FAKE = ("benchmark=arithmetic", "engine=fake", "limit=3", "report=false")
MOMENTS: dict[str, set[str]] = {
    "llmbench.cli.run_job:claim": set(),
    "llmbench.cli.run_job:FolderLock": {CONFIG},
    "llmbench.cli.run_job:write_object": {CONFIG, ".lock"},
    "pathlib:Path.replace": {CONFIG, ".lock", f".{MANIFEST}.part"},
    "llmbench.cli.run_job:captured": {CONFIG, ".lock", MANIFEST},
    "llmbench.run.pipeline:RunFolder": {CONFIG, ".lock", MANIFEST, LOG},
    "llmbench.run.pipeline:restore": {CONFIG, ".lock", MANIFEST, LOG, JOURNAL},
    "llmbench.results.run_folder:RunFolder.write_manifest": {CONFIG, ".lock", MANIFEST, LOG, JOURNAL},
}
"""Where a run is killed, and what it leaves."""
FOLDER_ONLY, CLAIMED, TOLD, OPENED = (
    "llmbench.cli.run_job:claim",
    "llmbench.cli.run_job:write_object",
    "llmbench.cli.run_job:captured",
    "llmbench.run.pipeline:restore",
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def killed(moment: str, *arguments: str) -> None:
    """Runs the command line in a process that is killed the moment it calls what is named."""
    process = FORKS.Process(target=die_at, args=(moment, arguments))
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == -signal.SIGKILL


def die_at(moment: str, arguments: Sequence[str]) -> None:
    module, _, name = moment.rpartition(":")
    *path, last = name.split(".")
    owner = reduce(getattr, path, importlib.import_module(module))
    setattr(owner, last, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    sys.exit(main(arguments))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_same_command_begins_again_where_a_run_was_killed_before_it_began(
    tmp_path: Path, moment: str, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [*FAKE, "hydra.run.dir=run"]
    killed(moment, *command)
    assert names(tmp_path / "run") == MOMENTS[moment]
    (tmp_path / "run" / "slurm.out").write_text("mine")
    assert main(command) == 0
    said = capfd.readouterr().err
    left = CONFIG in MOMENTS[moment]
    assert ("ended before it had begun" in said) is left
    assert ("ended before it had begun" in (tmp_path / "run" / LOG).read_text()) is left
    run = load_run(tmp_path / "run")
    assert (run.summary["status"], len(run.results)) == ("finished", 3)
    assert len(run.summary["sittings"]) == 1
    assert "  name: smollm2" in (tmp_path / "run" / CONFIG).read_text()
    assert (tmp_path / "run" / "slurm.out").read_text() == "mine"


@pytest.mark.parametrize("moment", [FOLDER_ONLY, CLAIMED, TOLD, OPENED])
def test_resume_begins_what_was_killed_or_says_how(
    tmp_path: Path, moment: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a run"
    killed(moment, *FAKE, f"hydra.run.dir={quoted('a run')}")
    told = MANIFEST in MOMENTS[moment]
    assert main(["resume=a run"]) == (0 if told else 1)
    said = capfd.readouterr().err
    if told:
        assert "ended before it had begun; this one begins there" in said
        run = load_run(folder)
        assert (run.summary["status"], len(run.results)) == ("finished", 3)
        assert run.manifest["overrides"] == list(FAKE)
        return
    (sentence,) = said.splitlines()
    assert "neither a run nor a sweep that had begun" in sentence
    assert f"hydra.run.dir={quoted(str(folder))}" in sentence
    assert main([*FAKE, f"hydra.run.dir={quoted(str(folder))}"]) == 0


@pytest.mark.parametrize("moment", [FOLDER_ONLY, CLAIMED, TOLD, OPENED])
def test_a_job_of_a_sweep_that_was_killed_before_it_began_is_begun_by_resume(
    tmp_path: Path, moment: str, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["-m", *FAKE, "batch_size=1,2", "hydra.sweep.dir=sweep"]
    killed(moment.replace("session:write_object", "session:FolderLock"), *command)
    assert (tmp_path / "sweep" / "0").is_dir()
    assert not (tmp_path / "sweep" / "0" / SUMMARY).exists()
    assert main(command) == 1
    assert "resume=" in capfd.readouterr().err
    assert main(["resume=sweep"]) == 0
    assert ("ended before it had begun" in capfd.readouterr().err) is (moment != FOLDER_ONLY)
    found = json.loads((tmp_path / "sweep" / SUMMARY).read_text())
    assert [job["status"] for job in found["jobs"]] == ["finished", "finished"]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0", "1"]


def test_a_sweep_that_was_killed_before_it_was_written_down_begins_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["-m", *FAKE, "batch_size=1,2", "hydra.sweep.dir=sweep"]
    killed("llmbench.cli.invocation:write_object", *command)
    assert not (tmp_path / "sweep" / "0").exists()
    assert main(["resume=sweep"]) == 1
    assert "hydra.sweep.dir" in capfd.readouterr().err
    assert main(command) == 0


@pytest.mark.parametrize(
    "name", [CONFIG, MANIFEST, SUMMARY, JOURNAL, REPORT, "trace.jsonl", "memory.log", "samples.csv"]
)
def test_what_somebody_put_there_is_never_overwritten(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    killed("llmbench.run.pipeline:restore", *FAKE, "hydra.run.dir=run")
    (folder / name).write_text("mine\n")
    for command in ([*FAKE, "hydra.run.dir=run"], ["resume=run"]):
        assert main(command) == 1
        (said,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("llmbench: ")]
        assert name in said or "holds a run already" in said
    config = compose(list(FAKE))
    with pytest.raises(RunError, match="already"):
        pipeline.run(config, folder)
    assert (folder / name).read_text() == "mine\n"


@pytest.mark.parametrize("name", [CONFIG, JOURNAL, MANIFEST])
def test_a_link_is_nothing_that_a_run_makes(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    killed("llmbench.run.pipeline:restore", *FAKE, "hydra.run.dir=run")
    (tmp_path / "mine").touch()
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).symlink_to(tmp_path / "mine")
    assert main([*FAKE, "hydra.run.dir=run"]) == 1
    assert "already" in capfd.readouterr().err
    assert (tmp_path / "mine").read_bytes() == b""


def test_a_run_that_has_begun_is_not_begun_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    killed("llmbench.run.pipeline:_evaluate", *FAKE, "hydra.run.dir=run")
    before = (tmp_path / "run" / MANIFEST).read_bytes()
    assert main([*FAKE, "hydra.run.dir=run"]) == 1
    assert "holds a run already; resume=" in capfd.readouterr().err
    assert (tmp_path / "run" / MANIFEST).read_bytes() == before
    assert main(["resume=run"]) == 0


def test_a_run_that_only_starts_is_listed_and_found(tmp_path: Path) -> None:
    killed("llmbench.run.pipeline:RunFolder", *FAKE)
    (found,) = list_runs(tmp_path / "runs")
    assert (found.status, found.overrides) == ("starting", FAKE)
    assert main(["resume=last"]) == 0
    assert [run.status for run in list_runs(tmp_path / "runs")] == ["finished"]


def test_a_folder_that_nobody_named_is_left_to_the_run_that_has_it(tmp_path: Path) -> None:
    """Of two runs that begin in one second the later one takes another folder."""
    with ExitStack() as held:
        claims = [claim(tmp_path / "now", {}, held, may_move=True, again=False) for _ in range(2)]
    assert claims == [(tmp_path / "now", False), (tmp_path / "now_2", False)]
