"""How much memory weights and KV cache take."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from llmbench.config.schema import AUTO, Config
from llmbench.system.number_format import count

WEIGHTS_SHARE: Mapping[str | None, float] = {
    None: 1.0,
    "bitsandbytes": 0.36,
    "fp8": 0.56,
    "awq": 0.36,
    "awq_marlin": 0.36,
    "gptq": 0.36,
    "gptq_marlin": 0.36,
}
"""Memory of the weights in terms of bf16. Measured with 14B: 9.9 and 15.4 GiB of 27.6 on an H100, vLLM 0.26; awq and gptq hold 4 bits as well."""


ELEMENT_BYTES: Mapping[str, int] = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e5m2": 1,
}
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
PARTS = ("text_config", "vision_config", "audio_config")
"""What config.json says of a mixture of experts, and of a model that reads more than text."""
RESERVE_BYTES = 5 << 29
"""2.5 GiB of a GPU's share hold neither weights nor KV cache; on an H100 with 14B this gives the measured caches within 1%."""


def weights_on_gpu(parameters_bytes_bf16: int, quantization: str | None) -> int | None:
    """Bytes of the weights as loaded, all GPUs together; None for a quantization that was not measured.

    Small models come out larger: their embeddings, which stay in bf16, are more of them.
    """
    share = WEIGHTS_SHARE.get(quantization)
    return None if share is None else round(parameters_bytes_bf16 * share)


def cache_element_bytes(dtype: object) -> int | None:
    """Returns the bytes of one number of a KV cache by the name of its type; None where that is not known."""
    return ELEMENT_BYTES.get(str(dtype))


def planned_element_bytes(config: Config) -> int:
    """Returns the bytes of one number in the KV cache that settings ask for; 2, as in bf16, where only the engine can tell."""
    model = config.model
    asked = config.engine.args.get("kv_cache_dtype") or model.kv_cache_dtype
    return cache_element_bytes(model.dtype if asked in (None, AUTO) else asked) or 2


def kv_bytes_per_token(config_json: Mapping[str, Any], element_bytes: int = 2) -> int | None:
    """Bytes that one token takes in the KV cache: layers · (key and value) · KV heads · head size · bytes of a number.

    Returns:
        None where this is not how the model keeps its cache (latent attention, layers without full attention) or a number lacks.
    """
    inner = config_json.get("text_config")
    config = inner if isinstance(inner, Mapping) else config_json
    kinds = config.get("layer_types") or []
    if config.get("kv_lora_rank") or any(kind != "full_attention" for kind in kinds):
        return None
    layers, heads = _count(config, "num_hidden_layers"), _count(config, "num_attention_heads")
    kv_heads = _count(config, "num_key_value_heads") or heads
    hidden, head_size = _count(config, "hidden_size"), _count(config, "head_dim")
    if head_size is None and hidden is not None and heads is not None:
        head_size = hidden // heads
    if layers is None or kv_heads is None or head_size is None:
        return None
    return layers * 2 * kv_heads * head_size * element_bytes


def step_weights_bytes(config_json: Mapping[str, Any], weights_bytes: int, dtype: str) -> int | None:
    """Bytes of the weights that a decode step reads: all but the table of input embeddings, of which it reads a row for each token.

    Args:
        config_json: The model's config.json, in full.
        weights_bytes: Of all weights as loaded.
        dtype: What the model computes in, which is what embeddings are kept in.

    Returns:
        None for a mixture of experts, where a step reads those that its tokens go to; for a model that reads more than text; and where a
        number lacks.
    """
    if any(config_json.get(name) for name in (*EXPERTS, *PARTS)):
        return None
    tied, rows = config_json.get("tie_word_embeddings"), _count(config_json, "vocab_size")
    hidden, element_bytes = _count(config_json, "hidden_size"), cache_element_bytes(dtype)
    if tied:  # then the same table makes the output
        return weights_bytes
    if tied is None or rows is None or hidden is None or element_bytes is None:
        return None
    return weights_bytes - rows * hidden * element_bytes


def kv_tokens(
    gpu_total_bytes: int, utilization: float, weights_bytes: int, bytes_per_token: int, gpus: int = 1
) -> int:
    """Tokens that the KV cache will hold, about: what weights and reserve leave of the share of so many GPUs."""
    left = gpus * (gpu_total_bytes * utilization - RESERVE_BYTES) - weights_bytes
    return max(0, int(left / bytes_per_token))


def kv_shortage(
    prompt_lengths: Sequence[int], limits: Sequence[int], batch_size: int, tokens_available: int | None
) -> list[str]:
    """What to expect where the KV cache cannot hold all requests that are to run at once, the longest first.

    Args:
        prompt_lengths: Tokens of each request's prompt.
        limits: Tokens that each may add to it.
        batch_size: Requests that are to run at once.
        tokens_available: Tokens that the cache holds; None where that is not known.
    """
    lengths = [prompt + limit for prompt, limit in zip(prompt_lengths, limits, strict=True)]
    largest = sorted(lengths, reverse=True)[:batch_size]
    if tokens_available is None or sum(largest) <= tokens_available:
        return []
    fits = sum(held <= tokens_available for held in accumulate(largest))
    if fits == 0:
        sentence = (
            f"The KV cache will hold about {tokens_available:,} tokens, fewer than the longest request may take "
            f"({largest[0]:,}); lower its token limit, or make room with model.quantization."
        )
    else:
        sentence = (
            f"The KV cache will hold about {count(fits, 'request')} of this length (up to {largest[0]:,} tokens), fewer than "
            f"the {len(largest)} that are to run at once: the rest wait, or are interrupted and computed again."
        )
    return [sentence]


def _count(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
