"""What vLLM writes when it fails, as regular expressions; tests/engine/test_vllm_internals.py finds each in vLLM's sources."""

import re
import traceback
from collections.abc import Iterable

from llmbench.errors import Cause

FREE_MEMORY = r"Free memory on device"
"""Less memory is free than `gpu_memory_utilization` asks for (vllm/v1/worker/utils.py, since 0.26)."""
FREE_SHARE = rf"{FREE_MEMORY}.*?\(([\d.]+)/([\d.]+) GiB\)"
"""The same; groups: GiB that are free, and all."""
NO_CACHE_BLOCKS = r"No available memory for the cache blocks"
"""The weights leave nothing for the KV cache (vllm/v1/core/kv_cache_utils.py, since 0.26)."""
FITTING_LENGTH = r"estimated maximum model length is (\d+)"
"""The KV cache holds no sequence of the full context; group: the tokens that would fit (vllm/v1/core/kv_cache_utils.py, since 0.26)."""
DERIVED_LENGTH = r"is greater than the derived max_model_len \((?:\w+=)?(\d+)"
"""`max_model_len` is more than the model's context; group: that (vllm/config/model.py, since 0.26)."""
UNKNOWN_ARCHITECTURE = r"Model architectures? (?:\[.*?\]|\S+) (?:are|is) not supported"
"""No model class (vllm/model_executor/models/registry.py, since 0.26)."""
UNFIT_BACKEND = (
    r"Selected backend (?:\w+\.)?(\w+) is not valid for this configuration\. Reason: \[?([^\]\n]*)"
)
"""Groups: the attention backend that was asked for, and vLLM's list of reasons (vllm/platforms/cuda.py, since 0.26)."""
CORE_KILLED = r"Failed core proc\(s\): \{[^}]*: -\d+"
"""The core's process was killed while it started: a negative status is the signal that ended it (vllm/v1/engine/utils.py, since 0.26)."""
CORE_FAILED = r"Engine core initialization failed"
"""All that vLLM's error says of one in a process of its own; the rest is in the log (vllm/v1/engine/utils.py, since 0.26)."""
ORDINARY_LINE = re.compile(r"^(?:\([^)\n]*\) ?)*(?:DEBUG|INFO|WARNING) [\d-]+ [\d:]+ .*$", re.MULTILINE)
"""A line of vLLM's log that is no error, with the process that wrote it in brackets (vllm/logger.py and vllm/utils/system_utils.py, since 0.26)."""
WORKER_CALLS: tuple[tuple[str, Cause], ...] = (
    ("capture_model", "capture"),
    ("determine_available_memory", "profiling"),
    ("load_model", "weights"),
)
"""Methods of vLLM's worker and model runner, innermost first, and what memory is short for when it runs out in one (since 0.26)."""


def call_under_way(text: str, errors: Iterable[BaseException]) -> Cause:
    """What a worker was doing when an error was raised, by its method in the tracebacks or in the log; else warming up (since 0.26)."""
    frames = [frame for error in errors for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = {frame.f_code.co_name for frame in frames} | set(re.findall(r", in (\w+)", text))
    return next((cause for name, cause in WORKER_CALLS if name in names), "warm_up")
