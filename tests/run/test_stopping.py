"""Runs that stop early: which questions count, whatever finishes first, and that a run that was killed comes to the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.errors import ConfigError, EngineError
from llmbench.records import Request
from llmbench.report.compare.comparison import compare_runs
from llmbench.report.export import export_run
from llmbench.results import stats
from llmbench.results.reader import load_run, read_journal
from llmbench.results.stopping import Reason, StopEntry
from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.run import pipeline
from llmbench.run.options import Beginning, RunOptions
from llmbench.run.regrade import regrade_run
from llmbench.run.request_plan import RequestPlan
from tests.helpers.engines import FakeEngines
from tests.helpers.runs import edited, gold, make, only, patched, place, right_where
from tests.helpers.settings import compose

ALL = ("benchmark=arithmetic", "engine=fake", "profile=published", "report=false")
NARROW = (*ALL, "stop_when.ci_width=0.3", "batch_size=8")
LONG = " ".join(["hm"] * 60)


def right(request: Request) -> bool:
    return place(request) % 3 != 0


def quick_when_right(request: Request) -> str:
    """A right answer is one word, a wrong one sixty."""
    return gold(request.sample_id) if right(request) else f"{LONG} The answer is 987654321"


def order(*typed: str) -> list[str]:
    return RequestPlan.read(compose(typed)).draw_order("arithmetic")


def found(folder: Path) -> BenchmarkSummary:
    return load_run(folder).summary.benchmarks["arithmetic"]


def stopped(folder: Path) -> StopEntry:
    stopping = found(folder).stopping
    assert stopping is not None
    return stopping


def resumed(folder: Path, engines: FakeEngines, *typed: str) -> Summary:
    with engines.pool() as pool:
        options = RunOptions(overrides=typed, pool=pool, beginning=Beginning.RESUMED)
        return pipeline.run(compose(typed), folder, options)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("stopping") / "narrow", quick_when_right, *NARROW)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("stopping") / "whole", right_where(right), *ALL)


def test_a_run_stops_when_its_interval_is_as_narrow_as_was_wanted_and_has_finished(narrow: Path) -> None:
    run, entry = load_run(narrow), stopped(narrow)
    assert run.summary.status == "finished"
    assert entry.reason == Reason.NARROW
    assert 20 <= entry.questions < 100
    assert entry.of == 200
    assert entry.interval is not None
    assert entry.of_kind is not None
    assert entry.interval[1] - entry.interval[0] <= 0.3
    low, high = entry.of_kind
    assert (
        low < entry.interval[0] < entry.interval[1] < high
    )  # of more than the benchmark's questions less is known
    assert found(narrow).ci95 == entry.of_kind
    assert found(narrow).expected == found(narrow).n == entry.questions
    assert f"arithmetic stopped after {entry.questions} of 200 questions" in run.summary.not_comparable
    text = " ".join(entry.sentences())
    assert f"asked {entry.questions} of 200 questions" in text
    assert "confidence sequence" in text
    assert "holds only for a number of questions that was fixed beforehand" in text


def test_only_a_beginning_of_the_drawn_order_counts_although_quick_answers_are_right_more_often(
    narrow: Path,
) -> None:
    entry, ids = stopped(narrow), order(*NARROW)
    answered = list(read_journal(narrow))
    counted = ids[: entry.questions]
    assert {result.sample_id for result in load_run(narrow).results} == set(counted)
    assert len(answered) == entry.questions + entry.left_out
    assert entry.left_out > 0
    in_order = sum(int(sample_id.rpartition("-")[2]) % 3 != 0 for sample_id in counted) / len(counted)
    assert found(narrow).accuracy == pytest.approx(in_order)


def test_how_many_run_at_once_changes_what_is_left_out_and_not_what_counts(
    narrow: Path, tmp_path: Path
) -> None:
    one = make(tmp_path / "one", quick_when_right, *NARROW[:-1], "batch_size=1")
    assert replace(stopped(one), left_out=0) == replace(stopped(narrow), left_out=0)


def test_the_questions_are_the_first_of_the_draw(narrow: Path) -> None:
    assert load_run(narrow).manifest.samples["arithmetic"] == order(*NARROW)
    few = (*ALL, "limit=100")
    drawn = {sample.id for sample in RequestPlan.read(compose(few)).samples["arithmetic"].chosen}
    assert set(order(*few)[:100]) == drawn
    assert order(*few) == order(*ALL)[:100]
    assert order(*ALL, "seed=1") != order(*ALL)


def test_a_run_that_broke_and_is_resumed_comes_to_the_same(narrow: Path, tmp_path: Path) -> None:
    for broken in (3, 17, 30):
        folder = tmp_path / str(broken)
        with pytest.raises(EngineError):
            make(folder, quick_when_right, *NARROW, break_after=broken)
        assert resumed(folder, FakeEngines(quick_when_right), *NARROW).status == "finished"
        assert replace(stopped(folder), left_out=0) == replace(stopped(narrow), left_out=0)


def test_a_run_that_broke_before_it_stopped_has_intervals_that_hold_then_too(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        make(tmp_path / "run", quick_when_right, *NARROW, break_after=17)
    summary, entry = found(tmp_path / "run"), stopped(tmp_path / "run")
    assert (entry.reason, summary.n, summary.expected) == (Reason.OPEN, entry.questions, 200)
    assert summary.ci95 == entry.of_kind != entry.ordinary_ci95
    assert "so far the interval for all 200 is wider than stop_when.ci_width=0.3" in entry.sentences()[0]
    assert load_run(tmp_path / "run").summary.not_comparable[-1] == "unfinished: arithmetic"


def test_a_run_that_had_stopped_when_it_was_killed_asks_nothing_more(narrow: Path, tmp_path: Path) -> None:
    killed = edited(narrow, tmp_path / "killed", lambda row: row)
    (killed / "summary.json").unlink()
    patched(killed, "manifest.json", status="running")
    asked = list[str]()

    def reply(request: Request) -> str:
        asked.append(request.id)
        return ""

    resumed(killed, FakeEngines(reply), *NARROW)
    assert not asked
    assert stopped(killed) == stopped(narrow)


def test_other_settings_of_stopping_are_refused_to_a_resumed_run(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        make(tmp_path / "run", quick_when_right, *NARROW, break_after=9)
    with pytest.raises(ConfigError, match=r"stop_when.ci_width=0.1 \(it was 0.3\) cannot change"):
        resumed(tmp_path / "run", FakeEngines(quick_when_right), *NARROW, "stop_when.ci_width=0.1")


def test_each_benchmark_stops_for_itself(tmp_path: Path, shared_data: Path) -> None:
    typed = (
        "benchmark=[arithmetic,gsm8k]", f"benchmarks.gsm8k.data_files={shared_data / 'gsm8k_test_sample.jsonl'}",
        "engine=fake", "profile=published", "stop_when.ci_width=0.3", "batch_size=8", "model.max_length=100000", "report=false",
    )  # fmt: skip

    def reply(request: Request) -> str:
        return quick_when_right(request) if request.benchmark == "arithmetic" else "The answer is 987654321"

    for schedule in ("together", "sequential"):
        folder = make(tmp_path / schedule, reply, *typed, f"schedule={schedule}")
        entries = {name: each.stopping for name, each in load_run(folder).summary.benchmarks.items()}
        assert {name: each and each.reason for name, each in entries.items()} == {
            "arithmetic": "narrow", "gsm8k": "narrow",
        }  # fmt: skip
        arithmetic, gsm8k = (entry.questions for entry in entries.values() if entry is not None)
        assert gsm8k < arithmetic < 100


def test_with_several_answers_to_a_question_their_mean_is_what_counts(tmp_path: Path) -> None:
    typed = (*NARROW, "sampling.repeats=3", "sampling.temperature=0.5")
    folder = make(tmp_path / "run", right_where(lambda r: (place(r) + r.repeat) % 2 == 0), *typed)
    entry = stopped(folder)
    assert found(folder).n == 3 * entry.questions
    assert entry.questions < stopped_at_half(tmp_path)  # means of three differ less than zeros and ones


def stopped_at_half(tmp_path: Path) -> int:
    return stopped(make(tmp_path / "once", right_where(lambda r: place(r) % 2 == 0), *NARROW)).questions


def test_a_run_that_cannot_be_narrow_enough_asks_all_and_says_so(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", right_where(right), *ALL, "limit=30", "stop_when.ci_width=0.01")
    entry = stopped(folder)
    assert (entry.questions, entry.of) == (30, 30)
    assert entry.interval == pytest.approx([found(folder).accuracy] * 2)
    assert not any("stopped" in reason for reason in load_run(folder).summary.not_comparable)


def test_a_run_stops_when_it_is_known_to_be_better_or_worse_than_another(whole: Path, tmp_path: Path) -> None:
    typed = (*ALL, f"stop_when.compare={whole}", "batch_size=8")
    worse = stopped(make(tmp_path / "worse", right_where(lambda r: place(r) % 3 == 1), *typed))
    better = stopped(make(tmp_path / "better", right_where(lambda _: True), *typed))
    assert (worse.reason, better.reason) == (Reason.WORSE, Reason.BETTER)
    assert worse.questions < 100
    assert worse.difference_interval is not None
    assert better.difference_interval is not None
    assert worse.difference_interval[1] < 0 < better.difference_interval[0]
    assert "so this run is worse" in worse.sentences()[0]


def test_without_a_margin_equal_runs_are_asked_all_and_with_one_they_stop(
    whole: Path, tmp_path: Path
) -> None:
    typed = (*ALL, f"stop_when.compare={whole}", "batch_size=8")
    assert stopped(make(tmp_path / "all", right_where(right), *typed)).reason == Reason.ALL
    same = stopped(make(tmp_path / "same", right_where(right), *typed, "stop_when.margin=0.1"))
    assert same.reason == Reason.SAME
    assert same.questions < 100
    assert "no difference of that size" in same.sentences()[0]


def test_only_questions_that_the_other_run_has_decide(whole: Path, tmp_path: Path) -> None:
    few = make(tmp_path / "few", right_where(right), *ALL, "limit=40")
    typed = (*ALL, f"stop_when.compare={few}", "batch_size=1")
    entry = stopped(make(tmp_path / "run", right_where(right), *typed))
    assert (entry.reason, entry.shared, entry.questions) == (Reason.ALL, 40, 40)
    other = edited(whole, tmp_path / "other", lambda row: row | {"target": "another"})
    with pytest.raises(ConfigError, match="no question of arithmetic in common"):
        make(tmp_path / "none", right_where(right), *ALL, f"stop_when.compare={other}")


def test_an_unfinished_run_is_refused_to_compare_with(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        make(tmp_path / "broken", right_where(right), *ALL, break_after=9)
    with pytest.raises(
        ConfigError, match="that run is failed, and what was answered first is no random part"
    ):
        make(tmp_path / "run", right_where(right), *ALL, f"stop_when.compare={tmp_path / 'broken'}")


def test_a_run_that_is_not_there_is_refused_to_compare_with_and_no_folder_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*ALL, "stop_when.compare=nothere", "hydra.run.dir=run"]) == 1
    assert "stop_when.compare=nothere is refused: nothere holds no" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_grading_again_keeps_the_questions_and_computes_the_intervals_anew(
    narrow: Path, tmp_path: Path
) -> None:
    def wrong(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"outcome": "wrong", "value": 0.0}

    first = stopped(narrow)
    folder = edited(narrow, tmp_path / "run", wrong)
    again = regrade_run(folder, workers=1).summary.benchmarks["arithmetic"]
    assert again.stopping == first
    assert again.ci95 == found(narrow).ci95
    assert len((folder / "samples.regraded.jsonl").read_text().splitlines()) == first.questions


def test_runs_that_stopped_early_are_compared_on_the_questions_in_common(narrow: Path, whole: Path) -> None:
    compared = only(compare_runs(whole, narrow)).benchmarks[0]
    assert compared.questions == stopped(narrow).questions
    assert any(
        f"The run stopped early, after {compared.questions} of 200 questions" in note
        for note in compared.notes
    )
    assert "interval and p value" not in " ".join(compared.notes)  # it did not stop for the difference


def test_all_figures_of_repeats_have_intervals_that_hold_whenever_a_run_stops(tmp_path: Path) -> None:
    typed = (*NARROW, "sampling.repeats=3", "sampling.temperature=0.5")
    folder = make(tmp_path / "run", right_where(lambda r: (place(r) + r.repeat) % 2 == 0), *typed)
    again = regrade_run(folder, workers=1).summary.benchmarks["arithmetic"]
    for summary in (found(folder), again):
        repeated, entry = summary.repeated, summary.stopping
        assert repeated is not None
        assert repeated.avg is not None
        assert repeated.pass_at is not None
        assert entry is not None
        assert repeated.avg.ci95 == repeated.pass_at[0].ci95 == summary.ci95 == entry.of_kind
        wilson = stats.wilson(entry.questions, entry.questions)
        assert (repeated.pass_at[-1].value, repeated.pass_at[-1].ci95[0] < wilson[0]) == (1.0, True)


def test_a_relative_path_to_compare_with_means_the_same_when_a_run_is_graded_again_elsewhere(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, elsewhere = tmp_path / "begun", tmp_path / "elsewhere"
    begun.mkdir()
    elsewhere.mkdir()
    shutil.copytree(whole, begun / "other")
    edited(whole, elsewhere / "other", lambda row: row | {"target": "another"})
    monkeypatch.chdir(begun)
    folder = make(
        tmp_path / "run", right_where(right), *ALL, "stop_when.compare=other", "stop_when.margin=0.1"
    )
    patched(folder, "manifest.json", directory=str(begun))
    monkeypatch.chdir(elsewhere)
    again = regrade_run(folder, workers=1).summary.benchmarks["arithmetic"].stopping
    assert again == stopped(folder)


@pytest.mark.parametrize("settings", [None, "engine: 3"])
def test_a_difference_to_a_run_that_is_gone_or_unreadable_is_open_when_a_run_is_graded_again(
    whole: Path, tmp_path: Path, settings: str | None
) -> None:
    other = shutil.copytree(whole, tmp_path / "other")
    typed = (*ALL, f"stop_when.compare={other}", "stop_when.margin=0.1")
    folder = make(tmp_path / "run", right_where(right), *typed)
    if settings is None:
        shutil.rmtree(other)
    else:
        (other / "config.yaml").write_text(settings)
    graded = regrade_run(folder, workers=1)
    again = graded.summary.benchmarks["arithmetic"].stopping
    assert again is not None
    assert (again.reason, again.margin, again.difference) == (Reason.OPEN, 0.1, None)
    assert any("is not known any more" in note for note in graded.notes)


def test_a_run_with_another_seed_is_refused_to_compare_with(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="that run has seed=0, and seed=1 draws other questions"):
        make(tmp_path / "run", right_where(right), *ALL, f"stop_when.compare={whole}", "seed=1")


def test_answers_that_failed_are_wrong_and_a_difference_says_so(whole: Path, tmp_path: Path) -> None:
    def failing(row: dict[str, Any]) -> dict[str, Any]:
        late = int(row["id"].rpartition("-")[2]) % 2 == 0
        return row | {"outcome": "error", "value": 0.0} if late else row

    other = edited(whole, tmp_path / "other", failing)
    typed = (*ALL, f"stop_when.compare={other}", "batch_size=8")
    entry = stopped(make(tmp_path / "run", right_where(right), *typed))
    evens = sum(int(i.rpartition("-")[2]) % 2 == 0 for i in order(*ALL)[: entry.questions])
    assert (entry.reason, entry.failed) == (Reason.BETTER, evens)
    assert f"On {evens} shared questions an answer of one of the runs failed" in entry.sentences()[1]


def test_a_set_that_was_asked_whole_did_not_stop_for_its_width(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", right_where(right), *ALL, "limit=5", "stop_when.ci_width=0.2")
    assert stopped(folder).reason == Reason.ALL
    assert "stop_when.ci_width=0.2 was not reached before" in stopped(folder).sentences()[0]


def test_the_level_of_the_ordinary_interval_is_said_beside_one_of_another_level(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", right_where(right), *NARROW, "stop_when.level=0.5")
    text = " ".join(stopped(folder).sentences())
    assert "50% intervals of the accuracy" in text
    assert "The ordinary 95% interval" in text


def test_a_comparison_says_that_its_intervals_are_those_of_a_fixed_number_of_questions(
    narrow: Path, whole: Path
) -> None:
    notes = " ".join(only(compare_runs(whole, narrow)).benchmarks[0].notes)
    assert (
        "fixed beforehand, which it was not; benchmarks.arithmetic.ci95 in summary.json has the interval"
        in notes
    )


def test_lm_eval_gets_no_standard_error_of_a_run_that_stopped_early(narrow: Path, tmp_path: Path) -> None:
    paths = export_run(narrow, ["lm_eval"], tmp_path)
    (path,) = (each for each in paths if each.name.startswith("results"))
    values = json.loads(path.read_text())["results"]["arithmetic"]
    assert {value for name, value in values.items() if "_stderr" in name} == {"N/A"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("stop_when.ci_width=0.1", "stop_when.compare=a"), "leave one out"),
        (("stop_when.ci_width=1.5",), "stop_when.ci_width must be a share between 0 and 1"),
        (("stop_when.margin=0.1",), "refused without stop_when.compare=RUN"),
        (("stop_when.compare=a", "stop_when.margin=-1"), "stop_when.margin must be a share"),
        (("stop_when.level=95",), "stop_when.level must be at least 0.5 and below 1"),
        (("stop_when.min_questions=0",), "stop_when.min_questions must be a whole number from 1"),
    ],
)
def test_settings_under_which_no_run_could_stop_are_refused(typed: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(typed)


def test_a_program_sets_it_with_a_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = llmbench.evaluate(
        benchmark="arithmetic", engine="fake", profile="published", stop_when={"ci_width": 0.3}, batch_size=4
    )
    entry = run.summary.benchmarks["arithmetic"].stopping
    assert entry is not None
    assert entry.questions < 50
    content = json.loads((run.folder / "summary.json").read_text())
    assert content["benchmarks"]["arithmetic"]["stopping"]["reason"] == "narrow"
