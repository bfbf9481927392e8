"""Pages of runs whose answers a judge graded."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.records import Judgement
from llmbench.report.compare.comparison import compare_runs
from llmbench.report.sample_data import mathematical, row
from llmbench.report.write import write_many, write_one
from llmbench.results.reader import load_run
from llmbench.run.regrade import regrade_run
from tests.helpers.factories import RICH_COMPLETION, result
from tests.helpers.judged import JUDGED, cities, served
from tests.helpers.reports import rows_of
from tests.helpers.runs import FORTY, make
from tests.helpers.stand_in_server import Body, StandIn, last_message, serving

AGREE = "agree on 1 of 2 answers that both gave a verdict on (50.0%); Cohen's kappa 0.00."


def silent_about_the_tower(body: Body) -> str:
    return "I cannot say." if "tower" in last_message(body) else served("yes")(body)


def text_of(page: Path) -> str:
    """What a reader sees, without the browser of samples."""
    html = page.read_text().partition("<header")[2].partition('<script type="application/json"')[0]
    return " ".join(re.sub("<[^>]+>", " ", html).replace("&#39;", "'").split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same answers judged by org/kind, which says nothing of one, and by org/strict; the first also judged again by that."""
    folder = tmp_path_factory.mktemp("judged")
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(StandIn(reply=silent_about_the_tower, models=("org/kind",))) as kind,
        serving(StandIn(reply=served("honest"), models=("org/strict",))) as strict,
    ):
        patch.chdir(folder)
        cities(folder)
        one, two = (
            make(
                folder / name,
                lambda r: "In York." if r.sample_id == "1" else "In Rome.",
                *JUDGED[:3],
                f"judge.base_url={server.url}",
                "judge.price={input: 0.5, output: 1.5}",
            )
            for name, server in (("one", kind), ("two", strict))
        )
        regrade_run(one, [f"judge.base_url={strict.url}"])
    write_one(one, regraded=True)
    return one, two


def test_a_page_of_runs_says_what_the_comparison_says_of_their_judges(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    text = text_of(write_many(runs, tmp_path / "many.html"))
    assert "org/kind, gave no verdict on 1 of 3 answers: they count as 0, right or not." in text
    assert "was judged by org/kind, the run by org/strict" in text
    assert f"The judges org/kind and org/strict {AGREE}" in text
    assert "Verdicts that differ, org/kind → org/strict: 1" in text
    assert "3 (CORRECT → INCORRECT)" in text
    assert re.search(r"org/kind 1 of 3 .* org/strict 0 of 3", text)


def test_an_answer_without_a_verdict_does_not_count_as_answered(runs: tuple[Path, Path]) -> None:
    (benchmark,) = compare_runs(*runs).runs[0].benchmarks
    assert (benchmark.baseline.answered, benchmark.run.answered) == (2 / 3, 1.0)
    assert [repr(load_run(run)).split()[-1] for run in runs] == ["66.7%", "100.0%"]


def test_a_score_says_beside_itself_how_many_answers_have_no_verdict(runs: tuple[Path, Path]) -> None:
    said = "1 of 3 answers without a verdict: they count as 0, right or not. results 3"
    assert said in text_of(runs[0] / "report.html")
    assert "they count as 0" not in text_of(runs[1] / "report.html")


def test_a_page_of_a_run_graded_again_says_so_beside_the_score(runs: tuple[Path, Path]) -> None:
    text = text_of(runs[0] / "report.regraded.html")
    first = "33.3% 95% interval [6.1, 79.2] Graded again after the run, which scored 66.7% first."
    assert f"{first} The judges org/kind and org/strict {AGREE}" in text
    assert "Graded again" not in text_of(runs[0] / "report.html")


def test_a_judged_sample_has_its_judges_name_verdict_and_whole_reply(runs: tuple[Path, Path]) -> None:
    rows = {found["i"]: found for found in rows_of((runs[0] / "report.html").read_text())}
    judge, verdict, reply = rows["1"]["j"]
    assert (judge, verdict) == ("org/kind", "CORRECT")
    assert re.fullmatch(r"Sure\.\nVERDICT \w+: CORRECT", reply)
    assert rows["2"]["j"] == ["org/kind", None, "I cannot say."]
    answered = load_run(runs[0]).results[0]
    assert "j" not in row(answered, 100, sealed=True)


def test_only_what_a_benchmark_of_mathematics_extracted_is_marked_as_mathematics(tmp_path: Path) -> None:
    boxed = "Let me think. It is \\boxed{7}"
    summed = make(tmp_path / "sum", lambda _: boxed, *FORTY[:1], "limit=2")
    assert not any("m" in found for found in rows_of((summed / "report.html").read_text()))
    config = {"benchmarks": {"a": {"module": "llmbench.benchmarks.math"}, "b": {"module": "own:Class"}}}
    assert mathematical(config) == {"a"}
    assert mathematical(None) == frozenset()
    assert row(result(text=boxed), 100, mathematics=True)["m"] == 1
    said = Judgement("org/kind", "CORRECT", "", RICH_COMPLETION)
    assert "m" not in row(replace(result(text=boxed), judgement=said), 100, mathematics=True)
