"""Memory, GPU use, energy and the engine's state, read ten times a second in a thread of its own, on the run's time axis."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

import psutil

from llmbench.system import clock
from llmbench.telemetry import nvml
from llmbench.telemetry.aggregate import Aggregate
from llmbench.telemetry.nvml import Pace
from llmbench.telemetry.records import EngineState, GpuSample, GpuUse, Memory, TelemetrySample, Totals
from llmbench.telemetry.trace import Trace

log = logging.getLogger(__name__)

PERIOD_S = 0.1
AROUND_S = 1.0
"""Children are read this often at most, where there are many processes less often."""
SHARE, AROUND_SHARE = 0.0085, 0.001
"""Of one core: for the samples, NVML's answers included, and for what is read once a second."""
OVER = 50
"""Looks that share the cost of one: an answer of NVML that costs milliseconds and is asked for seldom delays no look by much."""
SHORTEST_S = 0.05
"""Over less, a share of CPU time says little."""


class GpuSource(Protocol):
    """Where a GPU's values come from."""

    def read(self, *, fresh: bool = True) -> GpuSample:
        """Returns its values now; unless `fresh`, some may be a moment old."""


EngineReader = Callable[[], EngineState]
"""Returns what the engine is doing, quickly and from any thread."""
Listener = Callable[[TelemetrySample], None]


class Sampler:
    """Runs while it is entered. `begin` marks where requests start: utilisation and energy count from there.

    Attributes:
        gpus: How many GPUs are watched at most.
    """

    def __init__(self, gpus: int = 1, period_s: float = PERIOD_S) -> None:
        """Watches the first `gpus` GPUs that are visible."""
        self.gpus = gpus
        self._pace, self._around = Pace(period_s, SHARE, OVER), Pace(AROUND_S, AROUND_SHARE)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="llmbench-telemetry", daemon=True)
        self._host = HostReader()
        self._gpus: Sequence[GpuSource] = nvml.readers(gpus)
        self._engine: EngineReader | None = None
        self._engine_failed = False
        self._listeners: list[Listener] = []
        self._trace: Trace | None = None
        self._all, self._asked = Aggregate(), Aggregate()
        self._running_requests = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()
        with self._lock:
            if self._trace is not None:
                self._trace.flush()

    def begin(self) -> None:
        """Requests start now."""
        with self._lock:
            self._asked, self._running_requests = Aggregate(), True
            self._sample()

    def end(self) -> None:
        """The last request is done."""
        with self._lock:
            self._sample()
            self._running_requests = False

    def watch_gpus(self, sources: Sequence[GpuSource] | int) -> None:
        """From now on watches these GPUs, or so many of the first that are visible; before `begin`."""
        found = nvml.readers(sources) if isinstance(sources, int) else sources
        with self._lock:
            self._gpus, self.gpus = found, len(found)

    def watch_engine(self, read: EngineReader | None) -> None:
        """From now on each sample holds the engine's state; None ends that.

        `read` is called in the sampler's thread; where it raises, everything is None.
        """
        with self._lock:
            self._engine, self._engine_failed = read, False

    def listen(self, listener: Listener) -> None:
        """Calls `listener` with each sample from now on, in any thread; it must neither call the sampler nor raise."""
        with self._lock:
            self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Ends what `listen` began."""
        with self._lock:
            self._listeners.remove(listener)

    def write(self, path: Path) -> None:
        """Writes a sample to a file, a JSON object a line, and from now on each within a second."""
        with self._lock:
            self._trace = Trace(path)
            self._sample()

    def memory(self) -> Memory:
        """Peaks so far; the GPU's is of all processes on it, main memory's of this process alone."""
        self.sample()
        totals = self.totals()
        return Memory(_bytes(totals.gpu_bytes.peak), _bytes(totals.rss_bytes.peak))

    def gpu(self) -> GpuUse:
        """Means and sums between `begin` and `end`."""
        with self._lock:
            totals = self._asked.totals()
        return GpuUse(totals.utilization.mean, totals.energy_j)

    def totals(self) -> Totals:
        """Everything since the start."""
        with self._lock:
            return self._all.totals()

    def sample(self) -> TelemetrySample:
        """Looks now, beside the regular samples."""
        with self._lock:
            return self._sample()

    def _watch(self) -> None:
        try:
            self._go_on()
        except Exception:  # a run does not end for want of telemetry
            log.exception("telemetry stopped")

    def _go_on(self) -> None:
        while not self._stop.wait(self._pace.wait_s(time.monotonic())):
            now, cost = time.monotonic(), time.thread_time()
            if not self._around.wait_s(now):
                with self._lock:
                    self._host.look_around()
                self._around.done(now, time.thread_time() - cost)
                cost = time.thread_time()
            with self._lock:
                self._sample(fresh=False)
            self._pace.done(now, time.thread_time() - cost)

    def _sample(self, *, fresh: bool = True) -> TelemetrySample:
        gpus = tuple(reader.read(fresh=fresh) for reader in self._gpus)
        sample = self._host.read(gpus, self._read_engine())
        if self._trace is not None:
            self._trace.add(sample)
        self._all.add(sample)
        if self._running_requests:
            self._asked.add(sample)
        for listener in self._listeners:
            listener(sample)
        return sample

    def _read_engine(self) -> EngineState | None:
        if self._engine is None:
            return None
        try:
            return self._engine()
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the run goes on
            if not self._engine_failed:
                log.warning("The engine's state cannot be read: %s: %s", type(error).__name__, error)
            self._engine_failed = True
            return EngineState()


class HostReader:
    """Reads this process at every look; its children only when told to look around."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_at, self._cpu_s = time.monotonic(), time.process_time()
        self._cpu_share: float | None = None
        self._children_rss: int | None = None

    def read(self, gpus: tuple[GpuSample, ...] = (), engine: EngineState | None = None) -> TelemetrySample:
        """A sample of this process now, and of its children as they were when last looked at."""
        now = time.monotonic()
        if now - self._cpu_at >= SHORTEST_S:
            used = time.process_time()
            self._cpu_share = round((used - self._cpu_s) / (now - self._cpu_at), 4)
            self._cpu_at, self._cpu_s = now, used
        return TelemetrySample(
            t=round(clock.since_start(), 4),
            rss_bytes=self._rss(self._process),
            cpu_share=self._cpu_share,
            children_rss_bytes=self._children_rss,
            gpus=gpus,
            engine=engine,
        )

    def look_around(self) -> None:
        """Reads the children: the whole process table is searched, some milliseconds on a large machine."""
        try:
            children = self._process.children(recursive=True)
        except (psutil.Error, OSError):
            self._children_rss = None
        else:
            self._children_rss = sum(self._rss(child) or 0 for child in children)

    @staticmethod
    def _rss(process: psutil.Process) -> int | None:
        try:
            return int(process.memory_info().rss)
        except (psutil.Error, OSError):  # it has ended meanwhile
            return None


def _bytes(value: float | None) -> int | None:
    return None if value is None else int(value)
