"""A process and all that it started."""

import signal
import subprocess
import time

import psutil

from llmbench.system.processes import is_alive

WITHIN_S = 30.0
"""For the kernel and for processes that notice by themselves, on a busy machine; it takes a second or two."""


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All processes below it; none where it has ended."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command_lines(processes: list[psutil.Process]) -> str:
    """Their command lines, shortened."""
    found = []
    for process in processes:
        try:
            found.append(" ".join(process.cmdline())[:200])
        except psutil.NoSuchProcess:
            continue
    return "; ".join(found)


def spawned(process: subprocess.Popen[str]) -> int:
    """How many of its descendants multiprocessing has started, and not a library that looks for a program meanwhile."""
    return command_lines(descendants(process)).count("import spawn_main")


def kill_and_look(process: subprocess.Popen[str], at_least: int) -> None:
    """Kills a process of so many descendants, and sees all of them end."""
    family = descendants(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
    assert len(family) >= at_least
    all_end(family)


def all_end(family: list[psutil.Process]) -> None:
    """Sees all of them end by themselves, and kills the ones that do not."""
    end = time.monotonic() + WITHIN_S
    try:
        while any(map(is_alive, family)) and time.monotonic() < end:
            time.sleep(0.05)
        left = [member for member in family if is_alive(member)]
        assert not left, command_lines(left)
    finally:
        for member in family:
            if is_alive(member):
                member.kill()
