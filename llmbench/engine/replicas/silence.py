"""How long a process has been silent."""

import time
from dataclasses import dataclass, field

LONGEST_LOOK_S = 1.0
"""Longer pauses between looks were this process's own, which was stopped or busy."""


@dataclass(slots=True)
class Silence:
    """How long there was no answer, as far as this process was there to see it."""

    seconds: float = 0.0
    looked: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        """Counts the time since the last look."""
        now = time.monotonic()
        self.seconds += min(now - self.looked, LONGEST_LOOK_S)
        self.looked = now
        return self.seconds

    def reset(self) -> None:
        """An answer came."""
        self.seconds, self.looked = 0.0, time.monotonic()
