"""The protocol of engines: what the pipeline may ask of one."""

from collections.abc import Callable
from typing import Protocol

from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Took, Workload
from llmbench.records import Completion, EngineReport, Request

Notice = Callable[[str], None]
"""Says a sentence to the person who waits."""


class Engine(Protocol):
    """Takes requests, also while others run, and gives completions as they finish.

    Its life: `prepare`, `load`, then for each run `begin` and requests, `close` at the end.
    """

    capacity: int
    """Requests that can run at once, known after `load`."""

    def prepare(self) -> None:
        """Imports what the engine needs and sets what its libraries find in the environment; `close` puts back what was there.

        Raises:
            EngineError: Something is missing or broken.
        """

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model; says beforehand how, and how long it will take.

        Raises:
            EngineError: It cannot start; the message says what would help.
        """

    def preferred_batch_size(self, workload: Workload) -> int:
        """Requests that should run at once for this work; known after `prepare`."""

    def serves(self, workload: Workload) -> bool:
        """Whether the engine as it was loaded can take this work without losing by it; known after `load`."""

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool) -> None:
        """A run starts: its batch size holds, caches are empty, counters stand at zero; `loaded` for this very run."""

    def learn(self, took: Took) -> None:
        """Keeps what a finished run took, for the next choice of a start-up."""

    def close(self, *, process_ends: bool = False) -> None:
        """Frees the model; where the process ends anyway, only what would outlive it."""

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; at most the batch size are given to its scheduler, the rest wait without being timed.

        `first` puts it before those that wait, as suits a continuation whose prefix is still in the cache.
        """

    def step(self) -> list[Completion]:
        """Works for a moment and returns what finished meanwhile, perhaps nothing.

        Raises:
            EngineDiedError: It can do no more; a new engine could.
            OutOfMemoryError: Memory ran out.
        """

    @property
    def unfinished(self) -> int:
        """Requests that were submitted and have not come back."""

    def running(self) -> list[str]:
        """The ids of the requests that it works on; those that only wait are not among them. Also after it died."""

    def kill(self, reason: str) -> bool:
        """Kills the engine's processes, so that a step that hangs ends with an `EngineDiedError`; called from another thread.

        Args:
            reason: The error's sentence.

        Returns:
            Whether that could be done: an engine that computes in this process has none.
        """

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""

    def generated_tokens(self) -> int | None:
        """Output tokens so far, also of unfinished requests; None where the engine does not count them."""

    def state(self) -> dict[str, float | int | None]:
        """What it is doing now, for the trace (`telemetry.EngineState`); called from another thread.

        `queued` are the requests that it holds back from its scheduler; they are not timed.
        """

    def report(self) -> EngineReport:
        """What the engine was and did."""
