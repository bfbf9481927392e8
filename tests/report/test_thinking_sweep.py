"""Runs that differ in the budget of thinking alone: which budget is enough, and the plot of accuracy against tokens and time."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.records import FinishReason, Outcome
from llmbench.report import thinking_sweep, tradeoff_charts
from llmbench.report.comparison_page import report_of_many
from llmbench.report.run_entry import NO_SECONDS, RunEntry
from llmbench.results.manifest import Attempt, Manifest
from llmbench.results.metrics import summarise
from llmbench.results.reader import Run
from llmbench.results.stopping import StopEntry
from llmbench.results.summary import Summary, TimeSplit, Tokens
from tests.helpers.factories import result

WORDS = 30
"""Tokens that a model thinks without a budget, beside those of the two tags."""
ANSWER = 4
"""Tokens of an answer behind its thinking."""
BUDGETS = (0, 10, 20, None)
Right = Callable[[int, int], bool]
"""Whether a question is answered right, by the place of the budget and that of the question."""


def swept(
    right: Right, questions: int = 40, words: int = WORDS, seed: int = 0, name: str = "b"
) -> list[RunEntry]:
    """A finished run of a benchmark with each budget."""
    found = []
    for place, budget in enumerate(BUDGETS):
        thought = words + 2 if budget is None else min(budget, words + 2)
        results = [
            result(
                number,
                Outcome.CORRECT if right(place, number) else Outcome.WRONG,
                tokens=thought + ANSWER,
                benchmark=name,
            )
            for number in range(questions)
        ]
        summary = Summary(
            "finished",
            benchmarks={name: summarise(results, questions, 1)},
            time_s=TimeSplit(generate=float(1 + place)),
        )
        config = {"sampling": {"thinking_budget": budget}, "seed": seed, "benchmarks": {name: {}}}
        manifest = Manifest(overrides=[f"{thinking_sweep.SETTING}={budget}"])
        found.append(RunEntry(Run(Path(f"{name}-{budget}"), summary, manifest, results), config))
    return found


def with_summary(entry: RunEntry, **changed: object) -> RunEntry:
    """The run with another summary."""
    return replace(entry, run=replace(entry.run, summary=replace(entry.summary, **changed)))  # type: ignore[arg-type]


def without_thinking_a_tenth(budget: int, question: int) -> bool:
    """With a little thinking almost as much is right as with any."""
    return question * 7 % 100 < (10, 85, 90, 95)[budget]


def test_the_cheapest_budget_that_is_not_detectably_lower_is_named_with_its_test() -> None:
    (sentence,) = thinking_sweep.sentences(swept(without_thinking_a_tenth))
    assert sentence.startswith("b: the best accuracy was ")
    assert "tokens an answer (sampling.thinking_budget: no budget)" in sentence
    assert "the cheapest budget that is not detectably lower is 10: " in sentence
    assert "by McNemar's exact test at the 5% level, not corrected for the 4 budgets tried" in sentence
    assert "on 40 questions a true difference of " in sentence
    assert sentence.endswith("points is found with 80% probability.")


def test_points_are_in_the_order_of_their_tokens() -> None:
    points = thinking_sweep.budget_points(swept(without_thinking_a_tenth)[::-1], "b")
    assert [point.budget for point in points] == [0, 10, 20, None]
    assert [point.tokens for point in points] == [ANSWER, 10 + ANSWER, 20 + ANSWER, WORDS + 2 + ANSWER]
    assert all(point.ci95[0] <= point.accuracy <= point.ci95[1] for point in points)


def test_the_plot_has_accuracy_with_its_interval_and_the_time_and_stands_on_the_page_of_the_runs() -> None:
    entries = swept(without_thinking_a_tenth)
    (figure,) = thinking_sweep.figures(entries)
    accuracy, time = figure["data"]
    assert accuracy["text"] == ["0", "10", "20", "no budget"]
    assert accuracy["x"] == time["x"]
    assert len(accuracy["error_y"]["array"]) == 4
    assert (time["yaxis"], time["y"]) == ("y2", [1.0, 2.0, 3.0, 4.0])
    assert "the cheapest budget" in figure["note"]
    page = report_of_many(entries, {}, Path.cwd())
    assert "accuracy, tokens and time by thinking budget" in page
    assert "the cheapest budget that is not detectably lower is 10" in page


def test_labels_of_points_in_one_place_do_not_cover_one_another() -> None:
    entries = swept(lambda *_: False, questions=3, words=5)
    points = thinking_sweep.budget_points(entries, "b")
    assert len({point.tokens for point in points[1:]}) == 1  # these budgets are longer than all thinking
    (figure,) = thinking_sweep.figures(entries)
    assert len(set(figure["data"][0]["textposition"][1:])) == 3
    assert "left out" not in figure["note"]
    (crowded,) = thinking_sweep.figures([*entries, *entries[1:]])
    assert crowded["data"][0]["text"].count("") == 2
    assert "Some are left out where they would cover others." in crowded["note"]


ENOUGH: Iterable[tuple[Right, int, str]] = [
    (
        lambda budget, _: budget == len(BUDGETS) - 1,
        40,
        "every cheaper budget is detectably lower, by McNemar's exact test at the 5% level",
    ),
    (
        lambda budget, _: budget == 0,
        40,
        "(sampling.thinking_budget: 0), and no other was cheaper; on 40 questions a true ",
    ),
    (
        lambda budget, question: budget > 0 or question % 2 == 0,
        4,
        "with 4 questions no difference could have been found",
    ),
    (
        lambda *_: True,
        3,
        "and no other was cheaper; with 3 questions no difference could have been found.",
    ),
]


@pytest.mark.parametrize(
    ("right", "questions", "said"),
    ENOUGH,
    ids=["each is lower", "the cheapest is best", "few", "few, and the cheapest is best"],
)
def test_what_so_many_questions_can_tell_of_budgets_is_said(right: Right, questions: int, said: str) -> None:
    (sentence,) = thinking_sweep.sentences(swept(right, questions))
    assert said in sentence


def test_tokens_of_an_answer_are_means_over_the_answers_that_count() -> None:
    entry = swept(lambda *_: False)[1]
    # the summary counts the tokens of answers that stop_when left out, too
    with_left_out = replace(entry.benchmark("b"), tokens=Tokens(output=10_000))
    (point,) = thinking_sweep.budget_points([with_summary(entry, benchmarks={"b": with_left_out})], "b")
    assert point.tokens == 10 + ANSWER


def test_requests_that_failed_are_no_short_answers() -> None:
    entry = swept(lambda *_: False)[0]
    first, *others = entry.run.results
    died = replace(first.completions[0], output_tokens=0, finish_reason=FinishReason.ABORT, error="gone")
    results = [replace(first, completions=(died,)), *others]
    (point,) = thinking_sweep.budget_points([replace(entry, run=replace(entry.run, results=results))], "b")
    assert point.tokens == ANSWER


def test_benchmarks_of_a_sweep_are_compared_each_by_itself() -> None:
    entries = [*swept(without_thinking_a_tenth), *swept(lambda *_: False, 4, name="c")]
    said = thinking_sweep.sentences(entries)
    assert [sentence.partition(":")[0] for sentence in said] == ["b", "c"]
    assert len(thinking_sweep.figures(entries)) == 2


def test_seconds_are_shown_only_of_runs_that_generated_all_their_answers() -> None:
    first, second, *_ = swept(lambda *_: False, 4)
    entries = [first, with_summary(second, sittings=[Attempt("", 0.0), Attempt("", 1.0)])]
    (figure,) = thinking_sweep.figures(entries)
    assert figure["data"][1]["y"] == [1.0, None]
    (front,) = tradeoff_charts.accuracy(entries, ["first", "resumed"])
    assert front["data"][1]["text"] == ["first"]
    assert all(NO_SECONDS in each["note"] for each in (figure, front))


def test_with_runs_that_stopped_early_the_sentence_says_that_its_test_claims_too_much() -> None:
    stopped = StopEntry(40, 100, "narrow")
    entries = [
        with_summary(entry, benchmarks={"b": replace(entry.benchmark("b"), stopping=stopped)})
        for entry in swept(without_thinking_a_tenth)
    ]
    (sentence,) = thinking_sweep.sentences(entries)
    assert sentence.endswith("a test and an interval of a difference claim too much here.")


def test_runs_that_differ_in_more_are_not_compared_by_their_budgets() -> None:
    growing = swept(without_thinking_a_tenth)
    other = swept(lambda *_: True, seed=1)
    assert not thinking_sweep.sentences([growing[0], other[1]])
    assert not thinking_sweep.figures([growing[0], other[1]])
    assert not thinking_sweep.sentences(growing[:1])


def test_the_named_sweep_takes_one_engine_and_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["+sweep=thinking_budget", "sampling.thinking_budget=0,10,null", "engine=fake", "limit=6"]
    thinks = f"engine.args={{thinks: {{words: {WORDS}}}}}"
    assert main([*typed, thinks, "hydra.sweep.dir=sweep", "report=false"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "3 jobs: 3 finished; one engine load" in said
    assert "arithmetic: the best accuracy was " in said
