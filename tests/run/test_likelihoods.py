"""`scoring=loglikelihood`: what is asked, what the journal holds, and which score comes of it, on the fake engine."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks.generic import MultipleChoice
from llmbench.config.schema import Config, Reference
from llmbench.engine.fake import WordTokenizer, nonsense
from llmbench.errors import ConfigError, DataError, Interrupted, ModelError, RunError
from llmbench.records import FinishReason, Outcome, Request, Result, Sample
from llmbench.report.compare.comparison import compare_runs
from llmbench.report.export import lm_eval
from llmbench.report.terminal_table import print_table
from llmbench.report.write import write_one
from llmbench.results.reader import load_run
from llmbench.results.summary import Summary
from llmbench.run import pipeline, prompts
from llmbench.run.likelihood_prompts import LikelihoodWriter, choice_warnings, cut_from_the_left
from llmbench.run.options import Beginning, RunOptions
from llmbench.run.published_scores import comparisons
from llmbench.run.regrade import regrade_run
from llmbench.run.request_plan import RequestPlan
from llmbench.system.console import Terminal
from llmbench.system.signals import Stop
from tests.helpers.engines import FakeEngines
from tests.helpers.reports import figures_of, rows_of
from tests.helpers.settings import compose

ROWS = [
    {"q": f"Which word has {n} letters?", "topic": "word_lengths", "choices": ["x" * n, "é" * (n + 3), "a longer one", "word"], "gold": n % 3}
    for n in range(1, 13)
]  # fmt: skip
ALONE = ("benchmark=custom", "custom.question=q", "custom.choices=choices", "custom.answer=gold", "custom.name=own", "custom.count_from=0")  # fmt: skip
SCORED = (*ALONE, "scoring=loglikelihood", "batch_size=3")
TEXT = "benchmarks.custom.likelihood_of=text"
Likelihood = Callable[[Request], Sequence[float]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("data") / "own.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return f"custom.data={file}"


def gold(request: Request) -> int:
    return ROWS[int(request.sample_id) - 1]["gold"]  # type: ignore[return-value]


def favouring(place: Callable[[Request], int]) -> Likelihood:
    """One choice is the most likely, by its sum and for each character."""

    def of(request: Request) -> list[float]:
        return [-0.5 if n == place(request) else -500.0 for n in range(len(request.choices))]

    return of


RIGHT, WRONG = favouring(gold), favouring(lambda request: (gold(request) + 1) % 4)


def flat(request: Request) -> list[float]:
    """All choices alike, so that acc takes the first and acc_norm the longest."""
    return [-10.0 for _ in request.choices]


class Asked:
    """The log-likelihoods of a test's own; keeps what was asked."""

    def __init__(self, likelihood: Likelihood = RIGHT) -> None:
        self.likelihood = likelihood
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Sequence[float]:
        self.requests.append(request)
        return self.likelihood(request)


ENGINES = FakeEngines(nonsense)
POOL = ENGINES.pool()
"""One for all, so that the graders start once."""


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[None]:
    with POOL:
        yield


def run(
    into: Path,
    likelihood: Likelihood,
    *overrides: str,
    stop: Stop | None = None,
    beginning: Beginning = Beginning.NEW,
    **options: object,
) -> Summary:
    POOL.close_engine()
    ENGINES.likelihood, ENGINES.options = likelihood, options
    how = RunOptions(overrides=overrides, stop=stop, pool=POOL, beginning=beginning)
    return pipeline.run(compose(overrides), into, how)


@pytest.mark.parametrize(("likelihood", "accuracy", "normalised"), [(RIGHT, 1.0, 1.0), (WRONG, 0.0, 0.0)])
@pytest.mark.parametrize("of", ["letter", "text"])
def test_the_most_likely_choice_is_the_answer(  # noqa: PLR0917 - a table
    data: str, tmp_path: Path, likelihood: Likelihood, accuracy: float, normalised: float, of: str
) -> None:
    summary = run(tmp_path, likelihood, *SCORED, data, f"benchmarks.custom.likelihood_of={of}")
    found = summary.benchmarks["own"]
    assert (found.n, found.accuracy) == (12, accuracy)
    assert found.likelihood is not None
    assert (found.likelihood.acc_norm, found.likelihood.questions) == (normalised, 12)
    assert found.rates is not None
    assert (found.rates.no_answer, found.rates.repeating, found.rates.limited) == (0, 0, 0)
    assert found.tokens.output == 0 < found.tokens.prompt
    assert not summary.warnings


