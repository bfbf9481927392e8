"""A process that ends Ray's processes when the run that started them is gone, as after `kill -9`, and removes their folder.

Run as a file, by Python alone: `python cleaner.py PID FOLDER`. Most of Ray's processes end by themselves then; its agents do not.
They are known by an open file in Ray's folder: its processes keep logs there.
"""

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROUNDS, PAUSE_S = 20, 0.1
"""Looks for processes, since a dying one may have started another; each round ends those that it finds."""


def wait_for_end(pid: int) -> None:
    """Waits until a process has ended; returns at once where there is none."""
    with suppress(ProcessLookupError):
        waiting = select.poll()
        waiting.register(os.pidfd_open(pid), select.POLLIN)
        waiting.poll()


def users_of(folder: str) -> Iterator[int]:
    """The processes that have a file of the folder open, but for this one."""
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended, or is somebody else's
            if any(_leads_to(link, folder) for link in (process / "fd").iterdir()):
                yield int(process.name)


def _leads_to(link: Path, folder: str) -> bool:
    with suppress(OSError):
        return str(link.readlink()).startswith(folder)
    return False


def clean(folder: str) -> None:
    """Kills the processes of a folder and removes it."""
    for _ in range(ROUNDS):
        found = list(users_of(folder))
        if not found:
            break
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_S)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Waits for the end of the run, then cleans up."""
    leader, folder = int(sys.argv[1]), sys.argv[2]
    wait_for_end(leader)
    clean(folder)


if __name__ == "__main__":
    main()
