"""Runs that differ in the budget of thinking alone: which budget is enough, and the plot of accuracy against tokens and time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.engine.fake.thoughts import Thoughts
from llmbench.records import Request
from llmbench.report import thinking_sweep
from llmbench.report.run_entry import RunEntry
from llmbench.report.write import write_many
from tests.helpers import runs

WORDS = 30
ANSWER = 4
"""Words of a wrong answer."""
BUDGETS = ("0", "10", "20", "null")
Right = Callable[[int, int], bool]
"""Whether a question is answered right, by the place of the budget and that of the question."""


def swept(
    folder: Path,
    right: Right,
    *typed: str,
    benchmark: str = "arithmetic",
    refuse: frozenset[str] = frozenset(),
    words: int = WORDS,
) -> list[RunEntry]:
    found = []
    for number, budget in enumerate(BUDGETS):
        overrides = (
            *(f"benchmark={benchmark}", "engine=fake", "limit=40", "early_stopping=off", "batch_size=40"),
            f"benchmarks.{benchmark}.max_tokens=120",
            f"engine.args={{thinks: {{words: {words}}}}}",
            f"sampling.thinking_budget={budget}",
            *typed,
        )

        def well(request: Request, number: int = number) -> bool:
            return right(number, runs.place(request))

        run = runs.make(
            folder / str(number), runs.right_where(well), *overrides, thinks=Thoughts(words), refuse=refuse
        )
        found.append(RunEntry.read(run))
    return found


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> list[RunEntry]:
    """Without thinking a tenth is right, with a little almost as much as with any."""
    shares = (10, 85, 90, 95)
    return swept(
        tmp_path_factory.mktemp("growing"), lambda budget, question: question * 7 % 100 < shares[budget]
    )


def test_the_cheapest_budget_that_is_not_detectably_lower_is_named_with_its_test(
    growing: list[RunEntry],
) -> None:
    (sentence,) = thinking_sweep.sentences(growing)
    assert sentence.startswith("arithmetic: the best accuracy was ")
    assert "tokens an answer (sampling.thinking_budget: no budget)" in sentence
    assert "the cheapest budget that is not detectably lower is 10: " in sentence
    assert "by McNemar's exact test at the 5% level, not corrected for the 4 budgets tried" in sentence
    assert "on 40 questions a true difference of " in sentence
    assert sentence.endswith("points is found with 80% probability.")


def test_points_are_in_the_order_of_their_tokens(growing: list[RunEntry]) -> None:
    points = thinking_sweep.budget_points(growing, "arithmetic")
    assert [point.budget for point in points] == [0, 10, 20, None]
    assert [point.tokens for point in points] == sorted(point.tokens for point in points)
    assert all(point.ci95[0] <= point.accuracy <= point.ci95[1] for point in points)


def test_the_plot_has_accuracy_with_its_interval_and_the_time(growing: list[RunEntry]) -> None:
    (figure,) = thinking_sweep.figures(growing)
    accuracy, time = figure["data"]
    assert accuracy["text"] == ["0", "10", "20", "no budget"]
    assert accuracy["x"] == time["x"]
    assert len(accuracy["error_y"]["array"]) == 4
    assert time["yaxis"] == "y2"
    assert "the cheapest budget" in figure["note"]


def test_labels_of_points_in_one_place_do_not_cover_one_another(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda *_: False, "limit=3", words=5)
    points = thinking_sweep.budget_points(entries, "arithmetic")
    assert len({point.tokens for point in points[1:]}) == 1  # these budgets are longer than all thinking
    (figure,) = thinking_sweep.figures(entries)
    assert len(set(figure["data"][0]["textposition"][1:])) == 3
    assert "left out" not in figure["note"]
    (crowded,) = thinking_sweep.figures([*entries, *entries[1:]])
    assert crowded["data"][0]["text"].count("") == 2
    assert "Some are left out where they would cover others." in crowded["note"]


def test_the_page_of_the_runs_has_the_plot(growing: list[RunEntry], tmp_path: Path) -> None:
    page = write_many([entry.run.folder for entry in growing], tmp_path / "page.html").read_text()
    assert "accuracy, tokens and time by thinking budget" in page
    assert "the cheapest budget that is not detectably lower is 10" in page


def test_every_cheaper_budget_may_be_detectably_lower(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda budget, _: budget == len(BUDGETS) - 1)
    (sentence,) = thinking_sweep.sentences(entries)
    assert "every cheaper budget is detectably lower, by McNemar's exact test at the 5% level" in sentence


def test_the_cheapest_may_be_the_best(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda budget, _: budget == 0)
    (sentence,) = thinking_sweep.sentences(entries)
    assert "(sampling.thinking_budget: 0), and no other was cheaper; on 40 questions a true " in sentence


def test_few_questions_say_that_nothing_could_have_been_found(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda budget, question: budget > 0 or question % 2 == 0, "limit=4")
    (sentence,) = thinking_sweep.sentences(entries)
    assert "with 4 questions no difference could have been found" in sentence


def test_few_questions_say_so_where_the_cheapest_is_the_best_too(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda *_: True, "limit=3")
    (sentence,) = thinking_sweep.sentences(entries)
    assert sentence.endswith(
        "and no other was cheaper; with 3 questions no difference could have been found."
    )


def test_tokens_of_an_answer_are_means_over_all_that_was_asked(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda *_: False, "stop_when.ci_width=0.6", "stop_when.min_questions=5")
    found = entries[0].benchmark("arithmetic")
    assert found.tokens.output > ANSWER * found.n  # some were asked that do not count
    tokens = {point.budget: point.tokens for point in thinking_sweep.budget_points(entries, "arithmetic")}
    assert tokens == {0: ANSWER, 10: 10 + ANSWER, 20: 20 + ANSWER, None: WORDS + 2 + ANSWER}


def test_requests_that_failed_are_no_short_answers(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda *_: False, refuse=frozenset({"arithmetic/word-045/0"}))
    assert "error" in {result.score.outcome for result in entries[0].run.results}
    assert thinking_sweep.budget_points(entries, "arithmetic")[0].tokens == ANSWER


def test_benchmarks_of_a_sweep_are_compared_each_by_itself(growing: list[RunEntry], tmp_path: Path) -> None:
    own = f"benchmarks.gpqa.data_files={runs.MCQ}"
    others = swept(tmp_path, lambda *_: False, own, "limit=4", benchmark="gpqa")
    said = thinking_sweep.sentences([*growing, *others])
    assert [sentence.partition(":")[0] for sentence in said] == ["arithmetic", "gpqa"]
    assert len(thinking_sweep.figures([*growing, *others])) == 2


def test_seconds_are_shown_only_of_runs_that_generated_all_their_answers(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda *_: False, "limit=4")
    folder = entries[1].run.folder
    journal = folder / "samples.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    assert main([f"resume={folder}"]) == 0
    (figure,) = thinking_sweep.figures([entries[0], RunEntry.read(folder)])
    assert [known is None for known in figure["data"][1]["y"]] == [False, True]
    assert "A run that was resumed, or had answers from the response cache, has no seconds." in figure["note"]


def test_with_runs_that_stopped_early_the_sentence_says_that_its_test_claims_too_much(tmp_path: Path) -> None:
    entries = swept(
        tmp_path, lambda budget, question: budget > 0 or question % 2 == 0, "stop_when.ci_width=0.5"
    )
    (sentence,) = thinking_sweep.sentences(entries)
    assert sentence.endswith("a test and an interval of a difference claim too much here.")


def test_runs_that_differ_in_more_are_not_compared_by_their_budgets(
    growing: list[RunEntry], tmp_path: Path
) -> None:
    other = swept(tmp_path, lambda *_: True, "seed=1")
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
