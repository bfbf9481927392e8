"""How the engine without a model misbehaves on demand."""

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmbench.errors import OutOfMemoryError, Shortage
from llmbench.records import Request


@dataclass(frozen=True, slots=True)
class TooLittle:
    """Memory that runs out on demand.

    Attributes:
        shortage: What it is short for.
        requests: It suffices for so many requests at once; None: for any number.
        utilization: It suffices from this `model.gpu_memory_utilization` down; None: at any.
        after: It runs out after so many completions; None: at the start.
    """

    shortage: Shortage
    requests: int | None = None
    utilization: float | None = None
    after: int | None = None

    def check(self, at_once: int, utilization: float, finished: int | None) -> None:
        """Runs out where it is the time for it and too much is asked.

        Raises:
            OutOfMemoryError: It did.
        """
        due = finished is None if self.after is None else finished is not None and finished >= self.after
        fits = (self.requests is None or at_once <= self.requests) and (
            self.utilization is None or utilization <= self.utilization
        )
        if due and not fits:
            raise OutOfMemoryError(
                "The fake engine ran out of memory, as engine.args.too_little asks.", self.shortage
            )


@dataclass(frozen=True, slots=True)
class _Fault:
    """Something that goes wrong on demand.

    Attributes:
        on: Ids of samples on which it does, as soon as the engine works on them.
        after: It does after so many completions.
    """

    on: frozenset[str] = frozenset()
    after: int | None = None

    def due(self, running: Sequence[Request], finished: int) -> bool:
        """Whether it is the time for it."""
        late = self.after is not None and finished >= self.after
        return late or any(request.sample_id in self.on for request in running)


@dataclass(frozen=True, slots=True)
class Death(_Fault):
    """The engine dies, as one does that a new one can follow; `needs_new_process`: not in this process."""

    needs_new_process: bool = False


@dataclass(frozen=True, slots=True)
class Hang(_Fault):
    """A step does not end.

    Attributes:
        apart: As an engine in processes of its own does: killing it ends the step.
        killed: Set, with why, by who kills it.
    """

    apart: bool = False
    killed: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)
