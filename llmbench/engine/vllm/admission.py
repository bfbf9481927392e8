"""Which requests vLLM has and which wait in front of it."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from llmbench.records import Request

REFILL = 16
"""Share of the batch (one in so many) that is admitted together where only decoding has graphs: a step that also reads a prompt
runs without them and takes about three times as long (eager against graphs in BENCHMARKS.md), so fewer such steps are worth
a few idle places."""
WATERMARK = 0.05
"""Share of the KV cache that vLLM keeps free for what runs when it admits a request (its setting in 0.26 and later; its default is 0). vLLM admits
as long as a prompt fits now, and interrupts the last admitted when the others grow: their tokens are computed again. In a simulation of long
outputs 0.05 took 5 to 11% less time (BENCHMARKS.md); on a GB200 vLLM's authors measured 5% (github.com/vllm-project/vllm/pull/44594)."""


@dataclass(slots=True)
class AdmissionQueue:
    """Requests on their way to vLLM: a few are admitted ahead of the batch, so that no place idles a step, or several at a time (`REFILL`).

    Those that wait inside vLLM are not timed until a place is free: what they wait before is ours, not the engine's.

    Attributes:
        batch_size: Requests that run at once.
        ahead: How many more vLLM is given.
        refill: Places that must be free before more requests are admitted; with more than 1 none is admitted ahead.
        waiting: Not admitted yet.
        running: Admitted and not finished, by the key that vLLM was given.
        internal: From that key to the id that vLLM gave.
        early: Keys of those that were admitted before a place was free.
        free_since: When their place fell free, on vLLM's clock, by key.
    """

    batch_size: int = 0
    ahead: int = 0
    refill: int = 1
    waiting: deque[Request] = field(default_factory=deque)
    running: dict[str, Request] = field(default_factory=dict)
    internal: dict[str, str] = field(default_factory=dict)
    early: deque[str] = field(default_factory=deque)
    free_since: dict[str, float] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def begin(self, batch_size: int, *, ahead: bool, refill: bool) -> None:
        """Sets the batch size, whether some are admitted ahead, and whether several are admitted together."""
        self.batch_size = batch_size
        self.ahead = max(1, batch_size // 8) if ahead else 0
        self.refill = max(1, batch_size // REFILL) if refill else 1

    def __len__(self) -> int:
        """Requests that have not finished."""
        return len(self.waiting) + len(self.running)

    def submit(self, request: Request, *, first: bool) -> None:
        """Adds a request, before or behind those that wait."""
        if first:
            self.waiting.appendleft(request)
        else:
            self.waiting.append(request)

    def admissible(self) -> Iterator[tuple[str, Request]]:
        """Takes the requests that there is room for, one at a time, each with a key that vLLM never saw."""
        room = self.batch_size + self.ahead
        if self.refill > 1:
            room = self.batch_size
            if room - len(self.running) < self.refill:
                return
        while self.waiting and len(self.running) < room:
            yield f"{next(self._numbers)}", self.waiting.popleft()

    def admitted(self, key: str, request: Request, internal: str) -> None:
        """VLLM took a request and gave it an id of its own."""
        if len(self.running) >= self.batch_size:
            self.early.append(key)
        self.running[key] = request
        self.internal[key] = internal

    def finished(self, key: str, at: float | None) -> tuple[Request, float]:
        """Takes out a request that finished `at` a time of vLLM's clock, None where that is unknown.

        Returns:
            It, and when its place fell free if it was admitted before; otherwise 0.
        """
        request = self.running.pop(key)
        self.internal.pop(key, None)
        free_since = self.free_since.pop(key, 0.0)
        if self.early and at is not None:
            self.free_since[self.early.popleft()] = at
        return request, free_since

    def clear(self) -> list[Request]:
        """Drops all requests and returns them."""
        dropped = [*self.running.values(), *self.waiting]
        for each in (self.running, self.internal, self.waiting, self.early, self.free_since):
            each.clear()
        return dropped
