"""`python -m llmbench.serve` with vLLM itself, on the CPU."""

import json
from pathlib import Path

import pytest

from llmbench.engine.endpoint import local_servers
from tests.helpers.commands import llmbench_program, only_run
from tests.helpers.paths import ROOT
from tests.helpers.served import serve

pytestmark = pytest.mark.real_engine


def test_a_served_model_is_evaluated_without_its_address(
    tmp_path: Path, smollm2: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.mkdir()
    (cache_folder / "models").symlink_to(smollm2.parent)
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    settings = [
        "model.max_length=1024",
        "batch_size=8",
        "engine.device=cpu",
        "engine.kv_cache_memory_bytes=134217728",
    ]
    with serve(tmp_path, *settings, path=str(ROOT)) as serving:
        command = serving.command()
        assert command.startswith("python -m llmbench engine=endpoint model=smollm2 "), serving.said()
        asked = ["benchmark=arithmetic", "limit=8", "engine=endpoint", "report=false"]
        done = llmbench_program(*asked, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert serving.end() == 0, serving.said()
    summary = json.loads((only_run(tmp_path) / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["engine"]["server"]["model"] == "smollm2"
    assert summary["benchmarks"]["arithmetic"]["outcomes"].get("error", 0) == 0
    assert local_servers.running() == []
