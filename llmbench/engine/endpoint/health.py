"""Whether the server lives, by what becomes of requests, and whether it still serves the model."""

import asyncio
import time
from dataclasses import dataclass, field

from llmbench.config.engine import EngineConfig
from llmbench.engine.base import Notice
from llmbench.engine.endpoint.reply import Reply
from llmbench.engine.endpoint.server import Server, look
from llmbench.engine.endpoint.trouble import Trouble, pause
from llmbench.errors import ConfigError, EngineError, LlmbenchError, StoppedError

RETRY_S = 300.0
LOST = 3
"""Requests in a row, without an answer since they were asked, that may fail by themselves; where more do, it is the server."""


@dataclass(slots=True)
class Health:
    """What is known of the server.

    Attributes:
        answered: When the last answer came, on the monotonic clock, or the run began that had answers before; 0 before the first.
        coming: Answers that are being read, by request.
        lost: Requests that were asked and given up since the last answer.
        silent_since: When the server began to fail every request; None while it answers.
        limited: It was said that the server limits how much it is asked.
    """

    engine: EngineConfig
    server: Server
    notice: Notice
    answered: float = 0.0
    coming: dict[str, Reply] = field(default_factory=dict)
    lost: int = 0
    silent_since: float | None = None
    limited: bool = False
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def retry_s(self) -> float:
        """How long what fails is tried again."""
        own = self.engine.retry_s
        return RETRY_S if own is None else own

    def heard(self) -> float:
        """When an answer came last, or a piece of one that is coming."""
        return max([self.answered, *(reply.last or 0.0 for reply in self.coming.values())])

    def answering(self, troubled: float) -> bool:
        """Whether none was answered since, but answers are coming that began before `engine.retry_s` was over: their end tells who is at fault."""
        if self.answered > troubled:
            return False
        heard, begun = time.monotonic() - self.retry_s, troubled + self.retry_s
        return any(
            reply.first and reply.last and reply.first < begun and reply.last > heard
            for reply in self.coming.values()
        )

    def failed(self, trouble: Trouble, failures: int, troubled: float) -> None:
        """Says once that the server fails, or that its rate limit is waited for: a request failed twice, and others are answered or not."""
        url, said = self.server.address.url, trouble.says
        if failures > 1 and self.heard() < troubled and self.silent_since is None:
            self.silent_since = troubled
            self.notice(f"{url}: {said}; requests are tried again for up to {self.retry_s:g} s.")
        elif failures > 1 and self.heard() >= troubled and trouble.limits and not self.limited:
            self.limited = True
            self.notice(
                f"{url}: {said}; such requests wait for as long as others are answered; a lower batch_size sends fewer at once."
            )

    async def succeeded(self) -> None:
        """Says that the server is back, if it was away.

        Raises:
            StoppedError: It came back with another model.
        """
        if self.silent_since is not None:
            await self._note_return()
        self.answered, self.lost = time.monotonic(), 0

    async def _note_return(self) -> None:
        async with self._looking:
            if self.silent_since is None:  # another answer had that done
                return
            await self._compare_model()
            silent_s, self.silent_since = time.monotonic() - self.silent_since, None
            self.notice(f"{self.server.address.url} answers again after {silent_s:.0f} s.")

    async def check_model(self) -> None:
        """Looks whether the server still serves the model; where that fails it looks again, for `engine.retry_s`.

        Raises:
            StoppedError: It serves another one, or does not say what it serves.
        """
        async with self._looking:
            await self._compare_model()

    async def _compare_model(self) -> None:
        url, failures, begun = self.server.address.url, 0, time.monotonic()
        while True:
            try:
                now = await asyncio.to_thread(look, self.engine)
                break
            except ConfigError as error:
                raise StoppedError(
                    f"{url} serves {self.server.name} no more ({error}); serve that again, and resume."
                ) from error
            except EngineError as error:
                failures, left_s = failures + 1, begun + self.retry_s - time.monotonic()
                if left_s <= 0:
                    raise StoppedError(f"{error} What was finished is kept.") from error
                await asyncio.sleep(min(pause(Trouble(str(error)), failures), left_s))
        if (now.model, now.root) != (self.server.model, self.server.root):
            raise StoppedError(
                f"{url} came back with another model: {now.name}, not {self.server.name}; serve that again, and resume."
            )

    def is_own(self, begun: float) -> bool:
        """Whether a refusal is one request's own: another was answered since it was asked, or before and few were refused since."""
        return self.answered > begun or (self.answered > 0 and self.lost < LOST)

    def is_lost(self) -> bool:
        """Whether a failure may be one request's own; counts it."""
        self.lost += 1
        return self.lost <= LOST

    async def lists(self) -> bool:
        """Whether the server says what it serves, and so works apart from answering."""
        try:
            await asyncio.to_thread(look, self.engine)
        except LlmbenchError:
            return False
        return True
