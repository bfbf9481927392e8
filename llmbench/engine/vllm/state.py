"""What holds for a job, and what vLLM's scheduler says of itself while requests run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmbench.engine.vllm.internals.engine import scheduler_load
from llmbench.engine.vllm.internals.metrics import current_values
from llmbench.telemetry.records import EngineState

GAUGES = ("running", "waiting", "kv_cache_use")
COUNTERS = ("preemptions", "prefix_cache_hits", "generated_tokens")


@dataclass(frozen=True, slots=True)
class Job:
    """What holds from one `begin` to the next.

    Attributes:
        loads: 1 where the engine was loaded for it, else 0.
        counters: vLLM's counters at its beginning.
        visible: Removes special tokens but the marks of thinking from a text; None where vLLM removes all.
    """

    loads: int = 0
    counters: Mapping[str, float] = field(default_factory=dict)
    visible: Callable[[str], str] | None = None


def scheduler_state(llm: Any, before: Mapping[str, float], given: int) -> EngineState:  # noqa: ANN401 - vLLM's class
    """The scheduler's requests, its KV cache and counters; called from another thread.

    In process its queues are counted at this moment. From another process there are the figures of its last step that gave tokens.
    Those of an earlier run's last step are not shown: while they count nothing though requests were given, they are unknown.
    """
    values = current_values()
    state = {name: values.get(name) for name in GAUGES}
    for name in COUNTERS:
        state[name] = values[name] - before.get(name, 0) if name in values else None
    load = scheduler_load(llm)
    if load is not None:
        state |= {"running": load.running, "waiting": load.waiting, "kv_cache_use": load.kv_cache_use}
    elif given and not state["running"] and not state["waiting"]:
        state["running"] = state["waiting"] = None
    return EngineState(**state)
