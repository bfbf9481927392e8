"""Where vLLM's processes meet: unix sockets, in a folder that goes when this process ends.

vLLM puts them into the temporary folder itself, and whoever is killed leaves them there. A process that was killed leaves this folder too,
and with it the lock on it, by which a later one knows that it may take it away.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

VARIABLE = "VLLM_RPC_BASE_PATH"
"""Tells vLLM (vllm/envs.py)."""
PREFIX = "llmbench-vllm-"
LONGEST = 107
"""Bytes of a socket's path (unix(7))."""
NAMES = len("/") + len(PREFIX) + 8 + len("/") + 36
"""Bytes of the folder's name, with what `mkdtemp` adds, and of a socket's, which is a UUID."""
COMMON = Path("/tmp")  # noqa: S108 - the folder in it is made by mkdtemp


@cache
def socket_folder() -> Path | None:
    """This process's folder, made when it is first asked for; None where none can be had whose sockets' paths are short enough."""
    for base in (Path(tempfile.gettempdir()), COMMON):
        if len(os.fsencode(base)) + NAMES <= LONGEST:
            with suppress(OSError):
                sweep(base)
                return _make(base)
    return None


def _make(base: Path) -> Path:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # open, and so locked, until the process ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            os.close(file)
            path.rmdir()
            raise
        if path.exists():
            break
        os.close(file)  # another process took it for a dead one's before it was locked
    _made[os.getpid()] = path
    atexit.register(remove)
    return path


_made = dict[int, Path]()  # by the process, so that one that is forked from it removes nothing


def remove() -> None:
    """Takes this process's folder away, where it has one: for its end, also for one that runs no exit handlers."""
    path = _made.pop(os.getpid(), None)
    if path is not None:
        shutil.rmtree(path, ignore_errors=True)


def sweep(base: Path) -> None:
    """Takes away what dead processes of this user's have left in a folder."""
    for path in base.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(path):
            shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock of a folder.

    Raises:
        OSError: It is another user's, or a process holds it.
    """
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(file).st_uid != os.getuid():
            raise PermissionError
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)
