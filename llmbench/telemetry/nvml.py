"""GPUs through NVML. Each value is asked for by itself, so that one that a GPU does not tell costs no other.

NVML names: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmbench import machine
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


@dataclass(frozen=True, slots=True)
class _Question:
    """A function of NVML and what to make of its answer."""

    function: str
    convert: Callable[[Any], Any]
    arguments: tuple[int, ...] = ()


_MEMORY = (_Question("nvmlDeviceGetMemoryInfo", lambda info: int(info.used)),)
_UTILIZATION = (_Question("nvmlDeviceGetUtilizationRates", lambda rates: int(rates.gpu) / 100),)
_POWER = (_Question("nvmlDeviceGetPowerUsage", lambda milliwatts: int(milliwatts) / 1000),)
_ENERGY = (_Question("nvmlDeviceGetTotalEnergyConsumption", lambda millijoules: int(millijoules) / 1000),)
_SM_CLOCK = (_Question("nvmlDeviceGetClockInfo", int, (CLOCK_SM,)),)
_MEMORY_CLOCK = (_Question("nvmlDeviceGetClockInfo", int, (CLOCK_MEMORY,)),)
_THROTTLE = (
    _Question("nvmlDeviceGetCurrentClocksEventReasons", throttle_names),
    _Question("nvmlDeviceGetCurrentClocksThrottleReasons", throttle_names),  # its name before driver 535
)
_TEMPERATURE = (
    _Question("nvmlDeviceGetTemperature", int, (SENSOR_GPU,)),
    _Question("nvmlDeviceGetTemperatureV", int, (SENSOR_GPU,)),  # the only one from CUDA 14 on
)


class GpuReader:
    """Reads one GPU. Its energy counts from here on."""

    def __init__(self, handle: object) -> None:
        """Takes NVML's handle."""
        self._handle = handle
        self._energy_start: float | None = self._ask(_ENERGY)

    def read(self) -> GpuSample:
        """Its values now."""
        return GpuSample(
            memory_bytes=self._ask(_MEMORY),
            utilization=self._ask(_UTILIZATION),
            power_w=self._ask(_POWER),
            energy_j=self.energy_j(),
            sm_clock_mhz=self._ask(_SM_CLOCK),
            memory_clock_mhz=self._ask(_MEMORY_CLOCK),
            throttle=self._ask(_THROTTLE),
            temperature_c=self._ask(_TEMPERATURE),
        )

    def energy_j(self) -> float | None:
        """Joules since this reader was made; None where the GPU does not count them, or began anew."""
        energy: float | None = self._ask(_ENERGY)
        if energy is None or self._energy_start is None or energy < self._energy_start:
            return None
        return round(energy - self._energy_start, 3)

    def _ask(self, questions: Sequence[_Question]) -> Any:  # noqa: ANN401 - a question decides what its answer is
        """The first answer that there is."""
        import pynvml

        for question in questions:
            function = getattr(pynvml, question.function, None)
            if function is None:  # an older nvidia-ml-py
                continue
            try:
                return question.convert(function(self._handle, *question.arguments))
            except (pynvml.NVMLError, TypeError, ValueError):  # not told; pynvml gives None for some
                continue
        return None


def readers(count: int) -> tuple[GpuReader, ...]:
    """Readers of the first `count` GPUs that CUDA sees; none where NVML gives no access."""
    return tuple(_readers(count))


def _readers(count: int) -> Iterator[GpuReader]:
    import pynvml

    try:
        for gpu in machine.gpus()[:count]:
            yield GpuReader(pynvml.nvmlDeviceGetHandleByIndex(gpu.index))
    except pynvml.NVMLError as error:
        log.warning("NVML gave no access to a GPU, which is not watched: %s", error)
