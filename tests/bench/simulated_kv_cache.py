"""vLLM's KV cache, as `scheduling_simulation` needs it: which blocks are free, and what of a preempted request is still there."""

from collections import deque
from dataclasses import dataclass

BLOCK = 16
"""Tokens."""


@dataclass(slots=True)
class Freed:
    """Blocks that were freed together; `owner` was preempted and may take them back."""

    owner: object
    count: int


class Blocks:
    """The KV cache: how many blocks are free, and of preempted requests those that nobody has taken, first freed first taken."""

    def __init__(self, tokens: int) -> None:
        self.free = tokens // BLOCK
        self._queue = deque([Freed(None, self.free)])

    def take(self, count: int) -> None:
        """Takes so many free blocks."""
        self.free -= count
        while count:
            taken = min(count, self._queue[0].count)
            self._queue[0].count -= taken
            count -= taken
            if not self._queue[0].count:
                self._queue.popleft()

    def give(self, count: int, owner: object) -> None:
        """Frees a request's blocks; its last ones are taken first."""
        self.free += count
        self._queue.append(Freed(owner, count))

    def found(self, owner: object) -> int:
        """Takes back those of a preempted request that are left, and returns how many."""
        for freed in self._queue:
            if freed.owner is owner:
                self._queue.remove(freed)
                self.free -= freed.count
                return freed.count
        return 0


def blocks_of(size: int) -> int:
    """Blocks that so many tokens take."""
    return -(-size // BLOCK)
