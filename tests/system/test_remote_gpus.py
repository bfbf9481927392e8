"""GPUs of other hosts: what replicas tell of them counts as what NVML tells of one's own."""

import time
from pathlib import Path

import pytest

from llmbench.telemetry import GpuSample, Sampler, read_trace, trace
from llmbench.telemetry.nvml import Pace, RemoteGpu
from tests.helpers.commands import wait_until


def told(memory_bytes: int, utilization: float, power_w: float, energy_j: float) -> GpuSample:
    return GpuSample(memory_bytes, utilization, power_w, energy_j, throttle=("sw_power_cap",))


def test_what_was_told_last_is_sampled_and_added_up() -> None:
    here, gpus = Sampler(0), [RemoteGpu(), RemoteGpu()]
    assert here.sample().gpus == ()
    here.watch_gpus(gpus)
    gpus[0].update(told(10, 0.5, 300.0, 50.0))
    gpus[1].update(told(20, 0.7, 200.0, 20.0))
    here.begin()
    assert [gpu.memory_bytes for gpu in here.sample().gpus] == [10, 20]
    gpus[0].update(told(30, 0.9, 400.0, 150.0))
    gpus[1].update(told(5, 0.9, 100.0, 80.0))
    here.sample()
    here.end()
    assert here.gpu().energy_j == pytest.approx(160)
    assert here.gpu().utilization_mean == pytest.approx((0.6 + 0.9) / 2)
    assert here.memory().peak_gpu_bytes == 35
    totals = here.totals()
    assert (totals.power_w.peak, totals.gpu_bytes.peak) == (500, 35)
    assert set(totals.throttled) == {"sw_power_cap"}


def test_one_that_tells_nothing_leaves_sums_unknown() -> None:
    here, gpus = Sampler(0), [RemoteGpu(), RemoteGpu()]
    here.watch_gpus(gpus)
    gpus[0].update(told(10, 0.5, 300.0, 50.0))
    here.begin()
    here.sample()
    here.end()
    assert here.gpu().energy_j is None
    assert here.sample().gpus[1] == GpuSample()


def test_the_trace_is_written_also_where_children_are_seldom_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the many processes of Ray one look at all children costs more than its share of a second."""
    monkeypatch.setattr(trace, "FLUSH_S", 0.02)
    path, here = tmp_path / "trace.jsonl", Sampler(0, period_s=0.005)
    here._around = Pace(1e9, 1.0)
    here._around.done(time.monotonic(), 0.0)
    with here:
        here.write(path)
        for lines in (5, 10):
            wait_until(lambda lines=lines: len(read_trace(path)) >= lines)  # type: ignore[misc]
