"""`engine.api=completions`: token ids of the local tokenizer, as the engines in this process get them."""

import json
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.run.request_plan import RequestPlan
from tests.helpers.endpoints import overrides
from tests.helpers.settings import compose
from tests.helpers.small_models import with_thinking_token
from tests.helpers.stand_in_server import Body, StandIn, serving

pytestmark = pytest.mark.slow
SETTINGS = ("engine.api=completions", "limit=4", "report=false", "hydra.run.dir=run")


def tokenizer(folder: Path) -> HubTokenizer:
    return HubTokenizer(
        Checkpoint(str(folder), None, local=True, folder=str(folder)), trust_remote_code=False
    )


def test_prompts_and_continuations_are_those_of_an_engine_in_this_process(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = tokenizer(smollm2)
    cue = words.encode("\nThe final answer is", special=False)

    def reply(body: Body) -> str:
        return " 17." if tuple(body["prompt"][-len(cue) :]) == cue else "Let me see. Therefore it is so."

    stand_in = StandIn(reply=reply, tokens=lambda word: words.encode(word, special=False))
    with serving(stand_in) as server:
        same = ("model=smollm2", "engine.served_model=org/tiny")
        assert main(overrides(server, *SETTINGS, *same)) == 0
    plan = RequestPlan.read(compose(["benchmark=arithmetic", "limit=4"])).write(words)
    prompts = {request.prompt_ids for request in plan.requests}
    first = [body for body in server.asked if tuple(body["prompt"]) in prompts]
    more = [body for body in server.asked if tuple(body["prompt"]) not in prompts]
    assert {tuple(body["prompt"]) for body in first} == prompts
    said = words.encode("Let me see. Therefore", special=False)
    assert {tuple(body["prompt"]) for body in more} == {(*prompt, *said, *cue) for prompt in prompts}
    run = llmbench.load_run(Path("run"))
    assert {result.text for result in run.results} == {"Let me see. Therefore\nThe final answer is 17."}
    assert json.loads(Path("run/summary.json").read_text())["model"] == "smollm2"
    assert server.asked[0]["max_tokens"] == 64


def test_a_server_that_gives_no_token_ids_is_sent_its_own_text_again(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = tokenizer(smollm2)
    stand_in = StandIn(reply=lambda _: "so it goes on " * 40, vllm=False)
    with serving(stand_in) as server:
        same = ("model=smollm2", "engine.served_model=org/tiny", "benchmarks.arithmetic.max_tokens=4")
        assert main(overrides(server, *SETTINGS, *same)) == 0
    texts = [words.decode(body["prompt"]) for body in server.asked]
    assert sum(text.endswith("so it goes on\nThe final answer is") for text in texts) == 4
    assert not any(
        "The final answer is" in result.prompt for result in llmbench.load_run(Path("run")).results
    )


def test_marks_of_thinking_that_are_special_tokens_stay_in_the_text(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = with_thinking_token(smollm2, tmp_path / "model")
    stand_in = StandIn(reply=lambda _: "<think>Well.</think> It is 4.<|im_end|>")
    with serving(stand_in) as server:
        same = (f"model.path={model}", "engine.served_model=org/tiny", "early_stopping=off")
        assert main(overrides(server, *SETTINGS, *same)) == 0
    assert all(body["skip_special_tokens"] is False for body in server.asked)
    run = llmbench.load_run(Path("run"))
    assert not any("<|im_end|>" in result.text for result in run.results)
    assert all("</think> It is 4." in result.text for result in run.results)


def test_a_think_block_is_closed_at_the_budget_as_in_this_process(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("thinks.jinja").write_text(
        "{{ messages[-1]['content'] }}{% if add_generation_prompt %}\n<think>\n{% endif %}"
    )
    words = tokenizer(smollm2)
    closing = words.encode("\n</think>\n\n", special=False)

    def reply(body: Body) -> str:
        closed = tuple(body["prompt"][-len(closing) :]) == closing
        return "It is 17." if closed else "so it goes on " * 40

    stand_in = StandIn(reply=reply, tokens=lambda word: words.encode(word, special=False))
    with serving(stand_in) as server:
        same = ("model=smollm2", "engine.served_model=org/tiny", "model.chat_template=thinks.jinja")
        budget = ("sampling.thinking_budget=12", "sampling.answer_tokens=20")
        assert main(overrides(server, *SETTINGS, *same, *budget)) == 0
    assert [body["max_tokens"] for body in server.asked].count(12) == 4
    assert [body["max_tokens"] for body in server.asked].count(20) == 4
    for result in llmbench.load_run(Path("run")).results:
        assert result.text.count("</think>") == 1
        assert result.text.endswith("\n</think>\n\nIt is 17.")
        assert result.thinking is not None
        assert (result.thinking.tokens, result.thinking.ended) == (12, True)
