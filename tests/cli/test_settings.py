import dataclasses

import pytest
import yaml

from llmbench.benchmarks.importing import import_benchmark
from llmbench.cli.compose import compose
from llmbench.config.choices import EarlyStopping
from llmbench.config.dump import as_yaml_data
from llmbench.config.paths import config_folder
from llmbench.errors import ConfigError
from tests.helpers.paths import ROOT

GROUPS = {
    group: sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
    for group in ("benchmark", "model", "engine", "profile", "suite")
}
CASES = [(group, name) for group, names in GROUPS.items() if group != "benchmark" for name in names]
SERVER = ("engine.base_url=http://localhost:1/v1", "engine.served_model=org/name")
PLACES = {
    "checkpoint": ("model.hub_id=org/name",),
    "served": ("engine=endpoint", *SERVER),
    "endpoint": SERVER,
    "custom": ("custom.grade=number",),
}
"""What must be typed beside a name."""
EVERY_BENCHMARK = f"benchmark=[{','.join(GROUPS['benchmark'])}]"


@pytest.mark.parametrize(("group", "name"), CASES, ids=lambda value: value)
def test_every_yaml_composes(group: str, name: str) -> None:
    assert compose([f"{group}={name}", *PLACES.get(name, ())]).benchmarks


@pytest.mark.parametrize("profile", GROUPS["profile"])
def test_every_benchmark_has_every_profile_and_its_module_imports(profile: str) -> None:
    config = compose([EVERY_BENCHMARK, f"profile={profile}", *PLACES["custom"]])
    assert sorted(config.benchmarks) == GROUPS["benchmark"]
    for name, benchmark in config.benchmarks.items():
        assert import_benchmark(name, benchmark.module).columns or benchmark.options["question"]
        assert benchmark.max_tokens >= 1


def test_the_guides_optimised_settings_are_the_default() -> None:
    config = compose(["benchmark=[aime,math,gpqa]", "model=qwen14b"])
    asked = {name: (b.num_samples, b.max_tokens, b.stop) for name, b in config.benchmarks.items()}
    assert asked == {
        "aime": (10, 128, ["Answer:", "Therefore", "The answer is"]),
        "math": (15, 128, ["Answer:", "Therefore", "Final answer", "The answer is"]),
        "gpqa": (15, 64, ["Answer:", "The answer is", "Therefore"]),
    }
    model = config.model
    assert model.hub_id == "Qwen/Qwen2.5-14B-Instruct"
    assert (model.quantization, model.dtype, model.max_length) == ("bitsandbytes", "bfloat16", 4096)
    assert (model.gpu_memory_utilization, model.attention_backend) == (0.95, "FLASH_ATTN")
    assert (model.skip_benchmarks, model.debug_samples) == (["swe_bench"], 3)
    assert (config.static_batch_size, config.max_batch_size, config.min_batch_size) == (4, 8, 2)
    assert config.use_dynamic_batching
    assert config.early_stopping is EarlyStopping.answer


def test_the_profile_before_is_the_guides_starting_point() -> None:
    config = compose(["benchmark=[aime,math,gpqa]", "model=qwen14b", "profile=before"])
    assert [b.num_samples for b in config.benchmarks.values()] == [15, 25, 25]
    assert [b.max_tokens for b in config.benchmarks.values()] == [256] * 3
    assert config.early_stopping is EarlyStopping.off
    assert (config.static_batch_size, config.max_batch_size, config.min_batch_size) == (2, 4, 1)
    assert (config.batch_size, config.use_dynamic_batching, config.model.gpu_memory_utilization) == (
        2,
        False,
        0.90,
    )


def test_the_published_profile_lets_models_finish() -> None:
    plain = compose(["benchmark=math", "model=qwen14b", "profile=published"])
    assert (plain.benchmarks["math"].num_samples, plain.benchmarks["math"].max_tokens) == (None, 2048)
    thinking = compose(["benchmark=math", "model=r1_qwen14b", "profile=published"])
    assert thinking.benchmarks["math"].max_tokens == 32768
    assert (thinking.sampling.temperature, thinking.sampling.top_p) == (0.6, 0.95)


def test_a_typed_value_wins_over_the_profile() -> None:
    config = compose(["benchmark=[aime,math]", "profile=published", "benchmarks.aime.num_samples=5"])
    assert [b.num_samples for b in config.benchmarks.values()] == [5, None]


def test_an_axis_of_a_profile_changes_alone() -> None:
    config = compose(["benchmark=aime", "profile.tokens=before"])
    aime = config.benchmarks["aime"]
    assert (aime.num_samples, aime.max_tokens, len(aime.stop)) == (10, 256, 3)


def test_debug_takes_the_models_number_of_samples() -> None:
    config = compose(["benchmark=aime", "profile=debug", "model.debug_samples=2"])
    assert config.benchmarks["aime"].num_samples == 2
    assert config.log_level == "DEBUG"


