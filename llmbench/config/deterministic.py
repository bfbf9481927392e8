"""What `engine.deterministic` refuses of the settings: whatever vLLM has no batch-invariant kernels for, or none that are known to be so.

Sources: vLLM 0.27.1 (model_executor/layers/batch_invariant.py and where `VLLM_BATCH_INVARIANT` is read), its page on batch invariance
(https://docs.vllm.ai/en/stable/features/batch_invariance/) and what users found since (https://github.com/vllm-project/vllm/issues/27433).
"""

from typing import Any

from llmbench.config.choices import Startup
from llmbench.config.engine import EngineConfig
from llmbench.config.schema import Config
from llmbench.errors import ConfigError

WEIGHTS = (None, "fp8")
DTYPE = "bfloat16"
BACKENDS = ("FLASH_ATTN", "TRITON_ATTN", "FLEX_ATTENTION", "FLASH_ATTN_MLA", "TRITON_MLA")
"""The attention backends whose `supports_batch_invariance` is true (vllm/v1/attention/backends)."""
INVARIANT: dict[str, tuple[tuple[str | None, ...], str]] = {
    "quantization": (
        WEIGHTS,
        "vLLM has batch-invariant kernels for bf16 and fp8 weights; set model.quantization=null or model.quantization=fp8",
    ),
    "dtype": ((DTYPE,), f"it computes in {DTYPE}; set model.dtype={DTYPE}"),
    "kv_cache_dtype": (
        (None, "auto", DTYPE),
        "vLLM does not say that its attention is batch-invariant with such a KV cache; set model.kv_cache_dtype=null",
    ),
    "attention_backend": (
        (None, *BACKENDS),
        f"it is not batch-invariant; use null or one of {', '.join(BACKENDS)}",
    ),
}
"""Settings of the model with the values that vLLM has batch-invariant kernels for, and what is said of others."""
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
    engine = config.engine
    if not engine.deterministic:
        return
    if engine.name != "vllm":
        why = ELSEWHERE.get(engine.name, "only engine=vllm has it")
        raise ConfigError(f"engine.deterministic=true is refused with engine={engine.name}: {why}.")
    for name, (allowed, why) in INVARIANT.items():
        where, value = _in_use(config, name)
        if value not in allowed:
            raise _refusal(f"{where}.{name}={value}", why)
    step = engine.args.get("max_num_batched_tokens", STEP_TOKENS)
    if not isinstance(step, int) or step > STEP_TOKENS:
        raise _refusal(
            f"engine.args.max_num_batched_tokens={step}",
            f"a step of more than {STEP_TOKENS} tokens is computed with another kernel; leave it out",
        )
    if engine.speculative or engine.args.get("speculative_config"):
        raise _refusal(
            "engine.speculative",
            "how many drafted tokens are checked at once changes how sums are rounded; leave one out",
        )
    if engine.startup is Startup.full:
        raise _refusal(
            "engine.startup=full",
            "compiled kernels round otherwise than those of eager and graphs, so texts would depend on the start-up; leave it out, or use graphs",
        )


def _refusal(setting: str, why: str) -> ConfigError:
    return ConfigError(f"{setting} is refused with engine.deterministic=true: {why}.")


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
