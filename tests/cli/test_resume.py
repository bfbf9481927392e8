"""Going on with a run that ended early: the command is restored, nothing is asked twice, and what would spoil the results is refused."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from llmbench.cli.main import main
from llmbench.cli.resume import expand, from_here, join, last
from llmbench.compare import main as compare
from llmbench.engine.fake import nonsense
from llmbench.errors import ConfigError, EngineError, Interrupted, RunError
from llmbench.records import Request
from llmbench.regrade import main as regrade
from llmbench.report.run_list import list_runs
from llmbench.report.write import write_one
from llmbench.results import attempts
from llmbench.results.manifest import JOURNAL, MANIFEST, SUMMARY
from llmbench.results.reader import load_run
from llmbench.run import pipeline
from llmbench.run.options import Beginning, RunOptions
from llmbench.system import clock
from llmbench.system.shell import quoted, resume_command
from llmbench.system.signals import Stop
from tests.helpers.commands import lines_in, start_llmbench, wait_until
from tests.helpers.damage import CHANGES
from tests.helpers.engines import FakeEngines
from tests.helpers.paths import DATA
from tests.helpers.runs import BREAKS, TWELVE
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

MCQ = DATA / "mcq_sample.jsonl"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def partly(folder: Path, *settings: str, after: int = 5) -> None:
    """A run that was interrupted, as the command line leaves it."""
    stop = Stop()
    asked: list[str] = []

    def reply(request: Request) -> str:
        asked.append(request.id)
        if len(asked) > after:
            stop.signal_number = signal.SIGINT
        return nonsense(request)

    overrides = [*TWELVE, *settings]
    with FakeEngines(reply).pool() as pool, pytest.raises(Interrupted):
        pipeline.run(
            compose(overrides),
            folder,
            RunOptions(
                overrides=overrides,
                stop=stop,
                pool=pool,
                origin={"arguments": [*overrides, f"hydra.run.dir={folder}"], "directory": str(Path.cwd())},
            ),
        )


def scores(folder: Path) -> dict[str, Any]:
    """What of a summary is no matter of time."""
    summary = load_run(folder).summary
    timed = (
        "latency_s",
        "queue_s",
        "prefill_s",
        "ttft_s",
        "decode_s",
        "inter_token_s",
        "time_s",
        "throughput",
    )
    return {
        name: {key: value for key, value in found.items() if key not in timed}
        for name, found in summary["benchmarks"].items()
    }


def whole(folder: Path, *settings: str) -> dict[str, Any]:
    asked = {setting.partition("=")[0]: setting for setting in (*TWELVE, "report=false", *settings)}
    assert main([*asked.values(), f"hydra.run.dir={folder}"]) == 0
    return scores(folder)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("sampling.repeats=3", "sampling.temperature=1"),
        ("benchmark=[arithmetic,gpqa]", f"benchmarks.gpqa.data_files={MCQ}"),
        (
            "early_stopping=cut",
            "schedule=sequential",
            "benchmark=[gpqa,arithmetic]",
            f"benchmarks.gpqa.data_files={MCQ}",
        ),
    ],
)
def test_a_resumed_run_ends_as_an_undisturbed_one(
    tmp_path: Path, settings: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    partly(tmp_path / "run", *settings)
    before = (tmp_path / "run" / JOURNAL).read_bytes()
    left = load_run(tmp_path / "run")
    assert left.summary["status"] == "interrupted"
    assert left.summary["resume"] == resume_command(tmp_path / "run")
    assert 0 < len(left.results) < 12
    assert main(["resume=run"]) == 0
    said = capfd.readouterr()
    assert f"{len(left.results)} results kept" in said.err
    assert "2 attempts of" in said.out
    run = load_run(tmp_path / "run")
    assert (tmp_path / "run" / JOURNAL).read_bytes().startswith(before)
    keys = [(r.benchmark, r.sample_id, r.repeat) for r in run.results]
    assert len(keys) == len(set(keys))
    assert scores(tmp_path / "run") == whole(tmp_path / "whole", *settings)
    assert run.summary["status"] == "finished"
    assert run.summary["resume"] is None
    assert [s["status"] for s in run.summary["sittings"]] == ["interrupted", "finished"]
    assert sum(s["results"] for s in run.summary["sittings"]) == len(run.results)
    assert run.manifest["started"] == left.manifest["started"]
    assert run.manifest["overrides"] == left.manifest["overrides"]
    assert all(b["throughput"]["samples_per_s"] is None for b in run.summary["benchmarks"].values())


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole(tmp_path / "run")
    before = {
        path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != "llmbench.log"
    }
    assert main(["resume=run"]) == 0
    assert "nothing is left to ask" in capfd.readouterr().out
    assert before == {
        path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != "llmbench.log"
    }


def test_what_damage_took_is_asked_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = whole(tmp_path / "run")
    journal = tmp_path / "run" / JOURNAL
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:3], lines[3].replace(b"boxed", b"b0xed"), *lines[4:]]))
    assert main(["resume=run"]) == 0
    assert "line 4, cannot be read" in capfd.readouterr().err
    assert scores(tmp_path / "run") == expected
    run = load_run(tmp_path / "run")
    assert len(run.results) == 12
    assert any("line 4" in note for note in run.summary["notes"])
    assert [attempt["results"] for attempt in run.summary["sittings"]] == [12, 1]


@pytest.mark.parametrize("change", CHANGES)
def test_a_journal_damaged_in_its_last_two_lines_is_made_whole(tmp_path: Path, change: str) -> None:
    """At some places here; tests/bench/kill.py goes through all of them."""
    expected = whole(tmp_path / "run")
    journal = tmp_path / "run" / JOURNAL
    content = journal.read_bytes()
    ids = {line: orjson.loads(line)["id"] for line in content.splitlines()}
    start = content.rstrip(b"\n").rfind(b"\n", 0, content.rstrip(b"\n").rfind(b"\n")) + 1
    for at in range(start, len(content), max(1, (len(content) - start) // 2)):
        journal.write_bytes(CHANGES[change](content, at))
        assert main(["resume=run"]) == 0
        assert scores(tmp_path / "run") == expected
        kept = [line for line in journal.read_bytes().splitlines() if line]
        assert len(kept) == 12
        assert sum(line in ids for line in kept) >= 10


@pytest.mark.parametrize(
    ("typed", "refused"),
    [
        ("sampling.temperature=0.5", r"sampling\.temperature=0\.5 \(it was 0\.0\)"),
        ("limit=20", r"limit=20 \(it was 12\)"),
        ("benchmarks.arithmetic.max_tokens=7", "max_tokens=7"),
        ("benchmarks.arithmetic.stop=[x]", "stop"),
        ("early_stopping=off", "early_stopping=off"),
        ("model=qwen14b", "model"),
        ("model.quantization=bitsandbytes", "model.quantization=bitsandbytes"),
        ("model.dtype=float32", "model.dtype=float32"),
        ("profile=published", r"profile\.name=published"),
        ("seed=1", "seed=1"),
        ("benchmark=gsm8k", "benchmark=gsm8k is refused.*arithmetic"),
        ("chat=false", "chat"),
        ("system_prompt=Other", r"system_prompt=Other \(it was null\)"),
        (
            "benchmarks.arithmetic.system_prompt=Other",
            r"benchmarks\.arithmetic\.system_prompt=Other \(it was null\)",
        ),
        ("engine=vllm", "engine.name=vllm"),
        ("sandbox=none", "sandbox=none"),
    ],
)
def test_settings_that_decide_answers_cannot_change(
    tmp_path: Path, typed: str, refused: str, capfd: pytest.CaptureFixture[str]
) -> None:
    partly(tmp_path / "run")
    before = {
        name: (tmp_path / "run" / name).read_bytes() for name in ("config.yaml", MANIFEST, SUMMARY, JOURNAL)
    }
    assert main(["resume=run", typed]) == 1
    said = capfd.readouterr().err
    assert re.search(refused, said), said
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}


def test_a_run_of_an_older_llmbench_is_resumed(tmp_path: Path) -> None:
    partly(tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    of_benchmark = settings["benchmarks"]["arithmetic"]
    columns = [*settings["model"]["sampling"].values(), of_benchmark["sampling"], settings["sampling"]]
    for column in columns:
        del column["presence_penalty"], column["frequency_penalty"]
    for name in ("weights", "system_prompt", "finish_tokens_by_benchmark"):
        del settings["model"][name]
    del settings["profile"]["weights"], of_benchmark["subset"]
    config.write_text(yaml.safe_dump(settings))
    assert main(["resume=run", "report=false"]) == 0
    assert len(load_run(tmp_path / "run").results) == 12


def test_settings_that_there_are_no_more_are_let_pass_in_older_runs(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    partly(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"disk_wait_s": 60.0}))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["arguments"].append("disk_wait_s=60")
    manifest["sittings"][0]["paused_s"] = 3.0
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert load_run(folder).results
    write_one(folder)
    assert regrade([str(folder)]) == 0
    assert main([f"resume={folder}"]) == 0
    assert load_run(folder).summary["status"] == "finished"


def test_a_penalty_cannot_change_within_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    partly(tmp_path / "run")
    assert main(["resume=run", "sampling.presence_penalty=1"]) == 1
    assert "sampling.presence_penalty=1.0 (it was 0.0)" in capfd.readouterr().err


def test_settings_of_speed_may_change(tmp_path: Path) -> None:
    partly(tmp_path / "run")
    assert main(["resume=run", "batch_size=1", "report=false", "log_level=DEBUG", "oom_retries=0"]) == 0
    assert load_run(tmp_path / "run").summary["engine"]["batch_size"] == 1


def test_other_questions_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "mine.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(12)]
    changed: dict[str, Callable[[], list[dict[str, str]]]] = {
        "prompt of gsm8k": lambda: [row | {"question": row["question"] + "?"} for row in rows],
        "gold answer of gsm8k": lambda: [row | {"answer": "#### 77"} for row in rows],
        "not asked any more": lambda: rows[:1],
    }
    settings = ("benchmark=gsm8k", f"benchmarks.gsm8k.data_files={data}")
    for number, (refused, new) in enumerate(changed.items()):
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        partly(tmp_path / f"{number}", *settings)
        data.write_text("".join(json.dumps(row) + "\n" for row in new()))
        assert main([f"resume={number}"]) == 1
        assert refused in capfd.readouterr().err


def test_the_folder_the_command_was_typed_in_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text(
        "".join(json.dumps({"question": f"{n}?", "answer": f"#### {n}"}) + "\n" for n in range(12))
    )
    partly(tmp_path / "a run, of 'mine'", "benchmark=gsm8k", "benchmarks.gsm8k.data_files=mine.jsonl")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["resume=../a run, of 'mine'"]) == 0
    assert load_run(tmp_path / "a run, of 'mine'").summary["status"] == "finished"


def test_a_run_without_manifest_is_called_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("samples.jsonl", "summary.json"):
        (tmp_path / name).write_text("")
    assert main([f"resume={tmp_path}"]) == 1
    told = capfd.readouterr().err
    assert "the run there holds no manifest.json" in told
    assert "sweep" not in told


def test_the_last_run_is_not_one_that_failed_before_any_answer(tmp_path: Path) -> None:
    partly(tmp_path / "runs" / "first")
    assert main([*TWELVE, "engine.args={break_after: 0}", "hydra.run.dir=runs/x"]) == 1
    assert (tmp_path / "runs" / "x" / MANIFEST).is_file()
    assert last([]).name == "first"
    shutil.rmtree(tmp_path / "runs" / "first")
    assert last([]).name == "x"


def test_the_last_run_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["resume=last"]) == 1
    assert "no run in runs" in capfd.readouterr().err
    assert main([*TWELVE, "hydra.run.dir=runs/first", "report=false"]) == 0
    partly(tmp_path / "runs" / "second")
    manifest = json.loads((tmp_path / "runs" / "second" / MANIFEST).read_text())
    later = manifest | {"started": manifest["started"].replace("20", "21", 1)}
    (tmp_path / "runs" / "second" / MANIFEST).write_text(json.dumps(later))
    assert last([]).name == "second"
    first = json.loads((tmp_path / "runs" / "first" / MANIFEST).read_text())
    for name, started in (("first", "2126-03-01T10:30:00+0100"), ("second", "2126-03-01T09:45:00+0000")):
        content = first if name == "first" else later
        (tmp_path / "runs" / name / MANIFEST).write_text(json.dumps(content | {"started": started}))
    assert last([]).name == "second"  # 9:45 in UTC is later than 9:30
    assert main(["resume=last"]) == 0
    assert load_run(tmp_path / "runs" / "second").summary["status"] == "finished"
    (tmp_path / "runs").rename(tmp_path / "other")
    assert main(["resume=last", "runs_dir=other"]) == 0
    assert "nothing is left to ask" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "no such folder"),
        ("rum", "did you mean run"),
        ("lst", "did you mean last"),
        ("empty", "neither a run nor a sweep"),
        ("file", "neither a run nor a sweep"),
        ("broken", "cannot be read"),
        ("silent", "does not say how the run was begun"),
    ],
)
def test_what_cannot_be_resumed_is_said(
    tmp_path: Path, name: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder in ("run", "empty", "broken", "silent", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "broken" / MANIFEST).write_text("{")
    (tmp_path / "silent" / MANIFEST).write_text("{}")
    assert main([f"resume={name}"]) == 1
    assert said in capfd.readouterr().err


def test_a_job_of_a_sweep_is_resumed_with_the_sweep(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = "engine.args={break_after: 20}"
    settings = ("-m", "benchmark=arithmetic", "engine=fake", "batch_size=2", "report=false", broken)
    assert main([*settings, "limit=12,30", "hydra.sweep.dir=sweep"]) == 1
    capfd.readouterr()
    kept = len(load_run(tmp_path / "sweep" / "1").results)
    assert kept >= 20
    first = (tmp_path / "sweep" / "0" / SUMMARY).read_bytes()
    assert main(["resume=sweep/1"]) == 1
    assert "is a job of a sweep" in capfd.readouterr().err
    assert main(["resume=sweep"]) == 0  # what is left of the second job is less than breaks it
    said = capfd.readouterr()
    assert f"{kept} results kept" in said.err
    assert (tmp_path / "sweep" / "0" / SUMMARY).read_bytes() == first
    found = json.loads((tmp_path / "sweep" / SUMMARY).read_text())
    assert [job["status"] for job in found["jobs"]] == ["finished", "finished"]
    assert [Path(job["folder"]).name for job in found["jobs"]] == ["0", "1"]
    assert [s["status"] for s in found["jobs"][1]["summary"]["sittings"]] == ["failed", "finished"]
    (tmp_path / "run").mkdir()
    partly(tmp_path / "single")
    assert main(["resume=single", "-m", "batch_size=1,2"]) == 1
    assert "holds a single run" in capfd.readouterr().err


def test_a_failed_run_says_how_to_continue(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*TWELVE, BREAKS, "hydra.run.dir=run"]) == 1
    assert f"`{resume_command(tmp_path / 'run')}` resumes it" in capfd.readouterr().err
    assert main([*TWELVE, "engine.args={break_after: 0}", "hydra.run.dir=other", "limit=1"]) == 1
    assert "resumes it" not in capfd.readouterr().err


def test_two_processes_never_write_one_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    slow = ["engine.args={step_s: 0.1}", "hydra.run.dir=run"]
    with start_llmbench(tmp_path, *TWELVE, *slow) as process:
        wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL) >= 1, process)
        assert main(["resume=run"]) == 1
        assert f"process {process.pid} on" in capfd.readouterr().err
        process.kill()
    assert main(["resume=run", "engine.args={step_s: 0.1}"]) == 0
    found = load_run(tmp_path / "run").summary["sittings"]
    assert [attempt["status"] for attempt in found] == ["killed", "finished"]
    assert found[0]["time_s"] > 0


def test_a_signal_leaves_a_run_that_continues(tmp_path: Path) -> None:
    slow = "engine.args={step_s: 0.2}"  # so that the signal comes before the last answer
    with start_llmbench(tmp_path, *TWELVE, slow, "hydra.run.dir=run") as process:
        wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL) >= 1, process)
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 129
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert f"`{resume_command(tmp_path / 'run')}` resumes it" in said
    assert load_run(tmp_path / "run").summary["status"] == "interrupted"
    assert 1 <= lines_in(tmp_path / "run" / JOURNAL) < 12
    assert main(["resume=run"]) == 0
    assert len(load_run(tmp_path / "run").results) == 12


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """Here the engine hangs in a step of ten minutes, in which Python handles no signal."""
    with start_llmbench(tmp_path, *TWELVE, "engine.args={step_s: 600}", "hydra.run.dir=run") as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "samples.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode in (143, -signal.SIGTERM)


def test_what_is_typed_wins_over_what_was() -> None:
    before = ["--config-dir", "conf", "-m", "batch_size=2,4", "+a.b=1", "~c", "hydra.run.dir=x", "limit=3"]
    assert join(before, ["batch_size=8", "++a.b=2"]) == [
        "--config-dir", "conf", "-m", "~c", "limit=3", "batch_size=8", "++a.b=2",
    ]  # fmt: skip
    assert expand(["benchmark=aime", "batch_size=2"]) == ["benchmark=aime", "batch_size=2"]
    assert expand(["resume=null"]) == ["resume=null"]
    assert quoted("runs/a_b-1.2") == "runs/a_b-1.2"
    assert quoted("it's, here") == "'it\\'s, here'"
    with pytest.raises(ConfigError):
        expand(["resume=nowhere"])


def test_an_attempt_that_was_killed_gets_its_end_from_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("")
    os.utime(tmp_path / JOURNAL, (1000.0, 1000.0))
    first = attempts.begin([], tmp_path, 0, 990.0)
    second = attempts.begin(first, tmp_path, 7, 2000.0)
    assert (second[0].status, second[0].results, second[0].time_s) == ("killed", 7, 10.0)
    third = attempts.begin(second, tmp_path, 9, 3000.0)
    assert (third[1].status, third[1].results, third[1].time_s) == ("killed", 2, None)
    assert attempts.sentence(third[:2]) == "2 attempts of 10 s and unknown time"


def test_the_library_refuses_a_folder_that_holds_a_run(tmp_path: Path) -> None:
    clock.restart()
    config = compose(list(TWELVE))
    pipeline.run(config, tmp_path / "run")
    with pytest.raises(RunError, match="holds a run already"):
        pipeline.run(config, tmp_path / "run")


def test_a_run_that_breaks_again_and_again_ends_in_the_end(tmp_path: Path) -> None:
    config = compose([*TWELVE, BREAKS])
    with pytest.raises(EngineError):
        pipeline.run(config, tmp_path / "run")
    for _ in range(4):
        try:
            found = pipeline.run(config, tmp_path / "run", RunOptions(beginning=Beginning.RESUMED))
        except EngineError:
            continue
        break
    assert found.status == "finished"
    assert found.benchmarks["arithmetic"].n == 12


def test_whoever_reads_a_torn_run_is_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("run", "other"):
        assert main([*TWELVE, f"hydra.run.dir={name}"]) == 0
    journal = tmp_path / "run" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-30])
    capfd.readouterr()
    assert compare(["run", "other", "--allow-different"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "ends within a line" in said
    assert "11 of the 12 results" in said
    assert regrade(["run"]) == 0
    assert "ends within a line" in capfd.readouterr().out
    write_one("run", "page.html")
    assert "ends within a line" in (tmp_path / "page.html").read_text()


def test_journals_of_before_there_were_checksums_are_continued(tmp_path: Path) -> None:
    partly(tmp_path / "run")
    journal = tmp_path / "run" / JOURNAL
    old = [line[: line.rindex(b',"crc32"')] + b"}" for line in journal.read_bytes().splitlines()]
    journal.write_bytes(b"\n".join(old) + b"\n")
    assert main(["resume=run"]) == 0
    run = load_run(tmp_path / "run")
    assert len(run.results) == 12
    assert run.notes == ()
    assert [r.sample_id for r in run.results][: len(old)] == [json.loads(line)["id"] for line in old]


def test_no_figure_of_speed_mixes_two_attempts(tmp_path: Path) -> None:
    partly(tmp_path / "run")
    assert main(["resume=run"]) == 0
    assert list_runs(tmp_path)[0].tokens_per_s is None
    assert load_run(tmp_path / "run").summary.tokens_per_s is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "2 attempts of" in page
    whole(tmp_path / "whole")
    assert load_run(tmp_path / "whole").summary.tokens_per_s is not None


def test_a_refused_resume_leaves_the_folder_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "mine.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(12)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    partly(tmp_path / "run", "benchmark=gsm8k", f"benchmarks.gsm8k.data_files={data}")
    names = ("config.yaml", MANIFEST, SUMMARY, JOURNAL)
    before = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row | {"question": "?"}) + "\n" for row in rows))
    assert main(["resume=run", f"benchmarks.gsm8k.data_files={other}"]) == 1
    assert "differs from the one in" in capfd.readouterr().err
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in names}
    (tmp_path / "run" / "config.yaml").unlink()
    assert main(["resume=run"]) == 1
    assert "config.yaml is missing" in capfd.readouterr().err


def test_a_finished_run_takes_no_other_settings_but_gets_what_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole(tmp_path / "run", "report=true")
    assert main(["resume=run", "sampling.temperature=1"]) == 1
    assert "sampling.temperature=1.0" in capfd.readouterr().err
    (tmp_path / "run" / "report.html").unlink()
    assert main(["resume=run", "export=csv"]) == 0
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "samples.csv").exists()


def test_a_finished_run_takes_no_other_template_and_no_other_data(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, other = tmp_path / "mine.jsonl", tmp_path / "other.jsonl"
    data.write_text('{"question": "1 + 1?", "answer": "#### 2"}\n')
    other.write_text('{"question": "1 + 2?", "answer": "#### 3"}\n')
    shutil.copy(data, tmp_path / "copy.jsonl")
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}")
    whole(tmp_path / "run", "benchmark=gsm8k", f"benchmarks.gsm8k.data_files={data}")
    capfd.readouterr()
    assert main(["resume=run", "model.chat_template=mine.jinja"]) == 1
    assert "came about with another chat template (null)" in capfd.readouterr().err
    assert main(["resume=run", f"benchmarks.gsm8k.data_files={other}"]) == 1
    assert "other.jsonl, the data of gsm8k, was changed" in capfd.readouterr().err
    assert main(["resume=run", "benchmarks.gsm8k.data_files=copy.jsonl"]) == 0
    assert "is finished; nothing is left to ask" in capfd.readouterr().out


def test_what_was_said_before_is_kept_and_so_are_deaths(tmp_path: Path) -> None:
    partly(tmp_path / "run")
    folder = tmp_path / "run"
    manifest = json.loads((folder / MANIFEST).read_text())
    death = {"error": "It died.", "running": 2, "kept": 1, "fresh": False}
    (folder / MANIFEST).write_text(
        json.dumps(manifest | {"restarts": [death], "notes": ["Once upon a time."]})
    )
    assert main(["resume=run"]) == 0
    run = load_run(folder)
    assert run.manifest["restarts"] == [death]
    assert run.summary["notes"] == ["Once upon a time."]
    assert run.summary["restarts"][0].startswith("It died. A new engine goes on")


def test_an_interrupted_resume_still_says_what_is_missing(tmp_path: Path) -> None:
    partly(tmp_path / "run", "limit=40")
    stop = Stop()

    def never(_: Request) -> str:
        raise Interrupted(signal.SIGINT)

    with FakeEngines(never).pool() as pool, pytest.raises(Interrupted):
        pipeline.run(
            compose([*TWELVE, "limit=40"]),
            tmp_path / "run",
            RunOptions(stop=stop, pool=pool, beginning=Beginning.RESUMED),
        )
    found = load_run(tmp_path / "run").summary
    assert found["benchmarks"]["arithmetic"]["expected"] == 40
    assert any("are missing" in warning for warning in found["warnings"])


def test_a_sweep_takes_no_settings_beside_it_and_is_not_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ["-m", "benchmark=arithmetic", "engine=fake", "limit=2", "report=false", "batch_size=1,2"]
    assert main([*settings, "hydra.sweep.dir=sweep"]) == 0
    files = ("sweep.json", "summary.json")
    before = {name: (tmp_path / "sweep" / name).read_bytes() for name in files}
    capfd.readouterr()
    for command_line, said in (
        (["resume=sweep", "sampling.temperature=1"], "cannot change within the sweep"),
        ([*settings, "seed=3", "hydra.sweep.dir=sweep"], "holds a sweep already"),
        ([*settings, "seed=3", "resume=sweep"], "holds a sweep of other settings"),
        (["resume="], "names nothing"),
    ):
        assert main(command_line) == 1
        assert said in capfd.readouterr().err
        assert before == {name: (tmp_path / "sweep" / name).read_bytes() for name in files}
    assert main(["resume=sweep"]) == 0


def test_another_folder_beside_resume_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    partly(tmp_path / "run")
    sweep = ["-m", *TWELVE, "seed=1,2", "report=false"]
    assert main([*sweep, "hydra.sweep.dir=sweep"]) == 0
    capfd.readouterr()
    for typed in (
        ["resume=run", "hydra.run.dir=other"],
        ["resume=run", "hydra.sweep.dir=other"],
        ["resume=sweep", "hydra.sweep.dir=other"],
        [*sweep, "resume=sweep", "++hydra.sweep.dir=other"],
    ):
        assert main(typed) == 1
        assert f"{typed[-1]} is refused" in capfd.readouterr().err
    assert not (tmp_path / "other").exists()
    assert main(["resume=run", f"hydra.run.dir='{tmp_path}/run'"]) == 0
    for same in ("hydra.sweep.dir=sweep", "hydra.sweep.dir=runs/${now:%f}"):
        assert main([*sweep, same, "resume=sweep"]) == 0
    assert not (tmp_path / "runs").exists()


STEP = {"cause": "free", "setting": "batch_size", "before": None, "after": 2}
DEATH = {"error": "It died.", "running": 2, "kept": 1, "fresh": False}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"recovery": [{}]}, r"recovery\[0\] lacks cause"),
        ({"recovery": [STEP | {"after": []}]}, r"recovery\[0\]\.after must be"),
        ({"recovery": [STEP | {"cause": "x"}]}, r"recovery\[0\]\.cause must be one of"),
        ({"recovery": [STEP, STEP | {"setting": "x.y"}]}, r"recovery\[1\]\.setting must be one of"),
        ({"restarts": [{"error": "It died."}]}, r"restarts\[0\] lacks running"),
        ({"restarts": [DEATH | {"running": "x"}]}, r"restarts\[0\]\.running must be"),
    ],
)
def test_a_damaged_manifest_is_one_sentence(
    tmp_path: Path, damage: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    partly(tmp_path / "run")
    path = tmp_path / "run" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    before = path.read_bytes()
    assert main(["resume=run"]) == 1
    told = capfd.readouterr().err
    assert re.search(rf"manifest\.json cannot be read \({said}.*take it from a backup", told), told
    assert path.read_bytes() == before


def test_what_other_versions_wrote_beside_is_let_pass(tmp_path: Path) -> None:
    partly(tmp_path / "run")
    path = tmp_path / "run" / MANIFEST
    told = json.loads(path.read_text())
    beside = {
        "recovery": [STEP | {"mood": "good"}],
        "restarts": [DEATH | {"mood": "bad"}],
        "sittings": [told["sittings"][0] | {"mood": "good"}],
    }
    path.write_text(json.dumps(told | beside))
    summary = tmp_path / "run" / SUMMARY
    assert main(["resume=run"]) == 0
    run = load_run(tmp_path / "run")
    assert [attempt["status"] for attempt in run.summary["sittings"]] == ["interrupted", "finished"]
    assert run.manifest["restarts"] == [DEATH]
    assert run.manifest["recovery"] == [STEP | {"fresh": False, "kept": 0}]
    found = run.summary.as_dict()
    del found["benchmarks"]["arithmetic"]["expected"]
    summary.write_text(json.dumps(found))
    assert main(["resume=run"]) == 0  # asks nothing, and writes the summary again
    assert load_run(tmp_path / "run").summary["benchmarks"]["arithmetic"]["expected"] == 12


def test_what_was_changed_at_a_resume_counts_at_the_next(tmp_path: Path) -> None:
    """Without results everything may change; the command that goes on then names only the folder."""
    assert main([*TWELVE, "engine.args={break_after: 0}", "hydra.run.dir=run", "report=false"]) == 1
    assert (tmp_path / "run" / JOURNAL).read_bytes() == b""
    assert main(["resume=run", "seed=5", BREAKS]) == 1
    assert 0 < len(load_run(tmp_path / "run").results) < 12
    assert main(["resume=run", "engine.args={}", "batch_size=2"]) == 1  # that is no matter of speed
    told = load_run(tmp_path / "run").manifest
    assert [a for a in told["arguments"] if a.startswith("seed=")] == ["seed=5"]
    assert "seed=5" in told["overrides"]
    for _ in range(4):
        if main(["resume=run", "batch_size=2"]) == 0:
            break
    assert main(["resume=run"]) == 0
    run = load_run(tmp_path / "run")
    assert (run.summary["status"], run.manifest["seed"]) == ("finished", 5)
    assert "batch_size=2" in run.manifest["arguments"]


@pytest.mark.parametrize("first", [(), ("runs_dir=runs",)])
def test_a_sweep_that_was_moved_continues_where_runs_dir_says(
    tmp_path: Path, first: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ("-m", "benchmark=arithmetic", "engine=fake", "batch_size=2", "report=false", *first)
    assert main([*settings, "engine.args={break_after: 20}", "limit=12,30"]) == 1
    (tmp_path / "runs").rename(tmp_path / "other")
    sweep = next((tmp_path / "other" / "multi").iterdir())
    kept = len(load_run(sweep / "1").results)
    done = (sweep / "0" / SUMMARY).read_bytes()
    capfd.readouterr()
    assert main(["resume=last", "runs_dir=other"]) == 0
    assert f"{kept} results kept" in capfd.readouterr().err
    assert (sweep / "0" / SUMMARY).read_bytes() == done
    assert {path.name for path in sweep.iterdir() if path.is_dir()} == {"0", "1"}
    assert main([f"resume={sweep}"]) == 0
    assert (sweep / "0" / SUMMARY).read_bytes() == done


def test_flags_may_stand_beside_resume(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    partly(tmp_path / "run")
    assert main(["resume=run", "--cfg", "job"]) == 0
    assert "batch_size: 3" in capfd.readouterr().out


@pytest.mark.parametrize(
    "setting", ["custom.data=hub:org/name", "model.lora=null", "model.path=~/mine", "model.path=/a", "seed=1"]
)
def test_what_is_no_relative_path_means_the_same_everywhere(setting: str) -> None:
    assert from_here(setting) == setting
    assert from_here("custom.data=mine.csv") == f"custom.data={Path.cwd() / 'mine.csv'}"
