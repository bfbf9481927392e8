"""Thinking that ends after a budget of tokens: with an artificial think block, and what counts how much of an answer was thinking."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.engine.fake import WordTokenizer
from llmbench.engine.fake.tokenizer import ASSISTANT, Thoughts
from llmbench.errors import ConfigError
from llmbench.records import Completion, FinishReason, Request, Result, Sample
from llmbench.report import score_charts
from llmbench.report.sample_data import segments
from llmbench.results.reader import Run, load_run
from llmbench.results.thinking_use import ThinkingUse
from llmbench.run import comparability, elicitation, prompts, resume_checks
from llmbench.run.regrade import regrade_run
from llmbench.system import thinking
from tests.helpers import runs
from tests.helpers.settings import compose

BLOCK = "</think>"
THINKS = 30
"""Words of thinking of each first answer, and `ANSWER` words behind it."""
REPLY = "The answer is 987654321"
ANSWER = 4
ROOM = "benchmarks.arithmetic.max_tokens=120"


def asked(
    folder: Path, *typed: str, opened: bool = False, reply: Callable[[Request], str] = lambda _: REPLY
) -> Path:
    thinks = f"engine.args={{thinks: {{words: {THINKS}, opened: {str(opened).lower()}}}}}"
    overrides = ("benchmark=arithmetic", "engine=fake", "limit=3", "early_stopping=off", ROOM, thinks, *typed)
    return runs.make(folder, reply, *overrides, thinks=Thoughts(THINKS, opened=opened))


def thought(results: Sequence[Result]) -> set[tuple[int, int, bool]]:
    found = [result.thinking for result in results if result.thinking is not None]
    assert len(found) == len(results)
    return {(each.tokens, each.answer_tokens, each.ended) for each in found}


@pytest.mark.parametrize("opened", [False, True])
def test_a_block_that_is_open_at_the_budget_is_closed_once_and_the_answer_follows(
    tmp_path: Path, *, opened: bool
) -> None:
    run = load_run(asked(tmp_path / "run", "sampling.thinking_budget=10", opened=opened))
    for result in run.results:
        assert result.text.count(BLOCK) == result.text.count("<think>") == 1
        assert result.text.endswith(f"step-{10 if opened else 9}\n{BLOCK}\n\n{REPLY}")
        assert [completion.output_tokens for completion in result.completions] == [10, ANSWER]
        assert result.score.answer == "987654321"
        assert not result.elicited
        kinds = [kind for kind, _ in segments(result)]
        assert kinds == ["text", "cue", "text"]
    assert thought(run.results) == {(10, ANSWER, True)}
    use = run.summary.benchmarks["arithmetic"].thinking
    assert use is not None
    assert (use.answers, use.tokens_mean, use.answer_tokens_mean, use.ended) == (3, 10.0, ANSWER, 1.0)
    assert run.summary.benchmarks["arithmetic"].tokens.output == 3 * (10 + ANSWER)


@pytest.mark.parametrize(("budget", "parts"), [(THINKS + 3, [THINKS + 3, 3]), (50, [THINKS + 2 + ANSWER])])
def test_a_block_that_closed_by_itself_leaves_the_rest_of_the_limit_to_the_answer(
    tmp_path: Path, budget: int, parts: list[int]
) -> None:
    run = load_run(asked(tmp_path / "run", f"sampling.thinking_budget={budget}"))
    for result in run.results:
        assert result.text.count(BLOCK) == 1
        assert result.text.endswith(f"{BLOCK}\n\n{REPLY}")
        assert [completion.output_tokens for completion in result.completions] == parts
    assert thought(run.results) == {(THINKS + 2, ANSWER, False)}


def test_what_remains_of_the_limit_is_the_limit_of_the_rest(tmp_path: Path) -> None:
    limit = THINKS + 4
    run = load_run(
        asked(
            tmp_path / "run",
            f"sampling.thinking_budget={limit - 1}",
            f"benchmarks.arithmetic.max_tokens={limit}",
        )
    )
    assert {sum(c.output_tokens for c in result.completions) for result in run.results} == {limit}
    assert {result.score.outcome.value for result in run.results} == {"truncated"}


def test_the_answer_has_its_own_limit_behind_a_budget(tmp_path: Path) -> None:
    run = load_run(asked(tmp_path / "run", "sampling.thinking_budget=10", "sampling.answer_tokens=2"))
    assert thought(run.results) == {(10, 2, True)}
    rates = run.summary.benchmarks["arithmetic"].rates
    assert rates is not None
    assert rates.limited == rates.truncated == 1.0
    warned = "set sampling.answer_tokens and benchmarks.arithmetic.max_tokens higher"  # the lower one counts
    assert warned in " ".join(run.summary.warnings)


def test_an_answer_that_is_missing_behind_the_budget_is_still_asked_for(tmp_path: Path) -> None:
    run = load_run(
        asked(
            tmp_path / "run",
            "sampling.thinking_budget=10",
            "sampling.answer_tokens=2",
            "early_stopping=answer",
            "benchmarks.arithmetic.stop=[]",
            reply=lambda request: "Let me see again." if request.id.count("+") < 1 else "Well now, perhaps 5",
        )
    )
    for result in run.results:
        assert result.elicited
        assert len(result.completions) == 3
        assert result.text.count(BLOCK) == 1
        assert [kind for kind, _ in segments(result)] == ["text", "cue", "text", "cue", "elicited"]
        assert result.thinking is not None
        assert result.thinking.tokens == 10


@pytest.mark.parametrize("opened", [False, True])
def test_a_budget_of_zero_closes_the_block_in_the_prompt(tmp_path: Path, *, opened: bool) -> None:
    run = load_run(asked(tmp_path / "run", "sampling.thinking_budget=0", opened=opened))
    for result in run.results:
        assert result.prompt.endswith(f"<assistant>\n<think>\n\n{BLOCK}\n\n")
        assert result.text == REPLY
        assert len(result.completions) == 1
    assert thought(run.results) == {(0, ANSWER, True)}


class Scripted(Thoughts):
    """Writes a text of the test's own; where its prompt ends otherwise than that text begins, `behind`."""

    whole = ""
    behind = ""

    def text(self, request: Request, prompt: str, answer: str) -> str:  # noqa: ARG002 - as of any model
        said = prompt.rpartition(ASSISTANT)[2]
        return self.whole.removeprefix(said) if self.whole.startswith(said) else self.behind


