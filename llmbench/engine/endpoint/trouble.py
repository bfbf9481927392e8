"""What can go wrong with one request, and which of it is asked again."""

import random
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from llmbench.engine.endpoint.reply import BrokenAnswerError
from llmbench.errors import first_line

PASSING = {408, 409, 425, 429}
"""Refusals that a later try need not meet; so do all from 500 on."""
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
    """

    says: str
    status: int | None = None
    passes: bool = True
    wait_s: float | None = None
    too_long: bool = False


def trouble_of(error: Exception) -> Trouble | None:
    """Returns what an error of the client means; None where it is no server's or network's."""
    from aiohttp import ClientError
    from httpx2 import HTTPError
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    if isinstance(error, APIStatusError):
        status = error.status_code
        passes = status in PASSING or status >= 500  # noqa: PLR2004 - HTTP's
        wait_s = _seconds(error.response.headers.get("retry-after"))
        too_long = status in TOO_LONG and CONTEXT.search(str(error)) is not None
        return Trouble(f"it answered {status} ({first_line(error)})", status, passes, wait_s, too_long)
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, TimeoutError) or (cause is error and isinstance(error, APITimeoutError)):
        return Trouble("it did not answer in time")
    if isinstance(error, BrokenAnswerError):
        return Trouble(f"it gave no whole answer ({first_line(error)})")
    if isinstance(error, APIConnectionError):
        return Trouble(f"it cannot be reached ({first_line(cause)})")
    if isinstance(error, ClientError | HTTPError | OSError):
        return Trouble(f"the connection broke ({first_line(cause)})")
    return None


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


def pause(trouble: Trouble, failures: int, random_number: float | None = None) -> float:
    """Returns the seconds to wait after so many failures: each time twice as long, and not the same for all requests."""
    share = random.random() if random_number is None else random_number
    own = min(MOST_S, FIRST_S * 2.0 ** min(failures - 1, 10)) * (0.5 + share / 2)
    return own if trouble.wait_s is None else trouble.wait_s + own / 2
