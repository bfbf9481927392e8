"""What is known of vLLM's KV cache before the model is loaded: whether it holds the requests, and whether fp8 would make it faster."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from llmbench.config.choices import Device
from llmbench.config.schema import AUTO, Config
from llmbench.config.thinking import most_tokens
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_files import weights_bytes
from llmbench.engine.memory import (
    kv_bytes_per_token,
    kv_shortage,
    kv_tokens,
    planned_element_bytes,
    step_weights_bytes,
    weights_on_gpu,
)
from llmbench.engine.vllm.forecast.gpu_kinds import WITH_FP8
from llmbench.records import Request
from llmbench.system import hardware

AT_LOAD = ("bitsandbytes", "fp8")
"""Quantizations that vLLM makes of bf16 weights; other names mean that the checkpoint's own weights are quantised."""
LEAST = 0.05
"""Of a step; less is not worth a difference to other scores."""
PART = 1 / 3
"""Of its limit an answer takes on average, and of the batch runs on average: 0.30 both in BENCHMARKS.md, "Long outputs on one H100"."""
REACHED = 0.4
"""Of what the bytes alone would save: there 10% of generating where they say 26%."""
NOW_BYTES = 2
"""Of a number in the cache, of which fp8 takes one."""
PAGE = "docs/how-to/speed.md#an-fp8-kv-cache-judged"


def kv_cache_notices(
    config: Config, requests: Sequence[Request], at_once: int, checkpoint: Checkpoint | None
) -> list[str]:
    """Returns what to expect where the KV cache on the GPU will not hold so many requests at once, and where fp8 would save 5% of a step or more.

    Args:
        config: The settings.
        requests: All of the run.
        at_once: Requests that are to run at once.
        checkpoint: None where the engine has none.
    """
    gpus, engine = hardware.gpus(), config.engine
    if checkpoint is None or engine.name != "vllm" or engine.device is Device.cpu or not (gpus and requests):
        return []
    per_token = kv_bytes_per_token(settings(checkpoint), planned_element_bytes(config))
    if per_token is None:
        return []
    own, quantization = bf16_weights_bytes(config, checkpoint), config.model.quantization
    weights = weights_on_gpu(own, quantization) if quantization in AT_LOAD else own
    available = None
    if engine.kv_cache_memory_bytes is not None:
        available = engine.kv_cache_memory_bytes // per_token
    elif weights is not None:
        use = config.model.gpu_memory_utilization
        available = kv_tokens(gpus[0].total_bytes, use, weights, per_token, engine.gpus_each)
    lengths = [len(request.prompt_ids) for request in requests]
    limits = [most_tokens(config, each.benchmark, each.sampling.max_tokens) for each in requests]
    said = kv_shortage(lengths, limits, at_once, available)
    asked = engine.args.get("kv_cache_dtype") or config.model.kv_cache_dtype
    is_halved = asked in (None, AUTO) and planned_element_bytes(config) == NOW_BYTES
    step = step_weights_bytes(settings(checkpoint), weights, config.model.dtype) if weights else None
    if step and is_halved and WITH_FP8.search(gpus[0].name):
        share = saved_share(step, per_token, min(at_once, len(requests)), fmean(lengths), fmean(limits))
        if share >= LEAST:
            said.append(
                f"model.kv_cache_dtype=fp8 would save about {share:.0%} of a step here; it changes numbers: compare a pair of runs first ({PAGE})."
            )
    return said


def saved_share(
    weights_bytes: int, bytes_per_token: int, running: int, prompt_tokens: float, limit: float
) -> float:
    """Returns what an fp8 KV cache saves of a decode step, in place of one of two bytes a number.

    A step reads the weights W once and the keys and values of each running request (`results/generation`): W + r · c · b bytes, for r requests with
    c tokens each of b bytes. fp8 halves the second term, and `REACHED` of that shows in the time. Over a run r is a third of the requests at once, and
    c = prompt + limit / 6: half of an answer that takes a third of its limit.
    """
    cache = running * PART * (prompt_tokens + limit * PART / 2) * bytes_per_token
    return REACHED * cache / 2 / (weights_bytes + cache)


def bf16_weights_bytes(config: Config, checkpoint: Checkpoint) -> int:
    """Returns the bytes of the weights at two bytes a parameter, all GPUs together; 0 where that is not known."""
    own = weights_bytes(Path(checkpoint.folder)) if checkpoint.folder else 0
    return own or int((config.model.parameters_b or 0) * 2e9)