def scripted(folder: Path, whole: str, behind: str, *typed: str) -> Run:
    """A run of one question whose model writes `whole`, and `behind` where its thinking was ended."""
    thinks = type("Own", (Scripted,), {"whole": whole, "behind": behind})(THINKS)
    overrides = ("benchmark=arithmetic", "engine=fake", "limit=1", "early_stopping=off", ROOM, *typed)
    block = f"engine.args={{thinks: {{words: {THINKS}}}}}"
    return load_run(runs.make(folder, lambda _: REPLY, *overrides, block, thinks=thinks))


@pytest.mark.parametrize(("budget", "tokens"), [(0, 5), (10, 15)])
def test_a_block_that_is_opened_again_behind_the_budget_is_thinking(
    tmp_path: Path, budget: int, tokens: int
) -> None:
    again = f"<think> once more again\n{BLOCK}"
    run = scripted(
        tmp_path / "run", "<think>" + " so" * 40, f"{again} {REPLY}", f"sampling.thinking_budget={budget}"
    )
    assert thought(run.results) == {(tokens, ANSWER, True)}


def test_a_stop_string_behind_thinking_is_no_thinking(tmp_path: Path) -> None:
    stops = ("early_stopping=cut", "benchmarks.arithmetic.stop=['And the next one is']")
    run = scripted(tmp_path / "run", f"<think> so\n{BLOCK} It is 4. And the next one is", "", *stops)
    assert thought(run.results) == {(3, 8, False)}


class ByteTokenizer(WordTokenizer):
    """Bytes as tokens."""

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")


def piece(said: bytes, stop: str | None = None) -> Completion:
    text = said.decode(errors="replace").removesuffix(stop or "")
    reason = FinishReason.STOP if stop is None else FinishReason.STOP_STRING
    return Completion("b/1/0", text, tuple(said), len(said), 1, 0, reason, stop)


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize("stop", [None, " Next"])
def test_a_character_on_both_sides_of_the_budget_stays_whole(cut: int, stop: str | None) -> None:
    whole = "It is 北京."
    said = whole.encode() + (stop or "").encode()
    pieces = [piece(said[:cut]), piece(said[cut:], stop)]
    asked_for = prompts.Asked("b", Sample("1", {}, "4"), "2 + 2?", (1, 2))
    assert elicitation.written(asked_for, pieces, [""], ByteTokenizer()) == whole
    three = [*pieces, piece(b" 7")]
    behind = elicitation.written(asked_for, three, ["", "\nAnswer:"], ByteTokenizer())
    assert behind == f"{whole}{stop or ''}\nAnswer: 7"


