"""The page and the manifest of a run with replicas: a line for each GPU, a row for what each replica did, and hosts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from llmbench.report import time_charts
from llmbench.report.time_charts import MOST_GPUS
from llmbench.report.write import write_one
from llmbench.results.manifest import GpuModel, Host
from llmbench.telemetry import EngineState, GpuSample, TelemetrySample
from llmbench.telemetry.engine_report import EngineReport, ReplicaReport
from tests.helpers.runs import FORTY, make, patched

GIB = 1 << 30
REPLICAS = [
    ReplicaReport("node-a", ["H100"], [80 * GIB], "580", {"vllm": "1"}, 12.0, 30, 900),
    ReplicaReport("node-b", ["H100"], [80 * GIB], "580", {"vllm": "1"}, 13.0, 10, 300, ["It crashed."]),
    ReplicaReport(
        "node-a", ["H100"], [80 * GIB], "580", {"vllm": "1"}, 12.0, 0, 0, ["It died."], "It stays away."
    ),
]


def samples(gpus: int) -> list[TelemetrySample]:
    use = [GpuSample(memory_bytes=GIB, utilization=number / 100, power_w=100.0) for number in range(gpus)]
    return [TelemetrySample(t=t, gpus=tuple(use), engine=EngineState(running=2.0)) for t in (0.0, 1.0)]


def lines(gpus: int) -> dict[str, list[Any]]:
    found = time_charts.timeline(samples(gpus))
    assert found is not None
    return {trace["name"]: trace["y"] for trace in found["data"]}


def test_several_gpus_have_a_line_each_for_their_use() -> None:
    found = lines(3)
    assert [found[f"GPU {number}"] for number in (1, 2, 3)] == [[0.0] * 2, [0.01] * 2, [0.02] * 2]
    assert "GPU" not in found
    assert (found["GPU memory"], found["power"]) == ([3.0] * 2, [300.0] * 2)


@pytest.mark.parametrize("gpus", [1, MOST_GPUS + 1])
def test_one_gpu_or_very_many_have_one_line(gpus: int) -> None:
    found = lines(gpus)
    assert "GPU" in found
    assert "GPU 1" not in found


def test_a_gpu_that_came_later_begins_later() -> None:
    early, late = samples(2)
    found = time_charts.timeline([TelemetrySample(t=0.0, gpus=early.gpus[:1]), late])
    assert found is not None
    assert {trace["name"]: trace["y"] for trace in found["data"]}["GPU 2"] == [None, 0.01]


def test_the_page_says_what_each_replica_did(tmp_path: Path) -> None:
    run = make(tmp_path / "run", lambda _: "1", *FORTY)
    engine = EngineReport("vllm", batch_size=32, loads=4, replicas=REPLICAS)
    patched(run, "summary.json", engine=asdict(engine))
    page = write_one(run, tmp_path / "page.html").read_text()
    assert "3 replicas, batch size 32 each" in page
    assert "node-a, H100: 30 answers, 900 tokens, loaded in 12 s;" in page
    assert "node-b, H100: 10 answers, 300 tokens, loaded in 13 s, started again 1 time;" in page
    assert "started again 1 time, lost" in page
    assert json.loads((run / "summary.json").read_text())["engine"]["replicas"][2]["lost"] == "It stays away."


def test_what_went_wrong_with_replicas_is_a_warning() -> None:
    first, second = EngineReport("vllm", replicas=REPLICAS).warnings()
    assert first.startswith("Replica 2 of 3 on node-b was started again 1 time: It crashed.")
    assert (
        second
        == "Replica 3 of 3 on node-a did not come back: It stays away. The others were asked its requests."
    )


def test_hosts_have_their_replicas_and_gpus() -> None:
    first, second = Host.of(REPLICAS)
    assert (first.name, first.replicas, len(first.gpus)) == ("node-a", 2, 2)
    assert (second.name, second.replicas, second.versions) == ("node-b", 1, {"vllm": "1"})
    assert second.gpus == [GpuModel("H100", 80 * GIB, "580")]
    assert Host.of([]) == []
