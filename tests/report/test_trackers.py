"""Runs in MLflow and W&B: real stores without any network, read back by the trackers' own readers."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from llmbench.cli.run_job import run_job
from llmbench.errors import ConfigError
from llmbench.report import trackers
from llmbench.results.summary import Summary
from llmbench.run.options import RunOptions
from llmbench.system.decoding import build
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

FEW = ("benchmark=arithmetic", "limit=4", "engine=fake")
SECRET = "hf_AbCdEfGhIjKlMnOp"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def job(folder: Path, *overrides: str) -> dict[str, Any]:
    """Runs it as the command line does and returns what summary.json says of the benchmark."""
    folder.mkdir(parents=True)
    found = run_job(compose([*FEW, *overrides]), folder, RunOptions(overrides=[*FEW, *overrides]), named=True)
    assert found is not None
    assert found.status == "finished"
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    own: dict[str, Any] = summary["benchmarks"]["arithmetic"]
    return own


@pytest.mark.filterwarnings("ignore")  # the tracker's own
def test_mlflow_holds_the_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("alembic", reason="mlflow's local store is not installed")
    from mlflow.tracking import MlflowClient

    runs = tmp_path / "runs"
    settings = (f"runs_dir={runs}", "tracker=mlflow", "tracker_project=mine")
    own = job(runs / "multi" / "night" / "0", *settings, f"benchmarks.arithmetic.instruction={SECRET}")
    job(runs / "multi" / "night" / "1", *settings, "batch_size=2")

    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"night/0", "night/1"}
    first = found["night/0"]
    assert first.info.status == "FINISHED"
    assert first.data.tags["sweep"] == "night"
    assert first.data.params["model.name"] == "smollm2"
    assert found["night/1"].data.params["batch_size"] == "2"
    assert first.data.metrics["arithmetic/accuracy"] == own["accuracy"]
    assert first.data.metrics["arithmetic/latency_s/mean"] == own["latency_s"]["mean"]
    assert {"time_s/total", "arithmetic/rates/no_answer"} <= set(first.data.metrics)
    names = {file.path for file in client.list_artifacts(first.info.run_id)}
    assert names == {"config.yaml", "manifest.json", "summary.json", "samples.jsonl", "report.html"}
    stored = [*(runs / "mlartifacts").rglob("*.*"), runs / "mlflow.db"]
    assert not [path for path in stored if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.mark.filterwarnings("ignore")  # the tracker's own
def test_wandb_holds_the_run_offline(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    folder = tmp_path / "multi" / "night" / "0"
    own = job(folder, "tracker=wandb")
    assert "wandb sync" in capfd.readouterr().err
    (written,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    records, until = wandb_records(written), time.monotonic() + 60
    while not any(record.HasField("exit") for record in records) and time.monotonic() < until:
        time.sleep(0.1)  # W&B's own process may go on writing after `finish`
        records = wandb_records(written)
    run = next(r.run for r in records if r.HasField("run"))
    assert (run.project, run.run_group, run.display_name) == ("llmbench", "night", "night/0")
    logged = {
        "/".join(item.nested_key) or item.key: json.loads(item.value_json)
        for record in records
        if record.HasField("history")
        for item in record.history.item
    }
    assert logged["arithmetic/accuracy"] == own["accuracy"]
    assert logged["arithmetic/throughput/output_tokens_per_s"] == own["throughput"]["output_tokens_per_s"]
    settings = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert settings["benchmarks.arithmetic.max_tokens"] == "64"
    assert SECRET.encode() not in written.read_bytes()


def wandb_records(path: Path) -> list[Any]:
    """W&B's file is LevelDB's log: blocks of 32 KiB, pieces with checksum, length and kind (1 whole; 2, 3, 4 first, middle, last)."""
    from wandb.proto import wandb_internal_pb2

    content, records, parts, place = path.read_bytes(), [], b"", 7
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        if place + 7 + length > len(content):
            break  # not written to its end yet
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            records.append(wandb_internal_pb2.Record.FromString(parts))
            parts = b""
    return records


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(trackers, "distribution", lambda _: None)
    with pytest.raises(ConfigError, match=f"tracker={name} needs .*pip install"):
        run_job(compose([*FEW, f"tracker={name}"]), tmp_path, RunOptions(overrides=FEW), named=True)
    assert not (tmp_path / "samples.jsonl").exists()


@pytest.mark.filterwarnings("ignore")  # the tracker's own
def test_a_tracker_that_fails_loses_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    job(tmp_path / "run", "tracker=mlflow")
    said = capfd.readouterr().err
    assert said.count("tracker=mlflow failed") == 1
    assert "Traceback" not in said


def test_what_was_not_measured_is_no_metric() -> None:
    summary = {
        "time_s": {"total": 2.5, "load": None, "load_parts": {}},
        "gpu": {"energy_j": None},
        "engine": {"name": "fake", "preemptions": 0, "ready": True},
        "benchmarks": {
            "aime": {"n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9], "bounds": None, "details": {"a=b": 1}}
        },
    }
    found = trackers.metrics_of(build(summary, Summary))
    measured = {name: value for name, value in found.items() if value}
    assert measured.pop("engine/loads") == measured.pop("aime/repeats") == 1
    assert measured | {"engine/preemptions": found["engine/preemptions"]} == {
        "time_s/total": 2.5,
        "engine/preemptions": 0,
        "aime/n": 2,
        "aime/accuracy": 0.5,
        "aime/ci95_low": 0.1,
        "aime/ci95_high": 0.9,
        "aime/details/a_b": 1,
    }


def test_settings_are_flat_and_without_tables_or_secrets() -> None:
    settings = {
        "model": {"name": "m", "path": f"/x/{SECRET}", "url": "https://me:pass@host/x"},
        "benchmarks": {"aime": {"stop": ["a"], "profiles": {"debug": {"n": 1}}, "reference": []}},
    }
    assert trackers.params_of(settings) == {
        "model.name": "m",
        "model.path": "/x/***",
        "model.url": "https://***@host/x",
        "benchmarks.aime.stop": '["a"]',
    }