def test_acc_sums_and_acc_norm_divides_by_the_characters_of_the_text(data: str, tmp_path: Path) -> None:
    """Not by its bytes, of which é has two, nor with the space before it."""

    def alike(request: Request) -> list[float]:
        sizes = [len(choice.text) for choice in request.choices]
        return [-float(size) - (0.001 if n else 0.0) for n, size in enumerate(sizes)]

    run(tmp_path, alike, *SCORED, data, TEXT)
    for result in load_run(tmp_path).results:
        first = result.completions[0].choices[0]
        longest = max(result.completions[0].choices, key=lambda choice: choice.loglikelihood)
        assert result.score.answer == longest.name
        assert first.loglikelihood / first.characters == -1
        assert (result.score.explanation == "acc_norm takes A") == (longest.name != "A")


def test_the_journal_holds_each_choice_with_its_figures(data: str, tmp_path: Path) -> None:
    run(tmp_path, WRONG, *SCORED, data, TEXT)
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["id"] == "2")
    (completion,) = row["completions"]
    assert completion["choices"][1] == {
        "name": "B", "text": "é" * 5, "loglikelihood": -500.0, "tokens": 1, "characters": 5, "bytes": 10,
    }  # fmt: skip
    assert completion["choices"][2] | {"loglikelihood": 0} == {
        "name": "C", "text": "a longer one", "loglikelihood": 0, "tokens": 3, "characters": 12, "bytes": 12,
    }  # fmt: skip
    assert (completion["finish_reason"], completion["text"], completion["output_tokens"]) == ("scored", "", 0)
    assert (row["score"]["answer"], row["outcome"]) == ("D", "wrong")
    assert row["text"].splitlines()[0] == "D  -0.5000  -0.1250 per character  (1 token, acc, acc_norm)  word"
    assert row["fields"]["choices"] == ROWS[1]["choices"]


def test_a_text_that_was_written_has_no_choices_in_the_journal(data: str, tmp_path: Path) -> None:
    summary = run(tmp_path, RIGHT, *ALONE, data)
    (row, *_) = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert "choices" not in row["completions"][0]
    assert summary.benchmarks["own"].likelihood is None


def asked(config: Config, number: int = 1, examples: Sequence[int] = ()) -> prompts.Asked:
    benchmark = MultipleChoice()
    samples = benchmark.load(ROWS, OPTIONS, 0)
    writer = LikelihoodWriter(config, "own", benchmark, WordTokenizer())
    sample = samples[number - 1]
    return writer.ask(sample, benchmark.question(sample), [samples[n - 1] for n in examples])


OPTIONS = {"question": "q", "choices": "choices", "answer": "gold", "count_from": 0, "subject": "topic"}
LETTERED = "Which word has {} letters?\nA. {}\nB. {}\nC. a longer one\nD. word\nAnswer:"
FIRST, SECOND = LETTERED.format(1, "x", "éééé"), LETTERED.format(2, "xx", "ééééé")


@pytest.mark.parametrize(
    ("typed", "text", "choices"),
    [
        ((), f"{SECOND} C\n\n{FIRST}", "ABCD"),
        ((TEXT,), "Question: Which word has 2 letters?\nAnswer: a longer one\n\nQuestion: Which word has 1 letters?\nAnswer:", ROWS[0]["choices"]),
        (("system_prompt=Facts.",), f"Facts.\n\n{SECOND} C\n\n{FIRST}", "ABCD"),
        (("benchmarks.custom.likelihood_heading='Questions about {subject}.'",), f"Questions about word lengths.\n\n{SECOND} C\n\n{FIRST}", "ABCD"),
        (("chat=true",), f"<user>\n{SECOND}\n<assistant>\nC\n<user>\n{FIRST}\n<assistant>\n", "ABCD"),
        (("benchmarks.custom.chat=true", "system_prompt=Facts."), f"<system>\nFacts.\n<user>\n{SECOND}\n<assistant>\nC\n<user>\n{FIRST}\n<assistant>\n", "ABCD"),
    ],
    ids=["letter", "text", "system_prompt", "heading", "chat", "chat_of_one"],
)  # fmt: skip
def test_prompts_are_worded_as_lm_evaluation_harness_words_them(
    data: str, typed: tuple[str, ...], text: str, choices: Sequence[str]
) -> None:
    found = asked(compose((*SCORED, data, *typed)), examples=[2])
    assert found.text == text
    assert [choice.text for choice in found.choices] == list(choices)
    assert [choice.name for choice in found.choices] == list("ABCD")


