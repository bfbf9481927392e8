"""What this engine and this machine can do, decided before anything is loaded."""

import importlib.util

from llmbench.config.choices import Device, Startup
from llmbench.config.schema import Config
from llmbench.engine.vllm.checks import SMALL_MODEL_B, billions_of_parameters
from llmbench.errors import ConfigError, EngineError
from llmbench.system import hardware

BITSANDBYTES = "bitsandbytes"


def check_machine(config: Config) -> None:
    """Refuses, before anything is loaded, what this engine or this machine cannot do.

    Raises:
        ConfigError: A setting is of no use to this engine.
        EngineError: A package or the GPU is missing, or the model is too large for a CPU.
    """
    check_settings(config)
    needed = ["torch", "transformers", "accelerate"]
    if config.model.quantization == BITSANDBYTES:
        needed.append(BITSANDBYTES)
    for name in needed:
        if importlib.util.find_spec(name) is None:
            raise EngineError(f"engine=transformers needs the package {name}; run `make setup`.")
    if config.model.lora is not None and importlib.util.find_spec("peft") is None:
        raise EngineError(
            "model.lora is refused: engine=transformers needs the package peft for it, which is not installed; pip install peft, or use "
            "engine=vllm."
        )
    if config.engine.device is Device.cuda and not hardware.gpus():
        raise EngineError(
            "No NVIDIA GPU is visible here; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use engine.device=cpu."
        )
    if config.engine.device is Device.cuda and _torch_for_cpu():
        raise EngineError(
            "The installed torch is the build for CPUs; install llmbench[gpu], or use engine.device=cpu."
        )
    size = billions_of_parameters(config)
    if config.engine.device is Device.auto and pick_device(config) is Device.cpu and size > SMALL_MODEL_B:
        raise EngineError(
            f"There is no GPU that torch can use, and {config.model.name} has {size:.1f} billion parameters; "
            "use model=smollm2, or engine.device=cpu to run it on the CPU all the same."
        )


def check_settings(config: Config) -> None:
    """Refuses, with a `ConfigError`, settings that are of no use to this engine."""
    engine, model = config.engine, config.model
    if model.quantization not in (None, BITSANDBYTES):
        raise ConfigError(
            f"model.quantization={model.quantization} is refused: engine=transformers takes bitsandbytes or null; "
            "engine=vllm takes others."
        )
    if model.attention_backend not in (None, "FLASH_ATTN"):
        raise ConfigError(
            f"model.attention_backend={model.attention_backend} is refused: engine=transformers takes FLASH_ATTN or null, "
            "which mean the same; engine.args={attn_implementation: NAME} sets another."
        )
    if model.kv_cache_dtype is not None:
        raise ConfigError(
            f"model.kv_cache_dtype={model.kv_cache_dtype} is refused: engine=transformers keeps the cache as the model computes; leave it "
            "out, or use engine=vllm."
        )
    unused = {
        "tensor_parallel_size": engine.tensor_parallel_size != 1,
        "pipeline_parallel_size": engine.pipeline_parallel_size != 1,
        "startup": engine.startup not in (Startup.auto, Startup.eager),
        "speculative": bool(engine.speculative),
        "multiprocess": engine.multiprocess,
        "kv_cache_memory_bytes": engine.kv_cache_memory_bytes is not None,
    }
    for name, given in unused.items():
        if given:
            raise ConfigError(
                f"engine.{name} is refused: engine=transformers runs one model on one device, as it comes; "
                "leave it away, or use engine=vllm."
            )


def _torch_for_cpu() -> bool:
    return (hardware.distribution("torch") or "").endswith("+cpu")


def pick_device(config: Config) -> Device:
    """The device that `auto` means here."""
    if config.engine.device is not Device.auto:
        return config.engine.device
    return Device.cuda if hardware.gpus() and not _torch_for_cpu() else Device.cpu
