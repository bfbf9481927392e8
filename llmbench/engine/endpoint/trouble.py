"""What can go wrong with one request, and which of it is asked again."""

import random
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import orjson

from llmbench.engine.endpoint.reply import BrokenAnswerError
from llmbench.errors import EngineError, first_line

PASSING = {408, 409, 425, 429}
"""Refusals that a later try need not meet; so do all from 500 on."""
FAILS = 500
"""From here on an HTTP status is the server's fault."""
FOR_GOOD = {"insufficient_quota"}
"""Codes of refusals that their status would let pass."""
TOO_LONG = {400, 413, 422}
CONTEXT = re.compile("context.?(length|size|window)", re.IGNORECASE)
"""What OpenAI, vLLM, SGLang and llama.cpp say where a prompt and its answer are too long."""
FIRST_S, MOST_S = 0.5, 30.0
"""The first pause and the longest."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a try failed.

    Attributes:
        says: In words.
        status: Of HTTP; None where there was no answer, or no whole one.
        passes: Another try may succeed.
        wait_s: The pause that the server asks for.
        too_long: Prompt and answer do not fit the model's context.
        within: The answer had begun.
    """

    says: str
    status: int | None = None
    passes: bool = True
    wait_s: float | None = None
    too_long: bool = False
    within: bool = False

    @property
    def limits(self) -> bool:
        """Whether the server lives, and only limits how much it is asked."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS


def trouble_of(error: Exception, *, begun: bool) -> Trouble | None:
    """Returns what an error of the client means, of which an answer has begun or not; None where it is no server's or network's."""
    from aiohttp import ClientError
    from httpx2 import HTTPError
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    if isinstance(error, APIStatusError):
        status, words = error.status_code, words_of(error)
        passes = (status in PASSING or status >= FAILS) and error.code not in FOR_GOOD
        wait_s = _seconds(error.response.headers.get("retry-after"))
        too_long = status in TOO_LONG and CONTEXT.search(words) is not None
        return Trouble(f"it answered {status} ({words})", status, passes, wait_s, too_long)
    cause = root_cause(error)
    if isinstance(cause, TimeoutError) or (cause is error and isinstance(error, APITimeoutError)):
        return Trouble("it did not answer in time", within=begun)
    if isinstance(error, BrokenAnswerError):
        return Trouble(f"it gave no whole answer ({first_line(error)})", within=True)
    if isinstance(error, APIConnectionError):
        return Trouble(f"it cannot be reached ({first_line(cause)})")
    if isinstance(error, ClientError | HTTPError | OSError):
        return Trouble(f"the connection broke ({first_line(cause)})", within=True)
    return None


def root_cause(error: BaseException) -> BaseException:
    """Returns the error that all began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def words_of(error: Exception) -> str:
    """Returns the server's own words, without the status that stands beside them."""
    body = getattr(error, "body", None)
    words = (
        next((body[key] for key in ("message", "detail", "error") if body.get(key)), None)
        if isinstance(body, dict)
        else body
    )
    text = words if isinstance(words, str) else "" if words is None else orjson.dumps(words).decode()
    return first_line(EngineError(text)) if text.strip() else first_line(error)


REMEDIES = {
    401: "set engine.api_key_env to the environment variable that holds the key, and check the key",
    403: "check the key and what it is allowed",
    404: "check engine.base_url, which mostly ends in /v1, and engine.served_model",
}


def refusal(url: str, status: int, error: Exception) -> str:
    """Returns the sentence for an answer that will not become another one."""
    remedy = REMEDIES.get(status, "look into the server's log")
    return f"{url} refuses ({status}: {words_of(error)}); {remedy}."


def _seconds(header: str | None) -> float | None:
    """What `Retry-After` asks for: seconds, or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def pause(trouble: Trouble, failures: int) -> float:
    """Returns the seconds to wait after so many failures: each time twice as long, and not the same for all requests."""
    own = min(MOST_S, FIRST_S * 2.0 ** min(failures - 1, 10)) * (0.5 + random.random() / 2)
    return own if trouble.wait_s is None else trouble.wait_s + own / 2
