"""Every error that llmbench raises on purpose.

LlmbenchError                  one sentence for the user: what is wrong and what to do; exit status 1
├── ConfigError                a setting that cannot be: unknown name, wrong type, refused value
│   └── RefusedResumeError     the folder holds a run that asked something else; it stays as it is
├── DataError                  questions that cannot be read: missing file or column, gated, offline, empty
│   └── RowError               a row that does not fit; the message begins with its place in the file
├── ModelError                 a checkpoint that cannot be used: missing, broken, no chat template, context too long
├── EngineError                the engine cannot start or go on: no GPU, broken installation
│   ├── StoppedError           a run that ends in order before all is asked: its server is gone, or it would cost too much
│   ├── EngineDiedError        it stopped while it ran; a new one could go on
│   └── OutOfMemoryError       too little memory; what was short is with it, so that less can be tried
├── GradingError               the grading workers die, however often they are started
├── RunError                   a run's folder that cannot be written or read
├── OnlyErrorsError            each sample of a benchmark ended in an error, so that it has no score
└── CacheError                 the response cache cannot be used; a run goes on without it

Interrupted                    the user's own wish, so no LlmbenchError and no Exception: nothing may swallow it

Defined where they are raised, and caught by llmbench itself:

engine.endpoint.reply.BrokenAnswerError  a server's answer that is not whole: it is asked again
engine.replicas.cluster.ProcessGoneError  a process of a Ray cluster is gone: the replica is started again
run.new_process.StartAgain         the run has to go on in a new process; no Exception either
sandbox.container.BrokenBoxError   a sandbox does not answer: the score's outcome is `error`
benchmarks.swe.runner.repository.BadJobError  a repository or its tests cannot be made from the data: the patch was not checked
answers.equivalence.evaluate.TooLarge      a value has too many digits
answers.equivalence.evaluate.Undecided     an expression holds something that has no value at a point
"""

import traceback
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal


def clear_traceback(error: BaseException | None) -> None:
    """Clears what the frames of an error hold: half a model, whose memory the next job would find taken."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def own_cause(error: BaseException | None) -> "LlmbenchError | None":
    """The error of llmbench's own that another one came of; Hydra wraps what is raised while settings resolve."""
    while error is not None and not isinstance(error, LlmbenchError):
        error = error.__cause__ or error.__context__
    return error


LONGEST = 240
"""Characters of somebody else's message within a sentence of llmbench's."""


def shortened(text: str, most: int = LONGEST) -> str:
    """Somebody else's text in one line of at most so many characters, `…` where it is cut."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def first_line(error: BaseException) -> str:
    """The first line of somebody else's message, shortened and without its full stop; the error's kind where it says nothing."""
    return shortened((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))


class LlmbenchError(Exception):
    """Base of all errors whose message is meant for the user as it stands."""


class ConfigError(LlmbenchError):
    """A setting is unknown, of the wrong type or out of range."""


class RefusedResumeError(ConfigError):
    """The folder holds a run that asked something else, or other weights; it stays as it is."""


class DataError(LlmbenchError):
    """The questions of a benchmark cannot be read."""


class RowError(DataError):
    """A row that does not fit; the message begins with its place in the file.

    Attributes:
        place: Where the row stands, such as `mine.csv, line 7`; all that may be said of a sealed one.
        what: What does not fit.
    """

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}")
        self.place, self.what = place, what


class ModelError(LlmbenchError):
    """The checkpoint or its tokenizer cannot be used."""


class EngineError(LlmbenchError):
    """The engine cannot start or cannot go on."""


class StoppedError(EngineError):
    """A run ends in order before all is asked: the server is gone, or more would cost too much; what was finished is kept (status `interrupted`)."""


class EngineDiedError(EngineError):
    """The engine stopped while it ran, for a reason that a new one need not meet: a dead process, a CUDA error, its own fault."""

    def __init__(
        self, message: str, *, needs_new_process: bool = False, running: Collection[str] = ()
    ) -> None:
        """Takes what the one who replaces the engine needs to know.

        Args:
            message: The sentence for the user.
            needs_new_process: No new engine can run in this process, as after a CUDA error in it.
            running: Ids of the requests that the engine worked on; those that only waited are not among them.
        """
        super().__init__(message)
        self.needs_new_process = needs_new_process
        self.running = tuple(running)


Cause = Literal["free", "kv_cache", "context", "weights", "profiling", "capture", "warm_up", "running"]


@dataclass(frozen=True, slots=True)
class Shortage:
    """What memory was short for.

    Attributes:
        cause: `free`: less was free than the engine wants; `kv_cache`: nothing was left for the KV cache; `context`: the KV cache
            holds no sequence of the full context; otherwise the allocation that failed.
        free_share: Of the GPU's memory, 0 to 1, that was free before anything was loaded, where that is known.
        fits: Tokens of context that would have fitted, for `context`.
        size: Requests in the batch that was too much, where the engine forms batches.
        remembered: The KV cache had the size of an earlier start, which is forgotten now.
        needs_new_process: Memory may stay taken as long as this process lives.
    """

    cause: Cause
    free_share: float | None = None
    fits: int | None = None
    needs_new_process: bool = False
    size: int | None = None
    remembered: bool = False


class OutOfMemoryError(EngineError):
    """The engine had too little memory at its start, or while it ran."""

    def __init__(self, message: str, shortage: Shortage) -> None:
        super().__init__(message)
        self.shortage = shortage

    def __reduce__(self) -> tuple[type["OutOfMemoryError"], tuple[str, Shortage]]:
        return OutOfMemoryError, (str(self), self.shortage)


class OnlyErrorsError(LlmbenchError):
    """Each sample of a benchmark ended in an error; resuming would ask nothing."""


class GradingError(LlmbenchError):
    """The grading workers die, however often they are started."""


class RunError(LlmbenchError):
    """A run's folder cannot be written or read."""


class CacheError(LlmbenchError):
    """The response cache cannot be used."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; what was finished is kept."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.signal_number = signal_number
