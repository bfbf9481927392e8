"""Letting one job run alone: the workers that run code take turns with the one that repeats what ran out of time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def _open(name: str) -> int | None:
    """A lock file of this user's; None where none can be had: then nobody waits."""
    path = Path(tempfile.gettempdir()) / f"llmbench-{os.getuid()}-{name}.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(OSError):
        file = os.open(path, flags, 0o600)
        if os.fstat(file).st_uid == os.getuid():
            return file
        os.close(file)  # whoever made it could hold it for ever
    return None


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """A turn beside others, or `alone`: then no other job of this user's runs meanwhile, in whatever process.

    Who waits to be alone holds the gate, so that the others cannot go on for ever before it.
    """
    gate, lock = _open("gate"), _open("turn")
    try:
        if gate is not None and lock is not None:
            fcntl.flock(gate, fcntl.LOCK_EX)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            finally:
                fcntl.flock(gate, fcntl.LOCK_UN)
        yield
    finally:
        for file in (lock, gate):
            if file is not None:
                os.close(file)
