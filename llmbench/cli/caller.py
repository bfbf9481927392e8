"""The program that called llmbench: where a run speaks to it, and what stays as it was."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase

from llmbench.errors import RunError
from llmbench.system.console import Terminal
from llmbench.system.stdio import unfailing

OUT, ERR = 1, 2


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that called.

    Attributes:
        quiet: It wants to hear nothing.
        stream: Its standard error where that is not the process's own, as in a notebook; None where it is.
    """

    quiet: bool = False
    stream: TextIO | None = None

    @classmethod
    def here(cls, *, quiet: bool) -> Self:
        """The program that runs now."""
        return cls(quiet=quiet, stream=sys.stderr if _is_replaced(sys.stderr, ERR) else None)

    def terminal(self, err: TextIO) -> Terminal:
        """Where a run speaks: all of it to the standard error, as the program's output is its own. `err` is the process's."""
        stream = self.stream or err
        return Terminal(stream, stream, quiet=self.quiet, plain=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restores at the end the working directory, the environment, sys.stdout, sys.stderr, loggers' levels and what Hydra knows of itself.

    Inside, what libraries print goes to the process's own streams, which a run turns to its log; in a notebook, whose streams
    are others, it would stand among the caller's output.

    Raises:
        FileNotFoundError: The working directory was deleted.
        RunError: The process has no standard output or error, whose numbers the run's own files would get.
    """
    _refuse_closed()
    here, variables = Path.cwd(), dict(os.environ)
    hydra_base = VersionBase.instance().getbase()
    hydra_config = HydraConfig.instance().cfg
    known = (logging.root, *logging.root.manager.loggerDict.values())
    # hydra.verbose lowers them
    levels = {logger: logger.level for logger in known if isinstance(logger, logging.Logger)}
    with ExitStack() as streams:
        out = _stream(OUT) if _is_replaced(sys.stdout, OUT) else sys.stdout
        err = _stream(ERR) if _is_replaced(sys.stderr, ERR) else sys.stderr
        streams.enter_context(redirect_stdout(unfailing(out)))
        streams.enter_context(redirect_stderr(unfailing(err)))
        try:
            yield
        finally:
            VersionBase.instance().version_base = hydra_base
            HydraConfig.instance().cfg = hydra_config
            for logger, level in levels.items():
                logger.setLevel(level)
            os.chdir(here)
            for name in os.environ.keys() - variables.keys():
                os.environ.pop(name, None)
            os.environ.update(variables)


def _refuse_closed() -> None:
    for descriptor in (OUT, ERR):
        try:
            os.fstat(descriptor)
        except OSError as error:
            raise RunError(
                f"This process has closed its file descriptor {descriptor}, which a run's log needs; a daemon opens "
                "os.devnull in its place."
            ) from error


def _is_replaced(stream: TextIO | None, descriptor: int) -> bool:
    """Whether a standard stream is another than the process's own."""
    try:
        return stream is not None and stream.fileno() != descriptor
    except (OSError, ValueError):  # a stream of no file
        return True


def _stream(descriptor: int) -> TextIO:
    """A stream to wherever the descriptor leads at the time; never closed, as a library may keep it."""
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
