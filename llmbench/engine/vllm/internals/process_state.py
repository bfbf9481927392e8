"""What vLLM reads and keeps for a whole process: environment variables, model classes, defaults, the distributed environment, graphs."""

import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SOCKET_FOLDER = "VLLM_RPC_BASE_PATH"
"""The environment variable with the folder of vLLM's sockets (vllm/envs.py, since 0.26)."""
CACHE_FOLDER = "VLLM_CACHE_ROOT"
"""The environment variable with the folder of vLLM's caches (vllm/envs.py, since 0.26)."""
LONGEST_TEMPORARY = 107 - len("/llmbench-12345678/") - 36
"""Bytes of a unix socket's path (unix(7)), less those of the folder that vLLM's sockets are in and of their names, UUIDs."""
BATCH_INVARIANT = "VLLM_BATCH_INVARIANT"
"""The environment variable that has vLLM compute with batch-invariant kernels (vllm/envs.py, since 0.26). Modules read it at their import, and
what it replaces in torch stays replaced: it holds for a process."""
DETERMINISTIC = {
    BATCH_INVARIANT: "1",
    # its sampler changed log probabilities at 44 requests and more (https://github.com/vllm-project/vllm/issues/51187, 0.26.0)
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
}
"""What `engine.deterministic` sets in the environment."""
GRAPH_POOL = "_global_graph_pool"
"""Where a platform's class keeps the memory pool of CUDA graphs (vllm/platforms/interface.py, since 0.26)."""


def environment_variables(*, multiprocess: bool, log_level: str) -> dict[str, str]:
    """The environment variables that vLLM reads at its import (vllm/envs.py, since 0.26); what the user set stays."""
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if multiprocess else "0",
        "VLLM_NO_USAGE_STATS": os.environ.get("VLLM_NO_USAGE_STATS", "1"),
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", log_level),
    }


def compile_cache_folder() -> Path:
    """Where vLLM keeps what torch compiled: `torch_compile_cache` in its cache folder (vllm/compilation/backends.py, since 0.26)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(CACHE_FOLDER) or base / "vllm") / "torch_compile_cache"


def register_models(vllm: Any, architectures: Iterable[str]) -> None:  # noqa: ANN401 - a module
    """Imports model classes and registers them, or vLLM starts a process to look at them, which takes ten seconds the first time.

    `ModelRegistry.models` maps names to entries with `load_model_cls` (since 0.26).
    """
    registry = getattr(vllm, "ModelRegistry", None)
    if registry is None:
        return
    for name in architectures:
        entry = registry.models.get(name)
        if entry is None:
            continue
        try:
            registry.register_model(name, entry.load_model_cls())
        except Exception as error:  # noqa: BLE001 - vLLM will say what is wrong with it, in its own way
            log.debug("%s was left to vLLM: %s", name, error)


def repair_kernel_search() -> None:
    """Has vLLM's search for Triton kernels, in all modules of the process, pass over objects whose `__dict__` is no dictionary.

    On a CPU without Triton each start of an engine searches (`triton_utils.dispatcher._rebind_kernels`, since 0.32; nothing before). An object of llvmlite, which
    numba and so drafting with n-grams import, answers with a function for any name, which ends the start.
    """
    with suppress(ModuleNotFoundError):
        dispatcher: Any = importlib.import_module("vllm.triton_utils.dispatcher")
        dispatcher.vars = lambda value: found if isinstance(found := vars(value), Mapping) else {}


def default_max_num_seqs(processes: int, otherwise: int) -> int:
    """VLLM's own bound on running requests here: `EngineArgs.get_batch_defaults` (since 0.26); `otherwise` where that changed."""
    try:
        arguments = importlib.import_module("vllm.engine.arg_utils").EngineArgs
        context = importlib.import_module("vllm.usage.usage_lib").UsageContext.LLM_CLASS
        return int(arguments.get_batch_defaults(processes)[1][context])
    except (ImportError, AttributeError, KeyError, TypeError):
        return otherwise


def clean_up_distributed() -> None:
    """Ends torch's process groups, collects garbage, frozen too, and frees memory: `parallel_state.cleanup_dist_env_and_memory` (since 0.26)."""
    try:
        importlib.import_module("vllm.distributed.parallel_state").cleanup_dist_env_and_memory()
    except Exception:
        log.debug("vLLM's distributed environment was not cleaned up", exc_info=True)
        gc.unfreeze()
        gc.collect()


def forget_graph_pool() -> None:
    """Lets the next engine capture its CUDA graphs in a memory pool of its own: the platform's `_global_graph_pool` (since 0.26).

    vLLM keeps one for the process. With the last graph in it the pool dies, and PyTorch refuses another capture under its name.
    """
    platforms = sys.modules.get("vllm.platforms")
    kind = type(getattr(platforms, "current_platform", None))
    if getattr(kind, GRAPH_POOL, None) is not None:
        setattr(kind, GRAPH_POOL, None)
