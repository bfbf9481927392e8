"""vLLM's `LLM` from the inside: its `LLMEngine`, engine core, scheduler and tokenizer. `llm` is always an `LLM`."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from llmbench.errors import EngineError


def step(llm: Any) -> list[Any]:  # noqa: ANN401 - vLLM's class, as everywhere here
    """Runs `LLMEngine.step`, which returns the requests with something new (since 0.26)."""
    return llm.llm_engine.step()  # type: ignore[no-any-return]


def load_adapter(llm: Any, name: str, folder: str) -> Any:  # noqa: ANN401
    """Loads a LoRA adapter through `LLMEngine.add_lora`; returns the `LoRARequest` that goes with each request (since 0.26)."""
    request = importlib.import_module("vllm.lora.request").LoRARequest(name, 1, folder)
    llm.llm_engine.add_lora(request)
    return request


def add_request(llm: Any, key: str, prompt_ids: Sequence[int], params: Any, adapter: Any = None) -> str:  # noqa: ANN401
    """Queues a prompt of token ids, for the model with an adapter (`load_adapter`) where there is one; returns the id that vLLM gave it.

    Through `LLMEngine.add_request` (since 0.26; 0.27 warns that it will refuse such prompts).
    """
    prompt = {"prompt_token_ids": list(prompt_ids)}
    return llm.llm_engine.add_request(key, prompt, params, lora_request=adapter) or key


def abort_requests(llm: Any, given: Sequence[str]) -> None:  # noqa: ANN401
    """Drops requests by the ids that vLLM gave them: `LLMEngine.abort_request(internal=True)` (since 0.26)."""
    llm.llm_engine.abort_request(list(given), internal=True)


class Stamps(NamedTuple):
    """When a request was queued, scheduled, and gave its first and its last token, in seconds of the monotonic clock; 0.0: never."""

    queued: float
    scheduled: float
    first_token: float
    last_token: float


def stamps(output: Any) -> Stamps | None:  # noqa: ANN401
    """The times in `RequestOutput.metrics`, a `RequestStateStats`; None with statistics switched off (since 0.26)."""
    metrics = output.metrics
    if metrics is None:
        return None
    return Stamps(metrics.queued_ts, metrics.scheduled_ts, metrics.first_token_ts, metrics.last_token_ts)


def is_engine_dead(error: BaseException) -> bool:
    """Whether an error says that the engine's process died: `EngineDeadError`, known by its name, for vLLM may not be importable (since 0.26)."""
    return type(error).__name__ == "EngineDeadError"


def set_tokenizer(llm: Any, tokenizer: Any) -> None:  # noqa: ANN401
    """Gives a Hugging Face tokenizer to `LLMEngine.renderer` and `.output_processor`, through `get_cached_tokenizer` (since 0.26)."""
    cached = importlib.import_module("vllm.tokenizers.hf").get_cached_tokenizer(tokenizer)
    llm.llm_engine.renderer.tokenizer = llm.llm_engine.output_processor.tokenizer = cached


def _scheduler(llm: Any) -> Any:  # noqa: ANN401
    """`LLMEngine.engine_core.engine_core.scheduler`; None where the core runs in another process (since 0.26)."""
    core = getattr(llm.llm_engine.engine_core, "engine_core", None)
    return getattr(core, "scheduler", None)


def limit_running(llm: Any, limit: int) -> bool:  # noqa: ANN401
    """Bounds the requests that run at once, through `Scheduler.max_num_running_reqs` (since 0.26) or `max_num_active_reqs` (0.32).

    Returns:
        False where that cannot be done, as with a scheduler in another process.
    """
    scheduler = _scheduler(llm)
    for name in ("max_num_active_reqs", "max_num_running_reqs"):  # 0.32 has both, and asserts with the second
        if hasattr(scheduler, name):
            setattr(scheduler, name, limit)
            return True
    return False


def scheduler_load(llm: Any) -> dict[str, float]:  # noqa: ANN401
    """Requests that run and wait, and the share of the KV cache in use, by the names of `metrics.GAUGES`; empty where the scheduler is in another process.

    By `Scheduler.get_request_counts` and `kv_cache_manager.usage` (since 0.26).
    """
    scheduler = _scheduler(llm)
    if scheduler is None:
        return {}
    running, waiting = scheduler.get_request_counts()
    return {"running": running, "waiting": waiting, "kv_cache_use": scheduler.kv_cache_manager.usage}


def step_counts(llm: Any) -> dict[str, float]:  # noqa: ANN401
    """Steps, and those that checked drafted tokens, since the engine was made: of `speculation.Drafting`; empty with another scheduler or one in another process."""
    counts = {name: getattr(_scheduler(llm), f"llmbench_{name}", None) for name in ("steps", "drafted_steps")}
    return {name: value for name, value in counts.items() if value is not None}


def empty_prefix_cache(llm: Any) -> None:  # noqa: ANN401
    """Empties the prefix cache; blocks of earlier requests may be freed only with the next `LLMEngine.step` (since 0.26)."""
    for _ in range(3):
        if llm.reset_prefix_cache():
            return
        step(llm)
    raise EngineError("vLLM's prefix cache could not be emptied between two jobs; run them one by one.")


@dataclass(frozen=True, slots=True)
class Settled:
    """What vLLM settled on: the weights' quantisation and type, the KV cache in tokens, the type of its numbers, the model's config.json."""

    quantization: str | None
    dtype: str
    kv_cache_tokens: int | None
    kv_cache_dtype: str
    model: Mapping[str, Any]


def settled(llm: Any) -> Settled:  # noqa: ANN401
    """By `LLMEngine.vllm_config`, its `model_config` and `cache_config` (since 0.26)."""
    config = llm.llm_engine.vllm_config
    blocks, cache = config.cache_config.num_gpu_blocks, str(config.cache_config.cache_dtype)
    dtype = str(config.model_config.dtype).removeprefix("torch.")
    return Settled(
        quantization=config.model_config.quantization,
        dtype=dtype,
        kv_cache_tokens=blocks * config.cache_config.block_size if blocks else None,
        kv_cache_dtype=dtype if cache == "auto" else cache,
        model=config.model_config.hf_config.to_dict(),
    )


def worker_facts(llm: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the first worker answers to `Probe.llmbench_facts`, through `LLM.collective_rpc` (since 0.26)."""
    return dict(llm.collective_rpc("llmbench_facts")[0])


def shut_down(llm: Any) -> None:  # noqa: ANN401
    """Ends the engine core and its processes: `LLMEngine.engine_core.shutdown` (since 0.26)."""
    llm.llm_engine.engine_core.shutdown()
