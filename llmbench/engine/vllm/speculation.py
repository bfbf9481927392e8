"""Speculative decoding: up to how many requests vLLM drafts, and the CUDA graphs that this needs."""

from typing import Any

from llmbench.config.engine import EngineConfig
from llmbench.engine.vllm.internals.speculation import LIMIT

SCHEDULER = "llmbench.engine.vllm.internals.speculation.scheduler"
BY_SCHEDULER = ("ngram", "draft_model")
"""Methods of vLLM's first model runner that can be asked for no tokens: the scheduler that llmbench brings limits them."""
BY_SCHEDULE = ("eagle", "eagle3", "mtp")
"""Methods of vLLM's second model runner, which its own schedule by batch size limits (`SCHEDULE`)."""
SCHEDULE = "num_speculative_tokens_per_batch_size"
"""vLLM's setting: from how many requests to how many, and the tokens drafted for each (vllm/config/speculative.py, since 0.26)."""
GRAPH_TOKENS = 512
"""The largest CUDA graph for steps with drafts, in tokens; what vLLM captures by itself ends there too (`VllmConfig._set_cudagraph_sizes`)."""


def drafting_limit(engine: EngineConfig) -> int | None:
    """Returns the most requests at once for which tokens are drafted; None where that is not limited.

    A schedule that was typed stands in place of `engine.speculative_max_running`. Methods that cannot be limited (`ngram_gpu` and `suffix` stop with an error where they are
    asked for fewer tokens) draft always, and so does one whose `num_speculative_tokens` the draft model's files decide.
    """
    chosen = engine.speculative
    known = chosen.get("method") in (*BY_SCHEDULER, *BY_SCHEDULE) and chosen.get("num_speculative_tokens")
    limited = known and not chosen.get(SCHEDULE)
    return engine.speculative_max_running if limited else None


def arguments(engine: EngineConfig, capacity: int) -> dict[str, Any]:
    """Returns what vLLM is called with, by the names of its `EngineArgs`; nothing where speculation is off.

    Args:
        engine: The settings.
        capacity: Requests that can run at once.
    """
    if not engine.speculative:
        return {}
    limit, chosen = drafting_limit(engine), dict(engine.speculative)
    found: dict[str, Any] = {"speculative_config": chosen, "scheduler_cls": SCHEDULER}
    if limit is None or limit >= capacity:
        return found
    if chosen["method"] in BY_SCHEDULER:
        return found | {"additional_config": {LIMIT: limit}}
    tokens = chosen["num_speculative_tokens"]
    chosen[SCHEDULE] = [[1, limit, tokens], [limit + 1, capacity, 0]]
    return found


def graphs(engine: EngineConfig, sizes: list[int]) -> dict[str, Any]:
    """Returns what changes in vLLM's `compilation_config`, so that steps with and without drafts have CUDA graphs; nothing where speculation is off.

    vLLM's first model runner captures decode-only graphs for steps in which every request has all its drafts, and for no others
    (`CudagraphDispatcher.initialize_cudagraph_keys`). In its mode FULL one set of graphs serves any step of so many tokens; a GPU whose attention
    cannot do that (all but FlashAttention 3) gets decode-only graphs all the same. Sizes are multiples of a request's tokens, as vLLM makes them.

    Args:
        engine: The settings.
        sizes: Batch sizes that graphs are captured for without speculation.
    """
    tokens = engine.speculative.get("num_speculative_tokens")
    if not tokens:
        return {}
    limit = min(drafting_limit(engine) or sizes[-1], sizes[-1])
    drafted = [(1 + tokens) * size for size in [*(size for size in sizes if size < limit), limit]]
    plain = sizes
    changed: dict[str, Any] = {}
    if engine.speculative.get("method") in BY_SCHEDULER:
        plain = [-(-size // (1 + tokens)) * (1 + tokens) for size in sizes]
        changed["cudagraph_mode"] = "FULL"
    within = [size for size in drafted if size <= max(GRAPH_TOKENS, plain[-1])]
    return changed | {"cudagraph_capture_sizes": sorted({*plain, *within})}
