"""vLLM's metrics, by their names (vllm/v1/metrics/loggers.py and vllm/v1/spec_decode/metrics.py, since 0.26)."""

from typing import Any

from llmbench.engine.vllm.internals.engine import step_counts

GAUGES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_use",
}
"""The names of gauges, and those of `telemetry.EngineState`."""
COUNTERS = {
    "vllm:num_preemptions": "preemptions",
    "vllm:prefix_cache_hits": "prefix_cache_hits",
    "vllm:prefix_cache_queries": "prefix_cache_queries",
    "vllm:generation_tokens": "generated_tokens",
    "vllm:spec_decode_num_drafts": "drafts",
    "vllm:spec_decode_num_draft_tokens": "draft_tokens",
    "vllm:spec_decode_num_accepted_tokens": "accepted_tokens",
}
"""The names of counters, and ours. They count from the start of the process."""


def counters(llm: Any) -> dict[str, float]:  # noqa: ANN401 - vLLM's class
    """`current_values`, and the counts of steps that vLLM has no metric for."""
    return step_counts(llm) | current_values()


def current_values() -> dict[str, float]:
    """Our names and values of gauges and counters, each summed over engines, from prometheus_client's registry, where vLLM keeps them (since 0.26).

    A few of them are read in a tenth of a millisecond, all in several.
    """
    from prometheus_client import REGISTRY

    names = GAUGES | {f"{name}_total": ours for name, ours in COUNTERS.items()}
    values: dict[str, float] = {}
    for metric in REGISTRY.restricted_registry(list(names)).collect():
        for sample in metric.samples:
            if sample.name in names:
                ours = names[sample.name]
                values[ours] = values.get(ours, 0.0) + sample.value
    return values
