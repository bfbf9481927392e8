"""GPUs: through NVML, and of other hosts as these report them. Of NVML's each value is asked for by itself, so that one that a GPU does not tell costs no other.

An answer takes some microseconds on most machines and near a millisecond of CPU time on some that are virtual. So each value has
a pace of its own: it is asked at every look where that is cheap, less often where it is not, and is the last answer in between.

NVML names: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from llmbench.system import hardware
from llmbench.telemetry.records import GpuSample

log = logging.getLogger(__name__)

IDLE = "gpu_idle"
THROTTLE = {
    0x1: IDLE,
    0x2: "application_clocks",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}
"""Bits of nvmlClocksEventReasons."""
CLOCK_SM, CLOCK_MEMORY, SENSOR_GPU = 1, 2, 0


def throttle_names(bits: int) -> tuple[str, ...]:
    """The reasons in a mask; a bit that is unknown here by its number."""
    return tuple(
        THROTTLE.get(1 << place, f"0x{1 << place:x}")
        for place in range(int(bits).bit_length())
        if bits >> place & 1
    )


class Pace:
    """Every `period_s` seconds, or less often where once costs more than `share` of a core allows.

    Where a time costs much that the next ones do not, `over` spreads the cost: the mean of about so many times decides.
    """

    def __init__(self, period_s: float, share: float, over: int = 1, longest_s: float = math.inf) -> None:
        """Due at once. `share` is of one core: 0.01 allows 10 ms of work a second; after `longest_s` it is due whatever it costs."""
        self._period_s, self._share, self._over, self._longest_s = period_s, share, over, longest_s
        self._next: float | None = None
        self._mean_s = 0.0
        self._times = min(over, 5) - 1  # the first look, which opens files, counts for no more

    def wait_s(self, now: float) -> float:
        """Seconds until it is due, 0 where it is; `now` on any clock that does not go back."""
        return 0.0 if self._next is None else max(0.0, self._next - now)

    def done(self, begun: float, cost_s: float) -> None:
        """It was done, beginning at `begun`, and took `cost_s` seconds of a core."""
        self._times = min(self._times + 1, self._over)
        self._mean_s += (cost_s - self._mean_s) / self._times
        self._next = begun + max(self._period_s, min(self._mean_s / self._share, self._longest_s))


SELDOM_S = 1.0
"""Between looks at what changes slowly: clocks, the reasons for them, temperature."""
STALE_S = 2.0
"""No value but energy is older, however many GPUs share the cost: means over a short run would be wrong."""
MEMORY_SHARE, EACH_SHARE, ENERGY_SHARE, SELDOM_SHARE = 0.0022, 0.0015, 0.0008, 0.0002
"""Of one core: memory, utilisation and power each, energy, and each of the slow ones; 0.0068 in all, which leaves some to the rest of a look."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A function of NVML, what to make of its answer, and how often it is asked (`Pace`), by all readers together."""

    function: str
    convert: Callable[[Any], Any]
    arguments: tuple[int, ...] = ()
    period_s: float = 0.0
    share: float = EACH_SHARE
    longest_s: float = STALE_S


_seldom = partial(_Question, period_s=SELDOM_S, share=SELDOM_SHARE)
_ENERGY = _Question(
    "nvmlDeviceGetTotalEnergyConsumption",
    lambda millijoules: int(millijoules) / 1000,
    share=ENERGY_SHARE,
    longest_s=math.inf,
)
_QUESTIONS = {
    "memory_bytes": _Question("nvmlDeviceGetMemoryInfo", lambda info: int(info.used), share=MEMORY_SHARE),
    "utilization": _Question("nvmlDeviceGetUtilizationRates", lambda rates: int(rates.gpu) / 100),
    "power_w": _Question("nvmlDeviceGetPowerUsage", lambda milliwatts: int(milliwatts) / 1000),
    "sm_clock_mhz": _seldom("nvmlDeviceGetClockInfo", int, (CLOCK_SM,)),
    "memory_clock_mhz": _seldom("nvmlDeviceGetClockInfo", int, (CLOCK_MEMORY,)),
    "throttle": _seldom("nvmlDeviceGetCurrentClocksEventReasons", throttle_names),
    "temperature_c": _seldom("nvmlDeviceGetTemperature", int, (SENSOR_GPU,)),
    "energy_j": _ENERGY,
}
"""By the fields of `GpuSample`."""


class GpuReader:
    """Reads one GPU. Its energy counts from here on."""

    def __init__(self, handle: object, of: int = 1) -> None:
        """Takes NVML's handle; it is one of `of` GPUs that share what reading may cost."""
        self._handle = handle
        self._energy_start: float | None = self._ask(_ENERGY)
        self._paces = {
            name: Pace(asked.period_s, asked.share / of, longest_s=asked.longest_s)
            for name, asked in _QUESTIONS.items()
        }
        self._last: dict[str, Any] = {}

    def read(self, *, fresh: bool = True) -> GpuSample:
        """Its values now; unless `fresh`, as they were a moment ago where they cost too much to ask each time."""
        now = time.monotonic()
        for name, pace in self._paces.items():
            if fresh or not pace.wait_s(now):
                cost = time.thread_time()
                self._last[name] = self._ask(_QUESTIONS[name])
                pace.done(now, time.thread_time() - cost)
        energy, start = self._last["energy_j"], self._energy_start
        # None where the GPU does not count them, or began anew
        joules = None if energy is None or start is None or energy < start else round(energy - start, 3)
        return GpuSample(**self._last | {"energy_j": joules})

    def _ask(self, question: _Question) -> Any:  # noqa: ANN401 - a question decides what its answer is
        import pynvml

        try:
            answer = getattr(pynvml, question.function)(self._handle, *question.arguments)
            return question.convert(answer)
        except (pynvml.NVMLError, AttributeError, TypeError, ValueError):
            return None  # this GPU or driver does not say it, or this pynvml lacks the function


def readers(count: int) -> tuple[GpuReader, ...]:
    """Readers of the first `count` GPUs that CUDA sees; none where NVML gives no access."""
    return tuple(_readers(count))


def _readers(count: int) -> Iterator[GpuReader]:
    import pynvml

    try:
        gpus = hardware.gpus()[:count]
        for gpu in gpus:
            yield GpuReader(pynvml.nvmlDeviceGetHandleByIndex(gpu.index), len(gpus))
    except pynvml.NVMLError as error:
        log.warning("NVML gave no access to a GPU, which is not watched: %s", error)


@dataclass(slots=True)
class RemoteGpu:
    """A GPU of another host, as what computes on it last reported it. Energy goes on where another process counts it from 0."""

    _last: GpuSample = field(default_factory=GpuSample)
    _before_j: float = 0.0

    def update(self, sample: GpuSample) -> None:
        """Takes newer values."""
        before = self._last.energy_j
        if before is not None and (sample.energy_j is None or sample.energy_j < before):
            self._before_j += before
        self._last = sample

    def read(self, *, fresh: bool = True) -> GpuSample:  # noqa: ARG002 - there are no fresher ones here
        """Its values as they were last."""
        last = self._last
        return last if last.energy_j is None else replace(last, energy_j=self._before_j + last.energy_j)
