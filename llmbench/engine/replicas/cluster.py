"""Ray for the length of an engine: started on this machine and ended with it, or a cluster that is joined and left."""

import importlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from llmbench.engine.replicas import cleaner
from llmbench.engine.replicas.ray_environment import (
    TEMPORARY,
    check_address,
    own_signal_handlers,
    ray_variables,
)
from llmbench.errors import EngineError, first_line
from llmbench.system.processes import blocked_sigint, is_alive, kill_family, process_space

log = logging.getLogger(__name__)

STORE_BYTES = 256 << 20
"""Ray's shared memory: completions are small and are fetched at once."""
END_S = 5.0
_TURN = threading.Lock()
"""One thread of this process at a time starts Ray; a second one then uses what the first has started."""


class Cluster:
    """Ray, which starts processes on hosts and calls them. Closed by `close`, after which it can be opened again."""

    def __init__(self, address: str | None, gpus: int) -> None:
        """Takes the address of a cluster; None: one is started on this machine, which gives away so many of its GPUs."""
        self._address, self._gpus = address, gpus
        self._ray: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._cleaner: subprocess.Popen[bytes] | None = None
        self._handles: list[Any] = []
        self._servers: list[psutil.Process] = []
        self._owned = False  # Ray was started or joined here, not by the program that calls

    def open(self) -> None:
        """Starts Ray or joins it; harmless when it is open.

        Raises:
            EngineError: Ray is missing or does not start, or there is no such cluster.
        """
        if self._ray is not None:
            return
        folder = None
        try:
            if self._address is None:
                self._folder = tempfile.TemporaryDirectory(prefix="llmbench-ray-", dir=TEMPORARY)
                folder = self._folder.name
                self._cleaner = _start_cleaner(folder)
            # the first may start a process that is not Ray's, and must not bear its folder's name
            with _TURN, blocked_sigint(), ray_variables(folder), own_signal_handlers():
                self._ray = ray = _import_ray()
                self._owned = not ray.is_initialized()
                if self._owned:
                    check_address(self._address)
                    ray.init(**self._options())
                    # what Ray would print of dead processes, at any time
                    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001 - there is no public way
        except BaseException as error:
            self.close()
            if isinstance(error, SystemExit):  # by Ray's handler of SIGTERM, while it started
                signal.raise_signal(signal.SIGTERM)
            if not isinstance(error, Exception) or isinstance(error, EngineError):
                raise
            log.exception("Ray could not be used")
            where = "started" if self._address is None else f"joined at engine.ray_address={self._address}"
            raise EngineError(f"Ray could not be {where} ({first_line(error)}).") from error
        if self._folder is not None:
            servers = [
                each for each in psutil.Process().children() if each.name() in ("raylet", "gcs_server")
            ]
            self._servers = [each for each in servers if is_alive(each)]

    def _options(self) -> dict[str, Any]:
        quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}
        if self._folder is None:
            return quiet | {"address": self._address}
        own = {"address": "local", "include_dashboard": False, "object_store_memory": STORE_BYTES}
        # Ray starts a process for each core beforehand, which nobody here would use
        room = {"num_cpus": 1, "num_gpus": self._gpus, "_temp_dir": self._folder.name}
        return quiet | own | room

    def alive(self) -> bool:
        """Whether Ray, where it was started here, still runs; without it calls of it may never come back."""
        return all(map(is_alive, self._servers))

    @property
    def local(self) -> bool:
        """Whether Ray was started here, for this machine alone."""
        return self._address is None

    def replicas(self, gpus: int) -> int:
        """How many replicas on so many GPUs of one host each there is room for now; as many as there are CPU cores where they need none."""
        free = self._ray.available_resources()
        if not gpus:
            return int(free.get("CPU", 0))
        hosts = [node["Resources"].get("GPU", 0) for node in self._ray.nodes() if node["Alive"]]
        return min(sum(int(number // gpus) for number in hosts), int(free.get("GPU", 0) // gpus))

    def start(self, kind: type, *arguments: object, gpus: int, cpus: int) -> Any:  # noqa: ANN401 - Ray's handle
        """Begins to start a process with an object of this class, wherever there is room, and returns at once."""
        needs = {"num_gpus": gpus, "num_cpus": cpus}
        options = needs | {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        handle = self._ray.remote(**options)(kind).remote(*arguments)
        self._handles.append(handle)
        return handle

    def ready(self, calls: Sequence[object], timeout_s: float) -> bool:
        """Waits until one of the calls has ended; returns whether one has in that time."""
        ended, _ = self._ray.wait(list(calls), num_returns=1, timeout=timeout_s, fetch_local=True)
        return bool(ended)

    def result(self, call: object, timeout_s: float | None = None) -> Any:  # noqa: ANN401 - a call's
        """Returns a call's result.

        Raises:
            ProcessGoneError: Its process is gone, or the time is over.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(call, timeout=timeout_s)
        except errors.RayTaskError:
            raise  # a fault of llmbench's own
        except (errors.RayError, TimeoutError) as error:
            raise ProcessGoneError(_why_gone(str(error))) from error

    def kill(self, handle: Any, place: "ProcessPlace | None") -> None:  # noqa: ANN401 - Ray's handle
        """Ends a process of the cluster with all that it has started, also one that is stopped."""
        if self._ray is None or not self.alive():
            return
        with suppress(Exception):
            self._ray.kill(handle)
        if place is None:
            return
        if place.space == process_space():
            kill_family(place.pid)
            return
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(place.node, soft=False)
        with suppress(Exception):  # a host that is gone has nothing left to end
            self._ray.remote(num_cpus=0, scheduling_strategy=strategy)(kill_family).remote(place.pid)

    def close(self) -> None:
        """Ends all processes and leaves the cluster, or ends it where it was started here."""
        ray, self._ray = self._ray, None
        handles, self._handles = self._handles, []
        alive, self._servers = self.alive(), []
        if ray is not None:
            # without its servers, Ray's own end may never come
            ending = threading.Thread(target=self._leave, args=(ray, handles if alive else ()), daemon=True)
            with own_signal_handlers():
                ending.start()
                ending.join(None if alive else END_S)
        folder, self._folder = self._folder, None
        if folder is not None:
            cleaner.clean(folder.name)
            folder.cleanup()
        cleaning, self._cleaner = self._cleaner, None
        if cleaning is not None:
            cleaning.kill()
            cleaning.wait()

    def _leave(self, ray: Any, handles: Sequence[Any]) -> None:  # noqa: ANN401 - a module without types
        try:
            for handle in handles:
                ray.kill(handle)
            if self._owned:
                ray.shutdown()
        except Exception:
            log.exception("Ray could not be ended in order")


class ProcessGoneError(Exception):
    """A process of the cluster is gone; the message says what Ray knows of it."""


@dataclass(frozen=True, slots=True)
class ProcessPlace:
    """Where a process of the cluster is; `space` is that of its number (`system.processes.process_space`), `node` Ray's name for the host."""

    host: str
    space: str
    pid: int
    node: str


def node_id() -> str:
    """Ray's name for this host; in a process of the cluster."""
    return str(_import_ray().get_runtime_context().get_node_id())


def _import_ray() -> Any:  # noqa: ANN401 - a module without types
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.util.scheduling_strategies")
    except ImportError as error:
        raise EngineError(
            f"engine.replicas needs the package ray ({first_line(error)}); `pip install 'llmbench[replicas]'`."
        ) from error
    return ray


def _start_cleaner(folder: str) -> "subprocess.Popen[bytes]":
    program = [sys.executable, "-I", str(Path(cleaner.__file__)), str(os.getpid()), folder]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(program, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)


def _why_gone(text: str) -> str:
    """What Ray says of a process that is gone, in a few words."""
    said = text.split("Some common causes", maxsplit=1)[0]
    if "out of memory" in said or "OOM" in said:
        return "its process was killed, perhaps since the host ran out of main memory"
    return "its host is gone" if "node" in said else "its process was killed or crashed"
