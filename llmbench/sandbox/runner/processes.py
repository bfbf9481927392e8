"""The processes of a job: all that it started, and what they leave."""

import contextlib
import os
import shutil
import signal
import time

from .cpu_time import CpuTime

PATIENCE_S = 5.0
FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - the box's own, all that a job can write to
OWN_INODES = 3
"""The folder itself, and the two files without a name from which a job reads its input and its arguments."""
MOST_LEFT = 200
"""Files and folders that are removed; of more, and of more than this deep ones, a new box rids itself faster."""


def of_job(*, boxed: bool) -> list[int]:
    """Process ids. In a box all but this process are the job's; else its descendants, of which it is the subreaper."""
    own = os.getpid()
    if boxed:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]  # noqa: PTH208 - fifty times a second
    found, todo = [], [own]
    while todo:
        tasks = f"/proc/{todo.pop()}/task"
        with contextlib.suppress(OSError):
            for thread in os.listdir(tasks):  # noqa: PTH208
                with open(f"{tasks}/{thread}/children") as file:  # noqa: PTH123
                    todo += (children := [int(child) for child in file.read().split()])
                found += children
    return found


def kill(*, boxed: bool) -> None:
    """Kills them all."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if boxed:
            os.kill(-1, signal.SIGKILL)  # everything in the namespace but this process
            return
    for process in of_job(boxed=boxed):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def end(cpu: CpuTime, *, boxed: bool) -> bool:
    """Kills and reaps them all; whether none is left."""
    patience = time.monotonic() + PATIENCE_S
    while time.monotonic() < patience:
        kill(boxed=boxed)
        try:
            while True:
                process, _, usage = os.wait4(-1, 0 if boxed else os.WNOHANG)
                if not process:
                    time.sleep(0.001)
                    break
                cpu.reaped(process, usage)
        except ChildProcessError:
            return True
    return False


def clean() -> bool:
    """Empties the folders that jobs write to; whether they are as they were, without files that sockets still hold."""
    try:
        return all(map(_empty, writable())) and all(inodes(folder) <= OWN_INODES for folder in writable())
    except (OSError, RecursionError):
        return False


def writable() -> list[str]:
    """The folders that jobs write to, of those that there are."""
    return [folder for folder in FOLDERS if os.path.isdir(folder)]  # noqa: PTH112


def inodes(folder: str) -> int:
    """Files and folders that its file system holds, those without a name too."""
    about = os.statvfs(folder)
    return about.f_files - about.f_ffree


def _empty(folder: str) -> bool:
    if os.stat(folder).st_uid == os.getuid():  # noqa: PTH116 - `pathlib` takes as long to import as a test to run
        os.chmod(folder, 0o700)  # noqa: PTH101
    left = 0
    for _, folders, files in os.walk(folder):
        left += len(folders) + len(files)
        if left > MOST_LEFT:
            return False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry)
            else:
                os.unlink(entry)  # noqa: PTH108
    os.utime(folder, (0, 0))
    return not os.listdir(folder)  # noqa: PTH208