class Characters(WordTokenizer):
    """A token for each character, so that one sees where they are cut."""

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        return tuple(map(ord, "^" * special + text))


@pytest.mark.parametrize(
    ("typed", "context", "behind"), [("chat=false", "^", " A"), ("chat=true", "", "\nA")]
)
def test_white_space_at_the_end_of_the_context_moves_to_the_choice(
    data: str, typed: str, context: str, behind: str
) -> None:
    config = compose((*SCORED, data, typed))
    benchmark = MultipleChoice()
    (sample, *_) = benchmark.load(ROWS, OPTIONS, 0)
    found = LikelihoodWriter(config, "own", benchmark, Characters()).ask(sample, "")
    assert "".join(map(chr, found.ids)) == context + found.text.rstrip()
    assert "".join(map(chr, found.choices[0].ids)) == behind


def test_an_empty_choice_and_one_that_fills_the_context_are_refused(data: str) -> None:
    config = compose((*SCORED, data, TEXT, "model.max_length=8"))
    writer = LikelihoodWriter(config, "own", MultipleChoice(), WordTokenizer())
    for choice, error in (("", DataError), ("nine " * 9, ModelError)):
        sample = Sample("7", {"question": "Which?", "choices": ["one", choice]}, "A")
        with pytest.raises(error, match=r"choice.* of question 7"):
            writer.ask(sample, "")


def test_a_prompt_that_is_too_long_loses_its_beginning_with_a_warning(data: str, tmp_path: Path) -> None:
    summary = run(tmp_path, RIGHT, *SCORED, data, "model.max_length=15")
    (said,) = [sentence for sentence in summary.preflight if "cut off" in sentence]
    assert said.startswith("own: the beginning of 12 of 12 prompts is cut off")
    config = compose((*SCORED, data))
    assert cut_from_the_left(prompts.requests([asked(config)], config), config) == []


def test_questions_of_which_several_choices_are_the_most_likely_are_counted_and_said(
    data: str, tmp_path: Path
) -> None:
    def tied(request: Request) -> Sequence[float]:
        return flat(request) if int(request.sample_id) <= 3 else RIGHT(request)

    summary = run(tmp_path, tied, *SCORED, data)
    found = summary.benchmarks["own"].likelihood
    assert found is not None
    assert (found.ties, found.questions) == (3, 12)
    assert summary.warnings[0].startswith(
        "own: of 3 of 12 questions several choices have the largest log-likelihood"
    )
    assert "of 3 questions several choices have the largest, and the first counts" in found.sentence()


def test_choices_scored_where_the_models_thinking_would_begin_are_said(data: str) -> None:
    config = compose((*SCORED, data, "chat=true"))
    (sample, *_) = MultipleChoice().load(ROWS, OPTIONS, 0)
    found = LikelihoodWriter(config, "own", MultipleChoice(), WordTokenizer()).ask(sample, "")
    assert choice_warnings([found]) == []
    (said,) = choice_warnings([replace(found, text=f"{found.text}<think>\n")])
    assert said.startswith("own: the chat template begins the model's thinking")


