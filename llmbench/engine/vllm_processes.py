"""vLLM's own processes: a death that nobody would hear of, and an end that takes no longer than it may."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

log = logging.getLogger(__name__)

CLOSE_S = 20.0
"""For an engine to shut down; vLLM itself gives its processes 5 s before it kills them."""
GONE = "the engine's process is gone"
KILLED_S = 5.0
"""For the kernel to take away what a killed process had."""


def processes(engine: Any) -> list[BaseProcess]:  # noqa: ANN401 - vLLM's LLMEngine
    """The processes that an engine has started: its core where that is not in this one, and the workers of a core that is."""
    core = engine.engine_core
    manager = getattr(getattr(core, "resources", None), "engine_manager", None)
    executor = getattr(getattr(core, "engine_core", None), "model_executor", None)
    workers = [getattr(worker, "proc", None) for worker in getattr(executor, "workers", None) or ()]
    return [p for p in (*getattr(manager, "processes", ()), *workers) if isinstance(p, BaseProcess)]


def tell_of_death(engine: Any) -> None:  # noqa: ANN401 - vLLM's LLMEngine
    """Has a `step` that waits for the core's process raise when that process is gone.

    vLLM notices, and has nothing said to who waits (`SyncMPClient.get_output`, 0.26 and 0.27).
    """
    core = engine.engine_core
    if not hasattr(core, "outputs_queue"):
        return
    queue, futures, started = core.outputs_queue, core.utility_results, processes(engine)
    resources = core.resources

    def wait() -> None:
        connection.wait([process.sentinel for process in started])
        resources.engine_dead = True
        queue.put(RuntimeError(GONE))  # which vLLM makes an EngineDeadError of
        for future in list(futures.values()):
            if not future.done():
                future.set_exception(RuntimeError(GONE))

    threading.Thread(target=wait, name="llmbench-engine-watch", daemon=True).start()


def close(shutdown: Callable[[], None], started: list[BaseProcess], limit_s: float = CLOSE_S) -> None:
    """Shuts an engine down; what still runs after `limit_s` is killed.

    Args:
        shutdown: VLLM's own way.
        started: The engine's processes.
        limit_s: Seconds that it may take.
    """
    family = list(_family(started))
    thread = threading.Thread(target=_quietly, args=(shutdown,), name="llmbench-engine-close", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        log.warning("vLLM did not shut down within %g s; its processes are killed", limit_s)
    left = [process for process in family if process.is_running()]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    own = {process.pid for process in started}
    for child in started:  # which multiprocessing itself has to wait for
        child.join(KILLED_S)
    psutil.wait_procs([process for process in left if process.pid not in own], KILLED_S)


def _quietly(shutdown: Callable[[], None]) -> None:
    try:
        shutdown()
    except Exception:
        log.exception("vLLM could not be shut down")


def _family(started: list[BaseProcess]) -> Iterator[psutil.Process]:
    for process in started:
        with suppress(psutil.NoSuchProcess):
            if process.pid is not None:
                found = psutil.Process(process.pid)
                yield from (*found.children(recursive=True), found)
