"""`predictions.jsonl`, rates, and the official harness: started where it can be, named where it cannot."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.benchmarks.swe import predictions
from llmbench.benchmarks.swe.scoring import PatchVerdict, scored
from llmbench.records import Outcome, Score
from llmbench.results.reader import load_run
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.run.regrade import regrade_run
from tests.helpers.engines import FakeEngines
from tests.helpers.factories import result
from tests.helpers.settings import compose
from tests.helpers.swe import CALC, ROWS, TAG, URL, tagged, write

OPTIONS = {"dataset": "SWE-bench/SWE-bench_Lite", "harness_workers": 2}


RESULTS = [
    result(CALC, score=scored(PatchVerdict.UNCHECKED, "patch of calc\n")),
    result(CALC, score=scored(PatchVerdict.UNCHECKED, "another\n"), repeat=1),
    result(URL, score=scored(PatchVerdict.UNCHECKED, "patch of url\n")),
    result(TAG, score=Score(0.0, None, Outcome.NO_ANSWER)),
]


def test_predictions_have_the_harnesss_fields(tmp_path: Path) -> None:
    path = predictions.write(tmp_path, RESULTS, "qwen14b")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [
        {"instance_id": CALC, "model_name_or_path": "qwen14b", "model_patch": "patch of calc\n"},
        {"instance_id": TAG, "model_name_or_path": "qwen14b", "model_patch": ""},
        {"instance_id": URL, "model_name_or_path": "qwen14b", "model_patch": "patch of url\n"},
    ]


def test_the_official_reader_takes_them(tmp_path: Path) -> None:
    utils = pytest.importorskip("swebench.harness.utils", reason="the package swebench is not installed")
    path = predictions.write(tmp_path, RESULTS, "qwen14b")
    data = write(tmp_path / "data.jsonl", list(ROWS.values()))
    rows = utils.get_predictions_from_file(str(path), str(data), "test")
    assert [row["instance_id"] for row in rows] == [CALC, TAG, URL]


def test_rates() -> None:
    found = predictions.details(
        [
            result(CALC, score=scored(PatchVerdict.RESOLVED, "p")),
            result(URL, score=scored(PatchVerdict.UNRESOLVED, "p")),
            result(TAG, score=scored(PatchVerdict.NOT_APPLYING, "p")),
            result("x", score=Score(0.0, None, Outcome.NO_ANSWER)),
        ]
    )
    assert (found["patch_found"], found["applies"], found["resolved"], found["tested"]) == (
        0.75,
        0.5,
        0.25,
        2,
    )
    unknown = predictions.details(RESULTS)
    assert (unknown["patch_found"], unknown["applies"], unknown["resolved"]) == (0.75, None, None)


def test_the_harnesss_report_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for the harness writes a report as swebench 5 does, where its own command line says."""
    script = tmp_path / "harness.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "options = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "rows = [json.loads(line) for line in open(options['--predictions_path'])]\n"
        "name = rows[0]['model_name_or_path'].replace('/', '__') + '.' + options['--run_id'] + '.json'\n"
        "report = {'resolved_ids': [rows[0]['instance_id']], 'unresolved_ids': [rows[2]['instance_id']]}\n"
        "pathlib.Path(options['--report_dir'], name).write_text(json.dumps(report))\n"
    )
    whole = predictions.command
    monkeypatch.setattr(
        predictions, "command", lambda *given: [sys.executable, str(script), *whole(*given)[3:]]
    )
    path = predictions.write(tmp_path, RESULTS, "Qwen/qwen14b")
    report = predictions.evaluate(path, "Qwen/qwen14b", OPTIONS)
    assert report is not None
    given = predictions.with_report(RESULTS, report)
    assert {name: score.outcome for name, score in given.items()} == {
        CALC: Outcome.CORRECT,
        URL: Outcome.WRONG,
    }
    assert (tmp_path / predictions.REPORT).exists()


def test_a_harness_that_fails_gives_no_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(predictions, "command", lambda *_: [sys.executable, "-c", "raise SystemExit(1)"])
    assert predictions.evaluate(predictions.write(tmp_path, RESULTS, "m"), "m", OPTIONS) is None


@pytest.mark.usefixtures("sandboxed")
def test_a_run_without_docker_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question brings its repository and is resolved here; of the other only the patch is known."""
    bare = {key: value for key, value in ROWS[URL].items() if key != "files"}
    path = write(tmp_path / "rows.jsonl", [ROWS[CALC], bare])
    monkeypatch.setattr(predictions, "missing", lambda: "there is no Docker")
    engines = FakeEngines(lambda request: tagged(ROWS[request.sample_id]["patch"]))
    config = compose(["benchmark=swe_bench", "engine=fake", f"benchmarks.swe_bench.data_files={path}"])
    with engines.pool() as pool:
        found = pipeline.run(config, tmp_path / "run", RunOptions(pool=pool))
    summary = found.benchmarks["swe_bench"]
    assert summary.details is not None
    assert summary.details["verdicts"] == {"resolved": 1, "not checked": 1}
    assert (summary.accuracy, summary.bounds) == (0.5, (0.5, 1.0))
    (said,) = [warning for warning in found.warnings if "Docker" in warning]
    assert "none is called resolved" in said
    assert "python -m swebench.harness.run_evaluation --dataset_name SWE-bench/SWE-bench_Lite" in said
    rows = [json.loads(line) for line in (tmp_path / "run" / predictions.FILE).read_text().splitlines()]
    assert {row["instance_id"]: row["model_patch"] for row in rows} == {
        n: ROWS[n]["patch"] for n in (CALC, URL)
    }


@pytest.mark.usefixtures("sandboxed")
def test_regrading_keeps_what_the_harness_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {key: value for key, value in ROWS[URL].items() if key != "files"}
    path = write(tmp_path / "rows.jsonl", [bare])
    resolved = Score(1.0, ROWS[URL]["patch"], Outcome.CORRECT, "the harness says so")
    monkeypatch.setattr(predictions, "missing", lambda: None)
    monkeypatch.setattr(predictions, "evaluate", lambda *_: {})
    monkeypatch.setattr(
        predictions,
        "with_report",
        lambda results, _: {r.sample_id: replace(resolved, answer=r.score.answer) for r in results},
    )
    engines = FakeEngines(lambda request: tagged(ROWS[request.sample_id]["patch"]))
    config = compose(["benchmark=swe_bench", "engine=fake", f"benchmarks.swe_bench.data_files={path}"])
    with engines.pool() as pool:
        found = pipeline.run(config, tmp_path / "run", RunOptions(pool=pool))
    assert found.benchmarks["swe_bench"].accuracy == 1.0
    assert load_run(tmp_path / "run").results[0].score.outcome is Outcome.CORRECT
    again = regrade_run(tmp_path / "run", workers=1)
    assert (again.changes, again.summary.benchmarks["swe_bench"].accuracy) == ((), 1.0)