@pytest.mark.parametrize("mode", ["cut", "answer"])
def test_a_stop_string_that_ends_thinking_is_said(tmp_path: Path, mode: str) -> None:
    stops = (
        f"early_stopping={mode}",
        "benchmarks.arithmetic.stop=['Answer:']",
        "sampling.thinking_budget=20",
    )
    inside = scripted(tmp_path / "inside", "<think> so Answer: 4", "7", *stops).summary
    use = inside.benchmarks["arithmetic"].thinking
    assert use is not None
    assert use.stopped == 1.0
    assert use.sentence(1).endswith("on average; a stop string ended the thinking of 100.0% of the answers.")
    assert "a stop string ended the thinking of 100% of the answers; early_stopping=off or" in str(
        inside.warnings
    )
    behind = scripted(tmp_path / "behind", f"<think> so\n{BLOCK} It is Answer: 4", "7", *stops).summary
    use = behind.benchmarks["arithmetic"].thinking
    assert use is not None
    assert use.stopped == 0.0
    assert "thinking" not in str(behind.warnings)


def test_several_answers_to_a_question_are_ended_each_for_itself(tmp_path: Path) -> None:
    run = load_run(
        asked(tmp_path / "run", f"sampling.thinking_budget={THINKS + 10}", "sampling.repeats=2", ROOM)
    )
    ended = {result.repeat: result.thinking and result.thinking.ended for result in run.results}
    assert ended == {0: False, 1: True}  # the second answer thinks twice as long
    use = run.summary.benchmarks["arithmetic"].thinking
    assert use is not None
    assert use.ended == 0.5


def test_thinking_is_counted_without_a_budget_too(tmp_path: Path) -> None:
    run = load_run(asked(tmp_path / "run"))
    assert thought(run.results) == {(THINKS + 2, ANSWER, False)}
    line = json.loads((run.folder / "samples.jsonl").read_text().splitlines()[0])
    assert line["thinking"] == {"tokens": THINKS + 2, "answer_tokens": ANSWER, "ended": False}
    assert set(run.to_pandas()["thinking_tokens"]) == {THINKS + 2}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["sampling.thinking_budget=10"], "the prompt opens no think block"),
        (["sampling.thinking_budget=10", "scoring=loglikelihood", "benchmark=gpqa"], "nothing is written"),
        (
            ["sampling.thinking_budget=9000", "engine.args={thinks: {words: 3}}"],
            "max_tokens=64 ends every text before",
        ),
    ],
)
def test_a_budget_that_changes_nothing_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    typed: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = f"benchmarks.gpqa.data_files={runs.MCQ}" if "benchmark=gpqa" in typed else "benchmark=arithmetic"
    assert main([*typed, data, "engine=fake", "limit=2", "hydra.run.dir=run"]) == 0
    summary = llmbench.load_run("run").summary
    said = [*summary.preflight, *summary.warnings]
    assert sum("changes nothing" in sentence for sentence in said) == 1
    assert any(words in sentence for sentence in said)
    assert "changes nothing" in " ".join(capfd.readouterr().err.split())


def test_the_plot_of_lengths_has_all_that_the_model_wrote_by_itself(tmp_path: Path) -> None:
    run = load_run(asked(tmp_path / "run", "sampling.thinking_budget=10"))
    found = score_charts.lengths(run.results, {"arithmetic": 120})
    assert found is not None
    assert found["data"][0]["x"] == [10 + ANSWER] * 3


def test_means_over_some_of_the_answers_say_so() -> None:
    use = ThinkingUse(answers=3, tokens_mean=64.0, answer_tokens_mean=8.0, ended=0.075)
    assert use.sentence(40) == (
        "64 tokens of thinking and 8 of answering on average of the 3 of 40 that thought; the budget ended the thinking of 7.5% of the answers."
    )
    assert "on average; the budget" in use.sentence(3)


def test_without_a_block_the_request_is_the_same() -> None:
    question = prompts.Asked("arithmetic", Sample("1", {}, "4"), "2 + 2?", (1, 2))
    made = [
        prompts.requests([question], compose(["benchmark=arithmetic", *typed]))
        for typed in ([], ["sampling.thinking_budget=10"])
    ]
    assert made[0] == made[1]


