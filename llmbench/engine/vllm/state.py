"""What vLLM's scheduler says of itself while requests run."""

from collections.abc import Mapping
from typing import Any

from llmbench.telemetry.records import EngineState

GAUGES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_use",
}
"""vLLM's names of metrics (vllm/v1/metrics/loggers.py, 0.26 and 0.27) and those of `telemetry.EngineState`."""
COUNTERS = {
    "vllm:num_preemptions": "preemptions",
    "vllm:prefix_cache_hits": "prefix_cache_hits",
    "vllm:generation_tokens": "generated_tokens",
}


def scheduler_of(engine: Any) -> Any:  # noqa: ANN401 - vLLM's class
    """The scheduler of an `LLMEngine`; None where it works in another process."""
    core = getattr(engine.engine_core, "engine_core", None)
    return getattr(core, "scheduler", None)


def scheduler_state(engine: Any, before: Mapping[str, float], given: int) -> EngineState:  # noqa: ANN401 - vLLM's class
    """The scheduler's requests, its KV cache and counters; called from another thread.

    In process its queues are counted at this moment. From another process there are the figures of its last step that gave tokens.
    Those of an earlier run's last step are not shown: while they count nothing though requests were given, they are unknown.
    """
    metrics = _metrics()
    found = {name: metrics.get(metric) for metric, name in GAUGES.items()}
    for metric, name in COUNTERS.items():
        total = metrics.get(f"{metric}_total")
        found[name] = None if total is None else total - before.get(metric, 0)
    scheduler = scheduler_of(engine)
    if scheduler is not None:
        found["running"], found["waiting"] = scheduler.get_request_counts()
        found["kv_cache_use"] = scheduler.kv_cache_manager.usage
    elif given and not found["running"] and not found["waiting"]:
        found["running"] = found["waiting"] = None
    return EngineState(**found)


def _metrics() -> dict[str, float]:
    """The samples of the metrics named above, each summed over engines; a few of them are read in a tenth of a millisecond, all in several."""
    from prometheus_client import REGISTRY

    names = [*GAUGES, *(f"{name}_total" for name in COUNTERS)]
    found: dict[str, float] = {}
    for metric in REGISTRY.restricted_registry(names).collect():
        for sample in metric.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