def test_without_the_chat_template_unless_it_is_asked_for(data: str) -> None:
    of = compose((*SCORED, data)).benchmarks["own"]
    assert (of.chat, of.max_tokens, of.stop, of.instruction, of.cue_tokens) == (False, 1, [], "", 0)
    assert compose((*SCORED, data, "chat=true")).benchmarks["own"].chat
    assert compose((*ALONE, data)).benchmarks["own"].chat
    one = compose(("benchmark=[gpqa,gsm8k]", "benchmarks.gpqa.scoring=loglikelihood"))
    assert not one.benchmarks["gpqa"].chat
    assert one.benchmarks["gsm8k"].chat
    assert one.benchmarks["gsm8k"].max_tokens > 1
    others = ("benchmark=[gpqa,gsm8k]", "scoring=loglikelihood", "benchmarks.gsm8k.scoring=generate")
    assert not compose(others).benchmarks["gpqa"].chat
    assert compose(others).benchmarks["gsm8k"].chat
    assert not compose((*others, "chat=false")).benchmarks["gsm8k"].chat


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("engine=transformers", *SCORED), "scoring=loglikelihood is refused: engine=transformers gives no log-likelihoods"),
        (("benchmark=gpqa", "engine=transformers", "benchmarks.gpqa.scoring=loglikelihood"), "benchmarks.gpqa.scoring=loglikelihood is refused"),
        ((*SCORED, "sampling.repeats=3"), "repeats=3 is refused: log-likelihoods are the same each time"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_refused_before_anything_is_loaded(
    data: str, typed: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        compose((*typed, *([data] if "benchmark=custom" in typed else [])))


def test_a_server_is_refused(data: str) -> None:
    with pytest.raises(ConfigError, match="engine=endpoint gives no log-likelihoods"):
        compose(
            (
                *SCORED,
                data,
                "engine=endpoint",
                "engine.base_url=http://localhost:1/v1",
                "engine.served_model=m",
            )
        )


def test_questions_without_choices_are_refused() -> None:
    config = compose(("benchmark=arithmetic", "engine=fake", "scoring=loglikelihood"))
    with pytest.raises(ConfigError, match="the questions of arithmetic have no choices"):
        RequestPlan.read(config)


def scored(result: Result) -> tuple[object, ...]:
    return result.sample_id, result.text, result.score, result.completions[0].choices


def test_a_run_that_was_stopped_goes_on_and_comes_to_the_same(data: str, tmp_path: Path) -> None:
    run(tmp_path / "whole", flat, *SCORED, data, TEXT)
    stop = Stop()

    def stopping(request: Request) -> Sequence[float]:
        stop.signal_number = 2 if request.sample_id == "4" else stop.signal_number
        return flat(request)

    part, overrides = tmp_path / "part", (*SCORED, data, TEXT, "engine=fake")
    with pytest.raises(Interrupted):
        run(part, stopping, *overrides, stop=stop)
    begun = len(load_run(part).results)
    assert 0 < begun < 12
    rest = Asked(flat)
    with pytest.raises(ConfigError, match="likelihood_of=letter"):
        resume(part, rest, *SCORED, data, "engine=fake")
    resume(part, rest, *overrides)
    assert len(rest.requests) == 12 - begun
    assert set(map(repr, map(scored, load_run(part).results))) == set(
        map(repr, map(scored, load_run(tmp_path / "whole").results))
    )


def resume(folder: Path, likelihood: Likelihood, *overrides: str) -> Summary:
    return run(folder, likelihood, *overrides, beginning=Beginning.RESUMED)


def test_the_response_cache_gives_log_likelihoods_back_and_no_text_for_them(
    data: str, tmp_path: Path, cache_folder: Path
) -> None:
    cached = (*SCORED, data, "cache=on")
    first, again, other = Asked(flat), Asked(), Asked()
    run(tmp_path / "written", RIGHT, *ALONE, data, "cache=on")
    before = run(tmp_path / "1", first, *cached)
    after = run(tmp_path / "2", again, *cached)
    run(tmp_path / "3", other, *cached, TEXT)
    assert cache_folder.exists()
    assert (len(first.requests), len(again.requests), len(other.requests)) == (12, 0, 12)
    one, two = before.benchmarks["own"], after.benchmarks["own"]
    assert (one.accuracy, one.likelihood, one.tokens) == (two.accuracy, two.likelihood, two.tokens)
    assert all(r.completions[0].from_cache for r in load_run(tmp_path / "2").results)


def test_a_question_that_the_engine_refuses_counts_as_an_error(data: str, tmp_path: Path) -> None:
    summary = run(tmp_path, RIGHT, *SCORED, data, refuse=frozenset({"own/3/0"}))
    found = summary.benchmarks["own"]
    assert found.accuracy == pytest.approx(11 / 12)
    assert found.likelihood is not None
    assert found.likelihood.acc_norm == pytest.approx(11 / 12)
    assert found.likelihood.questions == 11
    (error,) = [r for r in load_run(tmp_path).results if r.score.outcome is Outcome.ERROR]
    assert error.completions[0].finish_reason is FinishReason.ABORT


def test_regrading_takes_the_log_likelihoods_of_the_journal(data: str, tmp_path: Path) -> None:
    run(tmp_path, flat, *SCORED, data, TEXT)
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    right = sum(line["outcome"] == "correct" for line in lines)
    for line in lines:
        line.pop("crc32")
        line |= {"outcome": "wrong", "value": 0.0}
    (tmp_path / "samples.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = regrade_run(tmp_path, workers=1)
    assert len(found.changes) == right > 0
    assert (
        found.summary.benchmarks["own"].likelihood == load_run(tmp_path).summary.benchmarks["own"].likelihood
    )


def test_runs_that_were_scored_otherwise_are_not_compared_unasked(data: str, tmp_path: Path) -> None:
    for name, typed in (("letter", ()), ("text", (TEXT,))):
        run(tmp_path / name, RIGHT, *SCORED, data, *typed)
    run(tmp_path / "written", RIGHT, *ALONE, data, "chat=false")
    for other in ("text", "written"):
        with pytest.raises(RunError, match="prompt"):
            compare_runs(tmp_path / "letter", tmp_path / other)
    (compared,) = compare_runs(tmp_path / "letter", tmp_path / "written", allow_different=True).runs
    assert "scoring" in {setting.name for setting in compared.settings or ()}


def test_a_run_of_before_there_was_a_choice_goes_on(data: str, tmp_path: Path) -> None:
    overrides = (*ALONE, data, "engine=fake")
    run(tmp_path, RIGHT, *overrides)
    kept = (tmp_path / "config.yaml").read_text().splitlines()
    new = ("scoring", "likelihood_of", "likelihood_heading")
    old = [line for line in kept if line.split(":")[0].strip() not in new]
    assert len(old) == len(kept) - 4
    (tmp_path / "config.yaml").write_text("\n".join(old))
    assert resume(tmp_path, RIGHT, *overrides).benchmarks["own"].n == 12


def test_terminal_and_page_show_acc_norm_beside_the_accuracy(data: str, tmp_path: Path) -> None:
    summary = run(tmp_path, flat, *SCORED, data, TEXT)
    out = io.StringIO()
    print_table(Terminal(out, out), summary, "folder")
    assert "own: the accuracy is acc" in out.getvalue()
    page = write_one(tmp_path).read_text()
    found = summary.benchmarks["own"].likelihood
    assert found is not None
    assert "acc_norm" in page
    assert f"{found.acc_norm:.1%}" in page


def test_terminal_and_page_say_nothing_of_writing_where_nothing_is_written(data: str, tmp_path: Path) -> None:
    summary = run(tmp_path, RIGHT, *SCORED, data)
    assert summary.benchmarks["own"].likelihood is not None
    assert summary.benchmarks["own"].likelihood.letters
    out = io.StringIO()
    print_table(Terminal(out, out), summary, "folder")
    assert "acc_norm is the same for letters." in out.getvalue()
    page = write_one(tmp_path).read_text()
    assert "the same for letters" in page
    assert not any(f"<dt>{name}</dt>" in page for name in ("cut off", "elicited", "output tokens/s"))
    assert "<p>output tokens/s</p>" not in page
    assert not {"lengths", "decode", "inter_token", "queue", "ttft"} & figures_of(page).keys()
    assert rows_of(page)[0]["s"][0][1].splitlines()[0].endswith("-0.5000  (1 token, acc)")


def test_the_choices_of_a_sample_show_both_figures_and_what_each_takes(data: str, tmp_path: Path) -> None:
    run(tmp_path, flat, *SCORED, data, TEXT)
    shown = next(found for found in rows_of(write_one(tmp_path).read_text()) if found["i"] == "1")
    assert shown["s"][0][1].splitlines() == [
        "A  -10.0000  -10.0000 per character  (1 token, acc)  x",
        "B  -10.0000  -2.5000 per character  (1 token)  éééé",
        "C  -10.0000  -0.8333 per character  (3 tokens, acc_norm)  a longer one",
        "D  -10.0000  -2.5000 per character  (1 token)  word",
    ]


def test_nothing_is_said_of_how_texts_are_graded_where_none_is_written(data: str, tmp_path: Path) -> None:
    for name, scored in (("scored", SCORED), ("written", ALONE)):
        config = compose((*scored, data))
        out = io.StringIO()
        with ENGINES.pool() as engines:
            options = RunOptions(terminal=Terminal(out, out), pool=engines)
            pipeline.run(config, tmp_path / name, options)
        said = " ".join(out.getvalue().split())
        assert "he gold answers are numbers of choices counted from 0." in said
        assert ("graded as choices" in said, "tokens/s" in said) == (name == "written", name == "written")


def test_the_export_has_the_layout_of_a_multiple_choice_task(data: str, tmp_path: Path) -> None:
    run(tmp_path, flat, *SCORED, data, TEXT)
    loaded = load_run(tmp_path)
    config: dict[str, Any] = {"benchmarks": {"own": {"scoring": "loglikelihood"}}}
    results, samples = (content for _, content in lm_eval.files(loaded, config, set()))
    found, (row, *_) = json.loads(results), list(map(json.loads, samples.splitlines()))
    summary = loaded.summary.benchmarks["own"]
    assert summary.likelihood is not None
    assert found["results"]["own"]["acc,none"] == summary.accuracy
    assert found["results"]["own"]["acc_norm,none"] == summary.likelihood.acc_norm
    assert found["configs"]["own"]["output_type"] == "multiple_choice"
    assert list(row["arguments"]) == [f"gen_args_{n}" for n in range(4)]
    assert row["filtered_resps"] == [[-10.0, None]] * 4
    assert row["metrics"] == ["acc", "acc_norm"]
    assert (row["acc"], row["acc_norm"]) == (float(row["target"] == "A"), float(row["target"] == "C"))
    assert found["higher_is_better"]["own"] == {"acc": True, "acc_norm": True}
    assert [each["metric"] for each in found["configs"]["own"]["metric_list"]] == ["acc", "acc_norm"]


def test_the_export_counts_a_question_that_the_engine_failed_on_in_both_figures(
    data: str, tmp_path: Path
) -> None:
    run(tmp_path, RIGHT, *SCORED, data, refuse=frozenset({"own/3/0"}))
    loaded = load_run(tmp_path)
    config: dict[str, Any] = {"benchmarks": {"own": {"scoring": "loglikelihood"}}}
    _, (_, samples) = lm_eval.files(loaded, config, set())
    rows = list(map(json.loads, samples.splitlines()))
    found = loaded.summary.benchmarks["own"].likelihood
    assert found is not None
    assert sum(row["acc_norm"] for row in rows) / 12 == pytest.approx(found.acc_norm)


def test_a_published_acc_norm_stands_beside_our_own(data: str, tmp_path: Path) -> None:
    config = compose((*SCORED, data, TEXT))
    summary = run(tmp_path, flat, *SCORED, data, TEXT)
    assert config.model.hub_id is not None or config.model.embedded is not None
    config.model.hub_id = "org/base"
    written = Reference(model="org/base", value=0.5, source="a paper")
    config.benchmarks["own"].reference = [
        Reference(model="org/base", value=0.5, source="a paper", metric="acc_norm", scoring=config.scoring),
        written,
    ]
    unstated = Reference(model="org/base", value=0.5, source="a paper", scoring=None)
    config.benchmarks["own"].reference.append(unstated)
    same, other, unknown = comparisons(config, summary)
    assert "scoring" in unknown.unknown
    assert summary.benchmarks["own"].likelihood is not None
    assert same.ours == summary.benchmarks["own"].likelihood.acc_norm
    assert not any("scoring" in difference for difference in same.differences)
    assert any("scoring loglikelihood here, generate there" in said for said in other.differences)
