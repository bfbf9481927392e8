"""Programs in processes of their own, as a user starts them, and waiting for what they do."""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers.paths import ROOT

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
LIMIT_S = 300.0
"""For whatever a test waits for: many times what it takes on a quiet machine."""
FORKS = multiprocessing.get_context("forkserver")
"""Starts processes as forks of one that has imported llmbench and read its settings; the first use starts that one."""
FORKS.set_forkserver_preload(["tests.helpers.warm"])


def python(*arguments: str, folder: Path, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder, with llmbench and the tests importable; what it prints comes back as text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def llmbench_program(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `python -m llmbench` in a folder, in an interpreter of its own."""
    return python("-m", "llmbench", *arguments, folder=folder)


def llmbench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs what `python -m llmbench` runs, in a fork of a process that has imported it and read its settings: that saves a second."""
    with TemporaryDirectory() as outputs:
        out, errors = Path(outputs, "out"), Path(outputs, "errors")
        process = FORKS.Process(
            target=_main, args=(arguments, str(folder), dict(os.environ | ENVIRONMENT), out, errors)
        )
        process.start()
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(["llmbench", *arguments], LIMIT_S)
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), errors.read_text())


def _main(arguments: Sequence[str], folder: str, environment: dict[str, str], *outputs: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(outputs, 1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    sys.argv = ["llmbench", *arguments]
    try:
        runpy.run_module("llmbench", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a fork ends without them


def start_llmbench(folder: Path, *arguments: str, errors: Path | None = None) -> subprocess.Popen[str]:
    """Starts `python -m llmbench` as a session of its own; what it says goes to `errors`, else to the pipe `stderr`."""
    with (errors or Path(os.devnull)).open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "llmbench", *arguments],
            cwd=folder,
            env=os.environ | ENVIRONMENT,
            stdout=file if errors else subprocess.DEVNULL,
            stderr=file if errors else subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Waits for a condition; fails where the process ends or the limit passes before."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert process is None or process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < end
        time.sleep(0.01)


def lines_in(journal: Path) -> int:
    """Whole lines of a file; 0 where it does not exist."""
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def only_run(folder: Path) -> Path:
    """The one run in a folder's `runs`."""
    (run,) = (folder / "runs").iterdir()
    return run
