"""Published scores: which belong to a run, what differs, and what their sources leave open. The values are those of FACTS."""

from dataclasses import fields

import pytest

from llmbench.config.schema import Config, Reference
from llmbench.results.summary import Summary
from llmbench.run import comparability, published_scores
from llmbench.run.published_scores import PublishedComparison
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

DEEPSEEK, OPEN_R1 = "https://github.com/deepseek-ai/DeepSeek-R1", "https://github.com/huggingface/open-r1"
SCORES = {
    "qwen3_14b_thinking": {
        "aime": [79.3], "aime25": [70.4], "math": [96.8], "math_full": [], "gpqa": [64.0], "livecodebench": [63.5],
    },
    "qwen3_14b": {
        "aime": [31.7], "aime25": [23.3], "math": [90.0], "math_full": [], "gpqa": [54.8], "livecodebench": [29.0],
    },
    "r1_qwen14b": {
        "aime": [69.7, 80.0, 65.9, 65.8, 80.0], "aime25": [48.4, 60.0], "math": [93.9, 94.1], "math_full": [],
        "gpqa": [59.1, 61.5], "livecodebench": [53.1, 51.3],
    },
    "qwen14b": {
        "aime": [15.8, 20.0], "aime25": [12.5, 20.0], "math": [80.0, 75.6], "math_full": [80.0, 75.6], "gpqa": [45.5, 42.9],
        "livecodebench": [42.6], "gsm8k": [94.8], "humaneval": [83.5, 72.1],
    },
}  # fmt: skip


def compared(config: Config, *reasons: str) -> list[PublishedComparison]:
    found = Summary(
        "finished",
        config.model.name,
        config.profile.name,
        comparable=not reasons,
        not_comparable=list(reasons),
    )
    return list(published_scores.comparisons(config, found))


def published(
    model: str, benchmark: str, *overrides: str, reasons: tuple[str, ...] = ()
) -> list[PublishedComparison]:
    return compared(
        compose([f"benchmark={benchmark}", f"model={model}", "profile=published", *overrides]), *reasons
    )


def of(found: list[PublishedComparison], source: str) -> PublishedComparison:
    return next(comparison for comparison in found if comparison.reference.source.startswith(source))


@pytest.mark.parametrize("model", SCORES)
def test_a_model_has_the_scores_of_its_own_mode(model: str) -> None:
    found = published(model, f"[{','.join(SCORES[model])}]")
    scores = {
        name: [round(100 * c.reference.value, 1) for c in found if c.benchmark == name]
        for name in SCORES[model]
    }
    assert scores == SCORES[model]
    for reference in (c.reference for c in found):
        assert reference.weights == "bfloat16"
        assert reference.source.startswith("https://")


def test_only_the_same_model_is_compared() -> None:
    assert published("qwen7b", "aime") == []
    assert published("qwen14b_awq", "aime") == []


def test_the_mode_is_that_of_the_chat_template_and_not_of_the_models_name() -> None:
    thinks = published("qwen3_14b", "aime", "model.chat_template_kwargs.enable_thinking=true")
    assert [c.reference.value for c in thinks] == [0.793]
    assert any(
        "max_tokens" in d
        for d in published("qwen3_14b", "aime", "model.finish_tokens_by_benchmark={aime: 9}")[0].differences
    )


def test_a_run_that_does_all_that_a_source_states_says_what_is_left_open() -> None:
    (found,) = published("qwen3_14b_thinking", "aime", "sampling.repeats=64")
    assert (found.differences, found.unknown) == ((), ("system_prompt", "fewshot"))
    assert not found.comparable
    text = published_scores.sentence(found)
    assert "what the source states agrees; not stated there: system_prompt, fewshot" in text
    (found,) = published("qwen3_14b", "aime", "sampling.repeats=64")
    assert found.differences == ()


def test_nothing_left_open_and_nothing_different_is_comparable() -> None:
    config = compose(["benchmark=aime", "model=qwen14b", "profile=published"])
    whole = Reference(
        model=config.model.hub_id or "", value=0.5, source="https://example.org", answers=1, weights="bfloat16",
        max_tokens=2048, temperature=0, top_p=1, top_k=0, presence_penalty=0, system_prompt=False, fewshot=0, chat=True,
    )  # fmt: skip
    config.benchmarks["aime"].reference = [whole]
    (found,) = compared(config)
    assert found.comparable
    assert published_scores.sentence(found).endswith("the settings agree.")


