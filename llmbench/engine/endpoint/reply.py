"""What a server streams back for one request, read piece by piece."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from llmbench.records import FinishReason, Request

OPEN, CLOSE = "<think>", "</think>"
REASONS = {"length": FinishReason.LENGTH, "stop": FinishReason.STOP}


class BrokenAnswerError(Exception):
    """An answer that is not whole, or not what the API describes."""


@dataclass(slots=True)
class Reply:
    """An answer as far as it came.

    Attributes:
        thinking: What the server kept apart as reasoning.
        ids: Token ids, where the server gives them.
        first, last: When the first and the last piece came.
        stop: The stop string that ended it, where the server says it.
        tokens: Output tokens by the server's count; None where it gives none.
    """

    text: str = ""
    thinking: str = ""
    ids: list[int] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    reason: str | None = None
    stop: str | None = None
    tokens: int | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    fingerprint: str | None = None

    def take(self, chunk: Any, now: float) -> None:  # noqa: ANN401 - what a server sends
        """Takes a piece of the stream that came now.

        Raises:
            BrokenAnswerError: It is not what the API describes.
        """
        try:
            self._take(chunk, now)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise BrokenAnswerError(
                f"a piece of the answer is not what the API describes: {error}"
            ) from error

    def _take(self, chunk: Any, now: float) -> None:  # noqa: ANN401 - as above
        if (usage := getattr(chunk, "usage", None)) is not None:
            tokens, prompt_tokens = (
                getattr(usage, name, None) for name in ("completion_tokens", "prompt_tokens")
            )
            self.tokens = self.tokens if tokens is None else int(tokens)
            self.prompt_tokens = self.prompt_tokens if prompt_tokens is None else int(prompt_tokens)
            details = getattr(usage, "prompt_tokens_details", None)
            self.cached_tokens = int(getattr(details, "cached_tokens", None) or 0)
        self.fingerprint = getattr(chunk, "system_fingerprint", None) or self.fingerprint
        for choice in chunk.choices[:1]:
            part = getattr(choice, "delta", None)
            said = (
                getattr(part, "content", None) if part is not None else getattr(choice, "text", None)
            ) or ""
            thought = getattr(part, "reasoning", None) or getattr(part, "reasoning_content", None) or ""
            ids = getattr(choice, "token_ids", None) or []
            self.text, self.thinking = self.text + said, self.thinking + thought
            self.ids += ids
            if said or thought or ids:
                self.first, self.last = self.first or now, now
            self.reason = getattr(choice, "finish_reason", None) or self.reason
            stop = getattr(choice, "stop_reason", None) or getattr(choice, "matched_stop", None)
            self.stop = stop if isinstance(stop, str) else self.stop

    def whole_text(self) -> str:
        """The answer with its thinking before it, between the tags that grading knows."""
        if not self.thinking:
            return self.text
        ended = bool(self.text) or (self.reason != "length" and self.stop is None)
        return f"{OPEN}{self.thinking}{CLOSE if ended else ''}{self.text}"

    def ending(self, request: Request) -> tuple[str, FinishReason, str | None]:
        """Returns the text up to the stop string, why it ended, and the stop string."""
        text = self.whole_text()
        if self.stop is not None and self.stop in request.sampling.stop:
            return text.removesuffix(self.stop), FinishReason.STOP_STRING, self.stop
        return text, REASONS.get(self.reason or "", FinishReason.STOP), None


async def read(stream: AsyncIterator[Any]) -> Reply:
    """Reads a stream to its end.

    Raises:
        BrokenAnswerError: It ended before the answer did.
    """
    reply = Reply()
    async for chunk in stream:
        reply.take(chunk, time.monotonic())
    if reply.reason is None:
        raise BrokenAnswerError("the answer broke off")
    return reply
