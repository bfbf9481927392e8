"""What `engine.deterministic` refuses of the settings: whatever vLLM has no batch-invariant kernels for, or none that are known to be so.

Sources: vLLM 0.27.1 (model_executor/layers/batch_invariant.py and where `VLLM_BATCH_INVARIANT` is read), its page on batch invariance
(https://docs.vllm.ai/en/stable/features/batch_invariance/) and what users found since (https://github.com/vllm-project/vllm/issues/27433).
"""

from typing import Any

from llmbench.config.choices import Startup
from llmbench.config.engine import EngineConfig
from llmbench.config.schema import Config, ModelConfig
from llmbench.errors import ConfigError

WEIGHTS = (None, "fp8")
"""Of `model.quantization`: those whose layers vLLM computes with batch-invariant kernels."""
DTYPE = "bfloat16"
BACKENDS = ("FLASH_ATTN", "TRITON_ATTN", "FLEX_ATTENTION", "FLASH_ATTN_MLA", "TRITON_MLA")
"""The attention backends whose `supports_batch_invariance` is true (vllm/v1/attention/backends)."""
STEP_TOKENS = 255
"""Tokens of prompts and answers that a step computes at most: from 256 on vLLM's norm takes another kernel, which rounds otherwise
(https://github.com/vllm-project/vllm/issues/48271; on an H100 with 0.26, BENCHMARKS.md)."""
ELSEWHERE = {
    "transformers": "its batches are padded, and sums are rounded otherwise in each size; use engine=vllm, or static_batch_size=1",
    "endpoint": "the server computes; leave it out, and give it to the server (llmbench.serve takes engine.deterministic)",
    "fake": "no model computes; leave it out",
}
"""Why an engine has no such mode, and the way out."""


def validate_deterministic(config: Config) -> None:
    """Refuses, under `engine.deterministic`, settings with which a text would depend on what runs beside it.

    Raises:
        ConfigError: Names the setting, and the way out.
    """
    if not config.engine.deterministic:
        return
    if config.engine.name != "vllm":
        why = ELSEWHERE.get(config.engine.name, "only engine=vllm has it")
        raise ConfigError(f"engine.deterministic=true is refused with engine={config.engine.name}: {why}.")
    _check_weights(config)
    _check_computation(config.engine, config.model)


def _check_weights(config: Config) -> None:
    where, quantization = _in_use(config, "quantization")
    if quantization not in WEIGHTS:
        raise ConfigError(
            f"{where}.quantization={quantization} is refused with engine.deterministic=true: vLLM has batch-invariant kernels for bf16 and "
            "fp8 weights; set model.quantization=null or model.quantization=fp8."
        )
    where, dtype = _in_use(config, "dtype")
    if dtype != DTYPE:
        raise ConfigError(
            f"{where}.dtype={dtype} is refused with engine.deterministic=true, which computes in {DTYPE}; set model.dtype={DTYPE}."
        )
    where, cache = _in_use(config, "kv_cache_dtype")
    if cache not in (None, "auto", DTYPE):
        raise ConfigError(
            f"{where}.kv_cache_dtype={cache} is refused with engine.deterministic=true: vLLM does not say that its attention is "
            "batch-invariant with such a KV cache; set model.kv_cache_dtype=null."
        )


def _check_computation(engine: EngineConfig, model: ModelConfig) -> None:
    backend = engine.args.get("attention_backend") or model.attention_backend
    if backend is not None and backend not in BACKENDS:
        raise ConfigError(
            f"model.attention_backend={backend} is refused with engine.deterministic=true: it is not batch-invariant; use null or one of "
            f"{', '.join(BACKENDS)}."
        )
    step = engine.args.get("max_num_batched_tokens", STEP_TOKENS)
    if not isinstance(step, int) or step > STEP_TOKENS:
        raise ConfigError(
            f"engine.args.max_num_batched_tokens={step} is refused with engine.deterministic=true: a step of more than {STEP_TOKENS} tokens "
            "is computed with another kernel; leave it out."
        )
    if engine.speculative or engine.args.get("speculative_config"):
        raise ConfigError(
            "engine.speculative is refused with engine.deterministic=true: how many drafted tokens are checked at once changes how sums are "
            "rounded; leave one out."
        )
    if engine.startup is Startup.full:
        raise ConfigError(
            "engine.startup=full is refused with engine.deterministic=true: compiled kernels round otherwise than those of eager and graphs, "
            "so texts would depend on the start-up; leave it out, or use graphs."
        )


def _in_use(config: Config, name: str) -> tuple[str, Any]:
    """A setting of the model, or what `engine.args` puts in its place, with where it is from."""
    if name in config.engine.args:
        return "engine.args", config.engine.args[name]
    return "model", getattr(config.model, name)


def most_at_once(engine: EngineConfig, requested: int) -> int:
    """So many requests at once as are wanted, or as `engine.args.max_num_seqs` and the tokens of a step allow."""
    bound = engine.args.get("max_num_seqs")
    at_once = min(requested, bound) if isinstance(bound, int) and bound > 0 else requested
    return min(at_once, STEP_TOKENS) if engine.deterministic else at_once
