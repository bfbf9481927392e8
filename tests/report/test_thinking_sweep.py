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
BUDGETS = ("0", "10", "20", "null")
Right = Callable[[int, int], bool]
"""Whether a question is answered right, by the place of the budget and that of the question."""


def swept(folder: Path, right: Right, *typed: str) -> list[RunEntry]:
    found = []
    for number, budget in enumerate(BUDGETS):
        overrides = (
            *("benchmark=arithmetic", "engine=fake", "limit=40", "early_stopping=off", "batch_size=40"),
            "benchmarks.arithmetic.max_tokens=120",
            f"engine.args={{thinks: {{words: {WORDS}}}}}",
            f"sampling.thinking_budget={budget}",
            *typed,
        )

        def well(request: Request, number: int = number) -> bool:
            return right(number, runs.place(request))

        run = runs.make(folder / str(number), runs.right_where(well), *overrides, thinks=Thoughts(WORDS))
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
    assert "(sampling.thinking_budget: 0), and no other was cheaper." in sentence


def test_few_questions_say_that_nothing_could_have_been_found(tmp_path: Path) -> None:
    entries = swept(tmp_path, lambda budget, question: budget > 0 or question % 2 == 0, "limit=4")
    (sentence,) = thinking_sweep.sentences(entries)
    assert "with 4 questions no difference could have been found" in sentence


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
