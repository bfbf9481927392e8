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
FILTERED = "content_filter"
REASONS = {"length": FinishReason.LENGTH, "stop": FinishReason.STOP}
BROKEN_OFF = ("abort", "error")
"""What vLLM, SGLang and OpenRouter give as the reason of an answer that they broke off, vLLM for one when it is ended or paused."""


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
        events: Pieces that came. `ended`: the stream said that it is whole.
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
    events: int = 0
    ended: bool = False

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
            self.tokens = _count(usage.get("completion_tokens"), self.tokens)
            self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
            self.cached_tokens = _count(cached, 0) or 0
        self.fingerprint = piece.get("system_fingerprint") or self.fingerprint
        for choice in (piece.get("choices") or ())[:1]:
            part = choice.get("delta") or choice.get("message") or {}
            said = _text(part.get("content") or choice.get("text") or "")
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


def _count(value: Any, known: int | None) -> int | None:  # noqa: ANN401 - what a server sends
    """A number of tokens; what is known already where it is none."""
    return known if value is None or int(value) < 0 else int(value)


def _text(content: Any) -> Any:  # noqa: ANN401 - as above
    """A text, which some servers send in parts."""
    return "".join(part.get("text") or "" for part in content) if isinstance(content, list) else content


async def read(content: AsyncIterator[bytes], reply: Reply) -> Reply:
    """Reads an answer to its end into `reply`: events of a stream, or one JSON where the server does not stream.

    The client's own reader makes an object of each piece, which takes six times as long.

    Raises:
        BrokenAnswerError: It ended before the answer did, or the server broke it off with an error.
    """
    rest, before = b"", list[bytes]()
    async for part in content:
        now = time.monotonic()
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(EVENT):
                _take(reply, line[len(EVENT) :].strip(), now)
            elif not reply.events:
                before.append(line)
    if rest.startswith(EVENT):
        _take(reply, rest[len(EVENT) :].strip(), time.monotonic())
    elif not reply.events:
        _take(reply, b"\n".join((*before, rest)).strip(), time.monotonic())
    if reply.reason is None and not reply.ended:
        raise BrokenAnswerError("the answer broke off")
    if reply.reason in BROKEN_OFF:
        raise BrokenAnswerError(f"the server broke it off with finish_reason={reply.reason}")
    return reply


def _take(reply: Reply, event: bytes, now: float) -> None:
    reply.events += 1
    if event == DONE:
        reply.ended = True
        return
    try:
        piece = orjson.loads(event)
    except ValueError as error:
        kind = "a web page" if event.startswith(b"<") else "no JSON"
        raise BrokenAnswerError(f"a piece of the answer is {kind}: {first_line(error)}") from error
    if isinstance(piece, dict) and (failure := piece.get("error")):
        said = failure.get("message", failure) if isinstance(failure, dict) else failure
        raise BrokenAnswerError(f"error: {said}")
    reply.take(piece, now)
