import logging
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson
import pytest

from llmbench.errors import RunError
from llmbench.system import hardware
from llmbench.telemetry import (
    EngineState,
    GpuSample,
    MemoryTracker,
    Sampler,
    TelemetrySample,
    read_trace,
)
from llmbench.telemetry.aggregate import Aggregate
from llmbench.telemetry.nvml import GpuReader, Pace, throttle_names
from llmbench.telemetry.sampler import HostReader

GIB = 1 << 30


class NVMLError(Exception):
    pass


class FakeNvml(ModuleType):
    """As much of pynvml as is used. A GPU's values are set by function name; what is not set is not supported."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.told: list[dict[str, Any]] = []

    def add(self, **values: object) -> dict[str, Any]:
        """A GPU; returns what it tells, to be changed by the test."""
        told: dict[str, Any] = {
            "MemoryInfo": SimpleNamespace(used=10 * GIB, total=80 * GIB),
            "UtilizationRates": SimpleNamespace(gpu=50, memory=20),
            "PowerUsage": 300_500,
            "TotalEnergyConsumption": 7_000_000,
            "ClockInfo": {1: 1980, 2: 2619},
            "CurrentClocksEventReasons": 0x4 | 0x20,
            "Temperature": 61,
        } | values
        self.told.append(told)
        return told

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802 - NVML's name
        return index

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - NVML's functions
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)

        def ask(handle: int, *arguments: int) -> Any:  # noqa: ANN401
            value = self.told[handle].get(name.removeprefix("nvmlDeviceGet"), NVMLError("Not Supported"))
            if isinstance(value, Exception):
                raise value
            if isinstance(value, list):  # one after another
                return value.pop(0)
            return value[arguments[0]] if isinstance(value, dict) else value

        return ask


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)

    def gpus() -> tuple[hardware.Gpu, ...]:
        return tuple(hardware.Gpu(n, "H100", 80 * GIB, "580") for n in range(len(fake.told)))

    monkeypatch.setattr(hardware, "gpus", gpus)
    return fake


def wait_until(sampler: Sampler, samples: int) -> None:
    deadline = time.monotonic() + 10
    while sampler.totals().samples < samples:
        assert time.monotonic() < deadline
        time.sleep(0.005)


# GPUs


def test_a_gpu_tells_all_its_values_in_our_units(nvml: FakeNvml) -> None:
    told = nvml.add()
    reader = GpuReader(0)
    told["TotalEnergyConsumption"] = 7_001_250
    assert reader.read() == GpuSample(
        memory_bytes=10 * GIB,
        utilization=0.5,
        power_w=300.5,
        energy_j=1.25,
        sm_clock_mhz=1980,
        memory_clock_mhz=2619,
        throttle=("sw_power_cap", "sw_thermal_slowdown"),
        temperature_c=61,
    )


VALUES = {
    "MemoryInfo": "memory_bytes",
    "UtilizationRates": "utilization",
    "PowerUsage": "power_w",
    "TotalEnergyConsumption": "energy_j",
    "CurrentClocksEventReasons": "throttle",
    "Temperature": "temperature_c",
}


@pytest.mark.parametrize("silent", VALUES)
def test_a_value_that_is_not_given_costs_no_other(nvml: FakeNvml, silent: str) -> None:
    nvml.add()
    nvml.add(**{silent: NVMLError("Unknown Error")})
    whole, partial = GpuReader(0).read(), GpuReader(1).read()
    assert partial == replace(whole, **{VALUES[silent]: None})


def test_pynvml_gives_none_for_memory_that_a_gpu_does_not_count(nvml: FakeNvml) -> None:
    nvml.add(MemoryInfo=SimpleNamespace(used=None))
    assert GpuReader(0).read().memory_bytes is None


def test_throttle_names() -> None:
    assert throttle_names(0) == ()
    assert throttle_names(0x88) == ("hw_slowdown", "hw_power_brake")
    assert throttle_names(0x4 | 1 << 20) == ("sw_power_cap", "0x100000")


def test_energy_that_began_anew_is_unknown(nvml: FakeNvml) -> None:
    told = nvml.add()
    reader = GpuReader(0)
    told["TotalEnergyConsumption"] = 5
    assert reader.read().energy_j is None


def test_a_gpu_that_gives_no_access_is_left_out(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nvml.add()

    def lost(_: int) -> None:
        raise NVMLError("GPU is lost")

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", lost, raising=False)
    assert Sampler().sample().gpus == ()
    assert "GPU is lost" in caplog.text


# The sampler


def test_no_gpu_is_no_trouble(nvml: FakeNvml) -> None:
    assert not nvml.told
    with Sampler() as sampler:
        sampler.begin()
        sampler.end()
        assert sampler.memory().peak_gpu_bytes is None
        assert (sampler.memory().peak_rss_bytes or 0) > 1 << 20
        assert (sampler.gpu().utilization_mean, sampler.gpu().energy_j) == (None, None)
    assert sampler.sample().gpus == ()


def test_only_as_many_gpus_as_the_engine_uses(nvml: FakeNvml) -> None:
    for _ in range(3):
        nvml.add()
    assert len(Sampler(2).sample().gpus) == 2
    assert Sampler(2).memory().peak_gpu_bytes == 20 * GIB


def test_utilisation_and_energy_count_while_requests_run(nvml: FakeNvml) -> None:
    told = nvml.add()
    sampler = Sampler()
    sampler.sample()
    told |= {"TotalEnergyConsumption": 8_000_000, "UtilizationRates": SimpleNamespace(gpu=80)}
    sampler.begin()
    sampler.sample()
    told |= {"TotalEnergyConsumption": 8_500_000, "UtilizationRates": SimpleNamespace(gpu=100)}
    sampler.sample()
    sampler.end()
    told |= {"TotalEnergyConsumption": 9_000_000, "UtilizationRates": SimpleNamespace(gpu=0)}
    sampler.sample()
    assert sampler.gpu().utilization_mean == pytest.approx(0.9)
    assert sampler.gpu().energy_j == pytest.approx(500)
    assert sampler.totals().energy_j == pytest.approx(2000)


def test_the_thread_samples_in_the_order_of_time(nvml: FakeNvml) -> None:
    nvml.add()
    seen: list[TelemetrySample] = []
    with Sampler(period_s=0.001) as sampler:
        sampler.listen(seen.append)
        wait_until(sampler, 5)
    times = [sample.t for sample in seen]
    assert times == sorted(times)
    assert all(sample.gpus[0].temperature_c == 61 for sample in seen)
    assert "llmbench-telemetry" not in [thread.name for thread in threading.enumerate()]


def test_host_values(nvml: FakeNvml) -> None:
    assert not nvml.told
    host = HostReader()
    host.look_around()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        time.sleep(0.06)
        host.look_around()
        seen = host.read()
        assert child.stdin is not None
        child.stdin.write(b"\n")
    assert seen.children_rss_bytes is not None
    assert seen.children_rss_bytes > 100_000
    assert seen.cpu_share is not None
    assert seen.rss_bytes is not None


def test_the_engines_state_stands_in_each_sample(nvml: FakeNvml) -> None:
    assert not nvml.told
    sampler = Sampler()
    assert sampler.sample().engine is None
    sampler.watch_engine(lambda: EngineState(running=3, kv_cache_use=0.5))
    assert sampler.sample().engine == EngineState(running=3, kv_cache_use=0.5)
    sampler.watch_engine(None)
    assert sampler.sample().engine is None


def test_an_engine_that_cannot_be_asked_leaves_nulls_and_the_run_continues(
    nvml: FakeNvml, caplog: pytest.LogCaptureFixture
) -> None:
    nvml.add()
    answers: list[EngineState | Exception] = [ValueError("dead"), ValueError("dead"), EngineState(running=2)]

    def read() -> EngineState:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    sampler = Sampler()
    sampler.watch_engine(read)
    states = [sampler.sample() for _ in range(3)]
    assert [s.engine for s in states] == [EngineState(), EngineState(), EngineState(running=2)]
    assert all(s.gpus[0].memory_bytes == 10 * GIB for s in states)
    assert caplog.text.count("The engine's state cannot be read") == 1


def test_what_costs_more_than_its_share_is_done_less_often() -> None:
    pace = Pace(0.1, 0.01)
    assert pace.wait_s(5.0) == 0
    pace.done(5.0, 0.0001)
    assert pace.wait_s(5.04) == pytest.approx(0.06)
    assert pace.wait_s(6.0) == 0
    pace.done(6.0, 0.02)  # 20 ms at a hundredth of a core: every two seconds
    assert pace.wait_s(6.5) == pytest.approx(1.5)


def test_a_pace_spreads_what_one_time_costs_over_the_next() -> None:
    pace = Pace(0.1, 0.01, over=50)
    now, costs = 0.0, ([0.0005] * 39 + [0.01]) * 20  # one in forty costs ten times what its turn allows
    waits = []
    for cost in costs:
        pace.done(now, cost)
        waits.append(pace.wait_s(now))
        now += waits[-1]
    assert max(waits) < 0.2
    assert sum(costs) / now <= 0.01


def test_a_slow_driver_is_asked_less_often(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.add()
    spent = iter(range(1000))  # each look at the CPU clock finds another second gone
    monkeypatch.setattr(time, "thread_time", lambda: float(next(spent)))
    with Sampler(period_s=0.001) as slow:
        wait_until(slow, 1)
        time.sleep(0.05)
        assert slow.totals().samples == 1


# The trace


def test_trace_file_holds_every_sample_with_null_for_what_is_unknown(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.add(Temperature=NVMLError("Not Supported"))
    path = tmp_path / "trace.jsonl"
    sampler, seen = Sampler(period_s=0.001), list[TelemetrySample]()
    sampler.listen(seen.append)
    sampler.write(path)
    with sampler:
        wait_until(sampler, 5)
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert len(rows) == len(seen)
    assert [row["t"] for row in rows] == sorted(row["t"] for row in rows)
    assert rows[0]["gpus"][0] == {
        "memory_bytes": 10 * GIB,
        "utilization": 0.5,
        "power_w": 300.5,
        "energy_j": 0.0,
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "throttle": ["sw_power_cap", "sw_thermal_slowdown"],
        "temperature_c": None,
    }
    assert rows[0]["engine"] is None
    assert rows[0]["rss_bytes"] > 1 << 20
    assert read_trace(path) == seen


def test_a_killed_run_keeps_its_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    code = (
        "import os, sys, time; from pathlib import Path; from llmbench.telemetry import Sampler, sampler\n"
        "sampler.AROUND_S = 0.05; s = Sampler(); s.write(Path(sys.argv[1])); s.__enter__()\n"
        "while not Path(sys.argv[1]).stat().st_size: time.sleep(0.01)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False, timeout=30).returncode == -9
    assert read_trace(path)


def test_a_trace_is_continued_after_a_torn_line(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.add()
    path = tmp_path / "trace.jsonl"
    for _ in range(2):
        sampler = Sampler()
        sampler.watch_engine(lambda: EngineState(running=1))
        sampler.write(path)
        sampler.sample()
        path.write_bytes(
            path.read_bytes()[:-1] if len(read_trace(path)) == 2 else path.read_bytes() + b'{"t":'
        )
    assert len(path.read_bytes().splitlines()) == 3
    assert [sample.engine for sample in read_trace(path)] == [EngineState(running=1)] * 2


def test_a_trace_that_cannot_be_written(
    nvml: FakeNvml, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not nvml.told
    sampler, path = Sampler(), tmp_path / "missing" / "trace.jsonl"
    sampler.write(path)
    with caplog.at_level(logging.WARNING):
        with sampler:
            wait_until(sampler, 2)
        assert sampler.sample().t > 0
    assert caplog.text.count("cannot be written") == 1
    with pytest.raises(RunError, match="cannot be read"):
        read_trace(path)


def test_of_a_long_trace_some_samples_are_read_at_even_distances(nvml: FakeNvml, tmp_path: Path) -> None:
    assert not nvml.told
    path, sampler = tmp_path / "trace.jsonl", Sampler()
    sampler.write(path)
    with sampler:
        for _ in range(200):
            sampler.sample()
    times = [sample.t for sample in read_trace(path, keep=1000)]
    assert len(times) == len(path.read_bytes().splitlines()) >= 200
    few = [sample.t for sample in read_trace(path, keep=20)]
    assert 10 <= len(few) <= 20
    assert few in [times[:: 1 << doubled] for doubled in range(8)]


def test_totals() -> None:
    aggregate = Aggregate()
    assert aggregate.totals().gpu_bytes.mean is None
    for t, memory, power, energy, throttle in (
        (1.0, 10, 100.0, 5.0, ("gpu_idle",)),
        (2.0, None, 200.0, 105.0, ("sw_power_cap",)),
        (4.0, 30, 300.0, 405.0, ("sw_power_cap", "hw_slowdown")),
        (0.5, 20, 400.0, 505.0, ()),  # the clock began anew
    ):
        gpu = GpuSample(memory, 0.5, power, energy, throttle=throttle)
        aggregate.add(TelemetrySample(t, rss_bytes=100, gpus=(gpu, replace(gpu, throttle=None))))
    totals = aggregate.totals()
    assert (totals.samples, totals.duration_s) == (4, 3.0)
    assert (totals.gpu_bytes.mean, totals.gpu_bytes.peak) == (40, 60)
    assert (totals.power_w.mean, totals.power_w.peak) == (500, 800)
    assert totals.energy_j == 1000
    assert totals.throttled == {"sw_power_cap": 0.5, "hw_slowdown": 0.25}


# MemoryTracker


def test_memory_tracker_as_the_guide_shows_it(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = nvml.add()
    monkeypatch.chdir(tmp_path)
    tracker = MemoryTracker(log_dir="logs", log_file="memory.log")
    tracker.start_tracking()
    told |= {"MemoryInfo": SimpleNamespace(used=20 * GIB), "TotalEnergyConsumption": 7_003_600_000}
    tracker.stop_tracking()
    tracker.print_summary()
    printed = capsys.readouterr().out
    lines = Path("logs/memory.log").read_text(encoding="utf-8").splitlines()
    assert "GPU0 is H100 with 80.0 GiB" in lines[0]
    readings = [line for line in lines if not line.startswith("#")]
    assert "GPU0 10.00 GiB  50%  300 W" in readings[0]
    assert "GPU0 20.00 GiB" in readings[-1]
    assert all(re.search(r" s  .*RSS \d+\.\d", line) for line in readings)
    assert "peak 20.0 GiB" in printed
    assert "peak 50%, mean 50%" in printed
    assert "6,996,600 J (1,943.50 Wh)" in printed
    assert "sw_power_cap 100% of the time" in printed
    for line in printed.splitlines():
        assert f"# {line}" in lines


def test_memory_tracker_without_a_gpu_says_so(
    nvml: FakeNvml, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not nvml.told
    tracker = MemoryTracker(tmp_path)
    tracker.start_tracking()
    tracker.stop_tracking()
    tracker.print_summary()
    assert "none watched" in capsys.readouterr().out
    assert "no GPU is watched" in tracker.path.read_text(encoding="utf-8")


def test_memory_tracker_says_what_a_gpu_does_not_tell(
    nvml: FakeNvml, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = NVMLError("Not Supported")
    nvml.add(UtilizationRates=unknown, PowerUsage=unknown, TotalEnergyConsumption=unknown)
    with MemoryTracker(tmp_path) as tracker:
        pass
    tracker.print_summary()
    assert capsys.readouterr().out.count("not told by the driver") == 3
    assert "GPU0 10.00 GiB    ?    ? W" in tracker.path.read_text(encoding="utf-8")


def test_memory_tracker_starts_again_and_forgives(
    nvml: FakeNvml, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml.add()
    tracker = MemoryTracker(tmp_path / "a" / "b", "m.log")
    tracker.stop_tracking()
    tracker.print_summary()
    assert "start_tracking() was not called" in capsys.readouterr().out
    assert tracker.summary() is None
    for _ in range(2):
        tracker.start_tracking()
        tracker.start_tracking()
        tracker.stop_tracking()
        tracker.stop_tracking()
    text = tracker.path.read_text(encoding="utf-8")
    assert text.count("tracking process") == 2
    assert text.count("Tracked for") == 2
    assert "llmbench-telemetry" not in [thread.name for thread in threading.enumerate()]


def test_memory_tracker_can_be_asked_while_it_tracks(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.add()
    with MemoryTracker(tmp_path) as tracker:
        now = tracker.summary()
        assert now is not None
        assert now.gpu_bytes.peak == 10 * GIB


def test_memory_tracker_uses_a_sampler_that_runs_already(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.add()
    with Sampler() as sampler:
        with MemoryTracker(tmp_path, sampler=sampler) as tracker:
            sampler.sample()
        summary = tracker.summary()
        sampler.sample()
        assert tracker.summary() == summary
    assert summary is not None
    assert summary.samples >= 3


def test_an_unwritable_memory_log_is_one_sentence(nvml: FakeNvml, tmp_path: Path) -> None:
    assert not nvml.told
    (tmp_path / "file").write_text("", encoding="utf-8")
    tracker = MemoryTracker(tmp_path / "file")
    with pytest.raises(RunError, match="cannot be written"):
        tracker.start_tracking()
    tracker.stop_tracking()


def test_a_memory_log_continues_when_it_can_be_written_again(
    nvml: FakeNvml, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not nvml.told
    folder = tmp_path / "logs"
    tracker = MemoryTracker(folder)
    tracker.start_tracking()
    folder.rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            tracker._try_append("lost")
    assert caplog.text.count("lines are left out") == 1
    (tmp_path / "away").rename(folder)
    tracker.stop_tracking()
    text = tracker.path.read_text(encoding="utf-8")
    assert "# Tracked for" in text
    assert "lost" not in text


def test_an_exception_keeps_the_memory_log_and_its_summary(tmp_path: Path) -> None:
    code = (
        "import sys; from llmbench.telemetry import MemoryTracker\n"
        "MemoryTracker(log_dir=sys.argv[1]).start_tracking()\nraise ValueError('on purpose')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False, timeout=30
    )
    assert "on purpose" in done.stderr
    text = (tmp_path / "memory.log").read_text(encoding="utf-8")
    assert "RSS" in text
    assert "# Tracked for" in text


def test_importing_telemetry_is_light() -> None:
    code = "import llmbench.telemetry, sys; print([m for m in ('torch', 'vllm', 'scipy', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_value_that_costs_much_is_asked_less_often(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.add()
    asked, now = list[float](), 100.0

    def used() -> int:
        asked.append(now)
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass
        return len(asked)

    reader = GpuReader(0)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(
        nvml, "nvmlDeviceGetMemoryInfo", lambda _: SimpleNamespace(used=used()), raising=False
    )
    looks = []
    for tenths in range(15):
        now = 100 + tenths / 10
        looks.append(reader.read(fresh=False).memory_bytes)
    assert looks == [1] * 15  # 10 ms at 0.0022 of a core: every two seconds, as no value may be older
    now = 101.6
    assert reader.read(fresh=True).memory_bytes == 2
    now = 101.7
    assert reader.read(fresh=False).memory_bytes == 2
    now = 103.7
    assert reader.read(fresh=False).memory_bytes == 3


def test_a_tracker_stays_with_its_log_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    tracker = MemoryTracker(log_dir="logs")
    tracker.start_tracking()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tracker.stop_tracking()
    assert "Tracked for" in (tmp_path / "logs" / "memory.log").read_text()


def test_a_tracker_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="choose another log_dir or log_file"):
        MemoryTracker(tmp_path, "").start_tracking()
    with pytest.raises(RunError, match="choose another log_dir or log_file"):
        MemoryTracker(tmp_path.parent, tmp_path.name).start_tracking()
