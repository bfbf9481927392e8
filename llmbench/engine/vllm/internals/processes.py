"""The processes that vLLM starts, and how those are answered that wait for a process that died. `llm` is always an `LLM`."""

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

GONE = "the engine's process is gone"


def started_processes(llm: Any) -> list[BaseProcess]:  # noqa: ANN401 - vLLM's class
    """The core's process (`engine_core.resources.engine_manager.processes`), or the workers of a core in this one (`model_executor.workers`), since 0.26."""
    core = llm.llm_engine.engine_core
    manager = getattr(getattr(core, "resources", None), "engine_manager", None)
    executor = getattr(getattr(core, "engine_core", None), "model_executor", None)
    workers = [getattr(worker, "proc", None) for worker in getattr(executor, "workers", None) or ()]
    return [p for p in (*getattr(manager, "processes", ()), *workers) if isinstance(p, BaseProcess)]


def death_callback(llm: Any) -> Callable[[], None] | None:  # noqa: ANN401
    """What to call when the core's process died, so that a waiting `step` raises; None for a core in this process.

    vLLM notices the death, but leaves `SyncMPClient.get_output` and `call_utility` waiting: their `outputs_queue`,
    `utility_results` and `resources.engine_dead` are set here (since 0.26). The callback holds no reference to `llm`.
    """
    core = llm.llm_engine.engine_core
    if not hasattr(core, "outputs_queue"):
        return None
    queue, futures, resources = core.outputs_queue, core.utility_results, core.resources

    def died() -> None:
        resources.engine_dead = True
        queue.put(RuntimeError(GONE))  # which vLLM makes an EngineDeadError of
        for future in list(futures.values()):
            if not future.done():
                future.set_exception(RuntimeError(GONE))

    return died
