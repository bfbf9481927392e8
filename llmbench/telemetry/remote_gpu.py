"""A GPU of another host, as what computes on it last reported it."""

from dataclasses import dataclass, field, replace

from llmbench.telemetry.records import GpuSample


@dataclass(slots=True)
class RemoteGpu:
    """The last values; none before the first. Energy goes on where another process counts it from 0."""

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
        return replace(self._last, energy_j=self.energy_j())

    def energy_j(self) -> float | None:
        """Joules since it is watched."""
        return None if self._last.energy_j is None else self._before_j + self._last.energy_j
