"""A run's results for other programs, made by the fake engine and read back by the programs themselves."""

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from llmbench.cli.run_job import run_job
from llmbench.errors import ConfigError, RunError
from llmbench.export import main
from llmbench.report.export import export_run, tables
from llmbench.results.rows import rows as rows_of
from llmbench.run.options import RunOptions
from tests.helpers.runs import MCQ, make, place, right_where
from tests.helpers.settings import compose

HOSTILE = ["=HYPERLINK(1)", "+cmd", "-5", "@SUM(A1)", "'quoted", "a\0b", 'x\r\n"y",z', "<b>é 😀"]
FEW = ("benchmark=arithmetic", "limit=8", "profile=published", "engine=fake")
SEALED = (
    "benchmark=gpqa",
    f"benchmarks.gpqa.data_files={MCQ}",
    "benchmarks.gpqa.num_samples=2",
    "engine=fake",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return make(folder, right_where(lambda request: place(request) % 4 != 0), *FEW)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    said: dict[str, str] = {}
    return make(
        tmp_path_factory.mktemp("runs") / "run",
        lambda request: said.setdefault(request.sample_id, HOSTILE[len(said) % len(HOSTILE)]),
        *FEW,
        "early_stopping=off",
    )


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("runs") / "run", lambda _: "SECRETREPLY. Answer: B", *SEALED)


