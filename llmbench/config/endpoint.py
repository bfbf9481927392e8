"""Checks of the settings of `engine=endpoint`."""

import math
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from llmbench.config.bounds import check
from llmbench.config.engine import EngineConfig
from llmbench.errors import ConfigError

LIMITS = ("max_completion_tokens", "max_tokens")
"""The fields of a request that limit an answer's tokens: in chats, and in completions and chats of servers that do not know the former."""
PRICES = ("input", "output")
OWN_FIELDS = ("messages", "prompt", "model", "stream", "stream_options", "n")
"""Fields of a request that `engine.extra_body` may not set: they decide what is asked and how answers are read."""


def cost_of(price: Mapping[str, float], prompt_tokens: int, output_tokens: int) -> float:
    """Returns what tokens cost by `engine.price`, which is per million."""
    return (prompt_tokens * price.get("input", 0.0) + output_tokens * price.get("output", 0.0)) / 1e6


def validate_endpoint(engine: EngineConfig) -> None:
    """Refuses settings that no request could be made with.

    Raises:
        ConfigError: Names the setting, the value and what it may be.
    """
    if engine.base_url is not None:  # else a server of llmbench.serve is looked for
        _check_address(engine.base_url)
    refused = [name for name in OWN_FIELDS if name in engine.extra_body]
    if refused:
        raise ConfigError(
            f"engine.extra_body.{refused[0]} is refused: llmbench sets it itself; leave it out."
        )
    wait_s = engine.retry_s
    fits = wait_s is None or (math.isfinite(wait_s) and wait_s >= 0)
    check(fits, "engine.retry_s", wait_s, "a number of seconds from 0")
    _check_price(engine.price, engine.max_cost)
    limits = [name for name in LIMITS if name in engine.extra_body]
    if limits and engine.max_cost is not None:
        raise ConfigError(
            f"engine.extra_body.{limits[0]} is refused with engine.max_cost, which counts on the benchmarks' own max_tokens; leave one out."
        )


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        known = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
        fine = known and not (parts.query or parts.fragment or re.search(r"\s", address))
    except ValueError:  # a port that is none
        fine = False
    if not fine:
        raise ConfigError(
            f"engine.base_url={re.sub('//.*@', '//***@', address)} is refused: engine.base_url must be an address such as "
            "http://localhost:8000/v1, without a query."
        )


def _check_price(price: Mapping[str, float], most: float | None) -> None:
    unknown = [name for name in price if name not in PRICES]
    if unknown:
        raise ConfigError(f"engine.price.{unknown[0]} is refused: engine.price takes input and output.")
    for name, value in price.items():
        fits = math.isfinite(value) and value >= 0
        check(fits, f"engine.price.{name}", value, "a price per million tokens, from 0")
    if most is None:
        return
    check(math.isfinite(most) and most > 0, "engine.max_cost", most, "above 0, or null")
    if set(price) != set(PRICES):
        raise ConfigError("engine.max_cost needs both prices; set 'engine.price={input: 0.5, output: 1.5}'.")


def from_environment(setting: str, variable: str) -> str:
    """Returns what an environment variable holds that a setting names.

    Raises:
        ConfigError: It is not set, or empty.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(
            f"{setting}={variable} is refused: there is no environment variable of this name; "
            f"type `export {variable}=…` first."
        )
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(
            f"{setting}={variable} is refused: what this environment variable holds is no HTTP header (ASCII on one line)."
        )
    return value
