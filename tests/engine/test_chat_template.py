"""Tokenizers and chat templates as checkpoints have them: the embedded one with its files changed."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import WordTokenizer
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.errors import ModelError
from llmbench.records import Completion, FinishReason, Message, Sample
from llmbench.run import elicitation
from llmbench.run.prompts import Asked
from tests.helpers.settings import compose

DAY = "2025-03-01"
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + PLAIN
)
IGNORES_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
DATED = "Today is {{ strftime_now('%d %B %Y') }}. " + PLAIN
TURNS = (Message("system", "Be brief."), Message("user", "2 + 2?"))

Changed = Callable[..., HubTokenizer]


@pytest.fixture
def changed(smollm2: Path, tmp_path: Path) -> Changed:
    """Reads the embedded tokenizer with other files beside it."""

    def read(
        settings: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        *,
        special: tuple[str, ...] = (),
    ) -> HubTokenizer:
        folder = tmp_path / "model"
        shutil.copytree(smollm2, folder, ignore=shutil.ignore_patterns("*.safetensors", "chat_template*"))
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text()) | dict(settings or {})
        path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
        if special:
            path = folder / "tokenizer.json"
            content = json.loads(path.read_text())
            number = max(token["id"] for token in content["added_tokens"]) + 60_000
            content["added_tokens"] += [
                {
                    "id": number + place, "content": token, "special": True, "single_word": False, "lstrip": False,
                    "rstrip": False, "normalized": False,
                }
                for place, token in enumerate(special)
            ]  # fmt: skip
            path.write_text(json.dumps(content))
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        return HubTokenizer(
            Checkpoint(str(folder), None, local=True, folder=str(folder)), trust_remote_code=False
        )

    return read


@pytest.mark.parametrize(
    ("opening", "ending"),
    [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>")],
)
def test_tags_of_thinking_stay_in_texts_though_they_are_special(
    changed: Changed, opening: str, ending: str
) -> None:
    tokenizer = changed(special=(opening, ending))
    ids = tokenizer.encode(f"{opening}Perhaps 7.{ending}It is 9.<|im_end|>", special=False)
    assert tokenizer.marks_thinking
    assert tokenizer.decode(ids) == f"{opening}Perhaps 7.{ending}It is 9."
    assert tokenizer.visible(f"{opening}a{ending}b<|im_end|>") == f"{opening}a{ending}b"


def test_special_tokens_are_left_out_where_none_marks_thinking(changed: Changed) -> None:
    tokenizer = changed()
    assert not tokenizer.marks_thinking
    assert tokenizer.decode(tokenizer.encode("It is 9.<|im_end|>", special=False)) == "It is 9."


def test_a_plain_prompt_ends_where_its_text_ends(changed: Changed) -> None:
    tokenizer = changed()
    plain = tokenizer.encode("Question: 2 + 2?\nAnswer:", special=False)
    begin, end = tokenizer.hub.bos_token_id, tokenizer.hub.eos_token_id
    original = tokenizer.hub

    class AddsBoth:
        def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
            ids = original(text, add_special_tokens=False)["input_ids"]
            return {"input_ids": [begin, *ids, end] if add_special_tokens else ids}

    tokenizer.hub = AddsBoth()  # as tokenizers with add_eos_token do
    assert tokenizer.encode("Question: 2 + 2?\nAnswer:", special=True) == (begin, *plain)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"chat_template": PLAIN}, {}),
        ({"chat_template": None}, {"chat_template.json": json.dumps({"chat_template": PLAIN})}),
        ({"chat_template": None}, {"chat_template.jinja": PLAIN}),
        ({"chat_template": [{"name": "rag", "template": PLAIN}]}, {}),
        ({"chat_template": [{"name": "default", "template": PLAIN}, {"name": "tools", "template": "x"}]}, {}),
        ({"chat_template": PLAIN, "tokenizer_class": "PreTrainedTokenizerFast"}, {"tekken.json": "{}"}),
    ],
)
def test_a_template_is_found_wherever_a_checkpoint_keeps_it(
    changed: Changed, settings: dict[str, Any], files: dict[str, str]
) -> None:
    text = changed(settings, files).chat(TURNS, {})
    assert text == "<system>Be brief.<user>2 + 2?<assistant>"


def test_of_several_templates_without_default_one_must_be_chosen(changed: Changed) -> None:
    named = [{"name": "rag", "template": PLAIN}, {"name": "tools", "template": "tools:" + PLAIN}]
    tokenizer = changed({"chat_template": named})
    with pytest.raises(ModelError, match=r"\(rag, tools\).*model\.chat_template_kwargs\.chat_template=rag"):
        tokenizer.chat(TURNS, {})
    assert tokenizer.chat(TURNS, {"chat_template": "tools"}).startswith("tools:")


def test_a_model_without_template_says_what_to_use(changed: Changed) -> None:
    with pytest.raises(ModelError, match="chat=false"):
        changed({"chat_template": None}).chat(TURNS, {})


@pytest.mark.parametrize("template", [NO_SYSTEM, IGNORES_SYSTEM])
def test_a_system_prompt_moves_to_the_question_where_the_template_takes_none(
    changed: Changed, template: str
) -> None:
    tokenizer = changed({"chat_template": template})
    assert "<user>Be brief.\n\n2 + 2?" in tokenizer.chat(TURNS, {})
    assert "takes no system prompt" in tokenizer.remarks({})[0]


IN_PARTS = "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}<assistant>"


def test_a_template_that_reads_lists_of_parts_gets_them(changed: Changed) -> None:
    read = changed({"chat_template": IN_PARTS})
    assert read.chat(TURNS, {}) == "<system>Be brief.<user>2 + 2?<assistant>"
    assert read.remarks({}) == []


@pytest.mark.parametrize(
    "template",
    [
        "<user>hello<assistant>",
        PLAIN.replace("m.content", "m.content | reverse"),
        NO_SYSTEM.replace("{{ m.content }}", ""),
    ],
)
def test_a_template_without_the_question_is_refused(changed: Changed, template: str) -> None:
    with pytest.raises(ModelError, match="leaves out the question, or changes it"):
        changed({"chat_template": template}).chat(TURNS, {})


@pytest.mark.parametrize("content", ["7", '[{"name": "default"}]', '["a"]'])
def test_a_file_without_a_template_that_can_be_read_is_named(changed: Changed, content: str) -> None:
    with pytest.raises(ModelError, match="holds no chat template that can be read"):
        changed({"chat_template": None}, {"chat_template.json": f'{{"chat_template": {content}}}'})


def test_what_a_template_refuses_is_said_in_one_sentence(changed: Changed) -> None:
    tokenizer = changed({"chat_template": "{{ raise_exception('nothing suits me ' * 100) }}"})
    with pytest.raises(ModelError, match="refuses the prompt: nothing suits me") as refused:
        tokenizer.chat(TURNS, {})
    assert len(str(refused.value)) < 500


def test_a_template_writes_the_runs_date_and_the_run_says_so(changed: Changed) -> None:
    tokenizer = changed({"chat_template": DATED})
    assert tokenizer.chat(TURNS, {}, DAY).startswith("Today is 01 March 2025. ")
    assert DAY in tokenizer.remarks({})[0]


def test_options_that_a_template_does_not_read_are_named(changed: Changed) -> None:
    tokenizer = changed({"chat_template": PLAIN + "{{ '/think' if enable_thinking }}"})
    options = {"enable_thinking": True, "enable_thought": True}
    tokenizer.chat(TURNS, options)
    assert tokenizer.remarks(options) == [
        "model.chat_template_kwargs.enable_thought changes nothing: the model's chat template does not read it."
    ]


@pytest.mark.parametrize(
    ("prompt", "written", "put_in_the_mouth"),
    [
        ("<assistant>\n<think>\n", "Perhaps 7", "\n</think>\nAnswer:"),
        ("<assistant>[THINK]", "Perhaps 7", "\n[/THINK]\nAnswer:"),
        ("<assistant><|START_THINKING|>", "Perhaps 7", "\n<|END_THINKING|>\nAnswer:"),
        ("<assistant>", "[THINK]Perhaps 7", "\n[/THINK]\nAnswer:"),
        ("<assistant>", "[THINK]Perhaps 7[/THINK]So", "Answer:"),
    ],
)
def test_an_open_thought_is_ended_before_the_answer_is_asked_for(
    prompt: str, written: str, put_in_the_mouth: str
) -> None:
    config = compose(["benchmark=aime"]).benchmarks["aime"]
    config.cue = "Answer:"
    asked = Asked("aime", Sample("1", {}, "9"), prompt, ())
    completion = Completion("aime/1/0", written, (), 3, 3, 0, FinishReason.LENGTH)
    text = elicitation.written(asked, [completion], [], WordTokenizer())
    assert elicitation.cue(text, completion, config) == put_in_the_mouth
