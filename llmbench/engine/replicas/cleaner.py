"""A process that ends Ray's processes when the run that started them is gone, as after `kill -9`, and removes their folder.

Run as a file, with psutil alone: `python cleaner.py PID FOLDER`. Most of Ray's processes end by themselves then; its agents do not.
They are known by an open file in Ray's folder: its processes keep logs there.
"""

import os
import select
import shutil
import sys
import time
from contextlib import suppress

import psutil

ROUNDS, PAUSE_S = 20, 0.1
"""Looks for processes, since a dying one may have started another; each round ends those that it finds."""


def users_of(folder: str) -> list[psutil.Process]:
    """The processes that have a file of the folder open, but for this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is somebody else's
            files = () if process.pid == os.getpid() else process.open_files()
            if any(file.path.startswith(folder) for file in files):
                found.append(process)
    return found


def clean(folder: str) -> None:
    """Kills the processes of a folder and removes it."""
    for _ in range(ROUNDS):
        found = users_of(folder)
        if not found:
            break
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(PAUSE_S)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Waits for the end of the run, then cleans up."""
    leader, folder = int(sys.argv[1]), sys.argv[2]
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(leader)], [], [])  # also where nobody asks how it ended
    clean(folder)


if __name__ == "__main__":
    main()
