import json
from pathlib import Path
from typing import Any

import pytest

from llmbench.config.schema import SamplingConfig
from llmbench.engine.memory import kv_bytes_per_token, kv_shortage, kv_tokens, weights_on_gpu
from llmbench.run import preflight
from llmbench.system.hardware import Gpu
from tests.helpers.settings import compose

GIB = 1 << 30
H100_BYTES = 81_559 << 20  # as NVML has it for the 80 GB H100
BF16_BYTES = int(27.6 * GIB)
QWEN14B = {
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "hidden_size": 5120,
}
QWEN_SAMPLING = {
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
    "repetition_penalty": 1.05,
    "eos_token_id": [151645, 151643],
}


def differences(folder: Path, own: Any, **sampling: Any) -> list[str]:  # noqa: ANN401
    (folder / "generation_config.json").write_text(own if isinstance(own, str) else json.dumps(own))
    return preflight.sampling_differences(folder, SamplingConfig(**sampling))


def test_greedy_decoding_of_a_model_that_asks_for_sampling(tmp_path: Path) -> None:
    (sentence,) = differences(tmp_path, QWEN_SAMPLING)
    assert sentence == (
        "The model's generation_config.json asks for repetition_penalty 1.05 and temperature 0.7; "
        "this run uses repetition_penalty 1 and greedy decoding."
    )


def test_sampling_is_compared_setting_by_setting(tmp_path: Path) -> None:
    same = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    assert differences(tmp_path, QWEN_SAMPLING, **same) == []
    assert differences(tmp_path, QWEN_SAMPLING, **same | {"top_p": 1.0, "top_k": 0}) == [
        "The model's generation_config.json asks for top_p 0.8 and top_k 20; this run uses top_p 1 and top_k 0."
    ]


def test_penalties_are_compared_too(tmp_path: Path) -> None:
    own = {"temperature": 0.7, "presence_penalty": 1.5, "frequency_penalty": 0.5}
    assert differences(tmp_path, own, temperature=0.7, presence_penalty=1.5, frequency_penalty=0.5) == []
    (sentence,) = differences(tmp_path, own, temperature=0.7)
    assert "presence_penalty 1.5 and frequency_penalty 0.5" in sentence


def test_a_model_that_asks_for_greedy_decoding(tmp_path: Path) -> None:
    own = {"do_sample": False, "temperature": 0.6, "top_p": 0.9}
    assert differences(tmp_path, own) == []
    assert differences(tmp_path, own, temperature=0.6) == [
        "The model's generation_config.json asks for greedy decoding; this run uses temperature 0.6."
    ]


def test_what_the_file_leaves_open_is_not_compared(tmp_path: Path) -> None:
    assert differences(tmp_path, {"eos_token_id": 2}, temperature=0.6, top_p=0.95) == []
    assert differences(tmp_path, {"temperature": 0.6, "top_k": -1}, temperature=0.6) == []


@pytest.mark.parametrize(
    "own", ["", "{", "[]", "null", '{"temperature": "warm", "top_p": true}', '{"top_k": [1]}']
)
def test_malformed_files_say_nothing(tmp_path: Path, own: str) -> None:
    assert differences(tmp_path, own, temperature=0.6) == []


def test_a_missing_file_or_folder_says_nothing(tmp_path: Path) -> None:
    assert preflight.sampling_differences(None, SamplingConfig()) == []
    assert preflight.sampling_differences(tmp_path / "none", SamplingConfig()) == []


def test_stop_strings_in_gold_answers_are_counted_and_the_answers_kept_back() -> None:
    golds = ["x = 3", "the secret", "Therefore x", "Therefore secret"]
    (sentence,) = preflight.stops_in_golds("gpqa", ["Answer:", "Therefore"], golds)
    assert "'Therefore'" in sentence
    assert "2 of 4" in sentence
    assert "benchmarks.gpqa.stop" in sentence
    assert "secret" not in sentence
    assert preflight.stops_in_golds("gpqa", ["Answer:", ""], golds) == []
    assert preflight.stops_in_golds("gpqa", [], golds) == []


def room(*overrides: str, total: int = 24 * GIB, model: str = "qwen14b", size: int = BF16_BYTES) -> list[str]:
    config = compose([f"model={model}", "benchmark=aime", "profile=published", *overrides])
    return preflight.weights_do_not_fit(config, size, total)


