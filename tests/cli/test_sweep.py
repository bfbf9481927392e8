"""Multiruns as a user meets them: which engine serves which job, what order that gives, and what is left at the end."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hydra.experimental.callback import Callback
from rich.console import Console

from llmbench.cli import sweep
from llmbench.cli.job import Job
from llmbench.cli.main import main
from llmbench.records import Outcome
from llmbench.results.metrics import summarise
from llmbench.results.summary import Summary, TimeSplit
from tests.helpers.commands import wait_until
from tests.helpers.factories import result
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

QUICK = ("engine=fake", "limit=3", "report=False")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only_sweep(folder: Path) -> Path:
    (found,) = (folder / "runs" / "multi").iterdir()
    return found


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((only_sweep(folder) / "summary.json").read_text())
    return found


def settings(folder: Path, found: dict[str, Any]) -> list[tuple[int, int]]:
    """What each job ran with, in the order of the sweep's summary: batch size, and context length from its folder."""
    lengths = []
    for job in found["jobs"]:
        line = next(
            line
            for line in (only_sweep(folder) / str(job["job"]) / "config.yaml").read_text().splitlines()
            if line.startswith("  max_length:")
        )
        lengths.append(int(line.partition(":")[2]))
    sizes = [job["summary"]["engine"]["batch_size"] for job in found["jobs"]]
    return list(zip(sizes, lengths, strict=True))


def rows(output: str) -> list[str]:
    """The closing table's lines that begin a job."""
    lines = output.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("job  settings"))
    return [line for line in lines[begin + 1 :] if line[:1].isdigit() and " job" not in line]


def test_jobs_that_follow_each_other_share_their_engine(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *QUICK, "model.max_length=4096,2048", "batch_size=1,2"]) == 0
    found = written(here)
    assert found["loads"] == 2
    assert found["groups"] == [[0, 1], [2, 3]]
    assert settings(here, found) == [(1, 4096), (2, 4096), (1, 2048), (2, 2048)]
    assert sum(job["summary"]["time_s"]["total"] for job in found["jobs"][1:]) < found["time_s"]
    assert (
        "4 jobs: 4 finished; 2 engine loads; the same for all: engine=fake limit=3 report=False;"
        in capsys.readouterr().out
    )


def test_each_engine_is_loaded_once_however_the_jobs_alternate(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *QUICK, "batch_size=1,2", "model.max_length=4096,2048"]) == 0
    found = written(here)
    assert found["loads"] == 2
    assert found["groups"] == [[0, 2], [1, 3]]
    assert settings(here, found) == [(1, 4096), (1, 2048), (2, 4096), (2, 2048)]
    assert [job["overrides"][3:] for job in found["jobs"]] == [
        [f"batch_size={size}", f"model.max_length={length}"] for size in (1, 2) for length in (4096, 2048)
    ]
    output = capfd.readouterr().out
    written_to = [line[-1] for line in output.splitlines() if line.startswith("written to runs")]
    assert written_to == ["0", "2", "1", "3"]
    assert [row.split()[0] for row in rows(output)] == ["0", "1", "2", "3"]
    times = [len(re.findall(r"\d m?s\b", row)) for row in rows(output)]
    assert times == [4, 4, 3, 3]  # with a load time, without
    assert max(map(len, output[output.index("job  settings") :].splitlines()[:-1])) <= 100


def test_hydras_own_launcher_takes_the_jobs_as_they_come(here: Path) -> None:
    interleaved = ("batch_size=1,2", "model.max_length=4096,2048")
    assert main(["-m", *QUICK, *interleaved, "hydra/launcher=basic"]) == 0
    found = written(here)
    assert found["loads"] == 4
    assert found["groups"] == [[0], [1], [2], [3]]
    assert settings(here, found) == [(1, 4096), (1, 2048), (2, 4096), (2, 2048)]


def test_a_job_that_fails_stops_none_of_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = "engine.args={}, {break_after: 1}, {step_s: 0}"
    assert main(["-m", *QUICK, "batch_size=2", broken]) == 1
    found = written(here)
    assert [job["status"] for job in found["jobs"]] == ["finished", "failed", "finished"]
    assert found["jobs"][1]["error"].startswith("The fake engine broke")
    assert found["groups"] == [[0], [1], [2]]
    output = capsys.readouterr()
    assert "3 jobs: 2 finished, 1 failed; 3 engine loads;" in output.out
    assert "job 1 failed: The fake engine broke" in output.out
    assert "llmbench: Job 1 (" in output.err


def test_a_job_whose_settings_are_refused_fails_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "engine=fake", "report=false", "limit=3,0,4"]) == 1
    found = written(here)
    assert [job["status"] for job in found["jobs"]] == ["finished", "failed", "finished"]
    assert found["loads"] == 1
    assert found["groups"] == [[0, 2]]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("llmbench: ")]
    assert len(said) == 1
    assert said[0].startswith("llmbench: Job 1 (engine=fake report=False limit=0) failed: limit=0 is refused")