def journal(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_result_with_tokens_and_times(run: Path, tmp_path: Path) -> None:
    (path,) = export_run(run, ["parquet"], tmp_path)
    for row, line in zip(read_parquet(path), journal(run), strict=True):
        first = line["completions"][0]
        same = ("benchmark", "id", "repeat", "outcome", "value", "target", "prompt", "text", "prompt_hash")
        assert {name: row[name] for name in same} == {name: line[name] for name in same}
        assert row["answer"] == line["score"]["answer"]
        assert row["ttft_s"] == first["timing"]["ttft"]
        assert row["output_tokens"] == sum(c["output_tokens"] for c in line["completions"])
        assert row["finish_reason"] == first["finish_reason"]
        assert json.loads(row["fields"]) == line["fields"]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_datasets_reads_it(run: Path, tmp_path: Path, form: str) -> None:
    from datasets import load_dataset

    (path,) = export_run(run, [form], tmp_path)
    rows = load_dataset(form, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["id"] == [line["id"] for line in journal(run)]
    assert rows["value"] == [line["value"] for line in journal(run)]


def test_hostile_texts_come_back_whole(hostile: Path, tmp_path: Path) -> None:
    exported, table = export_run(hostile, ["parquet", "csv"], tmp_path)
    texts = {line["id"]: line["text"] for line in journal(hostile)}
    assert sorted(texts.values()) == sorted(HOSTILE)
    assert {row["id"]: row["text"] for row in read_parquet(exported)} == texts
    cells = {row["id"]: row["text"].removeprefix("'") for row in read_csv(table)}
    assert cells == {name: text.replace("\0", "\ufffd") for name, text in texts.items()}


def test_no_cell_is_a_formula(hostile: Path, tmp_path: Path) -> None:
    (path,) = export_run(hostile, ["csv"], tmp_path)
    cells = [cell for row in read_csv(path) for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert "-5" in cells  # a number stays one


def test_a_lone_surrogate_breaks_nothing(tmp_path: Path) -> None:
    from llmbench.records import Outcome, Result, Score
    from llmbench.report.export import tables

    result = Result(
        "b", "1", 0, "t", "p\ud800", "h", "x\udfffy", (), Score(0.0, "\udc00", Outcome.ERROR), fields={"a": 1}
    )
    rows = rows_of([result], set())
    (tmp_path / "a").write_bytes(tables.parquet(rows))
    (tmp_path / "b").write_bytes(tables.csv(rows))
    assert read_parquet(tmp_path / "a")[0]["text"] == read_csv(tmp_path / "b")[0]["text"] == "x\ufffdy"
    assert read_parquet(tmp_path / "a")[0]["ttft_s"] is None


@pytest.mark.parametrize("text", ["a\r=1+1", "a\r", "a\n=1+1", "a\r\n=1+1", 'a"\r"=1+1'])
def test_no_line_break_in_a_text_begins_a_row(tmp_path: Path, text: str) -> None:
    from llmbench.records import Outcome, Result, Score
    from llmbench.report.export import tables

    result = Result("b", "1", 0, "t", text, "h", text, (), Score(0.0, None, Outcome.WRONG))
    (tmp_path / "a.csv").write_bytes(tables.csv(rows_of([result], set())))
    (row,) = read_csv(tmp_path / "a.csv")
    assert row["text"] == row["prompt"] == text
    assert row["fields"] == "{}"


def test_sealed_questions_are_in_no_export(sealed: Path, tmp_path: Path) -> None:
    files = export_run(sealed, to=tmp_path)
    assert len(files) == 4
    words = [json.loads(line)["Question"] for line in MCQ.read_text().splitlines()]
    for path in files:
        content = path.read_bytes()
        assert b"SECRETREPLY" not in content
        assert not [word for word in words if word[:30].encode() in content]
    for row in read_parquet(tmp_path / "samples.parquet"):
        secret = ("prompt", "text", "answer", "fields", "explanation")
        assert row["sealed"]
        assert {row[name] for name in secret} == {None}
        assert row["output_tokens"] > 0
    (lines,) = (tmp_path / "lm_eval").glob("samples_gpqa_*.jsonl")
    first = json.loads(lines.read_text().splitlines()[0])
    assert (first["resps"], first["filtered_resps"], first["doc"]["fields"]) == ([[None]], [None], None)


def results_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("lm_eval/results_*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_the_harness_gets_its_names(run: Path, tmp_path: Path) -> None:
    export_run(run, ["lm_eval"], tmp_path)
    found = results_of(tmp_path)
    summary = json.loads((run / "summary.json").read_text())["benchmarks"]["arithmetic"]
    values = found["results"]["arithmetic"]
    assert values["exact_match,none"] == summary["accuracy"] == 0.75
    assert values["exact_match_stderr,none"] == summary["stderr"]
    assert found["n-samples"]["arithmetic"]["effective"] == 8
    assert found["higher_is_better"] == {"arithmetic": {"exact_match": True}}
    drawn = found["configs"]["arithmetic"]["generation_kwargs"]
    assert (drawn["repetition_penalty"], drawn["presence_penalty"], drawn["frequency_penalty"]) == (
        1.0,
        0.0,
        0.0,
    )
    (samples,) = tmp_path.glob("lm_eval/samples_arithmetic_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert sorted(row["doc_id"] for row in rows) == list(range(8))
    assert sum(row["exact_match"] for row in rows) / 8 == 0.75


def test_the_harness_prints_its_table(run: Path, sealed: Path, tmp_path: Path) -> None:
    utils = pytest.importorskip("lm_eval.utils", reason="lm_eval is not installed")
    export_run(run, ["lm_eval"], tmp_path / "a")
    export_run(sealed, ["lm_eval"], tmp_path / "b")
    one, two = (
        [cell.strip() for cell in utils.make_table(results_of(tmp_path / name)).split("|")] for name in "ab"
    )
    assert {"arithmetic", "none", "exact_match", "↑", "0.75", "±", "0.1637"} <= set(one)
    assert {"gpqa", "acc"} <= set(two)
    (samples,) = tmp_path.glob("a/lm_eval/samples_*.jsonl")
    assert utils.get_file_task_name(samples.name) == "arithmetic"
    assert utils.get_sample_results_filenames([str(samples)]) == [str(samples)]


def test_a_run_exports_at_its_end(tmp_path: Path) -> None:
    config = compose([*FEW, "export=parquet"])
    assert config.export == ["parquet"]
    assert run_job(config, tmp_path, RunOptions(overrides=FEW), named=True) is not None
    assert len(read_parquet(tmp_path / "samples.parquet")) == 8


def test_an_export_that_fails_loses_no_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tables, "csv", full)
    found = run_job(compose([*FEW, "export=[csv]"]), tmp_path, RunOptions(overrides=FEW), named=True)
    assert found is not None
    assert found.status == "finished"
    assert "python -m llmbench.export" in capfd.readouterr().err


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean parquet"):
        compose(["export=parket"])


def test_the_command_line(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--format", "csv,parquet", "--to", str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"samples.csv", "samples.parquet"}
    assert main([str(run), "--format", "exel"]) == 1
    assert main([str(tmp_path)]) == 1
    assert "not the folder of a run" in capfd.readouterr().err
    with pytest.raises(RunError):
        export_run(tmp_path)