def test_weights_that_do_not_fit_are_said_with_what_fits() -> None:
    (sentence,) = room()
    assert "27.6 GiB as bfloat16, more than the 20.3 GiB that this GPU has" in sentence
    assert (
        "model.quantization=bitsandbytes (4-bit, about 9.9 GiB), or spread them over more GPUs with engine.tensor_parallel_size"
        in sentence
    )


@pytest.mark.parametrize(
    "overrides",
    [("model.quantization=bitsandbytes",), ("profile=documented",), ("engine.tensor_parallel_size=2",)],
)
def test_weights_that_fit_are_not_talked_about(overrides: tuple[str, ...]) -> None:
    assert room(*overrides) == []
    assert room(total=H100_BYTES) == []


def test_four_bit_is_not_offered_where_it_does_not_fit_either() -> None:
    (sentence,) = room(total=8 * GIB)
    assert "bitsandbytes" not in sentence
    assert "engine.tensor_parallel_size" in sentence


def test_a_system_prompt_that_is_left_out_is_said() -> None:
    chosen = ["benchmark=[livecodebench,aime]", "model=r1_qwen14b"]
    (sentence,) = preflight.left_out_system_prompts(compose(chosen))
    assert "livecodebench is left out, since r1_qwen14b" in sentence
    assert preflight.left_out_system_prompts(compose([*chosen, "model.system_prompt=true"])) == []
    assert preflight.left_out_system_prompts(compose(["benchmark=aime", "model=r1_qwen14b"])) == []
    (of_both,) = preflight.left_out_system_prompts(compose([*chosen, "system_prompt=Be brief."]))
    assert "The system prompt of livecodebench and aime is left out" in of_both


def slower(
    *overrides: str, total: int = H100_BYTES, batch: int = 32, name: str = "NVIDIA A100-SXM4-80GB"
) -> list[str]:
    config = compose(["model=qwen14b", "benchmark=aime", *overrides])
    return preflight.four_bit_is_slower(config, BF16_BYTES, batch, Gpu(0, name, total, "580"))


def test_four_bit_on_an_80_gb_gpu_is_said_to_be_slower_with_measured_figures() -> None:
    (sentence,) = slower()
    assert "1,145 output tokens/s in 4-bit and 2,135 in bf16" in sentence
    assert "model.quantization=null" in sentence
    assert "fp8" not in sentence
    assert "4,373" in slower(batch=256)[0]
    assert "142 output" in slower(batch=2)[0]


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("NVIDIA H100 80GB HBM3", True),
        ("NVIDIA H200", True),
        ("NVIDIA L40S", True),
        ("NVIDIA GeForce RTX 4090", True),
        ("NVIDIA RTX 6000 Ada Generation", True),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", True),
        ("NVIDIA B200", True),
        ("NVIDIA A100-SXM4-80GB", False),
        ("Quadro RTX 5000", False),
        ("NVIDIA RTX A6000", False),
    ],
)
def test_fp8_is_offered_where_the_gpu_computes_in_it(name: str, *, offered: bool) -> None:
    assert ("model.quantization=fp8 (about 3,112)" in slower(name=name)[0]) is offered


def test_four_bit_is_left_in_peace_where_it_helps() -> None:
    assert slower(batch=1) == []  # 97 tokens/s against 85
    assert slower(total=24 * GIB) == []
    assert slower(total=40 * GIB) == []  # would fit, with little left for the KV cache
    assert slower("model.quantization=null") == []
    assert slower("model.quantization=fp8") == []
    assert slower("engine.tensor_parallel_size=2", total=40 * GIB) != []


def test_a_tokens_share_of_the_kv_cache() -> None:
    assert kv_bytes_per_token(QWEN14B) == 196_608
    assert kv_bytes_per_token(QWEN14B, element_bytes=4) == 2 * 196_608
    assert kv_bytes_per_token(QWEN14B | {"head_dim": 64}) == 98_304
    assert kv_bytes_per_token(QWEN14B | {"head_dim": None}) == 196_608
    assert kv_bytes_per_token(QWEN14B | {"num_key_value_heads": None}) == 5 * 196_608
    assert kv_bytes_per_token({"text_config": QWEN14B}) == 196_608
    assert kv_bytes_per_token(QWEN14B | {"layer_types": ["full_attention"] * 48}) == 196_608