def test_each_job_has_a_heading_and_what_all_have_in_common_is_said_once(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *QUICK, "batch_size=2,3", "early_stopping=off,answer"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert [line for line in out if line.startswith("Job ")] == [
        "Job 0 (1 of 4): batch_size=2 early_stopping=off",
        "Job 1 (2 of 4): batch_size=2 early_stopping=answer",
        "Job 2 (3 of 4): batch_size=3 early_stopping=off",
        "Job 3 (4 of 4): batch_size=3 early_stopping=answer",
    ]
    assert sum(line.startswith("profile=documented") for line in out) == 1
    for number in range(4):
        log = (only_sweep(here) / str(number) / "llmbench.log").read_text()
        assert "profile=documented" in log


def test_what_all_jobs_fail_of_is_said_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "model=qwen14b", "engine.device=cuda", "report=false", "batch_size=2,3,4"]) == 1
    assert len(written(here)["jobs"]) == 3
    output = capsys.readouterr()
    said = [line for line in output.err.splitlines() if line.startswith("llmbench: ")]
    assert said[0].startswith("llmbench: Job 0 (")
    assert said[1:] == ["llmbench: Job 1 failed as job 0 did.", "llmbench: Job 2 failed as job 0 did."]
    assert "\njobs 0, 1, 2 failed: " in output.out


@pytest.mark.parametrize("wanted", [True, False])
def test_a_sweep_has_a_page_where_its_jobs_want_one(here: Path, *, wanted: bool) -> None:
    assert main(["-m", *QUICK[:1], "limit=3,4,0", f"report={str(wanted).lower()}"]) == 1
    page = only_sweep(here) / "report.html"
    assert page.exists() == wanted
    assert not wanted or "limit=0 is refused" in page.read_text()  # also of the job that was refused last


def test_all_jobs_may_be_refused(here: Path) -> None:
    assert main(["-m", "engine=fake", "limit=0,-1"]) == 1
    found = written(here)
    assert [job["status"] for job in found["jobs"]] == ["failed", "failed"]
    assert (found["loads"], found["groups"]) == (0, [])


def test_a_value_of_the_wrong_type_is_refused_before_anything_runs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *QUICK, "batch_size=1,x"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("llmbench: ")]
    assert len(said) == 1
    assert "batch_size=x is refused" in said[0]
    assert not (only_sweep(here) / "0").exists()


def test_jobs_are_numbered_on_from_batch_to_batch_and_the_engine_stays(here: Path) -> None:
    subdir = "hydra.sweep.subdir='job-${hydra.job.num}'"
    assert main(["-m", *QUICK, "batch_size=4,2,1", "hydra.sweeper.max_batch_size=2", subdir]) == 0
    found = written(here)
    assert [Path(job["folder"]).name for job in found["jobs"]] == ["job-0", "job-1", "job-2"]
    assert [job["summary"]["engine"]["batch_size"] for job in found["jobs"]] == [4, 2, 1]
    assert (found["loads"], found["groups"]) == (1, [[0, 1, 2]])


def test_a_setting_may_refer_to_the_job(here: Path) -> None:
    assert main(["-m", *QUICK, "batch_size=1,2", "seed='${hydra:job.num}'"]) == 0
    for number in range(2):
        lines = (only_sweep(here) / str(number) / "config.yaml").read_text().splitlines()
        assert f"seed: {number}" in lines
    assert written(here)["groups"] == [[0, 1]]


class Recorder(Callback):
    """Notes which of Hydra's callbacks came when."""

    seen: ClassVar[list[str]] = []

    def on_multirun_start(self, config: Any, **_: Any) -> None:  # noqa: ANN401 - Hydra's own signature
        self.seen[:] = [f"begin {config.hydra.mode.name}"]

    def on_job_start(self, config: Any, **_: Any) -> None:  # noqa: ANN401
        self.seen.append(f"job {config.hydra.job.num}")

    def on_job_end(self, config: Any, job_return: Any, **_: Any) -> None:  # noqa: ANN401
        self.seen.append(f"{job_return.status.name} {config.hydra.job.num}")

    def on_multirun_end(self, config: Any, **_: Any) -> None:  # noqa: ANN401
        self.seen.append(f"end {config.hydra.mode.name}")


def test_callbacks_see_every_job(here: Path) -> None:
    callback = f"+hydra.callbacks.recorder._target_={__name__}.Recorder"
    assert (
        main(["-m", "engine=fake", "report=False", "limit=3,4", "model.max_length=4096,2048", callback]) == 0
    )
    order = [line for n in (0, 2, 1, 3) for line in (f"job {n}", f"COMPLETED {n}")]
    assert Recorder.seen == ["begin MULTIRUN", *order, "end MULTIRUN"]
    assert len(written(here)["jobs"]) == 4


