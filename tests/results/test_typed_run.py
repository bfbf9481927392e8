"""A run's files are written from records and read back into the same ones; programs of 0.1 read them as mappings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmbench.cli.job import JobRow, SweepAttempt, SweepSummary
from llmbench.errors import RunError
from llmbench.records import Outcome, Score
from llmbench.results.manifest import (
    MANIFEST,
    SUMMARY,
    Attempt,
    DataOrigin,
    GpuModel,
    Machine,
    Manifest,
    read_record,
    write_object,
)
from llmbench.results.metrics import summarise
from llmbench.results.reader import load_run, read_journal
from llmbench.results.recovery import Step
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Phases, Summary, TimeSplit
from llmbench.telemetry.engine_report import Restart
from tests.helpers.factories import RICH_RESULT
from tests.helpers.paths import DATA
from tests.helpers.runs import FORTY, make, patched

BEFORE = DATA / "runs_of_0.1.0"
ATTEMPTS = [Attempt("2026-11-26T16:52:24+0000", 1795711944.38, "finished", 1, 1.5)]
MANIFESTS = Manifest(
    status="finished",
    started="2026-11-26T16:52:24+0000",
    overrides=["benchmark=b"],
    versions={"vllm": None, "torch": "2.13"},
    machine=Machine("Linux", "3.11", 2, 1 << 34, [GpuModel("H100", 80 << 30, "580")]),
    tracked=["mlflow"],
    arguments=["benchmark=b", "-v"],
    recovery=[Step("free", "batch_size", None, 2), Step("context", "engine.startup", "full", "eager")],
    restarts=[Restart("It died.", 2, 1, fresh=False)],
    sittings=ATTEMPTS,
    data={"b": DataOrigin("generated", fingerprint="ab", rows=1, load_s=0.5)},
    samples={"b": ["1"]},
)
SUMMARIES = Summary(
    "finished",
    "m",
    "published",
    time_s=TimeSplit(total=3.0, import_=1.0, load_parts={"weights": None}, requests=Phases(1.0, 2.0, 3.0)),
    benchmarks={"b": summarise([RICH_RESULT, replace(RICH_RESULT, repeat=1)], 2, 2, cache=True)},
    sittings=ATTEMPTS,
)


def written(folder: Path) -> Path:
    with RunFolder(folder, frozenset({"b"})) as store:
        store.append(RICH_RESULT)
        store.write_manifest(MANIFESTS)
        store.write_summary(SUMMARIES)
    return folder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = load_run(written(tmp_path))
    assert run.manifest == MANIFESTS
    assert run.summary == SUMMARIES
    assert json.loads((tmp_path / SUMMARY).read_text())["time_s"]["import"] == 1.0
    summary = SweepSummary(
        "failed",
        2.5,
        3,
        [SweepAttempt("", 1.0, "killed", 3, 2.5)],
        [[0]],
        [JobRow(0, ["seed=1"], "f", "finished", None, SUMMARIES, 1), JobRow(1, [], "g", "failed", "e", None)],
    )
    write_object(tmp_path / "sweep.json", summary.as_dict())
    assert read_record(tmp_path / "sweep.json", SweepSummary) == summary


def test_programs_of_before_read_the_records_as_mappings(tmp_path: Path) -> None:
    run = load_run(written(tmp_path))
    assert run.summary["benchmarks"]["b"]["rates"]["elicited"] == 1.0
    assert run.summary.get("error") is None
    assert "benchmarks" in run.summary
    assert run.summary == json.loads((tmp_path / SUMMARY).read_text()) == dict(run.summary)
    assert {**run.manifest}["machine"]["gpus"] == [{"name": "H100", "total_bytes": 80 << 30, "driver": "580"}]


def _known_before(now: Any, before: Any) -> Any:  # noqa: ANN401 - plain data
    """What a file of today says under the names that one of before has."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {key: _known_before(now[key], value) for key, value in before.items()}
    if isinstance(now, list) and isinstance(before, list):
        return [_known_before(*pair) for pair in zip(now, before, strict=True)]
    return now


@pytest.mark.parametrize("name", ["finished", "interrupted", "smollm2", "sweep/0", "sweep/1"])
def test_a_run_of_before_keeps_every_name_and_value(name: str) -> None:
    run = load_run(BEFORE / name)
    for record, file in ((run.summary, SUMMARY), (run.manifest, MANIFEST)):
        told = json.loads((BEFORE / name / file).read_text())
        assert _known_before(dict(record), told) == told


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (SUMMARY, {"benchmarks": {"arithmetic": {"n": "x"}}}, "benchmarks.arithmetic.n must be a whole number, not 'x'"),
        (SUMMARY, {"benchmarks": {"arithmetic": {"n": 2**64}}}, "benchmarks.arithmetic.n must be a whole number, not 1.8446744073709552e\\+19"),
        (SUMMARY, {"engine": {"name": None}}, "engine.name must be text, not null"),
        (SUMMARY, {"warnings": [1]}, r"warnings\[0\] must be text, not 1"),
        (MANIFEST, {"samples": {"a": ["x"], "arithmetic": [None]}}, r"samples.arithmetic\[0\] must be text, not null"),
        (MANIFEST, {"machine": {"gpus": [{"name": 3}]}}, r"machine.gpus\[0\].name must be text, not 3"),
        (MANIFEST, {"recovery": [{"cause": "free"}]}, r"recovery\[0\] lacks setting"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_the_field(tmp_path: Path, name: str, change: object, said: str) -> None:
    run = make(tmp_path / "run", lambda _: "7", *FORTY, "limit=2", "report=false")
    assert isinstance(change, dict)
    patched(run, name, **change)
    with pytest.raises(
        RunError, match=rf"{name} cannot be read \({said}\); take it from a backup, or run again\."
    ):
        load_run(run)


def test_scores_that_come_later_stand_in_the_journal(tmp_path: Path) -> None:
    other = replace(RICH_RESULT, sample_id="2")
    later = Score(0.0, "2", Outcome.WRONG, "the harness says so")
    with RunFolder(tmp_path, frozenset({"b"})) as store:
        store.append(RICH_RESULT)
        store.append(other)
        store.replace_scores({other.key: later})
        store.append(replace(RICH_RESULT, sample_id="3"))
    scores = {result.sample_id: result.score for result in read_journal(tmp_path)}
    assert scores == {"1": RICH_RESULT.score, "2": later, "3": RICH_RESULT.score}
    assert b"two" not in (tmp_path / "samples.jsonl").read_bytes()
