"""Which answers are compared, which are not, and which runs are refused."""

from pathlib import Path
from typing import Any

import pytest

from llmbench.errors import Interrupted, RunError
from llmbench.records import Request
from llmbench.report.compare.comparison import compare_runs
from llmbench.system.signals import Stop
from tests.helpers.runs import FORTY, MCQ, edited, flat, gold, make, only, page, patched, right_where, three


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return three(tmp_path_factory.mktemp("runs"))


def test_missing_questions_are_refused_and_named(runs: dict[str, Path], tmp_path: Path) -> None:
    short = make(tmp_path / "short", lambda _: "7", "benchmark=arithmetic", "limit=25", "profile=published")
    with pytest.raises(
        RunError, match=r"only the baseline has 15 questions \(.*, …\); --allow-different compares the 25"
    ):
        compare_runs(runs["third"], short)
    found = only(compare_runs(runs["third"], short, allow_different=True)).benchmarks[0]
    assert found.questions == 25
    assert any("only the baseline has 15 questions" in note for note in found.notes)
    swapped = only(compare_runs(short, runs["third"], allow_different=True)).benchmarks[0]
    assert any("only the run has 15 questions" in note for note in swapped.notes)


def test_differing_prompts_are_refused_but_can_be_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    count = 0

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        nonlocal count
        count += 1
        return row | {"prompt_hash": "0" * 64} if count <= 5 else row

    other = edited(runs["most"], tmp_path / "other", edit)
    with pytest.raises(RunError, match="the prompt tokens differ for 5 questions"):
        compare_runs(runs["third"], other)
    found = only(compare_runs(runs["third"], other, allow_different=True)).benchmarks[0]
    assert found.questions == 40
    assert "prompt tokens differ for 5 questions" in found.notes[0]
    patched(other, "summary.json", model="another")
    with pytest.raises(RunError, match="the models smollm2 and another may write prompts differently"):
        compare_runs(runs["third"], other)


def test_questions_with_another_gold_answer_are_never_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    other = edited(
        runs["most"],
        tmp_path / "other",
        lambda row: row | {"target": "another"} if row["id"].startswith("word") else row,
    )
    with pytest.raises(RunError, match="the gold answers differ for"):
        compare_runs(runs["third"], other)
    found = only(compare_runs(runs["third"], other, allow_different=True)).benchmarks[0]
    assert 0 < found.questions < 40
    assert not any(flip.sample_id.startswith("word") for flip in (*found.better, *found.worse))
    nothing = edited(runs["most"], tmp_path / "nothing", lambda row: row | {"target": "another"})
    with pytest.raises(RunError, match="no answered question in common"):
        compare_runs(runs["third"], nothing, allow_different=True)


def test_runs_without_a_common_benchmark_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    other = make(tmp_path / "other", lambda _: "A", "benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}")
    with pytest.raises(RunError, match="no answered question in common"):
        compare_runs(runs["third"], other)


def test_an_unfinished_run_is_compared_on_what_is_there(runs: dict[str, Path], tmp_path: Path) -> None:
    stop, asked = Stop(), 0

    def reply(request: Request) -> str:
        nonlocal asked
        asked += 1
        stop.signal_number = 2 if asked == 20 else None
        return gold(request.sample_id)

    with pytest.raises(Interrupted):
        make(tmp_path / "cut", reply, *FORTY, "batch_size=2", stop=stop)
    compared = compare_runs(runs["third"], tmp_path / "cut")
    (found,) = only(compared).benchmarks
    assert 10 <= found.questions < 40
    assert found.run.accuracy == 1.0
    assert f"did not come to {40 - found.questions} of the other's answers" in found.notes[0]
    assert "The run is unfinished (status interrupted)" in flat(page(compared))
    assert "The baseline is unfinished" in flat(page(compare_runs(tmp_path / "cut", runs["third"])))


def test_a_killed_run_has_the_answers_and_request_times_of_its_journal(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    count = 0

    def edit(row: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal count
        count += 1
        return row if count <= 30 else None

    killed = edited(runs["most"], tmp_path / "killed", edit)
    nothing = {"total": None}
    patched(killed, "summary.json", status="running", benchmarks={}, time_s=nothing)
    (found,) = only(compare_runs(runs["third"], killed)).benchmarks
    assert found.questions == 30
    known = {quantity.name for quantity in found.quantities if quantity.run is not None}
    assert {"latency_s.mean", "tokens.output"} <= known  # as the journal has them
    patched(killed, "manifest.json", samples={})
    with (killed / "samples.jsonl").open("a") as journal:
        journal.write('{"benchmark": "arith')
    assert only(compare_runs(runs["third"], killed)).benchmarks[0].questions == 30


@pytest.mark.slow
def test_repeats_are_paired_and_tested_by_question(tmp_path: Path) -> None:
    overrides = (
        "benchmark=arithmetic",
        "limit=12",
        "profile=published",
        "sampling.temperature=1",
        "sampling.repeats=3",
    )
    first = make(tmp_path / "first", right_where(lambda r: r.repeat == 0), *overrides)
    second = make(tmp_path / "second", right_where(lambda r: r.repeat < 2), *overrides)
    compared = compare_runs(first, second)
    (found,) = only(compared).benchmarks
    assert (found.questions, found.answers) == (12, 36)
    assert (found.baseline.accuracy, found.run.accuracy) == pytest.approx((1 / 3, 2 / 3))
    assert found.significance.method == "sign_flip_permutation"
    assert found.significance.p_value == pytest.approx(2 / 2**12)
    assert "12 questions, 36 answers each" in page(compared)
    assert "Permutation test (sign flips" in page(compared)
    fewer = edited(second, tmp_path / "fewer", lambda row: row if row["repeat"] < 2 else None)
    with pytest.raises(RunError, match="the repeats differ for 12 questions"):
        compare_runs(first, fewer)
    assert only(compare_runs(first, fewer, allow_different=True)).benchmarks[0].answers == 24
    patched(fewer, "summary.json", status="failed")
    assert only(compare_runs(first, fewer)).benchmarks[0].answers == 24


def test_questions_are_listed_as_people_count(tmp_path: Path) -> None:
    one = make(tmp_path / "one", lambda request: gold(request.sample_id), *FORTY)
    other = make(tmp_path / "other", lambda _: "no number", *FORTY)
    lines = (other / "samples.jsonl").read_text().splitlines(keepends=True)
    (other / "samples.jsonl").write_text("".join(reversed(lines)))
    (found,) = only(compare_runs(other, one)).benchmarks
    ids = [flip.sample_id for flip in found.better]
    counted = [(name.rpartition("-")[0], int(name.rpartition("-")[2])) for name in ids]
    assert len(ids) == 40
    assert counted == sorted(counted)
