"""What `profile=published` asks for: every model and benchmark against a table, with sources in conf/model/."""

import pytest

from llmbench.benchmarks.livecodebench import LiveCodeBench
from llmbench.config.paths import config_folder
from llmbench.config.schema import BenchmarkConfig, drawing
from llmbench.engine.fake import WordTokenizer
from llmbench.errors import ConfigError
from llmbench.run import prompts
from llmbench.run.comparability import unlike_published_weights, why_not_comparable
from llmbench.run.request_plan import RequestPlan
from tests.helpers.paths import DATA
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

GREEDY = {
    "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}  # fmt: skip
QWEN3 = GREEDY | {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5}
THINKING = GREEDY | {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
R1 = GREEDY | {"temperature": 0.6, "top_p": 0.95}
LONGER = {"aime": 38912, "aime25": 38912}
# model: weights under `documented` and `published`, tokens, tokens of single benchmarks, sampling, system prompts
MODELS = {
    "qwen14b": ("bitsandbytes", None, 2048, {}, GREEDY, True),
    "qwen7b": ("bitsandbytes", None, 2048, {}, GREEDY, True),
    "qwen1_5b": (None, None, 2048, {}, GREEDY, True),
    "qwen14b_awq": ("awq_marlin", "awq_marlin", 2048, {}, GREEDY, True),
    "qwen14b_gptq": ("gptq_marlin", "gptq_marlin", 2048, {}, GREEDY, True),
    "qwen3_14b": ("bitsandbytes", None, 32768, LONGER, QWEN3, True),
    "qwen3_14b_thinking": ("bitsandbytes", None, 32768, LONGER, THINKING, True),
    "r1_qwen14b": ("bitsandbytes", None, 32768, {}, R1, False),
    "smollm2": (None, None, 512, {}, GREEDY, True),
}
BENCHMARKS = sorted({path.stem for path in (config_folder() / "benchmark").glob("*.yaml")} - {"custom"})
OWN_TOKENS = {"arithmetic": 256}
WITH_SYSTEM_PROMPT = {"livecodebench"}
LCB = DATA / "lcb_sample.jsonl"
LONGEST_QUESTION = 1500
"""Tokens that a context must have beside the answer; AIME's and MATH's questions are shorter."""


def test_the_table_has_every_model() -> None:
    assert MODELS.keys() | {"checkpoint", "served"} == {
        path.stem for path in (config_folder() / "model").glob("*.yaml")
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_model_asks_every_benchmark_as_published(model: str) -> None:
    _, weights, tokens, of_one, sampling, takes_system_prompts = MODELS[model]
    chosen = ",".join(BENCHMARKS)
    config = compose([f"benchmark=[{chosen}]", f"model={model}", "profile=published"])
    assert config.model.quantization == weights
    for name, benchmark in config.benchmarks.items():
        limit = OWN_TOKENS.get(name) or of_one.get(name, tokens)
        assert (name, benchmark.max_tokens, benchmark.num_samples, benchmark.stop) == (name, limit, None, [])
        assert drawing(config, name) == sampling
        expected = name in WITH_SYSTEM_PROMPT and takes_system_prompts
        assert (prompts.system_prompt(config, name) is not None) is expected
        assert config.model.max_length >= limit + LONGEST_QUESTION


@pytest.mark.parametrize("profile", ["documented", "before", "debug"])
@pytest.mark.parametrize("model", MODELS)
def test_the_other_profiles_keep_the_guides_weights(model: str, profile: str) -> None:
    assert compose([f"model={model}", f"profile={profile}"]).model.quantization == MODELS[model][0]


@pytest.mark.parametrize("profile", ["documented", "published"])
@pytest.mark.parametrize(
    ("typed", "used"), [("fp8", "fp8"), ("null", None), ("bitsandbytes", "bitsandbytes")]
)
def test_typed_weights_win_over_every_profile(profile: str, typed: str, used: str | None) -> None:
    config = compose(["model=qwen14b", f"profile={profile}", f"model.quantization={typed}"])
    assert config.model.quantization == used


def test_the_weights_of_a_profile_change_alone() -> None:
    config = compose(["model=qwen14b", "profile.weights=published", "benchmark=aime"])
    assert (config.model.quantization, config.benchmarks["aime"].max_tokens) == (None, 128)
    with pytest.raises(ConfigError, match=r"profile\.weights=publishd: .*; did you mean published\?"):
        compose(["model=qwen14b", "profile.weights=publishd"])


@pytest.mark.parametrize(
    ("typed", "checkpoint", "named"),
    [
        ((), {}, []),
        ((), {"torch_dtype": "bfloat16"}, []),
        (("model.dtype=auto",), {"dtype": "float16"}, []),
        (("model.dtype=float16",), {"torch_dtype": "float16"}, []),
        (("model.quantization=bitsandbytes",), {}, ["model.quantization=bitsandbytes"]),
        (("model.quantization=fp8",), {}, ["model.quantization=fp8"]),
        (("model=qwen14b_awq",), {"torch_dtype": "float16"}, ["model.quantization=awq_marlin"]),
        (("model=qwen14b_gptq",), {"torch_dtype": "float16"}, ["model.quantization=gptq_marlin"]),
        ((), {"quantization_config": {"quant_method": "awq"}}, ["a checkpoint quantised with awq"]),
        (("model.dtype=float16",), {"dtype": "bfloat16"}, ["model.dtype=float16 (published in bfloat16)"]),
        (("model.dtype=float16",), {}, ["model.dtype=float16 (published in bfloat16)"]),
        ((), {"torch_dtype": "float32"}, ["model.dtype=bfloat16 (published in float32)"]),
        (("engine.args={quantization: fp8}",), {}, ["engine.args.quantization=fp8"]),
        (("engine.args={dtype: float16}",), {}, ["engine.args.dtype=float16 (published in bfloat16)"]),
        (("engine.args={kv_cache_dtype: fp8}",), {}, ["engine.args.kv_cache_dtype=fp8"]),
        (("engine.args={kv_cache_dtype: auto}",), {}, []),
        (("model.kv_cache_dtype=fp8",), {}, ["model.kv_cache_dtype=fp8"]),
        (("model.kv_cache_dtype=auto",), {}, []),
        (("model.kv_cache_dtype=bfloat16",), {}, []),
        (("model.kv_cache_dtype=fp8", "engine.args={kv_cache_dtype: auto}"), {}, []),
    ],
)
def test_weights_unlike_the_published_ones_are_named(
    typed: tuple[str, ...], checkpoint: dict[str, object], named: list[str]
) -> None:
    config = compose(["model=qwen7b", "profile=published", *typed])
    assert unlike_published_weights(config, checkpoint) == named


# ── windows of LiveCodeBench ──────────────────────────────────────────────────────────────────────────────────────────


def lcb(*typed: str) -> BenchmarkConfig:
    prefix = "benchmarks.livecodebench.options."
    return compose(["benchmark=livecodebench", *(f"{prefix}{one}" for one in typed)]).benchmarks[
        "livecodebench"
    ]


def window(*typed: str) -> tuple[str, str | None, str | None]:
    options = lcb(*typed).options
    return options["release"], options["start_date"], options["end_date"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ((), ("release_v6", None, None)),
        (("window=v5_2024_10_to_2025_02",), ("release_v5", "2024-10-01", "2025-02-28")),
        (("window=v5_2024_08_to_2025_01",), ("release_v5", "2024-08-01", "2025-01-31")),
        (("window=v6_2024_08_to_2025_05",), ("release_v6", "2024-08-01", "2025-05-31")),
        (("window=v6_2025_02_to_2025_05",), ("release_v6", "2025-02-01", "2025-05-31")),
        (("window=2023_05_to_2024_09",), ("release_v6", "2023-05-01", "2024-09-30")),
        (("window=v5_2024_10_to_2025_02", "end_date=2025-01-04"), ("release_v5", "2024-10-01", "2025-01-04")),
        (
            ("start_date=2024-09-01", "window=v5_2024_10_to_2025_02"),
            ("release_v5", "2024-09-01", "2025-02-28"),
        ),
        (("window=v5_2024_10_to_2025_02", "release=release_v6"), ("release_v6", "2024-10-01", "2025-02-28")),
    ],
)
def test_a_window_has_a_name_and_what_is_typed_wins(
    typed: tuple[str, ...], expected: tuple[str, str | None, str | None]
) -> None:
    assert window(*typed) == expected
    LiveCodeBench().hub_files(lcb(*typed).options)  # refuses none of them


def test_an_unknown_window_is_refused_before_data_is_read() -> None:
    with pytest.raises(
        ConfigError, match=r"window=v9 is refused.*v5_2024_10_to_2025_02, v5_2024_08_to_2025_01"
    ):
        LiveCodeBench().hub_files(lcb("window=v9").options)


def test_the_questions_of_a_window_are_all_there_are() -> None:
    config = compose([
        "benchmark=livecodebench", "profile=published", f"benchmarks.livecodebench.data_files={LCB}",
        "benchmarks.livecodebench.options.window=v5_2024_08_to_2025_01",
    ])  # fmt: skip
    questions = RequestPlan.read(config).write(WordTokenizer())
    assert 0 < len(questions.requests) < len(LCB.read_text().splitlines())
    assert why_not_comparable(config, questions, None) == [
        "livecodebench's questions out of a file, which may be others than the published ones"
    ]
