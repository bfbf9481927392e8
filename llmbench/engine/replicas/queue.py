"""The requests that no replica has yet."""

from collections import deque
from collections.abc import Iterable, Sequence

from llmbench.engine.replicas.replica import Replica
from llmbench.records import CONTINUATION_SUFFIX, Completion, FinishReason, Request


class SharedQueue:
    """Requests in the order in which they came; whichever replica has a place free gets the next one."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._writers: dict[str, Replica] = {}  # who has the beginning of a text in its prefix cache

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request, *, first: bool) -> None:
        """Queues a request; a continuation goes at once to the replica that wrote its beginning."""
        writer = self._writers.pop(request.id.removesuffix(CONTINUATION_SUFFIX), None)
        if writer is not None and writer.lost is None and writer.remote.ready:
            writer.engine.submit(request, first=True)
        elif first:
            self._waiting.appendleft(request)
        else:
            self._waiting.append(request)

    def give_back(self, requests: Sequence[Request]) -> None:
        """Queues requests before all others: a replica had them already."""
        self._waiting.extendleft(reversed(requests))

    def share_out(self, replicas: Iterable[Replica]) -> None:
        """Gives what waits to the replicas with most free places; the last ones only to places that are free now."""
        working = list(replicas)
        if not working:
            return
        ahead = len(self._waiting) > sum(each.batch_size for each in working)
        while self._waiting:
            each = max(working, key=lambda each: each.places(ahead=ahead))
            if each.places(ahead=ahead) <= 0:
                return
            each.engine.submit(self._waiting.popleft())

    def remember_writers(self, replica: Replica, completions: Iterable[Completion]) -> None:
        """Remembers who wrote the texts that may be continued."""
        for completion in completions:
            if completion.finish_reason in (FinishReason.LENGTH, FinishReason.STOP_STRING):
                self._writers[completion.request_id] = replica

    def clear(self) -> list[Request]:
        """Drops what waits and returns it."""
        dropped, self._waiting = list(self._waiting), deque()
        return dropped
