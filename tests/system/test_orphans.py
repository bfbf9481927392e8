"""Nothing outlives the program, also where it is killed: neither grading workers nor sandboxes nor vLLM's processes."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llmbench.results.manifest import JOURNAL
from tests.helpers.commands import lines_in, start_llmbench, wait_until
from tests.helpers.families import all_end, command_lines, descendants, kill_and_look, spawned
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

FAKE = ("engine=fake", "benchmark=arithmetic")


@pytest.mark.parametrize("moment", ["workers start", "requests run"])
def test_grading_workers(tmp_path: Path, moment: str) -> None:
    process = start_llmbench(
        tmp_path,
        "hydra.run.dir=run",
        *FAKE,
        "limit=40",
        "batch_size=1",
        "engine.args={step_s: 0.2}",
        errors=tmp_path / "said",
    )
    moments: dict[str, Callable[[], object]] = {
        "workers start": lambda: spawned(process) >= 1,
        "requests run": lambda: lines_in(tmp_path / "run" / JOURNAL),
    }
    wait_until(moments[moment], process)
    kill_and_look(process, at_least=2)


GRADES = """
from llmbench import sandbox
from llmbench.run.grading import Grader
from llmbench.records import FinishReason, Sample

if __name__ == "__main__":
    sandbox.choose("{kind}")
    with Grader(workers=2) as grader:
        for text in {texts}:
            grader.submit(text, "tests.helpers.hostile", Sample("1", {{}}, "x"), text, FinishReason.STOP)
        list(grader.finished(wait=True))
"""


def grade(folder: Path, *texts: str, kind: str = "bwrap") -> subprocess.Popen[str]:
    """A program with nothing but grading workers, that grade these texts."""
    (folder / "said").touch()
    script = folder / "script.py"
    script.write_text(GRADES.format(kind=kind, texts=texts))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True, text=True)


def test_workers_that_are_deep_in_a_regular_expression(tmp_path: Path) -> None:
    """They run no Python code meanwhile, so only the kernel can end them."""
    process = grade(tmp_path, "regex", f"sleep {tmp_path / 'mark'}")
    wait_until((tmp_path / "mark").exists, process)
    time.sleep(1)  # the other has begun as well
    kill_and_look(process, at_least=3)


FAMILY = """
import multiprocessing, time
from pathlib import Path

def below(mark):
    Path(mark).touch()
    time.sleep(3600)

def between(mark):
    multiprocessing.get_context("spawn").Process(target=below, args=(mark,)).start()
"""
LEADS = """
import multiprocessing, sys, time
from pathlib import Path
import family
from llmbench.system.processes import followed

if __name__ == "__main__":
    if sys.argv[1] == "forked":
        made = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    else:
        made = multiprocessing.get_context("spawn").Process(target=family.between, args=(sys.argv[2],))
    with followed():
        made.start()
    if sys.argv[1] == "forked":
        Path(sys.argv[2]).touch()
    time.sleep(3600)
"""


def family_of(folder: Path, kind: str) -> subprocess.Popen[str]:
    """A program that leads, with a forked process or with two generations of spawned ones."""
    (folder / "said").touch()
    (folder / "family.py").write_text(FAMILY)
    script = folder / "script.py"
    script.write_text(LEADS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script), kind, str(folder / "mark")],
        env=environment,
        start_new_session=True,
        text=True,
    )
    wait_until((folder / "mark").exists, process)
    return process


@pytest.mark.parametrize(("kind", "kin"), [("forked", 1), ("spawned", 3)])
def test_processes_that_follow(tmp_path: Path, kind: str, kin: int) -> None:
    kill_and_look(family_of(tmp_path, kind), at_least=kin)


def test_a_worker_ends_with_its_core(tmp_path: Path) -> None:
    process = family_of(tmp_path, "spawned")
    try:
        core = next(p for p in psutil.Process(process.pid).children() if "spawn_main" in command_lines([p]))
        worker = next(p for p in core.children() if "spawn_main" in command_lines([p]))
        core.kill()
        all_end([core, worker])
        assert process.poll() is None
    finally:
        kill_and_look(process, at_least=0)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(("kind", "kin"), [("bwrap", 9), ("none", 5)])
def test_programs_that_run(tmp_path: Path, kind: str, kin: int) -> None:
    """In the sandbox, with processes of their own; and without one."""
    process = grade(tmp_path, "forks" if kind == "bwrap" else "loops", kind=kind)
    # two workers and the tracker; bwrap and what is in it, or only the latter; the program and what it forked
    wait_until(lambda: len(descendants(process)) >= kin, process)
    kill_and_look(process, at_least=kin)
