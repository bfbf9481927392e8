"""One request from its place among those in flight to its completion, asked again where what failed may pass."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llmbench.config.endpoint import LIMITS
from llmbench.config.schema import Config
from llmbench.engine.endpoint.body import body_of
from llmbench.engine.endpoint.health import Health
from llmbench.engine.endpoint.reply import FILTERED, Reply, read
from llmbench.engine.endpoint.trouble import FAILS, MOST_S, Trouble, pause, refusal, trouble_of
from llmbench.engine.messages import is_chat
from llmbench.errors import EngineError, StoppedError
from llmbench.records import CONTINUATION_SUFFIX, Completion, FinishReason, Request, Timing
from llmbench.telemetry.engine_report import ServerReport

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CHAT_LIMIT, LIMIT = LIMITS
REFUSED = (400, 413, 422)
"""What may be one request's own: 413 is said of a text that is too long for what stands before the server."""
UNKNOWN = re.compile("not support|unsupported|unknown|unrecogni[sz]ed|unexpected|extra", re.IGNORECASE)
"""What OpenAI, FastAPI, Mistral and JSON schemas say of a field that a server does not know."""
LOOK_S = 0.05


@dataclass(slots=True)
class Exchanges:
    """Asks requests of one server, each in a task of its own.

    Attributes:
        visible: Takes special tokens out of a text, where some mark thinking and so all are asked for.
        pausing: Requests that wait for their next try.
        active: Requests that are asked, those that pause too.
        refused: Those of them that were refused, and wait for whether others are.
        broke: Called for a try that broke within its answer, which may cost something.
        report: What asking took so far.
        tokens: Of the answers so far.
    """

    config: Config
    client: "AsyncOpenAI"
    health: Health
    broke: Callable[[Request], None]
    report: ServerReport
    visible: Callable[[str], str] | None = None
    active: int = 0
    refused: int = 0
    pausing: int = 0
    tokens: int = 0
    _limit: str | None = field(init=False)

    def __post_init__(self) -> None:
        """Begins with the field of OpenAI's API of today."""
        self._limit = CHAT_LIMIT if is_chat(self.config.engine) else LIMIT

    async def ask(self, request: Request) -> Completion:
        """Returns what the server made of a request.

        Raises:
            EngineError: The server refuses, and would refuse every request.
            StoppedError: Nothing has come from the server for as long as `engine.retry_s` allows.
        """
        self.active += 1
        try:
            return await self._ask(request)
        finally:
            self.active -= 1
            self.health.coming.pop(request.id, None)

    async def _ask(self, request: Request) -> Completion:
        failures, troubled, since, limit = 0, 0.0, 0.0, self._limit
        while True:
            begun = time.monotonic()
            try:
                reply = await self._try(request, limit)
            except Exception as error:
                reply = self.health.coming.pop(request.id, Reply())
                trouble = trouble_of(error, begun=reply.events > 0)
                if trouble is None:
                    raise
                before, limit = limit, self._other_limit(limit, trouble)
                if limit != before:
                    continue
                if not trouble.passes:
                    return await self._refused(request, trouble, error, begun)
                if trouble.within:
                    self.broke(request)
                failed, failures = time.monotonic(), failures + 1
                troubled = troubled or failed
                self.health.failed(trouble, failures, troubled)
                since = max(since, troubled, self.health.heard() if trouble.limits else 0.0)
                left_s = since + self.health.retry_s - failed
                if left_s <= 0 and not self.health.answering(since):
                    return await self._given_up(request, trouble, since)
                await self._pause(min(pause(trouble, failures), left_s if left_s > 0 else MOST_S))
                self.report.retries += 1
                self.report.backoff_s += time.monotonic() - begun
            else:
                await self.health.succeeded()
                return self._completion(request, reply, begun, limited=limit is not None)

    def _other_limit(self, limit: str | None, trouble: Trouble) -> str | None:
        """Returns the field that should limit the answer in the next try: none where the context has too little room for so many tokens."""
        if trouble.too_long:
            # without a limit it could cost anything
            return None if self.config.engine.max_cost is None else limit
        unknown = CHAT_LIMIT in trouble.says and UNKNOWN.search(trouble.says)
        if limit == CHAT_LIMIT and trouble.status in REFUSED and unknown:
            self._limit = LIMIT  # for all that follow
            return LIMIT
        return limit

    async def _pause(self, wait_s: float) -> None:
        self.pausing += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.pausing -= 1

    async def _try(self, request: Request, limit: str | None) -> Reply:
        """Asks once; without a limit of its own an answer may fill what the prompt leaves of the context."""
        body = body_of(request, self.config, self.health.server, marks=self.visible is not None)
        if limit is not None:
            body.setdefault(limit, request.sampling.max_tokens)
        api: Any = self.client.chat if is_chat(self.config.engine) else self.client
        # Questions stand in `extra_body` too, past the client's check of each message.
        required: Any = {"messages": ()} if is_chat(self.config.engine) else {"prompt": ()}
        answer = api.completions.with_streaming_response.create(
            model=self.health.server.model, stream=True, extra_body=body, **required
        )
        async with answer as response:
            self.health.coming[request.id] = reply = Reply()
            return await read(response.iter_bytes(), reply)

    async def _refused(
        self, request: Request, trouble: Trouble, error: Exception, begun: float
    ) -> Completion:
        """Returns an error of one request where others are answered, and nothing of a continuation that cannot be.

        Raises:
            EngineError: The refusal would meet every request.
            StoppedError: The server does not know the model that it served before.
        """
        refused, continues = (
            f"the server refuses it: {trouble.says}",
            request.id.endswith(CONTINUATION_SUFFIX),
        )
        if trouble.too_long:  # a text that is continued has filled the context
            return Completion.aborted(request, None if continues else refused)
        if continues and trouble.status == HTTPStatus.BAD_REQUEST:
            self.report.not_continued += 1
            return Completion.aborted(request, None)
        if trouble.status in REFUSED:
            self.refused += 1
            try:
                while not (own := self.health.is_own(begun)) and self.refused < self.active:  # noqa: ASYNC110 - several things end it
                    await asyncio.sleep(LOOK_S)
            finally:
                self.refused -= 1
            if own:
                self.health.lost += self.health.answered < begun
                return Completion.aborted(request, refused)
        if trouble.status == HTTPStatus.NOT_FOUND and self.health.answered:
            await self.health.check_model()
        raise EngineError(refusal(self.health.server.address.url, trouble.status or 0, error)) from error

    async def _given_up(self, request: Request, trouble: Trouble, troubled: float) -> Completion:
        """Gives up a request alone where others were answered meanwhile, or only its answers fail; else the server.

        Raises:
            StoppedError: It is the server.
        """
        said = f"the server failed for engine.retry_s={self.health.retry_s:g} s: {trouble.says}"
        # the server was there, and says itself that it failed at this request
        fails = trouble.status is not None and trouble.status >= FAILS
        if self.health.answered > troubled or (fails and await self.health.lists() and self.health.is_lost()):
            return Completion.aborted(request, said)
        raise StoppedError(f"{self.health.server.address.url}: {said}; what was finished is kept.")

    def _completion(self, request: Request, reply: Reply, begun: float, *, limited: bool) -> Completion:
        chat = is_chat(self.config.engine)
        text, reason, stop = reply.ending(request)
        if self.visible is not None:
            text = self.visible(text)
        tokens = len(reply.ids) if reply.tokens is None else reply.tokens
        self.report.unknown_usage += reply.prompt_tokens is None or (reply.tokens is None and not reply.ids)
        self.report.over_limit += limited and tokens > request.sampling.max_tokens
        self.report.filtered += reply.reason == FILTERED
        self.tokens += tokens
        if reply.fingerprint:
            self.report.fingerprints = sorted({*self.report.fingerprints, reply.fingerprint})
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
