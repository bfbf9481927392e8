from collections.abc import Sequence
from pathlib import Path

import pytest

from llmbench.benchmarks.gsm8k import GSM8K
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import WordTokenizer
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.errors import ConfigError, DataError, ModelError
from llmbench.records import Sample
from llmbench.run import prompts, selection
from llmbench.run.prompts import Asked, PromptWriter
from llmbench.run.selection import ExamplePicker
from tests.helpers.settings import compose

SAMPLES = [
    Sample(str(n), {"question": f"What is {n} + {n}?", "answer": f"{n} twice. #### {2 * n}"}, str(2 * n))
    for n in range(20)
]


def drawn(config: Config) -> Sequence[Sample]:
    return selection.choose(config, "gsm8k", SAMPLES, ())[0]


def ask(
    config: Config,
    sample: Sample,
    examples: Sequence[Sample] = (),
    tokenizer: Tokenizer | None = None,
) -> Asked:
    writer = PromptWriter(config, "gsm8k", GSM8K(), tokenizer or WordTokenizer())
    return writer.ask(sample, GSM8K().question(sample), examples)


def text_of(config: Config, sample: Sample, examples: list[Sample]) -> str:
    return ask(config, sample, examples).text


def test_a_reduced_run_takes_the_same_samples_every_time_in_order() -> None:
    config = compose(["benchmark=gsm8k", "benchmarks.gsm8k.num_samples=8"])
    chosen = drawn(config)
    assert len(chosen) == 8
    assert chosen == drawn(config)
    assert [s.id for s in chosen] == sorted((s.id for s in chosen), key=int)
    other = compose(["benchmark=gsm8k", "benchmarks.gsm8k.num_samples=8", "seed=1"])
    assert chosen != drawn(other)


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        (["limit=null"], 15),
        (["limit=4"], 4),
        (["limit=18"], 18),
        (["limit=400"], 20),
        (["limit=18", "profile=published"], 18),
        (["limit=18", "benchmarks.gsm8k.num_samples=3"], 3),
        (["limit=4", "benchmarks.gsm8k.num_samples=16"], 16),
    ],
)
def test_a_typed_limit_wins_over_the_profile_and_a_benchmarks_own_number_over_both(
    typed: list[str], count: int
) -> None:
    assert len(drawn(compose(["benchmark=gsm8k", *typed]))) == count


def test_few_shot_examples_never_show_the_question_itself() -> None:
    for sample in SAMPLES:
        examples = ExamplePicker("gsm8k", GSM8K(), SAMPLES, 19).pick(sample)
        assert sample not in examples
    with pytest.raises(DataError, match="fewshot=20"):
        ExamplePicker("gsm8k", GSM8K(), SAMPLES, 20).pick(SAMPLES[0])


def test_a_chat_holds_system_prompt_examples_and_instruction() -> None:
    config = compose(["benchmark=gsm8k", "benchmarks.gsm8k.system_prompt=Be brief."])
    text = text_of(config, SAMPLES[3], [SAMPLES[1]])
    order = [
        "<system>\nBe brief.",
        "What is 1 + 1?",
        "<assistant>\n1 twice.\nThe final answer is 2",
        "What is 3 + 3?",
    ]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert config.benchmarks["gsm8k"].instruction in text
    assert text.endswith("<assistant>\n")


@pytest.mark.parametrize("chat", ["true", "false"])
def test_a_model_that_takes_no_system_prompt_gets_none(chat: str) -> None:
    settings = ["benchmark=gsm8k", "benchmarks.gsm8k.system_prompt=Be brief.", f"chat={chat}"]
    assert "Be brief." in text_of(compose(settings), SAMPLES[3], [])
    without = compose([*settings, "model.system_prompt=false"])
    assert "Be brief." not in text_of(without, SAMPLES[3], [])
    assert "system" not in text_of(without, SAMPLES[3], [])


def test_penalties_reach_the_requests_and_a_benchmarks_own_win() -> None:
    config = compose([
        "benchmark=gsm8k", "sampling.presence_penalty=1.5", "sampling.frequency_penalty=0.5",
        "benchmarks.gsm8k.sampling.frequency_penalty=-1",
    ])  # fmt: skip
    drawn = prompts.sampling(config, "gsm8k", "3", 0)
    assert (drawn.presence_penalty, drawn.frequency_penalty) == (1.5, -1)


def test_plain_text_ends_where_the_answer_begins() -> None:
    config = compose(["benchmark=gsm8k", "chat=false"])
    text = text_of(config, SAMPLES[3], [SAMPLES[1]])
    assert text.startswith("Question: What is 1 + 1?")
    assert text.endswith("\nAnswer:")
    assert prompts.END_OF_ANSWER in prompts.sampling(config, "gsm8k", "3", 0).stop


