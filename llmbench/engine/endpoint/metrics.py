"""What a server says of its work at `/metrics`, in Prometheus's text format: requests that run and wait, and its KV cache."""

import logging
import math
import re
import threading
from dataclasses import replace

from llmbench.engine.endpoint.address import Address
from llmbench.errors import first_line
from llmbench.telemetry.records import EngineState

log = logging.getLogger(__name__)

PERIOD_S = 1.0
PATIENCE_S = 2.0
"""How long an answer may take."""
END_S = 0.2
"""For the thread to end; where it waits for an answer it is left behind."""
SUMS = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "num_running_reqs": "running",
    "num_queue_reqs": "waiting",
}
"""Counts by the fields of `EngineState`; the engines behind one address each have a line."""
SHARES = {
    "kv_cache_usage_perc": "kv_cache_use",
    "gpu_cache_usage_perc": "kv_cache_use",  # its name in older versions
    "token_usage": "kv_cache_use",
}
"""Shares from 0 to 1, of which the mean over the engines counts."""
LINE = re.compile(r"(?:vllm|sglang):(\w+)(?:\{.*\})?\s+(\S+)")


def read(text: str) -> EngineState | None:
    """Returns what a page of metrics says; None where it has none of these."""
    values: dict[str, list[float]] = {}
    for name, number in (match.groups() for match in map(LINE.match, text.splitlines()) if match):
        field = SUMS.get(name) or SHARES.get(name)
        if field is not None and (value := _number(number)) is not None:
            values.setdefault(field, []).append(value)
    if not values:
        return None
    shares = set(SHARES.values())
    found = {name: math.fsum(each) / (len(each) if name in shares else 1) for name, each in values.items()}
    return EngineState(**found)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class ServerMetrics:
    """Asks for them once a second, in a thread of its own; a server that has none is asked once. No trouble with it reaches the run."""

    def __init__(self, address: Address) -> None:
        """Begins to ask."""
        self._address, self._state = address, EngineState()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="llmbench-metrics", daemon=True)
        self._thread.start()

    def over(self, own: EngineState) -> EngineState:
        """Returns a state in which what the server says stands in place of what this client knows."""
        said = {name: getattr(self._state, name) for name in {*SUMS.values(), *SHARES.values()}}
        return replace(own, **{name: value for name, value in said.items() if value is not None})

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join(END_S)

    def _watch(self) -> None:
        try:
            self._ask_on()
        except Exception as error:  # noqa: BLE001 - no run ends for want of telemetry
            log.info("%s gives no metrics: %s", self._address.url, first_line(error))
        self._state = EngineState()

    def _ask_on(self) -> None:
        from openai import APIConnectionError, InternalServerError, OpenAI

        with OpenAI(**self._address.options(), timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                try:
                    found = read(client.get(self._address.outside_api("metrics"), cast_to=str))
                except (APIConnectionError, InternalServerError):  # it may come back
                    self._state = EngineState()
                else:
                    if found is None:
                        log.info("%s says nothing of its requests.", self._address.outside_api("metrics"))
                        return
                    self._state = found
                self._stop.wait(PERIOD_S)
