"""Figures of an engine's report that are worked out of what vLLM says: what a decode step reads, and what its counters come to."""

from collections.abc import Mapping
from typing import Any

from llmbench.engine.memory import cache_element_bytes, kv_bytes_per_token, step_weights_bytes
from llmbench.engine.vllm.internals.engine import Settled
from llmbench.telemetry.engine_report import Speculation


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


def counted(counters: Mapping[str, float]) -> dict[str, Any]:
    """Returns what vLLM's counters come to (`internals.metrics.COUNTERS`), by the names of `EngineReport`."""
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
