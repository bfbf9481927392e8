"""The real engine: vLLM on the CPU with SmolLM2, in a process of its own as the command line starts it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from llmbench.store import load_run
from llmbench.telemetry import read_trace
from tests.helpers.commands import llmbench, only_run, python

pytest.importorskip("vllm.version", reason="vLLM is not installed")


def test_the_default_run_scores_a_real_model(tmp_path: Path, smollm2: Path) -> None:
    assert smollm2.is_dir()
    done = llmbench(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "INFO" not in done.stdout + done.stderr  # vLLM's own lines are in the log
    run = load_run(only_run(tmp_path))
    assert "vllm" in (run.folder / "llmbench.log").read_text()
    arithmetic = run.summary["benchmarks"]["arithmetic"]
    assert arithmetic["n"] == len(run.results) == 48
    assert 0 < arithmetic["accuracy"] < 1
    low, high = arithmetic["ci95"]
    assert low < arithmetic["accuracy"] < high
    for name in ("latency_s", "queue_s", "ttft_s", "decode_s", "inter_token_s"):
        assert 0 <= arithmetic[name]["p50"] <= arithmetic[name]["p95"] <= arithmetic[name]["p99"]
    assert arithmetic["latency_s"]["mean"] == pytest.approx(
        arithmetic["ttft_s"]["mean"] + arithmetic["decode_s"]["mean"], rel=0.5
    )
    assert all(value > 0 for value in arithmetic["throughput"].values())
    times = run.summary["time_s"]
    assert times["total"] >= times["import"] + times["data"] + times["load"] + times["generate"]
    engine = run.summary["engine"]
    assert (engine["name"], engine["device"], engine["dtype"]) == ("vllm", "cpu", "bfloat16")
    assert engine["attention_backend"] == "CPU_ATTN"
    assert engine["loads"] == 1
    parts = times["load_parts"]
    assert {"config", "device", "weights", "profile", "kv_cache", "warm_up", "other"} <= set(parts)
    spent = sum(seconds for seconds in parts.values() if seconds is not None)
    assert spent == pytest.approx(times["load"], abs=0.5)
    assert parts["quantize"] is None  # nothing was, so nothing is claimed
    assert times["load"] < times["first_token"] < times["total"]
    assert engine["kv_cache_tokens"] > 4096
    assert run.summary["memory"]["peak_rss_bytes"] > 200 << 20


def with_thinking_token(smollm2: Path, folder: Path, word: str = "the") -> Path:
    """The embedded checkpoint, which writes a special token "</think>" in the place of a frequent word."""
    shutil.copytree(smollm2, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for weights in smollm2.glob("*.safetensors"):
        (folder / weights.name).symlink_to(weights)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    piece = f"Ġ{word}"
    number = vocabulary["</think>"] = vocabulary.pop(piece)
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    content["model"]["merges"] = [pair for pair in pairs if piece not in (*pair, "".join(pair))]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    content["added_tokens"].append({"id": number, "content": "</think>", "special": True, **flags})
    path.write_text(json.dumps(content))
    return folder


def test_special_tokens_that_end_thinking_are_in_the_texts(tmp_path: Path, smollm2: Path) -> None:
    model = with_thinking_token(smollm2, tmp_path / "model")
    done = llmbench(f"model.path={model}", "limit=2", "early_stopping=off", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    texts = [result.text for result in load_run(only_run(tmp_path)).results]
    assert any("</think>" in text for text in texts)
    assert not any("<|im_end|>" in text for text in texts)


def test_a_programs_own_output_is_all_that_it_prints(tmp_path: Path, smollm2: Path) -> None:
    assert smollm2.is_dir()
    script = (
        "from pathlib import Path\nfrom llmbench import pipeline\nfrom llmbench.cli import compose\n"
        "few = ['limit=2', 'benchmarks.arithmetic.max_tokens=8']\n"
        "print(pipeline.run(compose(few), Path('run')).benchmarks['arithmetic'].n)\n"
    )
    done = python("-c", script, folder=tmp_path)
    assert done.stdout == "2\n", done.stderr
    assert "INFO" not in done.stderr


def test_several_benchmarks_share_one_engine(tmp_path: Path, shared_data: Path) -> None:
    done = llmbench(
        "benchmark=[arithmetic,aime,math,gsm8k,gpqa]",
        f"benchmarks.aime.data_files={shared_data / 'aime24.jsonl'}",
        f"benchmarks.math.data_files={shared_data / 'math500.jsonl'}",
        f"benchmarks.gsm8k.data_files={shared_data / 'gsm8k_test_sample.jsonl'}",
        f"benchmarks.gpqa.data_files={Path(__file__).parent / 'data' / 'mcq_sample.jsonl'}",
        "limit=3",
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    run = load_run(only_run(tmp_path))
    assert {name: b["n"] for name, b in run.summary["benchmarks"].items()} == dict.fromkeys(
        ("arithmetic", "aime", "math", "gsm8k", "gpqa"), 3
    )
    assert run.summary["engine"]["loads"] == 1
    elicited = [result for result in run.results if result.elicited]
    assert elicited
    assert any(
        result.completions[1].cached_tokens > 0 for result in elicited
    )  # the prefix was not computed twice


def test_four_bit_weights_run_on_the_cpu_too(tmp_path: Path) -> None:
    done = llmbench(
        "model.quantization=bitsandbytes",
        "limit=2",
        "benchmarks.arithmetic.max_tokens=16",
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    summary = load_run(only_run(tmp_path)).summary
    assert summary["engine"]["quantization"] == "bitsandbytes"
    assert summary["benchmarks"]["arithmetic"]["n"] == 2


def test_a_sweep_loads_each_engine_once_and_answers_alike(tmp_path: Path) -> None:
    done = llmbench("-m", "limit=4", "batch_size=1,4,1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "runs" / "multi").iterdir()
    found = json.loads((sweep / "summary.json").read_text())
    assert (found["loads"], found["groups"]) == (1, [[0, 1, 2]])
    engines = [job["summary"]["engine"] for job in found["jobs"]]
    assert [engine["batch_size"] for engine in engines] == [1, 4, 1]
    assert [engine["loads"] for engine in engines] == [1, 0, 0]
    assert [engine["prefix_cache_hit_rate"] for engine in engines] == [0.0, 0.0, 0.0]  # emptied between
    texts = [{r.sample_id: r.text for r in load_run(sweep / str(n)).results} for n in (0, 2)]
    assert texts[0] == texts[1]


def test_the_guides_method_gives_the_same_greedy_answers(tmp_path: Path) -> None:
    """Both engines in float32, where rounding decides no token of a short answer; padded batches against none."""
    settings = (
        "model.dtype=float32",
        "early_stopping=off",
        "benchmarks.arithmetic.max_tokens=12",
        "limit=16",
    )
    done = llmbench("-m", "engine=vllm,transformers", *settings, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "runs" / "multi").iterdir()
    runs = [load_run(sweep / str(n)) for n in (0, 1)]
    assert [run.summary["engine"]["name"] for run in runs] == ["vllm", "transformers"]
    lengths = {r.completions[0].prompt_tokens for r in runs[1].results}
    assert len(lengths) > 1  # so batches are padded
    texts = [{r.sample_id: r.text for r in run.results} for run in runs]
    assert len(texts[0]) == 16
    assert texts[0] == texts[1]


def test_a_larger_batch_loads_the_engine_again_in_this_process(tmp_path: Path) -> None:
    done = llmbench("-m", "hydra/launcher=basic", "limit=6", "batch_size=1,6", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "runs" / "multi").iterdir()
    found = json.loads((sweep / "summary.json").read_text())
    assert found["loads"] == 2
    assert [job["summary"]["engine"]["batch_size"] for job in found["jobs"]] == [1, 6]
    assert "EngineCore pid" not in (sweep / "1" / "llmbench.log").read_text()


def test_the_engine_keeps_its_protocol(tmp_path: Path, smollm2: Path) -> None:
    """One load, many questions: see engine_protocol.py."""
    done = python("-m", "tests.helpers.engine_protocol", str(smollm2), folder=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["passed"] == found["checks"] > 6


def test_running_and_waiting_are_what_vllm_logs(
    tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KV cache with room for a part of the batch, in an engine with a process of its own."""
    assert smollm2.is_dir()
    monkeypatch.setenv("VLLM_LOG_STATS_INTERVAL", "0.1")
    done = llmbench(
        "log_level=INFO",
        "engine.multiprocess=true",
        "batch_size=8",
        "limit=12",
        "early_stopping=off",
        "benchmarks.arithmetic.max_tokens=24",
        "model.max_length=512",
        f"engine.kv_cache_memory_bytes={16 << 20}",  # five blocks of 128 tokens
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    run = load_run(only_run(tmp_path))
    lines = re.findall(r"Running: (\d+) reqs, Waiting: (\d+) reqs", (run.folder / "llmbench.log").read_text())
    logged = {(int(running), int(waiting)) for running, waiting in lines}
    states = [s.engine for s in read_trace(run.folder / "trace.jsonl") if s.engine is not None]
    seen = {(s.running, s.waiting) for s in states if s.running}
    assert any(waiting for _, waiting in logged)
    assert {pair for pair in seen & logged if pair[1]}
    assert max(s.running or 0 for s in states) < 8
    assert max(s.queued or 0 for s in states) > 0
    arithmetic = run.summary["benchmarks"]["arithmetic"]
    assert arithmetic["queue_s"]["p95"] > 0.1 * arithmetic["latency_s"]["p50"]
    assert run.summary["time_s"]["requests"]["queue"] == pytest.approx(12 * arithmetic["queue_s"]["mean"])


def test_a_context_that_does_not_fit_is_made_shorter_where_nobody_needs_it(
    tmp_path: Path, smollm2: Path
) -> None:
    assert smollm2.is_dir()
    few = ("limit=2", "benchmarks.arithmetic.max_tokens=8", f"engine.kv_cache_memory_bytes={64 << 20}")
    done = llmbench(*few, "model.max_length=8192", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load_run(only_run(tmp_path))
    (step,) = run.manifest["recovery"]
    assert (step["cause"], step["setting"], step["before"]) == ("context", "model.max_length", 8192)
    assert step["after"] <= run.summary["engine"]["kv_cache_tokens"] < 8192
    assert step["after"] % 16 == 0
    assert not step["fresh"]


def test_the_response_cache_gives_back_what_the_engine_answered(
    tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"model.path={shutil.copytree(smollm2, tmp_path / 'model')}"
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    runs = {}
    for name in ("first", "one more", "changed"):
        if name == "changed":  # in place, by as many bytes
            config = tmp_path / "model" / "generation_config.json"
            config.write_bytes(config.read_bytes()[:-1] + b" ")
        limit = "limit=5" if name == "one more" else "limit=4"
        options = (limit, "benchmarks.arithmetic.max_tokens=16", "cache=on", f"hydra.run.dir={name}")
        done = llmbench(model, *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        runs[name] = load_run(tmp_path / name)
    first, more, changed = (run.summary["benchmarks"]["arithmetic"] for run in runs.values())
    assert first["cache"]["hits"] == changed["cache"]["hits"] == 0
    assert first["cache"]["completions"] >= 4
    assert more["cache"]["hits"] == first["cache"]["completions"] < more["cache"]["completions"]
    texts = [{r.sample_id: (r.text, r.score) for r in runs[name].results} for name in ("first", "one more")]
    assert texts[0].items() <= texts[1].items()
    assert any(r.elicited for r in runs["one more"].results)