@pytest.mark.parametrize("chosen", ["+sweep=batch_size", "sweep=batch_size"])
def test_a_sweep_by_name(here: Path, capsys: pytest.CaptureFixture[str], chosen: str) -> None:
    assert main([*QUICK, chosen]) == 0
    found = written(here)
    assert [job["summary"]["engine"]["batch_size"] for job in found["jobs"]] == [4, 8, 16, 32, 64, 128]
    assert (found["loads"], found["groups"]) == (1, [[0, 1, 2, 3, 4, 5]])
    assert (
        f"6 jobs: 6 finished; one engine load; the same for all: engine=fake limit=3 report=False {chosen};"
        in (capsys.readouterr().out)
    )
    manifest = json.loads((only_sweep(here) / "3" / "manifest.json").read_text())
    assert sorted(manifest["overrides"]) == sorted([*QUICK, chosen, "batch_size=32"])


@pytest.mark.usefixtures("here")
def test_large_figures_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "engine=fake", "report=false", "limit=40", "batch_size=40,48"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("0    batch_size=40")]
    assert "40,000" in row.split()


def test_values_beside_a_named_sweep_replace_its_own(here: Path) -> None:
    assert main([*QUICK, "sweep=batch_size", "batch_size=1,2"]) == 0
    assert [job["summary"]["engine"]["batch_size"] for job in written(here)["jobs"]] == [1, 2]


def test_named_sweeps_multiply(here: Path) -> None:
    assert main([*QUICK, "sweep=[batch_size,quantization]", "batch_size=1,2"]) == 0
    found = written(here)
    assert found["groups"] == [[0, 3], [1, 4], [2, 5]]
    assert [job["summary"]["status"] for job in found["jobs"]] == ["finished"] * 6


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["sweep=batchsize", "batch_size=1,2"], "did you mean batch_size?"),
        (["-m", "+sweep=quant"], "quantization"),
        (["sweep=batch_size,quantization"], "'sweep=[batch_size,quantization]'"),
        (["swep=batch_size"], "sweep"),
    ],
    ids=" ".join,
)
def test_a_mistyped_sweep_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert main(["engine=fake", *arguments]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("llmbench: ")
    assert hint in said
    assert not (here / "runs").exists()


def test_a_signal_ends_the_sweep_with_its_table(tmp_path: Path) -> None:
    points = ("limit=4,48", "model.max_length=4096,2048")  # run as 0, 2, 1, 3
    slow = ("engine=fake", "report=false", "engine.args={step_s: 0.05}", "batch_size=2")
    with subprocess.Popen(
        [sys.executable, "-m", "llmbench", "-m", *slow, *points],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(
            lambda: any(
                j.read_bytes().count(b"\n") >= 2 for j in tmp_path.glob("runs/multi/*/2/samples.jsonl")
            )
        )
        process.send_signal(signal.SIGTERM)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert "Interrupted; what was finished is in" in said
    found = written(tmp_path)
    assert [(job["job"], job["status"]) for job in found["jobs"]] == [(0, "finished"), (2, "interrupted")]
    assert (found["loads"], found["groups"]) == (1, [[0, 2]])
    assert "4 jobs: 1 finished, 1 interrupted, 2 not begun; one engine load;" in output
    assert json.loads((only_sweep(tmp_path) / "2" / "summary.json").read_text())["status"] == "interrupted"
    assert not (only_sweep(tmp_path) / "1").exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--help"], "sweep=batch_size"),
        (["--cfg", "job", "sweep=quantization"], "quantization"),
        (["--cfg", "hydra"], "hydra_plugins.llmbench.OneEngineLauncher"),
        (["--info", "plugins"], "OneEngineLauncher"),
        (["-sc", "install=bash"], "complete"),
    ],
    ids=" ".join,
)
def test_what_hydra_tells_needs_no_engine(tmp_path: Path, arguments: list[str], hint: str) -> None:
    code = (
        f"import sys; from llmbench.cli.main import main; main({arguments!r}); print('loaded:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    told, _, loaded = done.stdout.partition("loaded: ")
    assert hint in told
    assert not {"torch", "vllm", "transformers", "datasets", "scipy", "llmbench.run.engine_pool"} & set(
        loaded.split()
    )


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_closing_table_leaves_columns_out_where_it_would_cut_them(width: int) -> None:
    found = summarise([result(n, Outcome.CORRECT, tokens=500) for n in range(12)], 12, 1)
    summary = Summary("finished", "m", "documented", comparable=False)
    summary.benchmarks, summary.time_s = (
        {"swe_bench_full": found},
        TimeSplit(total=90.0, load=20.0, generate=60.0),
    )
    jobs = [
        Job(n, ["limit=4", f"model.path=/a/rather/long/path/{n}"], Path(str(n)), summary=summary)
        for n in (0, 1)
    ]
    shown_to = io.StringIO()
    console = Console(file=shown_to, width=width)
    console.print(sweep.closing_table(jobs, console))
    shown = shown_to.getvalue()
    heads = shown.splitlines()[0].split()
    assert {"job", "settings", "benchmark", "accuracy"} <= set(heads) <= {
        "job", "settings", "benchmark", "accuracy", "latency", "tokens/s", "load", "generate", "total"
    }  # fmt: skip
    assert shown.count("swe_bench_full") == 2
    assert ("load" in heads) == (width > 80)
