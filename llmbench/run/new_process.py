"""Going on in a new process: where memory does not come back, or an engine left this process broken."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from llmbench.errors import EngineError, RunError
from llmbench.results.recovery import Step
from llmbench.system import decoding, files

FILE = "recovery.json"
VARIABLE = "LLMBENCH_RECOVERY"
"""Tells the new process where that file is."""


class StartAgain(BaseException):
    """Asks for a new process that resumes the run. Not an Exception, so that nothing between the engine and the command line swallows it."""

    def __init__(self, error: EngineError) -> None:
        """Keeps why, for a program that cannot be started again."""
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The state that a process hands to the one that replaces it.

    Attributes:
        folder: The run's, which holds the journal so far.
        number: The job's, 0 for a single run.
        began: When the job began, on the monotonic clock that all processes share.
        loads: Engines loaded so far.
        steps: What was lowered, for each engine by its `engine_pool.engine_key`.
        jobs: What became of the jobs before, in the form of `cli.job.Job`.
        restart_log: Deaths of this job's engines, in the form of `engine.restarting.RestartLog`.
    """

    folder: str
    number: int
    began: float
    loads: int
    steps: Mapping[str, Sequence[Step]]
    jobs: Sequence[Mapping[str, Any]] = field(default_factory=list)
    restart_log: Mapping[str, Any] = field(default_factory=dict)


def start_again(unfinished: Unfinished, settings: Sequence[str]) -> NoReturn:
    """Replaces this process by a new one with the same command line, which takes up what is unfinished.

    Everything open but the standard streams is closed first: the GPU's memory goes with the last handle on its driver.

    Raises:
        RunError: The folder cannot be written.
    """
    path = Path(unfinished.folder) / FILE
    try:
        files.replace(path, [json.dumps(asdict(unfinished)).encode()])
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}).") from error
    os.environ[VARIABLE] = str(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *settings])  # noqa: S606


def taken_up() -> Unfinished | None:
    """Returns the state that the previous process handed over, once."""
    name = os.environ.pop(VARIABLE, None)
    if name is None:
        return None
    path = Path(name)
    left = decoding.decode(files.read(path, files.JSON_BYTES), Unfinished)
    path.unlink()
    return left
