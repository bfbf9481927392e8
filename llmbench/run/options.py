"""How a run is begun, and what it may use beside its settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmbench.run.beginning import Beginning
from llmbench.run.engine_pool import EnginePool
from llmbench.system.console import Terminal
from llmbench.system.signals import Stop

Publish = Callable[[Path], None]
"""Publishes what a run's folder holds: page, exports, trackers."""


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
        publish: Publishes a run that ends without finishing; it raises nothing. A finished one is left to the caller.
    """

    overrides: Sequence[str] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    beginning: Beginning = Beginning.NEW
    replaceable: bool = False
    terminal: Terminal | None = None
    stop: Stop | None = None
    pool: EnginePool | None = None
    publish: Publish = lambda _folder: None
