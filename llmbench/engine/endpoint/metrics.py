"""What a server says of its work at `/metrics`, in Prometheus's text format: requests that run and wait, and its KV cache."""

import asyncio
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from llmbench.errors import first_line
from llmbench.telemetry.records import EngineState

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger(__name__)

PERIOD_S = 1.0
PATIENCE_S = 2.0
"""How long an answer may take."""
SHARE = "kv_cache_use"
"""From 0 to 1: of this the mean over the engines behind one address counts, of the others the sum."""
FIELDS = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "kv_cache_usage_perc": SHARE,
    "gpu_cache_usage_perc": SHARE,  # its name in older versions
    "num_running_reqs": "running",
    "num_queue_reqs": "waiting",
    "token_usage": SHARE,
}
"""The names of vLLM and SGLang, with the fields of `EngineState`."""
LINE = re.compile(r"^(?:vllm|sglang):(\w+)(?:\{.*\})?[ \t]+(\d[\d.]*(?:e[-+]?\d+)?)(?=\s|$)", re.MULTILINE)


def read(text: str) -> EngineState | None:
    """Returns what a page of metrics says; None where it has none of these."""
    values: dict[str, list[float]] = {}
    for name, number in LINE.findall(text):
        if name in FIELDS:
            values.setdefault(FIELDS[name], []).append(float(number))
    if not values:
        return None
    return EngineState(
        **{name: sum(each) / (len(each) if name == SHARE else 1) for name, each in values.items()}
    )


class ServerMetrics:
    """Asks for them once a second; a server that has none is asked once. No trouble with it reaches the run."""

    def __init__(self) -> None:
        self._state = EngineState()

    def over(self, own: EngineState) -> EngineState:
        """Returns a state in which what the server says stands in place of what this client knows."""
        said = {name: getattr(self._state, name) for name in FIELDS.values()}
        return replace(own, **{name: value for name, value in said.items() if value is not None})

    async def watch(self, client: "AsyncOpenAI", page: str) -> None:
        """Asks until it is cancelled."""
        from openai import APIConnectionError, InternalServerError

        try:
            while True:
                try:
                    text = await client.get(page, cast_to=str, options={"timeout": PATIENCE_S})
                except (APIConnectionError, InternalServerError):  # it may come back
                    self._state = EngineState()
                else:
                    if (found := read(text)) is None:
                        log.info("%s says nothing of its requests.", page)
                        break
                    self._state = found
                await asyncio.sleep(PERIOD_S)
        except Exception as error:  # noqa: BLE001 - no run ends for want of telemetry
            log.info("%s gives no metrics: %s", page, first_line(error))
        self._state = EngineState()
