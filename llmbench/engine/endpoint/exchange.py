"""One request from its place among those in flight to its completion, asked again where what failed may pass."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmbench.config.schema import Config
from llmbench.engine.endpoint.body import body_of
from llmbench.engine.endpoint.reply import Reply, read
from llmbench.engine.endpoint.server import Server, refusal
from llmbench.engine.endpoint.settings import is_chat
from llmbench.engine.endpoint.trouble import Trouble, pause, trouble_of
from llmbench.errors import EngineDiedError, EngineError
from llmbench.records import CONTINUATION_SUFFIX, Completion, FinishReason, Request, Timing

if TYPE_CHECKING:
    from openai import AsyncOpenAI

RETRY_S = 300.0


@dataclass(slots=True)
class Exchanges:
    """Asks requests of one server, each in a task of its own.

    Attributes:
        visible: Takes special tokens out of a text, where some mark thinking and so all are asked for.
        pausing: Requests that wait for their next try.
        answered: When the last answer came, on the monotonic clock.
        retries, backoff_s, unknown_usage, fingerprints: As in `ServerReport`.
    """

    config: Config
    server: Server
    client: "AsyncOpenAI"
    visible: Callable[[str], str] | None = None
    pausing: int = 0
    answered: float = 0.0
    retries: int = 0
    backoff_s: float = 0.0
    unknown_usage: int = 0
    tokens: int = 0
    fingerprints: set[str] = field(default_factory=set)

    async def ask(self, request: Request) -> Completion:
        """Returns what the server made of a request.

        Raises:
            EngineError: The server refuses, and would refuse every request.
            EngineDiedError: Nothing has come from the server for as long as `engine.retry_s` allows.
        """
        failures, troubled = 0, None
        while True:
            begun = time.monotonic()
            try:
                reply = await self._try(request)
            except Exception as error:  # noqa: BLE001 - the kinds of client and network are many
                trouble = trouble_of(error)
                if not trouble.passes:
                    return self._refused(request, trouble, error)
                failed, failures = time.monotonic(), failures + 1
                troubled = failed if troubled is None else troubled
                wait_s = pause(trouble, failures)
                if failed - troubled + wait_s > self._retry_s:
                    return self._given_up(request, trouble, troubled)
                await self._pause(wait_s)
                self.retries += 1
                self.backoff_s += time.monotonic() - begun
            else:
                self.answered = time.monotonic()
                return self._completion(request, reply, begun)

    @property
    def _retry_s(self) -> float:
        own = self.config.engine.retry_s
        return RETRY_S if own is None else own

    async def _pause(self, wait_s: float) -> None:
        self.pausing += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.pausing -= 1

    async def _try(self, request: Request) -> Reply:
        body = body_of(request, self.config, self.server, marks=self.visible is not None)
        api: Any = self.client.chat if is_chat(self.config.engine) else self.client
        required = {name: body[name] for name in ("messages", "prompt") if name in body}
        answer = api.completions.with_streaming_response.create(
            model=self.server.model, stream=True, extra_body=body, **required
        )
        async with answer as response:
            return await read(response.iter_bytes())

    def _refused(self, request: Request, trouble: Trouble, error: Exception) -> Completion:
        """Gives up one continuation, which a chat template may not take; any other refusal ends the run."""
        if request.id.endswith(CONTINUATION_SUFFIX) and trouble.status == 400:  # noqa: PLR2004 - HTTP's
            return Completion.aborted(request, f"the server does not continue this answer: {trouble.says}")
        raise EngineError(refusal(self.server.address, trouble.status or 0, error)) from error

    def _given_up(self, request: Request, trouble: Trouble, troubled: float) -> Completion:
        """Gives up a request alone where others were answered meanwhile, else the server."""
        said = f"the server failed for engine.retry_s={self._retry_s:g} s: {trouble.says}"
        if self.answered > troubled:
            return Completion.aborted(request, said)
        raise EngineDiedError(f"{self.server.address.shown}: {said}.")

    def _completion(self, request: Request, reply: Reply, begun: float) -> Completion:
        chat = is_chat(self.config.engine)
        text, reason, stop = reply.ending(request)
        if self.visible is not None:
            text = self.visible(text)
        tokens = len(reply.ids) if reply.tokens is None else reply.tokens
        self.unknown_usage += reply.tokens is None and not reply.ids
        self.tokens += tokens
        if reply.fingerprint:
            self.fingerprints.add(reply.fingerprint)
        now = time.monotonic()
        first, last = (now if stamp is None else stamp for stamp in (reply.first, reply.last))
        return Completion(
            request_id=request.id,
            text=text,
            output_ids=() if chat else tuple(reply.ids),
            output_tokens=tokens,
            prompt_tokens=reply.prompt_tokens or len(request.prompt_ids),
            cached_tokens=reply.cached_tokens,
            finish_reason=FinishReason(reason),
            stop_string=stop,
            timing=Timing.of(begun, begun, first, last, tokens),
        )
