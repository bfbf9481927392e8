"""Memory that runs out: what is lowered and in which order, where the run goes on, and what is kept."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from llmbench.cli.main import main
from llmbench.config.schema import Config
from llmbench.errors import Cause, OutOfMemoryError, Shortage
from llmbench.results.reader import load_run
from llmbench.results.recovery import Step
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool
from llmbench.run.new_process import StartAgain
from llmbench.run.oom_recovery import lowered, next_step
from llmbench.run.options import RunOptions
from llmbench.system.console import Terminal
from tests.helpers.commands import llmbench_program
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

FAKE = ("benchmark=arithmetic", "engine=fake", "report=false", "limit=12")


def steps(
    config: Config, *causes: str | Shortage, needed: int = 500, at_once: int = 64
) -> list[tuple[str, Any]]:
    """What is lowered when one shortage follows another."""
    taken: list[Step] = []
    for cause in causes:
        shortage = cause if isinstance(cause, Shortage) else Shortage(cast("Cause", cause))
        step = next_step(config, shortage, taken, needed=needed, at_once=at_once)
        if step is None:
            break
        taken.append(step)
        config = lowered(config, [step])
        at_once = config.batch_size or at_once
    return [(step.setting, step.after) for step in taken]


USE, SIZE, LENGTH = "model.gpu_memory_utilization", "batch_size", "model.max_length"
KV_CACHE = "engine.remember_kv_cache"


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        (["free"], [(USE, 0.85)]),
        ([Shortage("free", free_share=0.72)], [(USE, 0.65)]),
        ([Shortage("free", free_share=0.2)], []),
        (["weights", "weights"], [(USE, 0.85), (USE, 0.75)]),
        (["profiling"] * 4, [(USE, 0.85), (SIZE, 32), (USE, 0.75), (SIZE, 16)]),
        (["running"] * 3, [(USE, 0.85), (SIZE, 32), (USE, 0.75)]),
        (["capture"] * 3, [(USE, 0.85), ("engine.startup", "eager"), (SIZE, 32)]),
        (["kv_cache"] * 2, [(SIZE, 32), (SIZE, 16)]),
        ([Shortage("context", fits=1239)], [(LENGTH, 1232)]),
        ([Shortage("context", fits=400)], []),
        ([Shortage("context")], []),
    ],
)
def test_each_cause_has_its_remedies_in_turn(
    causes: list[str | Shortage], expected: list[tuple[str, Any]]
) -> None:
    assert steps(compose([]), *causes) == expected


@pytest.mark.parametrize("cause", ["profiling", "capture", "warm_up", "running", "kv_cache", "context"])
def test_a_remembered_size_of_the_kv_cache_goes_before_any_setting_is_lowered(cause: Cause) -> None:
    remembered = Shortage(cause, remembered=True)
    assert steps(compose(["oom_retries=0"]), remembered) == [(KV_CACHE, False)]
    first, *others = steps(compose([]), remembered, *["profiling"] * 9)
    assert first == (KV_CACHE, False)
    assert others == [(USE, 0.85), (SIZE, 32), (USE, 0.75), (SIZE, 16)]


def test_the_tries_are_bounded() -> None:
    assert len(steps(compose([]), *["profiling"] * 9)) == 4
    assert len(steps(compose(["oom_retries=1"]), *["profiling"] * 9)) == 1
    assert steps(compose(["oom_retries=0"]), "free") == []
    assert steps(compose(["oom_retries=99"]), *["weights"] * 99)[-1] == (USE, 0.3)
    assert steps(compose(["oom_retries=99"]), *["kv_cache"] * 99, at_once=5) == [(SIZE, 2), (SIZE, 1)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], [("max_batch_size", 4), ("max_batch_size", 2), ("max_batch_size", 1)]),
        (["use_dynamic_batching=false"], [("static_batch_size", 2), ("static_batch_size", 1)]),
        (["batch_size=6"], [(SIZE, 3), (SIZE, 1)]),
    ],
)
def test_static_batches_are_halved(settings: list[str], expected: list[tuple[str, int]]) -> None:
    config = compose(["engine=transformers", *settings])
    assert steps(config, *["running"] * 4) == expected
    assert steps(config, "weights") == []
    assert lowered(config, [Step("running", "max_batch_size", 8, 1)]).min_batch_size == 1


def test_half_of_the_batch_that_failed_is_tried() -> None:
    config = compose(["engine=transformers", "max_batch_size=128"])
    step = next_step(config, Shortage("running", needs_new_process=True, size=8), [], needed=100, at_once=1)
    assert step is not None
    assert (step.setting, step.before, step.after) == ("max_batch_size", 128, 4)


def test_what_another_process_left_may_be_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMBENCH_RECOVERY", "/nowhere/recovery.json")
    assert main(["engine=fake"]) == 1
    assert "LLMBENCH_RECOVERY" in capsys.readouterr().err


def test_what_is_lower_already_stays() -> None:
    config = compose(["batch_size=2", "model.gpu_memory_utilization=0.5"])
    step = Step("running", SIZE, None, 16), Step("running", USE, 0.95, 0.85)
    assert lowered(config, step) == config


def short(cause: str, *, needs_new_process: bool = False, **bounds: float) -> str:
    wanted = {"cause": cause, "needs_new_process": needs_new_process, **bounds}
    inside = ", ".join(f"{key}: {json.dumps(value)}" for key, value in wanted.items())
    return f"engine.args={{too_little: {{{inside}}}}}"


def test_a_load_is_tried_again_in_place_where_memory_came_back(tmp_path: Path) -> None:
    found = pipeline.run(compose([*FAKE, short("free", utilization=0.7)]), tmp_path / "run")
    assert found.status == "finished"
    assert found.engine is not None
    assert found.engine.loads == 1
    run = load_run(tmp_path / "run")
    tried = [(step["setting"], step["after"], step["fresh"]) for step in run.manifest["recovery"]]
    assert tried == [(USE, 0.85, False), (USE, 0.75, False), (USE, 0.65, False)]
    assert len(run.summary["recovery"]) == 3
    assert "gpu_memory_utilization: 0.65" in (tmp_path / "run" / "config.yaml").read_text()
    assert len(run.results) == 12


def test_a_later_job_of_the_same_engine_starts_with_what_sufficed(tmp_path: Path) -> None:
    config = compose([*FAKE, short("kv_cache", requests=4)])
    with EnginePool() as pool:
        pipeline.run(config, tmp_path / "1", RunOptions(pool=pool))
        second = pipeline.run(config, tmp_path / "2", RunOptions(pool=pool))
    assert second.engine is not None
    assert (second.engine.loads, second.engine.batch_size) == (0, 3)
    assert len(second.recovery) == 2


def test_broken_memory_needs_a_new_process(tmp_path: Path) -> None:
    config = compose([*FAKE, short("capture", needs_new_process=True, utilization=0.9)])
    with pytest.raises(OutOfMemoryError, match="too_little"):
        pipeline.run(config, tmp_path / "library")
    with pytest.raises(StartAgain):
        pipeline.run(config, tmp_path / "program", RunOptions(replaceable=True))
    assert load_run(tmp_path / "library").summary["status"] == "failed"
    left = load_run(tmp_path / "program")
    assert left.summary["status"] == "running"
    assert left.manifest["recovery"][0]["fresh"]


def test_a_load_with_a_remembered_kv_cache_is_tried_again_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose([*FAKE, short("capture", remembered=True, utilization=0.1)])
    found = pipeline.run(config, tmp_path / "run", RunOptions(terminal=Terminal()))
    assert found.status == "finished"
    said = [line for line in capsys.readouterr().err.splitlines() if "trying again" in line]
    assert said == [
        "Memory ran out while CUDA graphs were captured; trying again without the remembered size of the KV cache."
    ]
    (step,) = load_run(tmp_path / "run").manifest["recovery"]
    assert (step["setting"], step["before"], step["after"]) == (KV_CACHE, True, False)


def test_requests_that_fill_the_memory_beside_a_remembered_kv_cache_go_on_in_a_new_process_without(
    tmp_path: Path,
) -> None:
    args = short("running", needs_new_process=True, remembered=True, utilization=0.1, after=4)
    config = compose([*FAKE, "batch_size=2", args])
    with pytest.raises(StartAgain):
        pipeline.run(config, tmp_path / "run", RunOptions(replaceable=True))
    (step,) = load_run(tmp_path / "run").manifest["recovery"]
    assert (step["setting"], step["fresh"]) == (KV_CACHE, True)
    assert 4 <= step["kept"] == len(load_run(tmp_path / "run").results) < 12


def test_nothing_is_tried_where_the_context_is_needed(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError):
        pipeline.run(compose([*FAKE, short("context", fits=20, utilization=0.1)]), tmp_path / "run")


def test_a_run_continues_in_a_new_process_and_keeps_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = short("running", requests=4, after=4)
    done = llmbench_program(*FAKE[:3], "limit=40", "batch_size=8", "hydra.run.dir=run", args, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trying again in a new process with" in done.stderr
    run = load_run(tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert not (tmp_path / "run" / "recovery.json").exists()
    ids = [result.sample_id for result in run.results]
    assert len(ids) == len(set(ids)) == 40
    first, second = run.manifest["recovery"]
    assert (first["setting"], second["setting"]) == (USE, SIZE)
    assert 4 <= first["kept"] < second["kept"]
    benchmark = run.summary["benchmarks"]["arithmetic"]
    assert (benchmark["n"], benchmark["expected"]) == (40, 40)
    assert benchmark["time_s"] is None
    assert benchmark["throughput"]["output_tokens_per_s"] is None
    monkeypatch.chdir(tmp_path)
    assert main([*FAKE[:3], "limit=40", "batch_size=8", "hydra.run.dir=whole"]) == 0
    assert (
        load_run(tmp_path / "whole").summary["benchmarks"]["arithmetic"]["accuracy"] == benchmark["accuracy"]
    )


def test_what_cannot_be_fixed_ends_with_its_sentence(tmp_path: Path) -> None:
    args = short("warm_up", needs_new_process=True, utilization=0.1)
    done = llmbench_program(*FAKE, "oom_retries=1", "hydra.run.dir=run", args, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("trying again in a new process") == 1
    assert done.stderr.strip().splitlines()[-1].startswith("llmbench: The fake engine ran out of memory")
    assert load_run(tmp_path / "run").summary["status"] == "failed"


def test_a_sweep_continues_with_its_other_jobs(tmp_path: Path) -> None:
    args = short("running", requests=4, after=4)
    done = llmbench_program(
        "-m",
        *FAKE[:3],
        "limit=40",
        "batch_size=2,8",
        "seed=0,-1",
        "hydra.sweep.dir=sweep",
        args,
        folder=tmp_path,
    )
    assert done.returncode == 1
    found = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert [job["status"] for job in found["jobs"]] == ["finished", "failed"] * 2
    assert [job["job"] for job in found["jobs"]] == list(range(4))
    sizes = [job["summary"]["engine"]["batch_size"] for job in found["jobs"] if job["summary"]]
    assert sizes == [2, 4]
    told = [len(job["summary"]["recovery"]) for job in found["jobs"] if job["summary"]]
    assert told == [0, 2]
    assert done.stderr.count("in a new process") == 2
    assert [(s["status"], s["loads"]) for s in found["sittings"]] == [("failed", found["loads"])]


def test_a_resumed_sweep_that_continues_in_a_new_process_keeps_its_earlier_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = short("running", requests=4, after=4)
    # this process is not to be replaced, so the second job fails
    assert main(["-m", *FAKE[:3], "limit=40", "batch_size=2,8", "hydra.sweep.dir=sweep", args]) == 1
    before = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    second = llmbench_program("resume=sweep", folder=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "in a new process" in second.stderr
    found = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert [s["status"] for s in found["sittings"]] == ["failed", "finished"]
    assert found["sittings"][0] == before["sittings"][0]
    assert found["loads"] == sum(s["loads"] for s in found["sittings"]) > before["loads"]


def test_a_sweep_is_resumed_job_by_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    broken = "engine.args={}, {break_after: 1}"
    assert main(["-m", *FAKE, "batch_size=2,4", broken, "hydra.sweep.dir=sweep"]) == 1
    before = (tmp_path / "sweep" / "0" / "summary.json").read_bytes()
    again = ["-m", *FAKE, "batch_size=2,4,8", "engine.args={}", "resume=sweep"]
    assert main(again) == 0
    found = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert [Path(job["folder"]).name for job in found["jobs"]] == ["0", "1_2", "2_2"]
    capsys.readouterr()
    assert main(again) == 0
    assert "0 engine" not in capsys.readouterr().out
    assert json.loads((tmp_path / "sweep" / "summary.json").read_text())["jobs"] == found["jobs"]
    assert (tmp_path / "sweep" / "0" / "summary.json").read_bytes() == before
    assert main(["resume=sweep"]) == 0
    assert json.loads((tmp_path / "sweep" / "summary.json").read_text())["jobs"] == found["jobs"]
