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
    if config.engine.device is Device.cuda and (not hardware.gpus() or _torch_for_cpu()):
        raise EngineError(
            "No NVIDIA GPU is visible here, or the installed torch is the build for CPUs; check nvidia-smi and CUDA_VISIBLE_DEVICES, "
            "install llmbench[gpu], or use engine.device=cpu."
        )
    size = billions_of_parameters(config)
    if config.engine.device is Device.auto and pick_device(config) is Device.cpu and size > SMALL_MODEL_B:
        raise EngineError(
            f"There is no GPU that torch can use, and {config.model.name} has {size:.1f} billion parameters; "
            "use model=smollm2, or engine.device=cpu to run it on the CPU all the same."
        )


def check_settings(config: Config) -> None:
    """Refuses, with a `ConfigError`, settings that are of no use to this engine."""
    engine, model, alone = config.engine, config.model, "runs one model on one device, as it comes"
    taken = {
        "model.quantization": (model.quantization in (None, BITSANDBYTES), "takes bitsandbytes or null"),
        "model.attention_backend": (
            model.attention_backend in (None, "FLASH_ATTN"),
            "takes FLASH_ATTN or null, and others by engine.args={attn_implementation: NAME}",
        ),
        "model.kv_cache_dtype": (model.kv_cache_dtype is None, "keeps the cache as the model computes"),
        "engine.tensor_parallel_size": (engine.tensor_parallel_size == 1, alone),
        "engine.pipeline_parallel_size": (engine.pipeline_parallel_size == 1, alone),
        "engine.startup": (engine.startup in (Startup.auto, Startup.eager), alone),
        "engine.speculative": (not engine.speculative, alone),
        "engine.multiprocess": (not engine.multiprocess, alone),
        "engine.kv_cache_memory_bytes": (engine.kv_cache_memory_bytes is None, alone),
    }
    for name, (fits, reason) in taken.items():
        if not fits:
            group, _, field = name.partition(".")
            raise ConfigError(
                f"{name}={getattr(getattr(config, group), field)} is refused: engine=transformers {reason}; leave it out, or use "
                "engine=vllm."
            )


def _torch_for_cpu() -> bool:
    return (hardware.distribution("torch") or "").endswith("+cpu")


def pick_device(config: Config) -> Device:
    """The device that `auto` means here."""
    if config.engine.device is not Device.auto:
        return config.engine.device
    return Device.cuda if hardware.gpus() and not _torch_for_cpu() else Device.cpu
