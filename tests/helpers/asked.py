"""Asking an engine directly, without the pipeline."""

from typing import Protocol

from llmbench.engine.base import Engine
from llmbench.records import Completion, Request


class CountingEngine(Engine, Protocol):
    """An engine that says how many requests it has."""

    @property
    def unfinished(self) -> int: ...


def finish(engine: CountingEngine, *requests: Request) -> dict[str, Completion]:
    """Submits the requests and steps until nothing is left; completions by request id, in the order they came."""
    for request in requests:
        engine.submit(request)
    done: dict[str, Completion] = {}
    while engine.unfinished:
        done |= {completion.request_id: completion for completion in engine.step()}
    return done
