"""`engine.vllm.internals.serve` and the flags that it is given, against the installed vLLM."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from llmbench import load_run
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.endpoint import local_servers
from llmbench.engine.vllm.internals import serve as internals
from llmbench.engine.vllm.serve_command import ServeCommand, serve_command
from tests.helpers.commands import llmbench_program, only_run
from tests.helpers.installed import needs
from tests.helpers.paths import ROOT
from tests.helpers.served import serve
from tests.helpers.settings import compose

pytestmark = [
    needs("vllm"),
    pytest.mark.real_engine,
    pytest.mark.filterwarnings("ignore"),  # its imports warn
]


def parsed(made: ServeCommand, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - argparse's
    """What vLLM's command would get."""
    found: list[Any] = []
    kind = importlib.import_module("vllm.entrypoints.cli.serve").ServeSubcommand
    monkeypatch.setattr(kind, "cmd", staticmethod(found.append))
    internals.serve(made.arguments)
    return found[0]


def test_each_flag_is_one_of_vllms(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own parser, which also says what became of each value."""
    given = compose(
        [
            "model=qwen3_14b", "engine.device=cuda", "engine.startup=graphs", "engine.speculative={method: ngram, num_speculative_tokens: 2}",
            "engine.kv_cache_memory_bytes=123", "engine.args={hf_overrides: {a: 1.5}, async_scheduling: false, disable_log_stats: false}",
        ]
    )  # fmt: skip
    made = serve_command(given, Checkpoint(str(smollm2), "abc", local=True), "::1", 8123)
    taken = parsed(made, monkeypatch)
    known = {
        "model_tag": str(smollm2), "revision": "abc", "quantization": "bitsandbytes", "enforce_eager": False, "trust_remote_code": False,
        "hf_overrides": {"a": 1.5}, "async_scheduling": False, "disable_log_stats": False, "host": "::1", "port": 8123,
        "served_model_name": ["Qwen/Qwen3-14B"], "default_chat_template_kwargs": {"enable_thinking": False}, "generation_config": "vllm",
        "speculative_config": {"method": "ngram", "num_speculative_tokens": 2}, "kv_cache_memory_bytes": 123, "stream_interval": 16,
        "enable_prompt_tokens_details": True, "disable_uvicorn_access_log": True, "max_num_seqs": 256, "max_model_len": 40960,
    }  # fmt: skip
    assert {name: getattr(taken, name) for name in known} == known
    assert (
        taken.compilation_config.cudagraph_capture_sizes[-1] == 258
    )  # 86 requests of 3 tokens, or 256 of one
    taken.model = taken.model_tag
    engine = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs.from_cli_args(taken)
    assert (engine.model, engine.dtype, engine.seed) == (str(smollm2), "bfloat16", 0)


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
        asked = [
            "benchmark=arithmetic",
            "limit=4",
            "engine=endpoint",
            "report=false",
            "benchmarks.arithmetic.max_tokens=16",
        ]
        done = llmbench_program(*asked, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert serving.end() == 0, serving.said()
    run = load_run(only_run(tmp_path))
    assert run.summary["engine"]["server"]["model"] == "smollm2"
    assert len(run.results) == 4
    assert {result.score.outcome for result in run.results} <= {"correct", "wrong", "no_answer", "truncated"}
    assert local_servers.running() == []
