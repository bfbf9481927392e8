"""How a run is begun: what its folder holds, and what it may use beside its settings. Imports little, since `--help` needs it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmbench.system.console import Terminal
from llmbench.system.signals import Stop

if TYPE_CHECKING:
    from llmbench.run.engine_pool import EnginePool


class Beginning(Enum):
    """What the run's folder holds when the run begins."""

    NEW = "new"
    """Nothing of a run."""
    KILLED_AT_START = "killed at start"
    """A run that was killed before it had asked anything."""
    CONTINUED = "continued"
    """This run so far, of a process that this one has replaced."""
    RESUMED = "resumed"
    """This run so far, of an earlier attempt."""

    @property
    def has_results(self) -> bool:
        """Whether results may be there, which are not asked for again."""
        return self in (Beginning.CONTINUED, Beginning.RESUMED)


@dataclass(slots=True)
class Earlier:
    """What earlier processes left of a run, in numbers.

    Attributes:
        results: How many results they gave.
        before_this_attempt: Those without what processes gave that this one replaces.
        checkpoint: The one that gave them, as the manifest has it.
        cost: Of their requests by `engine.price`.
        unjudged: The keys of answers that wait for a verdict.
    """

    results: int = 0
    before_this_attempt: int = 0
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 0.0
    unjudged: Collection[tuple[str, str, int]] = ()

    @property
    def answers(self) -> int:
        """Answers that are kept, with a verdict or without."""
        return self.results + len(self.unjudged)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is begun, and what it may use.

    Attributes:
        overrides: What was typed, for the manifest.
        origin: More of how the run came about, for the manifest: the whole command line and where it was typed.
        beginning: What its folder holds.
        replaceable: The process may be replaced by a new one (`new_process.StartAgain`), or ended where the engine hangs.
        terminal: Where to print; nowhere by default.
        stop: Set from outside to end the run early.
        pool: Holds the engine, and keeps it for the next run; without one the engine is closed at the end.
        publish: Publishes the folder of a run that ends without finishing; it raises nothing. A finished one is left to the caller.
    """

    overrides: Sequence[str] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    beginning: Beginning = Beginning.NEW
    replaceable: bool = False
    terminal: Terminal | None = None
    stop: Stop | None = None
    pool: "EnginePool | None" = None
    publish: Callable[[Path], None] = lambda _folder: None
