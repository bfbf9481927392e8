"""What a decode step reads and what vLLM's counters come to."""

from dataclasses import replace
from typing import Any

import pytest

from llmbench.engine.memory import step_weights_bytes
from llmbench.engine.vllm.figures import counted, reads
from llmbench.engine.vllm.internals.engine import Settled
from llmbench.telemetry.engine_report import Speculation

QWEN14B: dict[str, Any] = {
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "hidden_size": 5120,
    "vocab_size": 152_064,
    "tie_word_embeddings": False,
}
"""Qwen2.5-14B-Instruct's."""
TABLE = 152_064 * 5120 * 2
BF16 = Settled(None, "bfloat16", 1000, "bfloat16", QWEN14B)


def test_a_step_reads_the_weights_without_the_table_of_inputs() -> None:
    assert reads(BF16, 29_540_000_000, 1) == {
        "kv_bytes_per_token": 196_608,
        "step_weights_bytes": 29_540_000_000 - TABLE,
    }
    tied = replace(BF16, model=QWEN14B | {"tie_word_embeddings": True})
    assert reads(tied, 29_540_000_000, 1)["step_weights_bytes"] == 29_540_000_000


def test_a_cache_in_8_bits_is_read_in_half_the_bytes() -> None:
    fp8 = replace(BF16, quantization="fp8", kv_cache_dtype="fp8")
    assert reads(fp8, 16_000_000_000, 1) == {
        "kv_bytes_per_token": 98_304,
        "step_weights_bytes": 16_000_000_000 - TABLE,
    }
    assert reads(replace(BF16, kv_cache_dtype="nvfp4"), 16, 1)["kv_bytes_per_token"] is None


def test_of_several_gpus_and_of_a_worker_that_does_not_answer_nothing_is_known() -> None:
    assert reads(BF16, 29_540_000_000, 2)["step_weights_bytes"] is None
    assert reads(BF16, None, 1)["step_weights_bytes"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"num_experts": 128},
        {"num_local_experts": 8},
        {"n_routed_experts": 256},
        {"vision_config": {"depth": 2}},
        {"text_config": QWEN14B},
        {"tie_word_embeddings": None},
        {"vocab_size": None},
    ],
)
def test_weights_that_not_every_step_reads_are_not_guessed_at(change: dict[str, Any]) -> None:
    assert step_weights_bytes(QWEN14B | change, 10**10, "bfloat16") is None


def test_counters_come_to_figures() -> None:
    assert counted({}, {}) == {"preemptions": None, "prefix_cache_hit_rate": None, "speculation": None}
    found = counted(
        {
            "preemptions": 2.0,
            "prefix_cache_hits": 3.0,
            "prefix_cache_queries": 4.0,
            "drafts": 10.0,
            "draft_tokens": 50.0,
            "accepted_tokens": 36.0,
        },
        {"accepted_tokens": 5.0},
    )
    assert found == {
        "preemptions": 2,
        "prefix_cache_hit_rate": 0.75,
        "speculation": Speculation(10, 50, 31, 0.62),
    }
    drafts = {"drafts": 10.0, "draft_tokens": 50.0, "accepted_tokens": 31.0}
    counts = {"steps": 400.0, "drafted_steps": 9.0}
    assert counted(drafts | counts, {})["speculation"] == Speculation(10, 50, 31, 0.62, 400, 9)