def test_every_setting_that_differs_is_named() -> None:
    other = published(
        "r1_qwen14b", "aime", "sampling.repeats=8", "sampling.temperature=0", "model.quantization=bitsandbytes",
        "sampling.top_p=0.9", "benchmarks.aime.max_tokens=99", "fewshot=1", "chat=false", "model.system_prompt=true",
        "benchmarks.aime.system_prompt=Think.",
        reasons=("10 of aime's 30 questions", "model.quantization=bitsandbytes", "sampling.temperature=0.0"),
    )[0]  # fmt: skip
    text = published_scores.sentence(other)
    for part in (
        "repeats 8 here, 64 there",
        "temperature 0.0 here, 0.6 there",
        "top_p 0.9 here, 0.95 there",
        "max_tokens 99 here, 32768 there",
        "weights bitsandbytes here, bfloat16 there",
        "system_prompt yes here, no there",
        "fewshot 1 here, 0 there",
        "chat no here, yes there",
        "10 of aime's 30 questions",
        "not stated there: top_k, presence_penalty",
    ):
        assert part in text
    assert text.count("bitsandbytes") == text.count("temperature") == 1  # said once each


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("sampling.top_k=5", "top_k 5 here, 20 there"),
        ("sampling.presence_penalty=0", "presence_penalty 0.0 here, 1.5 there"),
        ("benchmarks.aime.sampling.presence_penalty=1", "presence_penalty 1.0 here, 1.5 there"),
        ("model.dtype=float16", "weights float16 here, bfloat16 there"),
    ],
)
def test_what_qwen3_states_is_compared(typed: str, named: str) -> None:
    (found,) = published("qwen3_14b", "aime", "sampling.repeats=64", typed)
    assert found.differences == (named,)


def test_every_field_of_a_reference_is_shown_or_compared() -> None:
    said = {"model", "mode", "value", "metric", "protocol", "otherwise", "source"}
    config = compose(["benchmark=livecodebench", "model=qwen3_14b"])
    names = {name for name, _, _ in published_scores._settings(config, "livecodebench", Reference())}
    own_names = {"dates": {"start_date", "end_date"}, "repeats": {"answers"}}
    held = set().union(*(own_names.get(name, {name}) for name in names))
    assert held | said == {field.name for field in fields(Reference)}


def test_each_number_of_answers_is_its_sources() -> None:
    for benchmark, chosen in (("math", 4), ("gpqa", 8), ("livecodebench", 16)):
        found = published("r1_qwen14b", benchmark, f"sampling.repeats={chosen}")
        deepseek, open_r1 = of(found, DEEPSEEK), of(found, OPEN_R1)
        assert open_r1.reference.answers == chosen
        assert not any("repeats" in difference for difference in open_r1.differences)
        (words,) = [difference for difference in deepseek.differences if "repeats" in difference]
        assert "64 (README) or between 4 and 64 (paper)" in words


def test_a_source_that_names_no_subset_leaves_it_open() -> None:
    for benchmark in ("gpqa", "math", "math_full"):
        assert all("subset" in found.unknown for found in published("qwen14b", benchmark))
    assert all("subset" not in found.unknown for found in published("r1_qwen14b", "gpqa"))


def test_a_model_as_the_judge_is_a_difference() -> None:
    judged = of(published("qwen14b", "math"), "https://arxiv.org/abs/2412.08905")
    assert "a model judges there whether answers are equal" in judged.differences
    assert "temperature 0.0 here, 0.5 there" in judged.differences


def test_no_system_prompt_is_r1s_protocol() -> None:
    found = of(published("r1_qwen14b", "livecodebench"), DEEPSEEK)
    assert not any("system_prompt" in difference for difference in found.differences)
    assert "system_prompt" not in found.unknown


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("qwen3_14b", "v5_2024_10_to_2025_02"),
        ("qwen3_14b_thinking", "v5_2024_10_to_2025_02"),
        ("r1_qwen14b", "v5_2024_08_to_2025_01"),
        ("qwen14b", "2023_05_to_2024_09"),
    ],
)
def test_the_window_is_part_of_the_protocol(model: str, window: str) -> None:
    option = "benchmarks.livecodebench.options"
    apart = published(model, "livecodebench")[0]
    assert any(
        difference.startswith("dates the first to the last here, 20") for difference in apart.differences
    )
    same = published(model, "livecodebench", f"{option}.window={window}")[0]
    assert not any(difference.startswith(("dates", "subset")) for difference in same.differences)
    later = published(model, "livecodebench", f"{option}.window={window}", f"{option}.start_date=2024-09-02")[
        0
    ]
    assert any("2024-09-02" in difference for difference in later.differences)
    assert "dates" in of(published("r1_qwen14b", "livecodebench"), OPEN_R1).unknown


def test_a_majority_vote_stands_beside_a_majority_vote() -> None:
    found = published("r1_qwen14b", "aime")
    votes = [c.reference for c in found if published_scores.MAJORITY.match(c.reference.metric)]
    assert [(vote.metric, vote.value) for vote in votes] == [("cons@64", 0.8), ("maj@64", 0.8)]


def test_another_text_than_the_protocols_system_prompt_is_a_difference() -> None:
    """Sources say whether there was one, not what it said."""
    assert comparability.other_system_prompt(compose(["benchmark=livecodebench"]), "livecodebench") == []
    other = compose(["benchmark=livecodebench", "system_prompt=Be brief."])
    assert comparability.other_system_prompt(other, "livecodebench") == [
        "benchmarks.livecodebench.system_prompt=Be brief."
    ]
    none = compose(["benchmark=livecodebench", "system_prompt=''"])
    assert comparability.other_system_prompt(none, "livecodebench") == [
        "benchmarks.livecodebench.system_prompt=null"
    ]
    left_out = compose(["benchmark=livecodebench", "system_prompt=Be brief.", "model.system_prompt=false"])
    assert comparability.other_system_prompt(left_out, "livecodebench") == []
