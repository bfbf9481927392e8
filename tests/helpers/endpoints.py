"""The endpoint engine before a stand-in server, ready for requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmbench.engine.endpoint import EndpointEngine
from llmbench.engine.messages import NoTokenizer
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.records import Completion, Message, Request, Sampling
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import StandIn


def overrides(server: StandIn, *more: str) -> list[str]:
    """A command line for one server."""
    return ["engine=endpoint", f"engine.base_url={server.url}", "benchmark=arithmetic", *more]


@contextmanager
def engine(
    server: StandIn, *more: str, batch_size: int = 0, tokenizer: Tokenizer | None = None
) -> Iterator[EndpointEngine]:
    """An engine that is loaded and begun."""
    work = Workload(requests=8, longest=32, output_tokens=256, batch_size=batch_size)
    made = EndpointEngine(compose(overrides(server, *more)))
    try:
        made.prepare()
        made.load(work, lambda _: None)
        made.begin(tokenizer or NoTokenizer(), work, loaded=True, notice=print)
        yield made
    finally:
        made.close()


def chat(number: int, text: str = "2 + 2?", **sampling: Any) -> Request:  # noqa: ANN401 - of Sampling
    """A question in a chat."""
    options = {"max_tokens": 32, **sampling}
    return Request(
        f"b/{number}/0",
        "b",
        str(number),
        0,
        (),
        Sampling(**options),
        (Message("user", text),),
    )


def finish(made: EndpointEngine, *requests: Request) -> dict[str, Completion]:
    """Completions by request."""
    for request in requests:
        made.submit(request)
    done: dict[str, Completion] = {}
    while len(done) < len(requests):
        done |= {completion.request_id: completion for completion in made.step()}
    return done