SUITES = {
    "fastest": ["aime", "math", "gpqa"],
    "standard": ["aime", "math", "gpqa", "livecodebench", "swe_bench"],
    "reasoning": ["aime25", "aime26", "hmmt_feb25", "math", "gpqa"],
    "knowledge": ["mmlu_pro", "supergpqa", "gpqa", "arc_challenge"],
    "code": ["humaneval_plus", "mbpp_plus", "livecodebench"],
    "instruct": ["ifeval"],
}


@pytest.mark.parametrize("name", SUITES)
def test_suites_name_their_benchmarks(name: str) -> None:
    config = compose([f"suite={name}"])
    assert (config.suite, list(config.benchmarks)) == (name, SUITES[name])


def test_every_suite_is_in_the_table_of_them() -> None:
    assert {path.stem for path in (config_folder() / "suite").glob("*.yaml")} == set(SUITES)


def test_engine_arguments_are_passed_through() -> None:
    config = compose(["engine.args={max_num_batched_tokens: 8192, nested: {a: [1, 2]}}"])
    assert config.engine.args == {"max_num_batched_tokens": 8192, "nested": {"a": [1, 2]}}


def test_speculative_decoding_and_other_free_settings_can_be_typed() -> None:
    typed = "engine.speculative={method: ngram, num_speculative_tokens: 5, prompt_lookup_max: 5}"
    assert compose([typed]).engine.speculative["method"] == "ngram"
    assert compose(["model.chat_template_kwargs.enable_thinking=false"]).model.chat_template_kwargs == {
        "enable_thinking": False
    }
    assert (
        compose(["benchmarks.arithmetic.options.per_level=5"]).benchmarks["arithmetic"].options["per_level"]
        == 5
    )


def test_what_is_written_to_config_yaml_is_plain_yaml() -> None:
    config = compose(["benchmark=[aime,gpqa]"])
    text = yaml.safe_dump(as_yaml_data(config))
    assert yaml.safe_load(text)["early_stopping"] == "answer"
    assert dataclasses.asdict(config)["benchmarks"].keys() == yaml.safe_load(text)["benchmarks"].keys()


REFUSED = [
    ("benchmark=aimee", "aime"),
    ("model=qwen15b", "qwen14b"),
    ("modell=qwen14b", "model"),
    ("batchsize=4", "batch_size"),
    ("benchmarks.arithmetic.num_sample=5", "benchmarks.arithmetic.num_samples"),
    ("benchmarks.amie.num_samples=5", "benchmarks.aime"),
    ("benchmarks.aime.num_samples=5", "choose it too"),
    ("model.quantisation=fp8", "model.quantization"),
    ("+modle=qwen14b", "model"),
    ("+model.quantisation=fp8", "model.quantization"),
    ("limit=abc", "abc"),
    ("limit=0", "limit=0"),
    ("batch_size=-1", "batch_size=-1"),
    ("sampling.temperature=-1", "sampling.temperature=-1"),
    ("sampling.top_p=1.5", "sampling.top_p=1.5"),
    ("model.gpu_memory_utilization=95", "0.95"),
    ("model.quantization=4bit", "bitsandbytes"),
    ("model.dtype=bf16", "bfloat16"),
    ("early_stopping=yes", "answer, cut, off"),
    ("engine.device=gpu", "cuda"),
    (
        "profile.samples=publishd",
        "finds no 'publishd' in benchmarks.arithmetic.profiles; did you mean published?",
    ),
    ("min_batch_size=9", "max_batch_size"),
    ("benchmarks.arithmetic.stop=['']", "empty"),
    ("benchmarks.arithmetic.repeats=0", "repeats=0"),
    ("benchmark=[]", "benchmark=aime"),
    ("sampling.temperature=inf", "sampling.temperature=inf"),
    ("sampling.presence_penalty=2.5", "from -2 to 2"),
    ("benchmarks.arithmetic.sampling.frequency_penalty=-3", "from -2 to 2"),
    (
        "profile.sampling=owns",
        "profile.sampling=owns: sampling.temperature finds no 'owns' in model.sampling; did you mean own?",
    ),
    (
        "benchmarks.arithmetic.likelihood_heading='About {subjct}.'",
        "nothing fills in {subjct}; did you mean {subject}, the question's subject?",
    ),
]


@pytest.mark.parametrize(("override", "hint"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_cannot_be_is_refused_with_a_hint(override: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override])
    message = str(caught.value)
    assert hint in message
    assert "\n" not in message
    assert message.endswith((".", "?"))


def test_the_configuration_lies_beside_the_package_or_in_it() -> None:
    assert (config_folder() / "config.yaml").is_file()
    assert config_folder().parent in (ROOT, ROOT / "llmbench")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ([], (0, 0)),
        (["profile=published"], (5, 0)),
        (["profile=published", "fewshot=0"], (0, 0)),
        (["profile=published", "fewshot=2"], (2, 2)),
        (["fewshot=2", "benchmarks.mmlu.fewshot=0"], (0, 2)),
    ],
)
def test_worked_examples_are_the_protocols_unless_a_number_is_typed(
    typed: list[str], shown: tuple[int, int]
) -> None:
    config = compose(["benchmark=[mmlu,gsm8k]", *typed])
    assert (config.benchmarks["mmlu"].fewshot, config.benchmarks["gsm8k"].fewshot) == shown
