"""The two protocols of engines: what a run's loop asks, and what whoever loads and keeps a model asks besides.

The engines have `Engine`, and so have the wrappers around them: `CachedEngine(RestartingEngine(VllmEngine))`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Took, Workload
from llmbench.records import Completion, Request
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.nvml import RemoteGpu
from llmbench.telemetry.records import EngineState

Notice = Callable[[str], None]
"""Shows a sentence to the user."""


class Engine(Protocol):
    """Takes requests, also while others run, and returns completions as they finish."""

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

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""

    def state(self) -> EngineState:
        """What it is doing now; called from another thread. `queued` are the requests that it holds back from its scheduler."""

    def report(self) -> EngineReport:
        """What the engine was and did."""

    def close(self, *, process_ends: bool = False) -> None:
        """Frees what it holds; where the process ends anyway, only what would outlive it."""


class ModelEngine(Engine, Protocol):
    """An engine that holds a model, which is kept from run to run. Methods with a body here are defaults for engines that derive from it.

    Its life: `prepare`, `load`, then for each run `begin` and requests, `close` at the end.
    """

    capacity: int
    """Requests that can run at once, known after `load`."""

    def prepare(self) -> None:
        """Imports what the engine needs and sets what its libraries find in the environment; `close` puts back what was there.

        Raises:
            EngineError: Something is missing or broken.
        """
        return

    def preferred_batch_size(self, workload: Workload) -> int:
        """Returns how many requests should run at once for this work; known after `prepare`."""

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model; says beforehand how, and how long it will take.

        Raises:
            EngineError: It cannot start; the message says what would help.
        """

    def serves(self, workload: Workload) -> bool:  # noqa: ARG002 - for engines that look at it
        """Whether the engine as it was loaded can take this work without losing by it; known after `load`."""
        return True

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool, notice: Notice) -> None:
        """Starts a run: its batch size holds, caches are empty, counters stand at zero; `loaded` for this very run.

        `notice` shows the user what happens to the engine from now on, from any thread.
        """

    def kill(self, reason: str) -> bool:
        """Kills the engine's processes, so that a step that hangs ends with an `EngineDiedError` of this reason; called from another thread.

        Returns whether that could be done: an engine that computes in this process has none.
        """

    @property
    def remote_gpus(self) -> Sequence[RemoteGpu]:
        """The GPUs that it uses on other hosts, for telemetry; known after `load`."""
        return ()

    def learn(self, took: Took) -> None:  # noqa: ARG002 - as above
        """Keeps what a finished run took, for the next choice of a start-up."""
        return