@pytest.mark.parametrize(
    "config",
    [
        {},
        QWEN14B | {"kv_lora_rank": 512},
        QWEN14B | {"layer_types": ["linear_attention", "full_attention"]},
        QWEN14B | {"num_hidden_layers": "48"},
        {"n_layer": 12, "n_head": 12},
    ],
)
def test_a_cache_of_another_kind_is_not_guessed_at(config: dict[str, Any]) -> None:
    assert kv_bytes_per_token(config) is None


def test_the_embedded_model_fits_what_was_measured() -> None:
    """1 GiB holds 46,000 tokens of SmolLM2-135M, as vLLM said."""
    smollm2 = {
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "hidden_size": 576,
    }
    taken = kv_bytes_per_token(smollm2)
    assert taken is not None
    assert pytest.approx(46_000, rel=0.02) == GIB / taken


@pytest.mark.parametrize(
    ("quantization", "weights_gib", "tokens"),
    [("bitsandbytes", 9.9, 343_440), (None, 27.6, 248_512), ("fp8", 15.4, 313_840)],
)
def test_weights_and_kv_cache_are_near_what_an_h100_measured(
    quantization: str | None, weights_gib: float, tokens: int
) -> None:
    weights = weights_on_gpu(BF16_BYTES, quantization)
    assert weights is not None
    assert weights / GIB == pytest.approx(weights_gib, rel=0.01)
    assert kv_tokens(H100_BYTES, 0.95, weights, 196_608) == pytest.approx(tokens, rel=0.01)


def test_what_is_not_known_of_weights_is_not_guessed() -> None:
    assert weights_on_gpu(BF16_BYTES, "mxfp4") is None
    assert kv_tokens(8 * GIB, 0.95, BF16_BYTES, 196_608) == 0


def test_more_gpus_hold_more() -> None:
    one, two = (kv_tokens(H100_BYTES, 0.95, BF16_BYTES, 196_608, gpus) for gpus in (1, 2))
    assert two > 2 * one


def test_the_guides_work_fits() -> None:
    assert kv_shortage([300] * 40, [160] * 40, 40, 343_440) == []


def test_long_answers_do_not_all_fit() -> None:
    (sentence,) = kv_shortage([300] * 500, [32_768] * 500, 256, 248_512)
    assert sentence == (
        "The KV cache will hold about 7 requests of this length (up to 33,068 tokens), fewer than "
        "the 256 that are to run at once: the rest wait, or are interrupted and computed again."
    )


def test_the_longest_requests_are_taken_together() -> None:
    assert kv_shortage([10, 500, 20], [10, 500, 20], 2, 1040) == []
    (sentence,) = kv_shortage([10, 500, 20], [10, 500, 20], 2, 1039)
    assert "about 1 request of this length (up to 1,000 tokens)" in sentence


def test_a_request_that_does_not_fit_at_all_is_said_to() -> None:
    (sentence,) = kv_shortage([300], [32_768], 8, 20_000)
    assert "20,000 tokens" in sentence
    assert "33,068" in sentence


def test_without_an_estimate_nothing_is_said() -> None:
    assert kv_shortage([300], [32_768], 8, None) == []
    assert kv_shortage([], [], 8, 100) == []


NGRAMS = "engine.speculative={method: ngram, num_speculative_tokens: 5}"


def test_drafting_for_many_requests_at_once_is_said_to_cost() -> None:
    always = compose([NGRAMS, "engine.speculative_max_running=null"])
    (sentence,) = preflight.drafts_for_many(always, 128)
    assert "up to 128 requests at once, and that costs at more than 16" in sentence
    assert sentence.endswith("engine.speculative_max_running=16 drafts for the last requests alone.")
    assert preflight.drafts_for_many(always, 16) == []


@pytest.mark.parametrize(
    "typed",
    [
        "engine=vllm",
        NGRAMS,
        "engine.speculative={method: ngram, num_speculative_tokens: 5, num_speculative_tokens_per_batch_size: [[1, 8, 5], [9, 99, 0]]}",
    ],
)
def test_drafting_that_is_off_or_limited_is_not(typed: str) -> None:
    assert preflight.drafts_for_many(compose([typed]), 128) == []


def test_a_method_that_cannot_be_limited_is_named_as_such() -> None:
    unlimited = compose(["engine.speculative={method: ngram_gpu, num_speculative_tokens: 5}"])
    (sentence,) = preflight.drafts_for_many(unlimited, 128)
    assert "engine.speculative_max_running has no effect on method=ngram_gpu" in sentence
