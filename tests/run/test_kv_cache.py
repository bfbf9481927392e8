import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmbench.engine.checkpoint import Checkpoint
from llmbench.run.kv_cache import kv_cache_notices, saved_share
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.replicas import request
from tests.helpers.settings import compose

WEIGHTS, PER_TOKEN = 15_000_000_000, 196_608
QWEN14B = {
    "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "hidden_size": 5120, "vocab_size": 152_064,
    "tie_word_embeddings": False,
}  # fmt: skip


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, *typed: str, limit: int, gpu: str = "NVIDIA H100 80GB HBM3") -> list[str]:  # fmt: skip
    (folder / "config.json").write_text(json.dumps(QWEN14B))
    monkeypatch.setattr(hardware, "gpus", lambda: (Gpu(0, gpu, 80 << 30, "580"),))
    config = compose(["model=qwen14b", "benchmark=gsm8k", "model.quantization=fp8", *typed])
    made = [request(number, max_tokens=limit) for number in range(128)]
    requests = [replace(each, benchmark="gsm8k", prompt_ids=(0,) * 200) for each in made]
    checkpoint = Checkpoint(str(folder), None, local=True, folder=str(folder))
    found = kv_cache_notices(config, requests, 128, checkpoint)
    return [sentence for sentence in found if "fp8" in sentence]


def test_half_of_what_the_cache_makes_of_a_step_is_saved_in_part() -> None:
    assert saved_share(WEIGHTS, PER_TOKEN, 128, 200, 8192) == pytest.approx(0.094, abs=0.001)
    assert saved_share(WEIGHTS, PER_TOKEN, 128, 200, 10**9) == pytest.approx(0.2, abs=0.001)
    assert saved_share(WEIGHTS, PER_TOKEN, 1, 200, 128) < 0.001


def test_long_outputs_are_told_of_the_smaller_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = said(tmp_path, monkeypatch, limit=8192)
    assert sentence.startswith("model.kv_cache_dtype=fp8 would save about 9% of a step here; ")
    assert "compare a pair of runs first (docs/how-to/speed.md" in sentence


def test_the_answer_behind_a_thinking_budget_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ("benchmarks.gsm8k.max_tokens=32768", "sampling.answer_tokens=8192")
    assert said(tmp_path, monkeypatch, *typed, limit=1000) == []
    assert said(tmp_path, monkeypatch, *typed, "sampling.thinking_budget=1000", limit=1000) != []


@pytest.mark.parametrize(
    ("typed", "more"),
    [
        ([], {"limit": 1000}),
        (["model.kv_cache_dtype=fp8"], {}),
        (["engine.args={kv_cache_dtype: fp8_e5m2}"], {}),
        (["engine.device=cpu"], {}),
        (["engine=transformers", "model.quantization=null"], {}),
        ([], {"gpu": "NVIDIA A100-SXM4-80GB"}),
    ],
)
def test_nothing_is_said_where_it_gains_little_or_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], more: dict[str, Any]
) -> None:
    assert said(tmp_path, monkeypatch, *typed, **{"limit": 8192} | more) == []
