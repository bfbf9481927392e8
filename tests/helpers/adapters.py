"""LoRA adapters as peft writes them, with random weights."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SMOLLM2 = {"q_proj": (576, 576), "v_proj": (192, 576)}
"""Outputs and inputs of SmolLM2-135M's attention, in each of its 30 layers."""


def adapter(
    folder: Path,
    *,
    rank: int = 4,
    b: float = 0.0,
    layers: int = 30,
    width: int | None = None,
    base: str = "HuggingFaceTB/SmolLM2-135M-Instruct",
    **settings: object,
) -> Path:
    """A folder with an adapter for SmolLM2; `b` is the spread of the B matrices: with 0 it changes nothing. `width`: of another model."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    tensors = {}
    for layer in range(layers):
        for name, (outputs, inputs) in SMOLLM2.items():
            module = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            shapes = {"A": (rank, width or inputs), "B": (outputs, rank)}
            spreads = {"A": 0.02, "B": b}
            for side, shape in shapes.items():
                values = random.normal(0, spreads[side] or 1, shape) * (spreads[side] > 0)
                tensors[f"{module}.lora_{side}.weight"] = values.astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    content = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0, "bias": "none",
        "target_modules": [*SMOLLM2], "base_model_name_or_path": base, "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(content | settings))
    return folder
