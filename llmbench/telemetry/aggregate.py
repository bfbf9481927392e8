"""Means, peaks and sums of samples, without keeping the samples."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from llmbench.telemetry.nvml import IDLE
from llmbench.telemetry.records import GpuSample, Spread, TelemetrySample, Totals


@dataclass(slots=True)
class _Running:
    """Count, sum and largest of the values so far."""

    count: int = 0
    total: float = 0.0
    peak: float | None = None

    def add(self, value: float | None) -> None:
        """Counts a value that could be read."""
        if value is None:
            return
        self.count += 1
        self.total += value
        self.peak = value if self.peak is None else max(self.peak, value)

    def spread(self) -> Spread:
        """Mean and peak."""
        return Spread(self.total / self.count if self.count else None, self.peak)


class Aggregate:
    """Takes samples in the order of time."""

    def __init__(self) -> None:
        self._samples = 0
        self._duration_s = self._last_t = 0.0
        self._first_j: float | None = None
        self._last_j: float | None = None
        self._rss, self._children = _Running(), _Running()
        self._memory, self._utilization, self._power = _Running(), _Running(), _Running()
        self._throttled: Counter[str] = Counter()

    def add(self, sample: TelemetrySample) -> None:
        """Counts a sample."""
        energy = whole(gpu.energy_j for gpu in sample.gpus)
        if not self._samples:
            self._first_j = energy
        else:
            # the clock begins anew with each job of a process
            self._duration_s += max(0.0, sample.t - self._last_t)
        self._samples += 1
        self._last_t, self._last_j = sample.t, energy
        self._rss.add(sample.rss_bytes)
        self._children.add(sample.children_rss_bytes)
        self._memory.add(whole(gpu.memory_bytes for gpu in sample.gpus))
        self._utilization.add(utilization(sample.gpus))
        self._power.add(whole(gpu.power_w for gpu in sample.gpus))
        self._throttled.update({name for gpu in sample.gpus for name in gpu.throttle or () if name != IDLE})

    def totals(self) -> Totals:
        """What they add up to."""
        energy = None
        if self._first_j is not None and self._last_j is not None:
            energy = round(self._last_j - self._first_j, 3)
        return Totals(
            duration_s=self._duration_s,
            samples=self._samples,
            rss_bytes=self._rss.spread(),
            children_rss_bytes=self._children.spread(),
            gpu_bytes=self._memory.spread(),
            utilization=self._utilization.spread(),
            power_w=self._power.spread(),
            energy_j=energy,
            throttled={name: count / self._samples for name, count in self._throttled.most_common()},
        )


def whole(values: Iterable[float | None]) -> float | None:
    """The sum; None where there is nothing, or a part is unknown."""
    known = list(values)
    return sum(v for v in known if v is not None) if known and None not in known else None


def utilization(gpus: tuple[GpuSample, ...]) -> float | None:
    """Mean over the GPUs; None where there is none, or one does not tell."""
    total = whole(gpu.utilization for gpu in gpus)
    return None if total is None else total / len(gpus)
