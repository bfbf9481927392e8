"""Sweeps whose jobs run in other processes, as on a cluster: by submitit's local executor, and with commands in the place of Slurm's."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from submitit import Job

from llmbench.cli.main import main
from tests.helpers import slurm
from tests.helpers.commands import lines_in, llmbench, python, wait_until
from tests.helpers.paths import ROOT

SWEEP = ("-m", "hydra.sweep.dir=sweep", "engine=fake", "limit=4")
LOCAL = ("-m", "hydra/launcher=submitit_local", *SWEEP[1:])


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "sweep" / "summary.json").read_text())
    return found


def statuses(folder: Path) -> list[str]:
    return [job["status"] for job in written(folder)["jobs"]]


@pytest.mark.slow
def test_a_sweep_in_other_processes_ends_as_any_other(tmp_path: Path) -> None:
    ended = llmbench(*LOCAL, "batch_size=2", "engine.args={},{break_after: 1}", "seed=3", folder=tmp_path)
    assert ended.returncode == 1
    assert statuses(tmp_path) == ["finished", "failed"]
    found = written(tmp_path)
    assert found["jobs"][1]["error"].startswith("The fake engine broke")
    assert (found["status"], found["loads"], found["groups"]) == ("failed", 2, [[0], [1]])
    assert "runs 2 jobs, each in a process of its own; what they print is in sweep/.submitit." in ended.stderr
    assert "Job 1 (" in ended.stderr
    assert "2 jobs: 1 finished, 1 failed; 2 engine loads;" in ended.stdout
    assert lines_in(tmp_path / "sweep" / "0" / "samples.jsonl") == 4
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "The fake engine broke" in page
    assert (tmp_path / "sweep" / ".submitit").stat().st_mode & 0o77 == 0  # passwords are in there


def kill_the_first_job(sweep: Path) -> None:
    """Kills its process once both jobs have results."""
    wait_until(lambda: all(lines_in(sweep / job / "samples.jsonl") > 2 for job in "01"))
    controllers = [int(path.name) for path in (sweep / ".submitit").iterdir() if path.name.isdigit()]
    psutil.Process(min(controllers)).children()[0].kill()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # submitit leaves them
def test_a_job_that_is_killed_is_reported_after_the_others_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(Job, "_results_timeout_s", 0.1)  # 15 s for slow file systems
    slowly = ("limit=15", "report=False", "batch_size=1", "engine.args={step_s: 0.02}", "seed=1,2")
    sweep = tmp_path / "sweep"
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_the_first_job, sweep)
        assert main([*LOCAL[:-1], *slowly]) == 1
        killed.result()
    assert statuses(tmp_path) == ["failed", "finished"]
    assert "Job 0 (" in capsys.readouterr().err
    kept = lines_in(sweep / "0" / "samples.jsonl")
    assert 2 < kept < 15

    assert main(["resume=sweep", "hydra.launcher.timeout_min=5"]) == 0
    assert "hydra/launcher=submitit_local runs 1 job" in capsys.readouterr().err
    assert statuses(tmp_path) == ["finished", "finished"]
    assert lines_in(sweep / "0" / "samples.jsonl") == 15


@pytest.mark.slow
def test_slurm_gets_an_array_with_what_each_job_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = slurm.install(tmp_path / "commands")
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    asked = (
        "hydra.launcher.partition=gpu",
        "hydra.launcher.gpus_per_node=4",
        "hydra.launcher.timeout_min=90",
    )
    ended = llmbench(*SWEEP, "hydra/launcher=slurm", *asked, "report=False", "seed=1,2", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert statuses(tmp_path) == ["finished", "finished"]
    (script,) = (tmp_path / "sweep" / ".submitit").glob("*submission*.sh")
    text = script.read_text()
    parameters = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)", text, re.MULTILINE))
    assert parameters["array"] == "0-1%2"
    assert {
        name: parameters[name] for name in ("partition", "gpus-per-node", "time", "job-name", "signal")
    } == {
        "partition": "gpu",
        "gpus-per-node": "4",
        "time": "90",
        "job-name": "llmbench",
        "signal": "USR2@120",
    }
    assert (parameters["nodes"], parameters["ntasks-per-node"], parameters["cpus-per-task"]) == (
        "1",
        "1",
        "8",
    )
    assert "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK\n" in text


def test_refused_settings_fail_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*LOCAL[:-1], "limit=0"]) == 1
    assert "Job 0 (engine=fake limit=0) failed: limit=0 is refused" in capsys.readouterr().err
    assert not (tmp_path / "sweep" / ".submitit").exists()


def test_a_launcher_that_starts_nothing_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([*SWEEP, "hydra/launcher=slurm"]) == 1
    assert "hydra/launcher=slurm ran no job: RuntimeError: Could not detect" in capsys.readouterr().err


WITHOUT_PACKAGE = """
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from llmbench.cli.main import main
Plugins.instance()  # which finds the packages
del ConfigStore.instance().repo["hydra"]["launcher"]["submitit_slurm.yaml"]
main(["-m", "hydra/launcher=slurm", "engine=fake", "seed=1,2"])
"""


def test_a_launcher_without_its_package_says_how_to_install_it(tmp_path: Path) -> None:
    assert python("-c", WITHOUT_PACKAGE, folder=tmp_path).stderr == (
        "llmbench: hydra/launcher=submitit_slurm needs the package hydra-submitit-launcher: pip install 'llmbench[slurm]'.\n"
    )


def test_a_single_run_with_a_launcher_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hydra/launcher=slurm", "engine=fake"]) == 1
    assert "hydra/launcher=slurm is for the jobs of a sweep; add -m" in capsys.readouterr().err