def test_every_request_has_a_seed_of_its_own_that_nothing_else_decides() -> None:
    config = compose(["benchmark=gsm8k", "sampling.temperature=0.7", "sampling.repeats=3"])
    asked = [ask(config, s) for s in SAMPLES]
    seeds = {r.id: r.sampling.seed for r in prompts.requests(asked, config)}
    assert len(seeds) == 60
    assert len(set(seeds.values())) == 60
    alone = prompts.requests(asked[5:6], config)
    assert {r.id: r.sampling.seed for r in alone}.items() <= seeds.items()


def test_greedy_requests_carry_no_seed() -> None:
    assert prompts.sampling(compose(["benchmark=gsm8k"]), "gsm8k", "3", 0).seed is None


def test_a_benchmarks_own_sampling_wins() -> None:
    config = compose(["benchmark=gsm8k", "sampling.top_p=0.9", "benchmarks.gsm8k.sampling.temperature=0.3"])
    sampling = prompts.sampling(config, "gsm8k", "3", 0)
    assert (sampling.temperature, sampling.top_p) == (0.3, 0.9)


def test_prompts_that_do_not_fit_are_refused_with_the_setting_that_would() -> None:
    config = compose(["benchmark=gsm8k", "model.max_length=150"])
    asked = [ask(config, SAMPLES[0])]
    with pytest.raises(ModelError, match=r"set model\.max_length=\d+"):
        prompts.check_lengths(prompts.requests(asked, config), config)


def test_the_real_chat_template_is_used(smollm2: Path) -> None:
    tokenizer = HubTokenizer(Checkpoint(str(smollm2), None, local=True), trust_remote_code=False)
    config = compose(["benchmark=gsm8k"])
    asked = ask(config, SAMPLES[1], tokenizer=tokenizer)
    assert asked.text.startswith("<|im_start|>system\n")
    assert asked.text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(asked.ids) != asked.text  # special tokens are one token each, not text
    assert len(asked.ids) < len(asked.text) / 2


def test_the_runs_system_prompt_is_for_benchmarks_without_a_typed_one() -> None:
    chosen = [
        "benchmark=[aime,gsm8k,livecodebench]",
        "system_prompt=Be brief.",
        "benchmarks.gsm8k.system_prompt=Add.",
    ]
    config = compose(chosen)
    found = {name: prompts.system_prompt(config, name) for name in config.benchmarks}
    assert found == {"aime": "Be brief.", "gsm8k": "Add.", "livecodebench": "Be brief."}
    files = compose(["benchmark=[aime,livecodebench]"])
    assert prompts.system_prompt(files, "aime") is None
    assert str(prompts.system_prompt(files, "livecodebench")).startswith(
        "You are an expert Python programmer."
    )


def test_an_empty_system_prompt_is_none() -> None:
    config = compose(["benchmark=livecodebench", "system_prompt=''"])
    assert prompts.system_prompt(config, "livecodebench") is None
    own = compose(["benchmark=[gsm8k,aime]", "system_prompt=Think.", "benchmarks.gsm8k.system_prompt=''"])
    assert [prompts.system_prompt(own, name) for name in own.benchmarks] == [None, "Think."]


def test_a_system_prompt_of_the_run_stands_before_the_question_and_a_model_without_gets_none() -> None:
    chosen = ["benchmark=gsm8k", "system_prompt=Be brief."]
    plain = text_of(compose(["benchmark=gsm8k"]), SAMPLES[0], [])
    assert text_of(compose(chosen), SAMPLES[0], []) == f"<system>\nBe brief.\n{plain}"
    assert text_of(compose([*chosen, "model.system_prompt=false"]), SAMPLES[0], []) == plain


@pytest.mark.parametrize("name", ["system_prompt", "benchmarks.gsm8k.system_prompt"])
def test_false_is_no_system_prompt(name: str) -> None:
    with pytest.raises(ConfigError, match=r"system_prompt=\w+ is refused.*model\.system_prompt=false"):
        compose(["benchmark=gsm8k", f"{name}=false"])


@pytest.mark.parametrize(
    "text", ["First think, then answer.", "It's \\boxed{}: {a: b}", "two\nlines", "what? (yes!)"]
)
def test_a_system_prompt_may_be_any_sentence(text: str) -> None:
    typed = ["benchmark=gsm8k", f"system_prompt={text}"]
    assert prompts.system_prompt(compose(typed), "gsm8k") == text
    of_one = ["benchmark=gsm8k", f"benchmarks.gsm8k.system_prompt={text}"]
    assert prompts.system_prompt(compose(of_one), "gsm8k") == text
