"""The GPUs whose memory and speed are known, by name."""

import re
from dataclasses import dataclass

from llmbench.errors import ConfigError
from llmbench.system.number_format import GIB

WITH_FP8 = re.compile(
    r"\b([HB]\d{2,3}|GH200|GB[23]00|L4|L40S?|L20|RTX [45]0[5-9]0|RTX (PRO )?\d000 (Ada|Blackwell))\b",
    re.IGNORECASE,
)
"""Names of GPUs that compute in fp8: Ada, Hopper, Blackwell (https://developer.nvidia.com/cuda-gpus: capability 8.9 and above)."""


@dataclass(frozen=True, slots=True)
class GpuKind:
    """A kind of GPU, by its maker's data sheet.

    Attributes:
        name: What is typed as `gpu=`.
        memory_gib: Its memory.
        bandwidth_gb_s: Of the memory, in GB (10⁹ bytes) a second.
        bf16_tflops: Dense bf16 arithmetic with sums in fp32, in 10¹² operations a second.
        power_w: The most that it draws.
    """

    name: str
    memory_gib: float
    bandwidth_gb_s: float
    bf16_tflops: float
    power_w: float

    @property
    def memory_bytes(self) -> int:
        """Its memory in bytes."""
        return round(self.memory_gib * GIB)


KNOWN = (
    GpuKind("H100", 80, 3350, 989, 700),
    GpuKind("H100 PCIe", 80, 2000, 756, 350),
    GpuKind("H100 NVL", 94, 3900, 835, 400),
    GpuKind("H200", 141, 4800, 989, 700),
    GpuKind("B200", 180, 8000, 2250, 1000),
    GpuKind("A100", 80, 2039, 312, 400),
    GpuKind("A100 40GB", 40, 1555, 312, 400),
    GpuKind("A100 PCIe", 80, 1935, 312, 300),
    GpuKind("A10", 24, 600, 125, 150),
    GpuKind("L4", 24, 300, 121, 72),
    GpuKind("L40S", 48, 864, 362, 350),
    GpuKind("RTX 3090", 24, 936, 71, 350),
    GpuKind("RTX 4090", 24, 1008, 165, 450),
    GpuKind("RTX 5090", 32, 1792, 209, 575),
    GpuKind("RTX A6000", 48, 768, 155, 300),
)
"""NVIDIA's figures; H100, H200 and A100 are the SXM modules unless the name says otherwise, and of a B200's 192 GB 180 can be used. Compared on
2026-11-27: memories with http://llmbook.apartsin.com/appendices/appendix-g-hardware-compute/section-g.1.html; bandwidths with
https://www.thundercompute.com/blog/nvidia-a100-specs-full-guide (A100), hardware_spec.md of github.com/citsjtu2020/LLM-Prof (H100, H200, B200, A10),
https://grokipedia.com/page/NVIDIA_L4_vs_L40S, https://fpsbench.com (RTX 4090, 5090) and https://www.topcpu.net (RTX 3090); the rest with nothing."""
OTHERS = frozenset({"(mig)", "laptop"})
"""Words in the names of parts of a GPU, and of GPUs of laptops, which are slower than the card of the same name."""


def kind_of(device: str) -> GpuKind | None:
    """Returns the kind that a device's name tells of, the most particular one; None where it is unknown, a part of a GPU or a laptop's.

    >>> kind_of("2x NVIDIA H100 80GB HBM3").name, kind_of("NVIDIA A100-SXM4-40GB").name
    ('H100', 'A100 40GB')
    """
    typed = re.sub(r"[^a-z0-9]", "", device.lower())
    for kind in KNOWN:
        if typed == re.sub(r"[^a-z0-9]", "", kind.name.lower()):
            return kind
    words = set(re.findall(r"[a-z0-9()]+", device.lower()))
    if words & OTHERS:
        return None
    found = [kind for kind in KNOWN if words.issuperset(kind.name.lower().split())]
    return max(found, key=lambda kind: len(kind.name), default=None)


def named(name: str) -> GpuKind:
    """Returns the kind of that name.

    Raises:
        ConfigError: It is not known; the message lists those that are.
    """
    kind = kind_of(name)
    if kind is None:
        names = ", ".join(known.name for known in KNOWN)
        raise ConfigError(f"gpu={name} is refused: the GPUs whose memory and speed are known are {names}.")
    return kind
