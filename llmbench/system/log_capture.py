"""Everything that is said during a run goes to its log, what vLLM, its C++ parts and its children print included.

Those write to the file descriptors, past Python; so the descriptors themselves are turned to the file, and the run's own
display keeps copies of the real ones. Python's logging writes no secrets; what others wrote of them is overwritten at the end.
"""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from llmbench.errors import RunError
from llmbench.system import files, redaction
from llmbench.system.stdio import unfailing

NO_FILE = (errno.ELOOP, errno.EINVAL, errno.EISDIR)
"""What opening says of links, pipes, devices and folders."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _WithoutSecrets(logging.Formatter):
    """`***` for tokens and passwords, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return redaction.without_secrets(super().format(record))


def _opened(path: Path) -> int:
    try:
        return files.opened_to_add(path)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise RunError(
            f"The run's log {path} cannot be written ({error.strerror}); remove what is there, or choose another folder."
        ) from error


@contextmanager
def captured(path: Path, level: str) -> Iterator[tuple[TextIO, TextIO]]:
    """Turns stdout, stderr and logging to a file; yields streams that still reach the real stdout and stderr.

    Raises:
        RunError: Something else than a file is there.
        OSError: The file cannot be written.
    """
    _flush()
    log = _opened(path)
    saved = os.dup(1), os.dup(2)
    handler = logging.StreamHandler(_stream(log))
    handler.setFormatter(_WithoutSecrets(FORMAT))
    root = logging.getLogger()
    before, theirs = root.level, list(root.handlers)

    def is_theirs(record: logging.LogRecord) -> bool:
        return _has_level(record.name) or record.levelno >= before

    for other in theirs:  # of a program that called: they get what they would get without the run's level
        other.addFilter(is_theirs)
    root.addHandler(handler)
    root.setLevel(level)
    try:
        with closing(_stream(saved[0])) as out, closing(_stream(saved[1])) as err:
            os.dup2(log, 1)
            os.dup2(log, 2)
            yield out, err
    finally:
        _flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, log):
            os.close(descriptor)
        root.removeHandler(handler)
        root.setLevel(before)
        for other in theirs:
            other.removeFilter(is_theirs)
        handler.stream.close()
        redaction.scrub(path)


def _has_level(name: str) -> bool:
    """Whether a logger has a level of its own, or of another than the root above it."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None:
        if logger.level:
            return True
        logger = logger.parent
    return False


def current_file() -> Path | None:
    """Returns the file that the standard error goes to, where it is one."""
    try:
        path = Path("/proc/self/fd/2").resolve(strict=True)
    except OSError:
        return None
    return path if path.is_file() else None


def share(path: Path) -> None:
    """Turns this process's stdout and stderr to a log that another process has begun; does nothing where the file is not to be had here."""
    try:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _stream(descriptor: int) -> TextIO:
    """Writes to a copy of a descriptor, and raises nothing where the disk is full: the run is waiting for it then."""
    copy = os.dup(descriptor)
    return unfailing(os.fdopen(copy, "w", buffering=1, encoding="utf-8", errors="backslashreplace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        unfailing(stream).flush()
