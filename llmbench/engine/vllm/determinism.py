"""What `engine.deterministic` refuses of machines and checkpoints, and whether this process can still compute that way."""

import os
import sys
from collections.abc import Mapping

from llmbench.config.choices import Device
from llmbench.config.deterministic import WEIGHTS
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.memory import EXPERTS
from llmbench.engine.vllm.internals.process_state import BATCH_INVARIANT
from llmbench.errors import EngineError, ModelError
from llmbench.system import hardware

LEAST_CAPABILITY = (8, 0)
"""Ampere; vLLM's page on batch invariance (0.27.1)."""


def check_device(config: Config, device: Device) -> None:
    """Refuses, under `engine.deterministic`, a machine for which vLLM has no batch-invariant kernels.

    Raises:
        EngineError: It has no GPU, or an old one.
    """
    if not config.engine.deterministic:
        return
    if device is Device.cpu:
        raise EngineError(
            "engine.deterministic=true is refused on the CPU, for which vLLM has no batch-invariant kernels; batch_size=1 with "
            "engine.args={enable_prefix_caching: false} asks one question at a time there, or leave it out."
        )
    for gpu in hardware.gpus():
        capability = hardware.compute_capability(gpu)
        if capability is not None and capability < LEAST_CAPABILITY:
            raise EngineError(
                f"engine.deterministic=true is refused: {gpu.name} has compute capability {capability[0]}.{capability[1]}, and vLLM's "
                "batch-invariant kernels need 8.0; leave it out, or choose another GPU with CUDA_VISIBLE_DEVICES."
            )


def check_checkpoint(config: Config, checkpoint: Checkpoint) -> None:
    """Refuses, under `engine.deterministic`, a checkpoint whose weights vLLM does not compute with batch-invariant kernels.

    Raises:
        ModelError: It was quantised in another way than fp8, or is a mixture of experts in fp8.
    """
    if not config.engine.deterministic:
        return
    content = settings(checkpoint)
    inner = content.get("text_config")
    stored = content.get("quantization_config")
    method = stored.get("quant_method") if isinstance(stored, Mapping) else None
    if stored and method not in WEIGHTS[1:]:
        raise ModelError(
            f"engine.deterministic=true is refused: {checkpoint.name} is quantised with {method or 'an unknown method'}, and vLLM has "
            "batch-invariant kernels for bf16 and fp8 weights; leave it out, or use another checkpoint."
        )
    quantization = config.engine.args.get("quantization", config.model.quantization) or method
    experts = any(
        part.get(name) for part in (content, inner) if isinstance(part, Mapping) for name in EXPERTS
    )
    if experts and quantization is not None:
        # https://github.com/vllm-project/vllm/issues/57016
        raise ModelError(
            f"engine.deterministic=true is refused: {checkpoint.name} is a mixture of experts, and those of vLLM are not batch-invariant in "
            f"{quantization}; use a checkpoint in bf16 with model.quantization=null, or leave it out."
        )


class ProcessMode:
    """How this process imported vLLM, which holds until it ends: with batch-invariant kernels, without, or None: not by llmbench."""

    invariant: bool | None = None

    @classmethod
    def enter(cls, *, deterministic: bool) -> None:
        """Notes how vLLM is about to be imported.

        Args:
            deterministic: `engine.deterministic`; where it is off, the user's own environment counts.

        Raises:
            EngineError: It was imported in the other way.
        """
        wanted = deterministic or os.environ.get(BATCH_INVARIANT) == "1"
        if "vllm" not in sys.modules:
            cls.invariant = wanted
        elif deterministic and not cls.invariant:
            raise EngineError(
                "engine.deterministic=true is refused: this process has imported vLLM without it, and vLLM reads it at its import; "
                "begin it as a run of its own, not in a sweep or after others in a program."
            )
        elif cls.invariant and not wanted:
            cls.refuse_after("engine.deterministic=false")

    @classmethod
    def refuse_after(cls, typed: str) -> None:
        """Refuses to compute otherwise, with vLLM or transformers, after `engine.deterministic`, which replaced what torch computes with.

        Args:
            typed: The setting that asks for it.

        Raises:
            EngineError: vLLM was imported in that mode, by this setting alone.
        """
        if cls.invariant and os.environ.get(BATCH_INVARIANT) != "1":
            raise EngineError(
                f"{typed} is refused: this process has imported vLLM with engine.deterministic=true, whose kernels stay until "
                "it ends; begin it as a run of its own, not in a sweep or after others in a program."
            )
