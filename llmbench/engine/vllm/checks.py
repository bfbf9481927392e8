"""What vLLM can do on this machine and how it is started, decided before anything heavy is imported."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from llmbench.config.choices import Device, Startup
from llmbench.config.engine import EngineConfig
from llmbench.config.schema import AUTO, Config
from llmbench.engine.checkpoint_files import weights_bytes
from llmbench.engine.memory import kv_bytes_per_token
from llmbench.engine.vllm import determinism, versions
from llmbench.engine.workload import Workload
from llmbench.errors import EngineError
from llmbench.system import hardware

CPU_KV_CACHE_BYTES = (256 << 20, 1 << 30)
"""Bounds of the KV cache on a CPU, where vLLM's own share of the memory is often more than is free."""
DEFAULT_BATCH = 256
"""vLLM's own bound on running requests where it does not say."""
SMALL_MODEL_B = 3.0
"""Billions of parameters up to which a model is taken to a CPU without being asked to."""


def check_machine(config: Config) -> None:
    """Refuses, before anything is loaded, what cannot run here.

    Raises:
        EngineError: No vLLM, no GPU where one is wanted, 4-bit weights beside float32, or no batch-invariant kernels where
            they are asked for.
    """
    if (config.model.quantization, config.model.dtype) == ("bitsandbytes", "float32"):
        # its BitsAndBytesLinearMethod counts float32's bytes as weights in a byte: 4, where 2 are packed
        raise EngineError(
            "model.dtype=float32 is refused beside model.quantization=bitsandbytes, whose weights vLLM cannot read then; "
            "use model.dtype=bfloat16."
        )
    if config.engine.ray_address is not None:
        return  # replicas on other hosts look for themselves
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "vLLM is not installed; run `make setup`, or pip install 'llmbench[gpu]' (or [cpu])."
        )
    versions.check_plugin(versions.installed(), config.model.quantization)
    device = pick_device(config)
    if device is Device.cuda and not hardware.gpus():
        raise EngineError(
            "No NVIDIA GPU is visible here; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use engine.device=cpu."
        )
    if device is Device.cuda and hardware.cpu_build():
        raise EngineError(
            "The installed vLLM is the build for CPUs; install llmbench[gpu], or use engine.device=cpu."
        )
    if device is Device.cuda:
        _check_gpus(config.engine)
    if device is Device.cpu and not hardware.cpu_build():
        raise EngineError(
            "The installed vLLM is the build for GPUs and there is no GPU; install llmbench[cpu] (see README)."
        )
    if device is Device.cpu and config.engine.startup is Startup.graphs:
        raise EngineError("engine.startup=graphs needs a GPU; on the CPU there are eager and full.")
    size = billions_of_parameters(config)
    if device is Device.cpu and config.engine.device is Device.auto and size > SMALL_MODEL_B:
        raise EngineError(
            f"No NVIDIA GPU is visible here, and {config.model.name} has {size:.1f} billion parameters; "
            "use model=smollm2, or engine.device=cpu to run it on the CPU all the same."
        )
    determinism.check_device(config, device)


def _check_gpus(engine: EngineConfig) -> None:
    """Refuses more GPUs than this machine has, where the engine is to run on it."""
    replicas = 1 if engine.replicas == AUTO else int(engine.replicas)
    needed, found = replicas * engine.gpus_each, len(hardware.gpus())
    if needed > found:
        raise EngineError(
            f"engine.replicas={replicas} with engine.tensor_parallel_size={engine.tensor_parallel_size} and engine.pipeline_parallel_size="
            f"{engine.pipeline_parallel_size} needs {needed} GPUs, more than the {found} visible here; lower one, or set engine.ray_address "
            "to use a cluster."
        )


def cpu_kv_cache_bytes(workload: Workload, batch_size: int, model: Mapping[str, Any]) -> int:
    """What the requests that run at once can need, within bounds and a sixteenth of the memory that is available."""
    low, high = CPU_KV_CACHE_BYTES
    high = max(low, min(high, psutil.virtual_memory().available // 16))
    per_token = kv_bytes_per_token(model)
    if per_token is None or not workload.prompt_tokens:
        return high
    return max(low, min(high, batch_size * (workload.prompt_tokens + workload.longest) * per_token))


def billions_of_parameters(config: Config) -> float:
    """As the model's YAML says, or for a local checkpoint as its weights' size does, at two bytes each."""
    if config.model.path is not None:
        return weights_bytes(Path(config.model.path).expanduser()) / 2e9
    return config.model.parameters_b or 0.0


def pick_device(config: Config) -> Device:
    """The device that `auto` means here."""
    if config.engine.device is not Device.auto:
        return config.engine.device
    return Device.cuda if hardware.gpus() and not hardware.cpu_build() else Device.cpu


GRAPH_SIZES = (1, 2, 4, 8, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Batch sizes worth a CUDA graph of their own: between them a decoding step takes nearly the same time (on an H100:
4-bit weights 10, 14, 20, 25 ms for 1, 2, 4, 8 requests, then 28 for 32, 43 for 128, 58 for 256)."""


def graph_sizes(batch_size: int) -> list[int]:
    """Batch sizes to capture CUDA graphs for, up to the one that can run.

    A smaller batch runs in the next larger graph, with rows that nobody reads; each graph costs a quarter of a second.
    """
    return [size for size in GRAPH_SIZES if size < batch_size] + [batch_size]
