"""The sbatch script of the documents, with commands in the place of Slurm's."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.helpers.commands import lines_in, wait_until
from tests.helpers.paths import ROOT

SCRIPT = ROOT / "docs" / "examples" / "llmbench.sbatch"
SLOWLY = ("engine=fake", "limit=30", "batch_size=1", "engine.args={step_s: 0.02}", "report=false")
COMMANDS = {
    "srun": 'exec "$@"',
    "python": f'exec {sys.executable} "$@"',
    "squeue": 'cat "$(dirname "$0")/state"',
    "scontrol": 'printf "%s\\n" "$*" >>"$(dirname "$0")/requeued"',
}


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a job whose `srun` runs the command here, whose `squeue` says the file `state` and whose `scontrol` notes what it is asked."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name, line in COMMANDS.items():
        command = folder / name
        command.write_text(f"#!/usr/bin/env bash\n{line}\n")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (folder / "state").write_text("RUNNING\n")
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "SLURM_JOB_ID": "7", "PYTHONPATH": str(ROOT)}


def begin(job: Mapping[str, str], folder: Path, *settings: str) -> "subprocess.Popen[str]":
    command = ["bash", str(SCRIPT), *settings]
    return subprocess.Popen(
        command, env=job, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_a_job_that_reaches_its_limit_is_queued_again_and_goes_on(
    tmp_path: Path, job: dict[str, str]
) -> None:
    run = tmp_path / "runs" / "slurm-7"
    with begin(job, tmp_path, *SLOWLY) as first:
        wait_until(lambda: lines_in(run / "samples.jsonl") > 2)
        (step,) = psutil.Process(first.pid).children()
        step.send_signal(signal.SIGTERM)  # as Slurm's --signal does to the job's steps
        printed, _ = first.communicate()
    assert first.returncode == 143, printed
    assert (tmp_path / "commands" / "requeued").read_text() == "requeue 7\n"
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    kept = lines_in(run / "samples.jsonl")
    assert 2 < kept < 30

    with begin(job, tmp_path, *SLOWLY) as second:  # Slurm runs the same script with the same arguments
        printed, _ = second.communicate()
    assert second.returncode == 0, printed
    assert lines_in(run / "samples.jsonl") == 30
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], len(summary["sittings"])) == ("finished", 2)
    assert [benchmark["n"] for benchmark in summary["benchmarks"].values()] == [30]
    assert [each.name for each in (tmp_path / "runs").iterdir() if each.is_dir()] == ["slurm-7"]
    assert (tmp_path / "commands" / "requeued").read_text() == "requeue 7\n"


@pytest.mark.slow
def test_a_job_whose_settings_are_refused_fails_and_is_not_queued_again(
    tmp_path: Path, job: dict[str, str]
) -> None:
    with begin(job, tmp_path, "engine=fake", "limit=0") as refused:
        printed, _ = refused.communicate()
    assert refused.returncode == 1
    assert "limit=0 is refused" in printed
    assert not (tmp_path / "commands" / "requeued").exists()


@pytest.mark.slow
def test_a_job_that_is_cancelled_ends_in_order_and_is_not_queued_again(
    tmp_path: Path, job: dict[str, str]
) -> None:
    run = tmp_path / "runs" / "slurm-7"
    with begin(job, tmp_path, *SLOWLY) as cancelled:
        wait_until(lambda: lines_in(run / "samples.jsonl") > 2)
        (tmp_path / "commands" / "state").write_text("COMPLETING\n")  # as squeue has it from scancel on
        (step,) = psutil.Process(cancelled.pid).children()
        step.send_signal(signal.SIGTERM)
        printed, _ = cancelled.communicate()
    assert cancelled.returncode == 143, printed
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "commands" / "requeued").exists()


def test_a_job_over_several_nodes_starts_ray_on_each_and_ends_it_with_the_run(
    tmp_path: Path, job: dict[str, str]
) -> None:
    """Stand-ins: `srun` runs a step here, `ray start --block` stays until it is ended."""
    own = {
        "scontrol": "printf 'one\\ntwo\\nthree\\n'",
        "srun": 'echo "srun $*" >>said; while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "ray": 'echo "ray $*" >>said; [[ $1 == health-check ]] || exec sleep 600',
        "python": 'while [[ $(grep -c "^ray start" said) != 3 ]]; do sleep 0.1; done; echo "python $*" >>said',
    }
    for name, line in own.items():
        command = tmp_path / "commands" / name
        command.write_text(f"#!/usr/bin/env bash\n{line}\n")
        command.chmod(0o755)
    script = SCRIPT.with_name("ray.sbatch")
    ended = subprocess.run(
        ["bash", str(script), "benchmark=aime"],
        env=job | {"SLURM_JOB_NODELIST": "n"},
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr
    said = (tmp_path / "said").read_text()
    assert "--nodelist=one ray start --head --port=6379 --block" in said
    assert said.count("\nray start --address=one:6379 --block") == 2
    assert "python -m llmbench engine.replicas=auto engine.ray_address=one:6379 benchmark=aime" in said
