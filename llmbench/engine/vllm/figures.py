"""Figures of an engine: what vLLM's scheduler says while requests run, and what a report works out of settings and counters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmbench.engine.memory import cache_element_bytes, kv_bytes_per_token, step_weights_bytes
from llmbench.engine.vllm.internals.engine import Settled, scheduler_load
from llmbench.engine.vllm.internals.metrics import GAUGES, current_values
from llmbench.telemetry.engine_report import Speculation
from llmbench.telemetry.records import EngineState

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
    state = {name: values.get(name) for name in GAUGES.values()}
    for name in COUNTERS:
        state[name] = values[name] - before.get(name, 0) if name in values else None
    load = scheduler_load(llm)
    if not load and given and not state["running"] and not state["waiting"]:
        state["running"] = state["waiting"] = None
    return EngineState(**state | load)


def reads(settled: Settled, weights_bytes: int | None, gpus: int) -> dict[str, Any]:
    """Returns what a decode step reads, by the names of `EngineReport`.

    Args:
        settled: What vLLM settled on.
        weights_bytes: Of the first worker's weights; None where it could not be asked.
        gpus: Of the engine. Of several the weights of the others are not known, nor how they share the cache.
    """
    element_bytes = cache_element_bytes(settled.kv_cache_dtype)
    per_token = kv_bytes_per_token(settled.model, element_bytes) if element_bytes is not None else None
    weights = None
    if weights_bytes is not None and gpus == 1:
        weights = step_weights_bytes(settled.model, weights_bytes, settled.dtype)
    return {"kv_bytes_per_token": per_token, "step_weights_bytes": weights}


def counted(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, Any]:
    """Returns what vLLM's counters (`internals.metrics.COUNTERS`) come to since they stood as before, by the names of `EngineReport`."""
    counters = {name: value - before.get(name, 0) for name, value in now.items()}
    preemptions, queries = counters.get("preemptions"), counters.get("prefix_cache_queries")
    drafts, tokens, accepted = (counters.get(name) for name in ("drafts", "draft_tokens", "accepted_tokens"))
    speculation = None
    if drafts is not None and tokens is not None and accepted is not None:
        steps = (counters.get("steps"), counters.get("drafted_steps"))
        speculation = Speculation.of(drafts, tokens, accepted, *steps)
    return {
        "preemptions": None if preemptions is None else int(preemptions),
        "prefix_cache_hit_rate": counters.get("prefix_cache_hits", 0) / queries if queries else None,
        "speculation": speculation,
    }
