"""What a server streams back for one request, read piece by piece."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from llmbench.errors import first_line
from llmbench.records import FinishReason, Request

EVENT, DONE = b"data:", b"[DONE]"
OPEN, CLOSE = "<think>", "</think>"
REASONS = {"length": FinishReason.LENGTH, "stop": FinishReason.STOP}


class BrokenAnswerError(Exception):
    """An answer that is not whole, or not what the API describes."""


@dataclass(slots=True)
class Reply:
    """An answer as far as it came.

    Attributes:
        text: Its pieces.
        thinking: Pieces of what the server kept apart as reasoning.
        ids: Token ids, where the server gives them.
        first, last: When the first and the last piece came.
        stop: The stop string that ended it, where the server says it.
        tokens, prompt_tokens: By the server's count; None where it gives none.
    """

    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    reason: str | None = None
    stop: str | None = None
    tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    fingerprint: str | None = None

    def take(self, piece: Any, now: float) -> None:  # noqa: ANN401 - what a server sends
        """Takes a piece of the answer that came now, or a whole answer of a server that does not stream.

        Raises:
            BrokenAnswerError: It is not what the API describes.
        """
        try:
            self._take(piece, now)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise BrokenAnswerError(
                f"a piece of the answer is not what the API describes: {first_line(error)}"
            ) from error

    def _take(self, piece: dict[str, Any], now: float) -> None:
        if (usage := piece.get("usage")) is not None:
            tokens, prompt_tokens = usage.get("completion_tokens"), usage.get("prompt_tokens")
            self.tokens = self.tokens if tokens is None else int(tokens)
            self.prompt_tokens = self.prompt_tokens if prompt_tokens is None else int(prompt_tokens)
            self.cached_tokens = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        self.fingerprint = piece.get("system_fingerprint") or self.fingerprint
        for choice in piece["choices"][:1]:
            part = choice.get("delta") or choice.get("message") or {}
            said = part.get("content") or choice.get("text") or ""
            thought = part.get("reasoning") or part.get("reasoning_content") or ""
            ids = choice.get("token_ids") or ()
            self.text.append("" + said)  # what is no text is refused
            self.thinking.append("" + thought)
            self.ids.extend(ids)
            if said or thought or ids:
                self.first, self.last = self.first or now, now
            self.reason = choice.get("finish_reason") or self.reason
            stop = choice.get("stop_reason") or choice.get("matched_stop")
            self.stop = stop if isinstance(stop, str) else self.stop

    def whole_text(self) -> str:
        """The answer with its thinking before it, between the tags that grading knows."""
        text, thinking = "".join(self.text), "".join(self.thinking)
        if not thinking:
            return text
        ended = bool(text) or (self.reason != "length" and self.stop is None)
        return f"{OPEN}{thinking}{CLOSE if ended else ''}{text}"

    def ending(self, request: Request) -> tuple[str, FinishReason, str | None]:
        """Returns the text up to the stop string, why it ended, and the stop string."""
        text = self.whole_text()
        if self.stop is not None and self.stop in request.sampling.stop:
            return text.removesuffix(self.stop), FinishReason.STOP_STRING, self.stop
        return text, REASONS.get(self.reason or "", FinishReason.STOP), None


async def read(content: AsyncIterator[bytes]) -> Reply:
    """Reads an answer to its end: events of a stream, or one JSON where the server does not stream.

    The client's own reader makes an object of each piece, which takes six times as long.

    Raises:
        BrokenAnswerError: It ended before the answer did, or the server broke it off with an error.
    """
    reply, rest = Reply(), b""
    async for part in content:
        now = time.monotonic()
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(EVENT):
                _take(reply, line[len(EVENT) :].strip(), now)
    if reply.first is None and rest.strip():  # no line ended
        _take(reply, rest.removeprefix(EVENT).strip(), time.monotonic())
    if reply.reason is None:
        raise BrokenAnswerError("the answer broke off")
    return reply


def _take(reply: Reply, event: bytes, now: float) -> None:
    if event == DONE:
        return
    try:
        piece = orjson.loads(event)
    except ValueError as error:
        raise BrokenAnswerError(f"a piece of the answer is no JSON: {first_line(error)}") from error
    if isinstance(piece, dict) and (failure := piece.get("error")):
        said = failure.get("message", failure) if isinstance(failure, dict) else failure
        raise BrokenAnswerError(f"error: {said}")
    reply.take(piece, now)
