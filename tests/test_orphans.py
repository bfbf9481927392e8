"""Nothing outlives the program, also where it is killed: neither grading workers nor sandboxes nor vLLM's processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
WITHIN_S = 30.0
"""For the kernel and for processes that notice by themselves, on a busy machine; it takes a second or two."""


def start(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "llmbench", "hydra.run.dir=run", *arguments],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def descendants(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def names(processes: list[psutil.Process]) -> str:
    found = []
    for process in processes:
        try:
            found.append(" ".join(process.cmdline())[:200])
        except psutil.NoSuchProcess:
            continue
    return "; ".join(found)


def spawned(process: "subprocess.Popen[bytes]") -> int:
    """How many of its descendants multiprocessing has started, and not a library that looks for a program meanwhile."""
    return names(descendants(process)).count("import spawn_main")


def wait_for(process: "subprocess.Popen[bytes]", moment: Callable[[], object], folder: Path) -> None:
    end = time.monotonic() + 300
    while not moment():
        assert process.poll() is None, (folder / "said").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_and_look(process: "subprocess.Popen[bytes]", at_least: int) -> None:
    """Kills it and sees all of its family end."""
    family = descendants(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(family) >= at_least
    all_end(family)


def all_end(family: list[psutil.Process]) -> None:
    end = time.monotonic() + WITHIN_S
    try:
        while any(map(runs, family)) and time.monotonic() < end:
            time.sleep(0.05)
        left = [member for member in family if runs(member)]
        assert not left, names(left)
    finally:
        for member in family:
            if runs(member):
                member.kill()


FAKE = ("engine=fake", "benchmark=arithmetic")


@pytest.mark.parametrize("moment", ["workers start", "requests run"])
def test_grading_workers(tmp_path: Path, moment: str) -> None:
    process = start(tmp_path, *FAKE, "limit=40", "batch_size=1", "engine.args={step_s: 0.2}")
    moments: dict[str, Callable[[], object]] = {
        "workers start": lambda: spawned(process) >= 1,
        "requests run": lambda: journal(tmp_path),
    }
    wait_for(process, moments[moment], tmp_path)
    kill_and_look(process, at_least=2)


def journal(folder: Path) -> bool:
    path = folder / "run" / "samples.jsonl"
    return path.is_file() and path.stat().st_size > 0


GRADES = """
from llmbench import sandbox
from llmbench.grading import Grader
from llmbench.records import FinishReason, Sample

if __name__ == "__main__":
    sandbox.choose("{kind}")
    with Grader(workers=2) as grader:
        for text in {texts}:
            grader.submit(text, "tests.helpers.hostile", Sample("1", {{}}, "x"), text, FinishReason.STOP)
        list(grader.finished(wait=True))
"""


def grade(folder: Path, *texts: str, kind: str = "bwrap") -> "subprocess.Popen[bytes]":
    """A program with nothing but grading workers, that grade these texts."""
    (folder / "said").touch()
    script = folder / "script.py"
    script.write_text(GRADES.format(kind=kind, texts=texts))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)


def test_workers_that_are_deep_in_a_regular_expression(tmp_path: Path) -> None:
    """They run no Python code meanwhile, so only the kernel can end them."""
    process = grade(tmp_path, "regex", f"sleep {tmp_path / 'mark'}")
    wait_for(process, (tmp_path / "mark").exists, tmp_path)
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
from llmbench.processes import followed

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


def family_of(folder: Path, kind: str) -> "subprocess.Popen[bytes]":
    """A program that leads, with a forked process or with two generations of spawned ones."""
    (folder / "said").touch()
    (folder / "family.py").write_text(FAMILY)
    script = folder / "script.py"
    script.write_text(LEADS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script), kind, str(folder / "mark")], env=environment, start_new_session=True
    )
    wait_for(process, (folder / "mark").exists, folder)
    return process


@pytest.mark.parametrize(("kind", "kin"), [("forked", 1), ("spawned", 3)])
def test_processes_that_follow(tmp_path: Path, kind: str, kin: int) -> None:
    kill_and_look(family_of(tmp_path, kind), at_least=kin)


def test_a_worker_ends_with_its_core(tmp_path: Path) -> None:
    process = family_of(tmp_path, "spawned")
    try:
        core = next(p for p in psutil.Process(process.pid).children() if "spawn_main" in names([p]))
        worker = next(p for p in core.children() if "spawn_main" in names([p]))
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
    wait_for(process, lambda: len(descendants(process)) >= kin, tmp_path)
    kill_and_look(process, at_least=kin)


@pytest.mark.parametrize(
    ("moment", "kin"),
    [
        ("begins", ()),
        ("imports", ("EngineCore",)),
        ("loads", ("EngineCore",)),
        ("asks", ("EngineCore", "Worker")),
    ],
)
def test_vllms_own_processes(tmp_path: Path, smollm2: Path, moment: str, kin: tuple[str, ...]) -> None:
    pytest.importorskip("vllm.version", reason="vLLM is not installed")
    assert smollm2.is_dir()
    process = start(tmp_path, "engine.multiprocess=true", "engine.device=cpu", "limit=40", "batch_size=2")
    moments: dict[str, Callable[[], object]] = {
        "begins": lambda: spawned(process) >= 2,  # the grading worker, and the engine's process that starts
        "imports": lambda: "EngineCore" in names(descendants(process)),
        "loads": lambda: "Worker" in names(descendants(process)),
        "asks": lambda: journal(tmp_path),
    }
    wait_for(process, moments[moment], tmp_path)
    assert all(name in names(descendants(process)) for name in kin)
    kill_and_look(process, at_least=3)
