"""Memory, GPU use, energy and the engine's state, read ten times a second in a thread of its own, on the run's time axis."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from llmbench.telemetry import nvml
from llmbench.telemetry.aggregate import Aggregate, whole
from llmbench.telemetry.host import HostReader
from llmbench.telemetry.rate_limit import Pace
from llmbench.telemetry.records import EngineState, GpuSample, GpuUse, Memory, TelemetrySample, Totals
from llmbench.telemetry.trace import Trace

log = logging.getLogger(__name__)

PERIOD_S = 0.1
AROUND_S, FLUSH_S = 1.0, 1.0
"""Children and main memory are read this often at most, where there are many processes less often; the trace is written this often."""
SHARE, AROUND_SHARE = 0.0085, 0.001
"""Of one core: for the samples, NVML's answers included, and for what is read once a second."""
OVER = 50
"""Looks that share the cost of one: an answer of NVML that costs milliseconds and is asked for seldom delays no look by much."""


class GpuSource(Protocol):
    """Where a GPU's values come from."""

    def read(self, *, fresh: bool = True) -> GpuSample:
        """Returns its values now; unless `fresh`, some may be a moment old."""

    def energy_j(self) -> float | None:
        """Returns joules since it is watched; None where that is unknown."""


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
        self._trace, self._all, self._asked = Trace(), Aggregate(), Aggregate()
        self._running_requests = False
        self._energy_j: float | None = None
        self._energy_start: float | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()
        with self._lock:
            self._trace.flush()

    def begin(self) -> None:
        """Requests start now."""
        with self._lock:
            self._energy_start, self._energy_j = self._read_energy(), None
            self._asked, self._running_requests = Aggregate(), True

    def end(self) -> None:
        """The last request is done."""
        with self._lock:
            self._running_requests = False
            energy = self._read_energy()
            if energy is not None and self._energy_start is not None:
                self._energy_j = energy - self._energy_start

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
        """Calls `listener` with each sample from now on, in any thread; it must not call the sampler.

        One that raises is called no more.
        """
        with self._lock:
            self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Ends what `listen` began."""
        with self._lock:
            self._listeners = [other for other in self._listeners if other != listener]

    def write(self, path: Path) -> None:
        """Writes the trace, a JSON object a line: the samples so far, and from now on each within a second.

        Raises:
            RunError: The file cannot be written.
        """
        with self._lock:
            self._trace.write(path)

    def trace(self) -> list[TelemetrySample]:
        """The samples so far, or of a long run some thousand, evenly spread; the file has all of them."""
        with self._lock:
            return self._trace.samples()

    def memory(self) -> Memory:
        """Peaks so far; the GPU's is of all processes on it, main memory's of this process alone."""
        self.sample()
        totals = self.totals()
        return Memory(_bytes(totals.gpu_bytes.peak), _bytes(totals.rss_bytes.peak))

    def gpu(self) -> GpuUse:
        """Means and sums between `begin` and `end`."""
        return GpuUse(self.request_totals().utilization.mean, self._energy_j)

    def totals(self) -> Totals:
        """Everything since the start."""
        with self._lock:
            return self._all.totals()

    def request_totals(self) -> Totals:
        """What was seen between `begin` and `end`."""
        with self._lock:
            return self._asked.totals()

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
        flush_at = 0.0
        while not self._stop.wait(self._pace.wait_s(time.monotonic())):
            now, cost = time.monotonic(), time.thread_time()
            if now >= flush_at:
                flush_at = now + FLUSH_S
                with self._lock:
                    self._trace.flush()
            if not self._around.wait_s(now):
                with self._lock:
                    self._host.look_around()
                self._around.done(now, time.thread_time() - cost)
                cost = time.thread_time()
            with self._lock:
                self._sample(fresh=False)
            self._pace.done(now, time.thread_time() - cost)

    def _sample(self, *, fresh: bool = True) -> TelemetrySample:
        host = self._host.read()
        gpus = tuple(reader.read(fresh=fresh) for reader in self._gpus)
        sample = dataclasses.replace(host, gpus=gpus, engine=self._read_engine())
        self._trace.add(sample)
        self._all.add(sample)
        if self._running_requests:
            self._asked.add(sample)
        for listener in list(self._listeners):
            try:
                listener(sample)
            except Exception:
                log.exception("a listener to samples failed and is called no more")
                self._listeners.remove(listener)
        return sample

    def _read_engine(self) -> EngineState | None:
        if self._engine is None:
            return None
        try:
            state = self._engine()
            return EngineState(**{name: _number(getattr(state, name)) for name in _ENGINE})
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the run goes on
            if not self._engine_failed:
                log.warning("The engine's state cannot be read: %s: %s", type(error).__name__, error)
            self._engine_failed = True
            return EngineState()

    def _read_energy(self) -> float | None:
        return whole(reader.energy_j() for reader in self._gpus)


_ENGINE = tuple(field.name for field in dataclasses.fields(EngineState))


def _number(value: float | None) -> float | None:
    """A plain number, also from numpy or torch."""
    return value if value is None or type(value) in (int, float) else float(value)


def _bytes(value: float | None) -> int | None:
    return None if value is None else int(value)
