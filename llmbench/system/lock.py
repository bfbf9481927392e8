"""One writer for a folder: of two processes that want the same run, one gets it and the other is told by whom it is held.

POSIX record locks (fcntl(2), F_SETLK): the kernel drops them with the process, however it ends, and children do not inherit them. They
are also dropped when the process closes any descriptor of the file, so `.lock` is a file that nothing else opens.
"""

import errno
import fcntl
import logging
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from llmbench.errors import RunError

log = logging.getLogger(__name__)

FILE = ".lock"
TAKEN = (errno.EACCES, errno.EAGAIN)
NOT_KNOWN_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems answer that know no locks, as some network mounts."""

_held: dict[
    tuple[int, int], list[int]
] = {}  # by the folder's device and inode: the open file, and how often it is held
_guard = threading.Lock()


class FolderLock:
    """Holds a folder for this process while the context lasts; a process may hold one several times over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        """Takes the lock.

        Raises:
            RunError: Another process holds it, or the folder cannot be written.
        """
        try:
            found = self._folder.stat()
            key = found.st_dev, found.st_ino
            with _guard:
                if key not in _held:
                    _held[key] = [self._take(), 0]
                _held[key][1] += 1
        except OSError as error:
            raise RunError(f"{self._folder / FILE} cannot be written ({error.strerror}).") from error
        self._key = key
        return self

    def _take(self) -> int:
        path = self._folder / FILE
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NOT_KNOWN_HERE:
                log.warning("%s cannot be locked (%s); start no second process on it.", path, error.strerror)
                return file
            holder = os.pread(file, 200, 0).decode("utf-8", "replace").strip()
            os.close(file)
            if error.errno not in TAKEN:
                raise
            raise RunError(
                f"{self._folder} is being written by another process{f' ({holder})' if holder else ''}; "
                "wait until it ends, or stop it first."
            ) from error
        with suppress(OSError):  # a full disk: then the holder has no name
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return file

    def __exit__(self, *_: object) -> None:
        """Gives the lock back; the file stays, since removing it could take a newer lock along."""
        with _guard:
            if self._key in _held:
                held = _held[self._key]
                held[1] -= 1
                if not held[1]:
                    os.close(held[0])
                    del _held[self._key]
        self._key = None
