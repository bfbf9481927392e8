"""What earlier processes left of a run, in numbers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Earlier:
    """What earlier processes left of a run.

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
