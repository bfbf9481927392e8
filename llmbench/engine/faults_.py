"""Engines that died during a run: what is kept of each death, said of it, and handed to the process that goes on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from llmbench.errors import EngineDiedError
from llmbench.system.number_format import count


@dataclass(frozen=True, slots=True)
class Restart:
    """One death of an engine."""

    error: str
    running: int
    kept: int
    fresh: bool

    def sentence(self) -> str:
        """What the person who waits is told."""
        where = " in a new process" if self.fresh else ""
        parts = [f"A new engine goes on{where}"]
        if self.running:
            were = "was" if self.running == 1 else "were"
            parts.append(
                f"the {count(self.running, 'request')} that {were} running will be asked apart from the rest"
            )
        if self.kept:
            parts.append(f"{count(self.kept, 'finished result')} {'is' if self.kept == 1 else 'are'} kept")
        return f"{' '.join(self.error.split()).rstrip('.')}. {'; '.join(parts)}."


@dataclass(slots=True)
class Faults:
    """The deaths of a run's engines."""

    restarts: list[Restart] = field(default_factory=list)
    suspects: dict[str, Any] = field(default_factory=dict)

    def add(self, error: EngineDiedError, *, running: int, kept: int) -> Restart:
        """Takes a death down."""
        restart = Restart(str(error), running, kept, error.spoiled)
        self.restarts.append(restart)
        return restart

    def rows(self) -> list[dict[str, Any]]:
        """As the manifest has them."""
        return [asdict(restart) for restart in self.restarts]

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """What `asdict` made of them."""
        restarts = [Restart(**row) for row in written.get("restarts", ())]
        return cls(restarts, dict(written.get("suspects", {})))
