"""vLLM's own processes: a death that nobody would hear of, and an end that takes no longer than it may."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import psutil

from llmbench.engine.vllm.internals.processes import death_callback, started_processes
from llmbench.system.processes import is_alive, kill, one_is_gone

log = logging.getLogger(__name__)

CLOSE_S = 20.0
"""For an engine to shut down; vLLM itself gives its processes 5 s before it kills them."""
LOOK_S = 0.05
KILLED_S = 5.0
"""For the kernel to take away what a killed process had."""


def watch_for_death(llm: Any) -> None:  # noqa: ANN401 - vLLM's LLM
    """Watches the process of the core, where it has one: when it is gone, a `step` that waits for it raises."""
    died = death_callback(llm)
    if died is None:
        return
    ids = [process.pid for process in started_processes(llm) if process.pid is not None]

    def wait() -> None:
        one_is_gone(ids)
        died()

    threading.Thread(target=wait, name="llmbench-engine-watch", daemon=True).start()


@dataclass(slots=True)
class EngineProcesses:
    """The processes of an engine, none where it computes in this one.

    Attributes:
        members: They and theirs.
        killed: Why they were killed.
    """

    members: list[psutil.Process] = field(default_factory=list)
    killed: str | None = None

    @classmethod
    def of(cls, llm: Any) -> Self:  # noqa: ANN401 - vLLM's LLM
        """Those of a running engine: that it has started, and theirs."""
        found = []
        for process in started_processes(llm):
            with suppress(psutil.NoSuchProcess):
                one = psutil.Process(process.pid)
                found += [one, *one.children(recursive=True)]
        return cls(found)

    def kill(self, reason: str) -> bool:
        """Kills them; returns whether there are any."""
        if not self.members:
            return False
        self.killed = reason
        kill(self.members)
        return True


def close(shutdown: Callable[[], None], members: list[psutil.Process], limit_s: float = CLOSE_S) -> None:
    """Shuts an engine down; what still runs after `limit_s` is killed."""
    thread = threading.Thread(target=_quietly, args=(shutdown,), name="llmbench-engine-close", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        log.warning("vLLM did not shut down within %g s; its processes are killed", limit_s)
    kill(members)
    until = time.monotonic() + KILLED_S
    while any(map(is_alive, members)) and time.monotonic() < until:
        multiprocessing.active_children()  # reaps those that are this process's own
        time.sleep(LOOK_S)


def _quietly(shutdown: Callable[[], None]) -> None:
    """Shuts down without vLLM's log lines: the run's log may be closed, and warnings about processes that end slowly do not concern the user."""
    lines = logging.getLogger("vllm")
    lines.setLevel(logging.CRITICAL)
    try:
        shutdown()
    except Exception:
        log.exception("vLLM could not be shut down")
    finally:
        lines.setLevel(logging.WARNING)  # for what it may say later
