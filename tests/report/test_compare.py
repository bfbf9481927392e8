"""Comparisons: their numbers, their page, their command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from llmbench.compare import main
from llmbench.config.dump import as_yaml_data
from llmbench.errors import RunError
from llmbench.report import run_entry
from llmbench.report.compare.comparison import as_dict, compare_runs
from llmbench.report.run_entry import RunEntry
from llmbench.results.manifest import Manifest
from llmbench.results.reader import Run
from llmbench.results.settings import differing, read_config
from llmbench.results.summary import Summary
from tests.helpers.commands import python
from tests.helpers.runs import FORTY, MCQ, edited, flat, gold, make, only, page, patched, place, three
from tests.helpers.settings import compose


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return three(tmp_path_factory.mktemp("runs"))


def test_the_numbers_are_those_of_the_answers(runs: dict[str, Path]) -> None:
    compared = compare_runs(runs["third"], runs["most"])
    (found,) = only(compared).benchmarks
    ids = json.loads((runs["third"] / "manifest.json").read_text())["samples"]["arithmetic"]
    third = {i for i in ids if int(i[-3:]) % 3 == 0}
    most = {i for i in ids if int(i[-3:]) % 10 != 0}
    assert (found.questions, found.answers, found.notes) == (40, 40, ())
    assert (found.baseline.accuracy, found.run.accuracy) == (len(third) / 40, len(most) / 40)
    assert found.difference.difference == pytest.approx((len(most) - len(third)) / 40)
    assert {flip.sample_id for flip in found.better} == most - third
    assert {flip.sample_id for flip in found.worse} == third - most
    assert found.significance.p_value == binomtest(len(most - third), len(most ^ third)).pvalue
    assert found.distinguishable
    assert (found.baseline.answered, found.run.answered) == (1.0, 1.0)


def test_the_page_says_what_can_be_distinguished_and_what_cannot(runs: dict[str, Path]) -> None:
    text = page(compare_runs(runs["third"], runs["most"]))
    assert max(map(len, text.splitlines())) <= 100
    assert "Distinguishable from chance at the 5% level, in favour of B." in flat(text)
    for part in (
        "McNemar's exact test: p = ",
        "discordant",
        "95% interval",
        "time to score",
        "peak GPU memory",
        "energy",
    ):
        assert part in flat(text)
    text = flat(page(compare_runs(runs["third"], runs["close"])))
    assert "Not distinguishable from chance at the 5% level, which does not mean equal." in text
    assert "Smallest detectable effect: a true difference of " in text
    assert "B worse than A (0): none" in text


def test_a_run_against_itself_differs_in_nothing(runs: dict[str, Path]) -> None:
    found = only(compare_runs(runs["third"], runs["third"]))
    (benchmark,) = found.benchmarks
    assert benchmark.difference.difference == 0.0
    assert benchmark.significance.p_value == 1.0
    assert (benchmark.better, benchmark.worse, found.settings) == ((), (), ())
    assert {q.ratio for q in benchmark.quantities} <= {1.0, None}


def test_several_runs_are_compared_with_the_first(runs: dict[str, Path]) -> None:
    compared = compare_runs(runs["third"], runs["close"], runs["most"])
    assert [Path(run.run.folder).name for run in compared.runs] == ["close", "most"]
    text = flat(page(compared))
    assert "C - A: " in text
    assert "2 tests stand on this page" in text
    assert "below 0.025" in text


def test_settings_that_differ_are_listed_by_their_dotted_names(runs: dict[str, Path], tmp_path: Path) -> None:
    other = make(tmp_path / "other", lambda _: "7", *FORTY, "batch_size=4", "sampling.temperature=0.5")
    found = only(compare_runs(runs["third"], other))
    assert found.settings is not None
    assert {s.name: (s.baseline, s.run) for s in found.settings} == {
        "batch_size": (None, 4),
        "sampling.temperature": (0.0, 0.5),
    }
    assert "batch_size: None → 4" in page(compare_runs(runs["third"], other))
    (other / "config.yaml").unlink()
    compared = compare_runs(runs["third"], other)
    assert only(compared).settings is None
    assert "a config.yaml is missing" in page(compared)


def test_settings_of_benchmarks_that_only_one_run_has_are_no_difference() -> None:
    first = {"benchmarks": {"a": {"n": 1}, "b": {"n": 1}}, "args": {}}
    second = {"benchmarks": {"a": {"n": 2}, "c": {"n": 1}}, "args": {"x": 1}}
    assert [(s.name, s.baseline, s.run) for s in differing(first, second)] == [
        ("args.x", None, 1),
        ("benchmarks.a.n", 1, 2),
    ]


def test_settings_that_came_later_are_no_difference_until_they_are_used() -> None:
    now = as_yaml_data(compose([]))
    new = {
        "engine": ("deterministic", "remember_kv_cache", "replicas", "speculative_max_running", "weights_copies_max_bytes", "weights_copy"),
        "sampling": ("thinking_budget", "answer_tokens"),
    }  # fmt: skip
    before = now | {
        group: {name: value for name, value in now[group].items() if name not in names}
        for group, names in new.items()
    }
    del before["stop_when"], before["judge"]
    arithmetic = now["benchmarks"]["arithmetic"]
    assert (now["fewshot"], arithmetic["fewshot"]) == (None, 0)
    before["fewshot"] = 0  # which was the default
    before["benchmarks"] = {
        "arithmetic": {name: value for name, value in arithmetic.items() if name != "checked"}
    }
    assert differing(before, now) == differing(now, before) == ()
    entries = [RunEntry(Run(Path(), Summary(), Manifest(), []), each) for each in (before, now)]
    assert run_entry.differing(entries) == []
    used = as_yaml_data(compose(["stop_when.ci_width=0.1", "sampling.thinking_budget=512", "fewshot=3"]))
    assert [s.name for s in differing(before, used)] == [
        "benchmarks.arithmetic.fewshot", "fewshot", "sampling.thinking_budget", "stop_when.ci_width",
    ]  # fmt: skip
    assert differing({"engine": {}}, {"engine": {"replicas": 2}})


def test_up_to_how_many_requests_tokens_are_drafted_matters_where_they_are() -> None:
    def settings(below: int, **speculative: str) -> dict[str, Any]:
        return {"engine": {"speculative": speculative, "speculative_max_running": below}}

    assert differing(settings(16), settings(64)) == ()
    differ = differing(settings(16, method="ngram"), settings(64, method="ngram"))
    assert [s.name for s in differ] == ["engine.speculative_max_running"]
    before = {"engine": {"speculative": {}, "speculative_below": 16}}  # its name in runs of before 0.2.0
    assert differing(before, settings(64)) == ()


def test_unanswered_texts_count_as_wrong_and_are_shown_apart(runs: dict[str, Path], tmp_path: Path) -> None:
    silent = make(
        tmp_path / "silent", lambda r: "I cannot say" if place(r) % 2 else gold(r.sample_id), *FORTY
    )
    found = only(compare_runs(runs["third"], silent)).benchmarks[0]
    assert found.run.answered == found.run.accuracy < 1
    assert found.baseline.answered == 1.0


def test_sealed_questions_stand_nowhere(tmp_path: Path) -> None:
    overrides = ("benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", "profile=published")
    rows = [json.loads(line) for line in MCQ.read_text().splitlines()]
    make(tmp_path / "first", lambda _: f"{rows[0]['Question']} Answer: A", *overrides)
    make(tmp_path / "second", lambda _: f"{rows[0]['Question']} Answer: B", *overrides)
    compared = compare_runs(tmp_path / "first", tmp_path / "second")
    assert only(compared).benchmarks[0].better
    written = page(compared) + json.dumps(as_dict(compared), default=str)
    for row in rows:
        assert row["Question"][:30] not in written
        assert row["Correct Answer"] not in written or len(row["Correct Answer"]) < 6


def test_what_files_say_does_not_steer_the_terminal(runs: dict[str, Path], tmp_path: Path) -> None:
    hostile = "[red]\x1b[31mword[/red]"

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"id": row["id"].replace("word", hostile)}

    first, second = (edited(runs[name], tmp_path / name, edit) for name in ("third", "most"))
    text = page(compare_runs(first, second))
    assert "\x1b" not in text
    assert "[red]\\x1b[31mword[/red]" in text.replace("\n", "")
    patched(second, "summary.json", model="[bold]\x07")
    assert "[bold]\\x07" in page(compare_runs(first, second))


NAMES = {
    "benchmark", "questions", "answers", "baseline", "run", "difference", "significance", "distinguishable",
    "smallest_detectable", "better", "worse", "quantities", "notes",
    "judges",
}  # fmt: skip


def test_the_command_prints_json_with_stable_names(runs: dict[str, Path]) -> None:
    done = python("-m", "llmbench.compare", "third", "most", "--json", folder=runs["third"].parent)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found.keys() == {"version", "baseline", "runs"}
    (run,) = found["runs"]
    assert run.keys() == {"run", "benchmarks", "quantities", "settings", "notes"}
    (benchmark,) = run["benchmarks"]
    assert benchmark.keys() == NAMES
    assert benchmark["significance"].keys() == {"method", "p_value", "only_first", "only_second"}
    assert benchmark["difference"].keys() == {"questions", "difference", "stderr", "ci95"}
    assert benchmark["baseline"].keys() == {"accuracy", "stderr", "ci95", "answered"}
    assert benchmark["better"][0].keys() == {"sample_id", "before", "after"}
    energy = next(q for q in run["quantities"] if q["name"] == "gpu.energy_j")
    assert (energy["baseline"], energy["run"], energy["ratio"]) == (None, None, None)


def test_the_command_fails_in_one_sentence(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = str(runs["third"])
    broken = shutil.copytree(runs["most"], tmp_path / "broken")
    (broken / "config.yaml").write_text("a: [")
    no_json = shutil.copytree(runs["most"], tmp_path / "no_json")
    (no_json / "summary.json").write_text("{")
    odd = patched(shutil.copytree(runs["most"], tmp_path / "odd"), "summary.json", benchmarks=[1])
    for arguments in (
        [third],
        [third, str(tmp_path)],
        [third, str(broken)],
        [third, str(no_json)],
        [third, str(odd)],
        [third, third, "--jsn"],
    ):
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("llmbench: ")
        assert err.count("\n") == 1
    assert main([third, third]) == 0


def test_settings_must_be_a_mapping(tmp_path: Path) -> None:
    assert read_config(tmp_path) is None
    (tmp_path / "config.yaml").write_text("- 1")
    with pytest.raises(RunError, match="holds no settings"):
        read_config(tmp_path)
