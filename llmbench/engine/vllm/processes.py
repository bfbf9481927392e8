"""vLLM's own processes: a death that nobody would hear of, and an end that takes no longer than it may."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from llmbench.system.processes import one_is_gone

log = logging.getLogger(__name__)

CLOSE_S = 20.0
"""For an engine to shut down; vLLM itself gives its processes 5 s before it kills them."""
LOOK_S = 0.05
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
        one_is_gone([process.pid for process in started if process.pid is not None])
        resources.engine_dead = True
        queue.put(RuntimeError(GONE))  # which vLLM makes an EngineDeadError of
        for future in list(futures.values()):
            if not future.done():
                future.set_exception(RuntimeError(GONE))

    threading.Thread(target=wait, name="llmbench-engine-watch", daemon=True).start()


def family(engine: Any) -> list[psutil.Process]:  # noqa: ANN401 - vLLM's LLMEngine
    """All processes of a running engine: those that it has started, and theirs."""
    found = []
    for process in processes(engine):
        with suppress(psutil.NoSuchProcess):
            one = psutil.Process(process.pid)
            found += [one, *one.children(recursive=True)]
    return found


def close(shutdown: Callable[[], None], members: list[psutil.Process], limit_s: float = CLOSE_S) -> None:
    """Shuts an engine down; what still runs after `limit_s` is killed."""
    thread = threading.Thread(target=_quietly, args=(shutdown,), name="llmbench-engine-close", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        log.warning("vLLM did not shut down within %g s; its processes are killed", limit_s)
    kill(members)
    until = time.monotonic() + KILLED_S
    while any(_runs(process) for process in members) and time.monotonic() < until:
        multiprocessing.active_children()  # reaps those that are this process's own
        time.sleep(LOOK_S)


def kill(members: Iterable[psutil.Process]) -> None:
    """Kills what is left of an engine's processes, also those that are stopped."""
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _quietly(shutdown: Callable[[], None]) -> None:
    try:
        shutdown()
    except Exception:
        log.exception("vLLM could not be shut down")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
