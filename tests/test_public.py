"""What other programs rely on: commands, names, the files of a run folder and what is in them.

`data/runs_of_0.1.0` was made by version 0.1.0 (commit 33d01d5, 2026-11-26): a finished run, one that broke, a sweep, and a run of SmolLM2.
"""

import importlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llmbench
from llmbench import answers, telemetry
from llmbench.cli.main import main
from llmbench.config.paths import config_folder
from tests.helpers.paths import DATA, ROOT

BEFORE = DATA / "runs_of_0.1.0"
COMMANDS = ("compare", "regrade", "report.__main__", "runs", "cache", "export")


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(BEFORE, tmp_path / "before")


def names(content: Any, prefix: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """The dotted names of all that a JSON object holds."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{prefix}{key}"
            yield from names(value, f"{prefix}{key}.")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(f"llmbench.{name}").main(["--help"])
    assert f"python -m llmbench.{name.removesuffix('.__main__')} " in capsys.readouterr().out


def test_the_library_has_its_names() -> None:
    names = {"Run", "Session", "__version__", "compare_runs", "evaluate", "grade", "load_run"}
    assert names <= set(llmbench.__all__)
    assert all(getattr(llmbench, name) for name in llmbench.__all__)
    assert names <= set(dir(llmbench))
    functions = ("math_answer", "integer_answer", "number_answer", "choice", "code_block", "patch")
    assert all(callable(getattr(answers, name)) for name in functions)
    assert {"EngineState", "GpuSample", "MemoryTracker", "Sample", "Sampler", "Totals", "read_trace"} <= set(
        telemetry.__all__
    )


def test_the_groups_of_settings_stay() -> None:
    groups = {path.name for path in config_folder().iterdir() if path.is_dir()}
    assert {"ablation", "benchmark", "engine", "model", "profile", "suite", "sweep"} <= groups


def test_a_new_run_has_the_files_and_the_names_of_an_old_one(before: Path) -> None:
    assert main(["benchmark=arithmetic", "engine=fake", "limit=6", "hydra.run.dir=new"]) == 0
    files = {path.name for path in Path("new").iterdir()}
    assert files >= {"config.yaml", "llmbench.log", "manifest.json", "memory.log", "report.html"}
    assert files >= {"samples.jsonl", "summary.json", "trace.jsonl"}
    manifest = json.loads(Path("new", "manifest.json").read_text())
    head = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    known = head.stdout.strip() if head.returncode == 0 and (ROOT / ".git").exists() else None
    assert known == (manifest["git_commit"] and manifest["git_commit"].rstrip("+"))
    for file in ("summary.json", "manifest.json"):
        old, new = (json.loads((run / file).read_text()) for run in (before / "finished", Path("new")))
        assert set(names(old)) <= set(names(new))
    old, new = (
        (run / "samples.jsonl").read_bytes().splitlines() for run in (before / "finished", Path("new"))
    )
    assert set(names(json.loads(old[0]))) <= set(names(json.loads(new[0])))


@pytest.mark.parametrize("name", ["finished", "interrupted", "smollm2", "sweep/0", "sweep/1"])
def test_an_old_run_is_read_reported_and_regraded(before: Path, name: str) -> None:
    run = llmbench.load_run(before / name)
    assert run.results
    assert importlib.import_module("llmbench.report.__main__").main([str(before / name)]) == 0
    assert (before / name / "report.html").stat().st_size > 10_000
    assert importlib.import_module("llmbench.regrade").main([str(before / name)]) == 0
    regraded = json.loads((before / name / "summary.regraded.json").read_text())
    scores = [summary["benchmarks"]["arithmetic"]["accuracy"] for summary in (run.summary, regraded)]
    assert scores[0] == scores[1]


def test_old_runs_are_compared_listed_and_exported(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(before / "sweep" / number) for number in "01"]
    assert importlib.import_module("llmbench.compare").main(folders) == 0
    assert "arithmetic: B and A on 4 questions" in capsys.readouterr().out
    assert importlib.import_module("llmbench.runs").main([str(before)]) == 0
    assert "5 runs" in capsys.readouterr().out
    assert importlib.import_module("llmbench.export").main([folders[0], "--to", "export"]) == 0
    assert any(Path("export").iterdir())


def test_old_runs_are_resumed(before: Path) -> None:
    assert [main([f"resume={before / 'interrupted'}"]) for _ in range(2)] == [
        1,
        0,
    ]  # it breaks after each three
    run = llmbench.load_run(before / "interrupted")
    assert run.summary["status"] == "finished"
    assert len(run.results) == 8
    first = (before / "sweep" / "0" / "summary.json").read_bytes()
    shutil.rmtree(before / "sweep" / "1")
    assert main([f"resume={before / 'sweep'}"]) == 0
    assert (before / "sweep" / "0" / "summary.json").read_bytes() == first
    assert llmbench.load_run(before / "sweep" / "1").summary["status"] == "finished"
