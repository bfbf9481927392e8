"""LoRA adapters in vLLM: which it computes as PEFT does, and what it is started with for one."""

from typing import Any

from llmbench.config.schema import ModelConfig
from llmbench.engine import lora
from llmbench.engine.checkpoint_files import read_json
from llmbench.errors import ModelError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `max_lora_rank` may be (vllm/config/lora.py, since 0.26)."""
BEYOND = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication")
"""Of an adapter's settings: what vLLM refuses, or leaves out without a word (vllm/lora/peft_helper.py, 0.27)."""


def check(model: ModelConfig) -> None:
    """Refuses an adapter that vLLM would not compute as PEFT does.

    Raises:
        ModelError: Names what it has; the way out is to merge it.
    """
    adapter = lora.read(model)
    if adapter is None:
        return
    config = read_json(adapter.files[0])
    found = [f"{name}={config[name]}" for name in BEYOND if config.get(name)]
    found += [f"bias={config['bias']}"] if config.get("bias", "none") != "none" else []
    found += [f"r={adapter.rank}"] if adapter.rank > RANKS[-1] else []
    if found:
        raise ModelError(
            f"The adapter {adapter.name} has {found[0]}, which vLLM does not compute; merge it into the model (peft's "
            "merge_and_unload) and give the merged folder as model.path."
        )


def arguments(model: ModelConfig) -> dict[str, Any]:
    """What vLLM is started with for the adapter, by the names of its `EngineArgs`; nothing without one."""
    adapter = lora.read(model)
    if adapter is None:
        return {}
    rank = next(rank for rank in RANKS if rank >= adapter.rank)
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}
