"""Requests that wait for a batch, and the next batch of them."""

import logging

from llmbench.engine.batching import Batching, batches
from llmbench.records import Completion, Request

log = logging.getLogger(__name__)


class BatchQueue:
    """Continuations go before everything else; a batch holds requests of one token limit."""

    def __init__(self, batching: Batching, context: int) -> None:
        """Takes how batches are formed, and the tokens of prompt and output together that a row may have."""
        self.batching, self._context = batching, context
        self._waiting: list[Request] = []
        self._continuations: list[Request] = []

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting) + len(self._continuations)

    def submit(self, request: Request, *, first: bool) -> None:
        """Adds a request; `first` makes it a continuation."""
        (self._continuations if first else self._waiting).append(request)

    def refuse(self) -> list[Completion]:
        """Takes out what no batch can take, prompts that fill the context or hold nothing, and returns it as aborted."""
        context = self._context
        refused = []
        for queue in (self._continuations, self._waiting):
            for request in [r for r in queue if not 0 < len(r.prompt_ids) < context]:
                queue.remove(request)
                reason = f"the prompt has {len(request.prompt_ids)} tokens; model.max_length={context} leaves room for 1 to {context - 1}"
                log.warning("refused %s: %s", request.id, reason)
                refused.append(Completion.aborted(request, reason))
        return refused

    def next(self) -> list[Request]:
        """Takes out the first batch of what waits, all with the limit of the one that waits longest; empty where nothing waits."""
        queue = self._continuations or self._waiting
        if not queue:
            return []
        limit = queue[0].sampling.max_tokens
        like = [request for request in queue if request.sampling.max_tokens == limit]
        places = batches([len(request.prompt_ids) for request in like], self.batching)[0]
        chosen = [like[place] for place in places]
        taken = {request.id for request in chosen}
        queue[:] = [request for request in queue if request.id not in taken]
        return chosen

    def clear(self) -> list[Request]:
        """Drops all requests and returns them."""
        dropped = self._continuations + self._waiting
        self._continuations, self._waiting = [], []
        return dropped