def test_a_template_that_names_the_block_is_known_by_it() -> None:
    tags = {
        "{% if '</think>' in content %}": "<think>",
        "{{ '<|START_THINKING|>' }}": "<|START_THINKING|>",
        "[/THINK]": "[THINK]",
        "{{ '<|channel|>analysis<|message|>' }}": "<|channel|>analysis<|message|>",
        "{{ content }}": "",
    }
    assert {template: thinking.opening(template) for template in tags} == tags
    assert WordTokenizer(Thoughts(3)).think_tag({}) == "<think>"
    assert not WordTokenizer().think_tag({})


@pytest.mark.parametrize(
    ("text", "tag", "ending"),
    [
        ("<think>\nSo", "<think>", "\n</think>\n\n"),
        ("<think>\nSo\n</think>\n\nIt is", "<think>", ""),
        ("[THINK]So", "[THINK]", "\n[/THINK]\n\n"),
        ("<reasoning>\nSo", "<reasoning>", "\n</reasoning>\n\n"),
        ("<thi", "<think>", "nk>\n\n</think>\n\n"),  # the budget ended within the tag
        ("<think>\nSo\n</thi", "<think>", "nk>\n\n"),
        ("<think>\nif x <", "<think>", "\n</think>\n\n"),
        ("It is", "<think>", ""),
        (
            "<|channel|>analysis<|message|>So",
            "<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
        (
            "<|channel|>analysis<|message|>So<|start|>assistant<|channel|>",
            "<|channel|>analysis<|message|>",
            "final<|message|>",
        ),
    ],
)
def test_a_block_is_closed_in_its_own_format(text: str, tag: str, ending: str) -> None:
    assert thinking.ending(text, tag) == ending


def test_a_mode_without_thinking_has_no_budget() -> None:
    assert thinking.closed("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert not thinking.closed("<|im_start|>assistant\n<think>\n")


def test_the_budget_keeps_a_score_from_standing_beside_published_ones() -> None:
    assert comparability.other_endings(compose(["profile=published", "sampling.thinking_budget=512"])) == [
        "sampling.thinking_budget=512"
    ]
    assert not comparability.other_endings(compose(["profile=published"]))


def test_a_resumed_run_keeps_its_budget(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert not resume_checks.MAY_CHANGE.fullmatch("sampling.thinking_budget")
    assert not resume_checks.MAY_CHANGE.fullmatch("sampling.answer_tokens")
    folder = asked(tmp_path / "run", "sampling.thinking_budget=10")
    journal = folder / "samples.jsonl"
    whole = load_run(folder).results
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]))
    assert main([f"resume={folder}", "sampling.thinking_budget=20"]) == 1
    said = " ".join(capfd.readouterr().err.split())
    assert "sampling.thinking_budget=20 (it was 10) cannot change within a run" in said
    assert main([f"resume={folder}"]) == 0
    again = load_run(folder).results
    assert {result.key for result in again} == {result.key for result in whole}
    assert {result.thinking and (result.thinking.tokens, result.thinking.ended) for result in again} == {
        (10, True)
    }


def test_grading_again_keeps_what_was_thinking(tmp_path: Path) -> None:
    folder = asked(tmp_path / "run", "sampling.thinking_budget=10")
    before = load_run(folder).summary.benchmarks["arithmetic"]
    found = regrade_run(folder, workers=1)
    assert found.summary.benchmarks["arithmetic"].thinking == before.thinking
    assert thought(found.results) == {(10, ANSWER, True)}


@pytest.mark.parametrize("typed", ["sampling.thinking_budget=-1", "sampling.answer_tokens=0"])
def test_a_budget_that_nothing_could_keep_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError, match=f"{typed} is refused"):
        compose([typed])


def test_context_is_left_for_the_answer_behind_the_budget() -> None:
    typed = ["benchmark=arithmetic", "benchmarks.arithmetic.max_tokens=100", "early_stopping=off"]
    assert prompts.reserved(compose(typed), "arithmetic") == 100
    assert prompts.reserved(compose([*typed, "sampling.thinking_budget=10"]), "arithmetic") == 126
    assert prompts.reserved(compose([*typed, "sampling.thinking_budget=101"]), "arithmetic") == 100
