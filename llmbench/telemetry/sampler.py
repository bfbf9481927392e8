"""Memory, GPU use and energy, read a few times a second in a thread of its own. What cannot be read is None."""

import logging
import threading
from types import TracebackType
from typing import Any, Self

import psutil

from llmbench import machine
from llmbench.summary import GpuUse, Memory

log = logging.getLogger(__name__)

PERIOD_S = 0.1


class Sampler:
    """Runs while it is entered. `begin` marks where requests start: utilisation and energy count from there."""

    def __init__(self, gpus: int = 1, period_s: float = PERIOD_S) -> None:
        """Watches the first `gpus` GPUs that are visible."""
        self._period_s = period_s
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="llmbench-telemetry", daemon=True)
        self._handles = _handles(gpus)
        self._peak_rss = 0
        self._peak_gpu: int | None = None
        self._busy: list[float] = []
        self._counting = False
        self._energy_j: float | None = None
        self._energy_start: float | None = None

    def __enter__(self) -> Self:
        """Starts the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()

    def begin(self) -> None:
        """Requests start now."""
        self._energy_start = self._read_energy()
        self._counting = True

    def end(self) -> None:
        """The last request is done."""
        self._counting = False
        energy = self._read_energy()
        if energy is not None and self._energy_start is not None:
            self._energy_j = energy - self._energy_start

    def memory(self) -> Memory:
        """Peaks so far; the GPU's is of all processes on it, main memory's of this process alone."""
        self._sample()
        return Memory(self._peak_gpu, self._peak_rss)

    def gpu(self) -> GpuUse:
        """Means and sums between `begin` and `end`."""
        return GpuUse(sum(self._busy) / len(self._busy) if self._busy else None, self._energy_j)

    def _watch(self) -> None:
        while not self._stop.wait(self._period_s):
            self._sample()

    def _sample(self) -> None:
        self._peak_rss = max(self._peak_rss, self._process.memory_info().rss)
        if not self._handles:
            return
        import pynvml

        try:
            used = sum(int(pynvml.nvmlDeviceGetMemoryInfo(handle).used) for handle in self._handles)
            self._peak_gpu = max(self._peak_gpu or 0, used)
            busy = [int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100 for handle in self._handles]
        except pynvml.NVMLError as error:  # a part of a GPU (MIG) tells its memory but not its utilisation
            log.debug("NVML could not be read: %s", error)
            return
        if self._counting:
            self._busy.append(sum(busy) / len(busy))

    def _read_energy(self) -> float | None:
        if not self._handles:
            return None
        import pynvml

        try:
            return sum(int(pynvml.nvmlDeviceGetTotalEnergyConsumption(h)) for h in self._handles) / 1000
        except pynvml.NVMLError:
            return None


def _handles(count: int) -> list[Any]:
    import pynvml

    return [pynvml.nvmlDeviceGetHandleByIndex(gpu.index) for gpu in machine.gpus()[:count]]
