"""Processes and what they have started: whether they live, and their end."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kills processes, also those that are stopped; those that have ended or are somebody else's are left out."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def kill_family(pid: int) -> None:
    """Kills a process and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        one = psutil.Process(pid)
        kill((*one.children(recursive=True), one))
