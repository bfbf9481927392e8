"""Engines that die while they are asked: what is asked again, what is blamed, and when it is given up."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import Death, FakeEngine, nonsense
from llmbench.engine.restarting import PROBE
from llmbench.engine.vllm.errors import spoils, start_error, step_error
from llmbench.errors import EngineDiedError, EngineError, OutOfMemoryError
from llmbench.records import Outcome
from llmbench.results.manifest import TRACE
from llmbench.results.reader import Run, load_run
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines
from llmbench.run.options import RunOptions
from llmbench.telemetry.sampler import PERIOD_S
from llmbench.telemetry.trace import read_trace
from tests.helpers.commands import llmbench_program
from tests.helpers.engines import FakeEngines
from tests.helpers.paths import DATA
from tests.helpers.runs import PAGE, outcomes
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

FAKE = ("benchmark=arithmetic", "engine=fake", "report=false", "limit=40", "batch_size=8")


def die(**wanted: object) -> str:
    inside = ", ".join(f"{key}: {json.dumps(value)}" for key, value in wanted.items())
    return f"engine.args={{die: {{{inside}}}}}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    pipeline.run(compose(FAKE), folder)
    return load_run(folder)


def test_what_kills_the_engine_is_an_error_and_everything_else_is_answered(
    tmp_path: Path, undisturbed: Run
) -> None:
    ids = [result.sample_id for result in undisturbed.results]
    poison = {ids[3], ids[20], ids[21]}
    found = pipeline.run(compose([*FAKE, die(on=sorted(poison))]), tmp_path / "run", RunOptions(publish=PAGE))
    PAGE(tmp_path / "run")
    assert found.status == "finished"
    run = load_run(tmp_path / "run")
    assert len(run.results) == len(ids)
    assert {r.sample_id for r in run.results if r.score.outcome is Outcome.ERROR} == poison
    for result in run.results:
        if result.sample_id in poison:
            assert "asked nothing but this" in result.score.explanation
            assert "engine.args.die" in result.score.explanation
    expected = {name: got for name, got in outcomes(undisturbed).items() if name not in poison}
    assert {name: got for name, got in outcomes(run).items() if name not in poison} == expected
    restarts = run.manifest["restarts"]
    assert 0 < len(restarts) <= 3 * 4
    assert next(restart["running"] for restart in restarts) == 8
    assert not any(restart["fresh"] for restart in restarts)
    assert len(run.summary["restarts"]) == len(restarts)
    assert run.summary["engine"]["loads"] == 1 + len(restarts)
    assert run.summary["benchmarks"]["arithmetic"]["throughput"]["samples_per_s"] is None
    assert "A new engine goes on" in (tmp_path / "run" / "report.html").read_text()


class Dying(FakeEngines):
    """Engines each of which dies as a list says: None lives."""

    def __init__(self, *deaths: Death | None, before_load: Callable[[int], None] | None = None) -> None:
        super().__init__(nonsense)
        self.deaths, self.engines = list(deaths), list[FakeEngine]()
        self.before_load = before_load

    def open(self, config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        number = len(self.engines)
        death = self.deaths[number] if number < len(self.deaths) else None
        self.options = {"die": death or Death()}
        engine = super().open(config, checkpoint)
        assert isinstance(engine, FakeEngine)
        self.engines.append(engine)
        if self.before_load is not None:
            self.before_load(number)
        return engine


def test_a_death_from_elsewhere_costs_no_answer(tmp_path: Path, undisturbed: Run) -> None:
    engines = Dying(Death(after=0), Death(after=9), Death(after=0))
    with engines.pool() as pool:
        found = pipeline.run(compose(FAKE), tmp_path / "run", RunOptions(pool=pool))
        assert pool.loads == 4
    assert found.status == "finished"
    assert outcomes(load_run(tmp_path / "run")) == outcomes(undisturbed)


def test_a_broken_engine_ends_the_run_and_keeps_what_there_is(tmp_path: Path) -> None:
    dead = Death(after=0)
    engines = Dying(Death(after=9), dead, dead, dead, dead, dead)
    with (
        engines.pool() as pool,
        pytest.raises(EngineError, match=r"died 4 times in a row .* engine_restarts=3"),
    ):
        pipeline.run(compose(FAKE), tmp_path / "run", RunOptions(pool=pool))
    run = load_run(tmp_path / "run")
    assert run.summary["status"] == "failed"
    assert len(run.results) >= 9
    assert {r.score.outcome for r in run.results} <= {Outcome.CORRECT, Outcome.WRONG}
    assert len(run.manifest["restarts"]) == 3
    (asked,) = engines.engines[3].abort()
    assert asked.request_id == PROBE  # it was only asked what had been answered before


def test_no_restarts_are_made_where_none_are_wanted(tmp_path: Path) -> None:
    with pytest.raises(EngineDiedError, match=r"as engine\.args\.die asks"):
        pipeline.run(compose([*FAKE, "engine_restarts=0", die(after=0)]), tmp_path / "run")
    assert load_run(tmp_path / "run").summary["status"] == "failed"


def test_an_engine_that_dies_while_it_is_loaded_again_counts(tmp_path: Path) -> None:
    def killed(number: int) -> None:
        if number == 1:
            raise EngineDiedError("It was killed.")

    engines = Dying(Death(after=9), before_load=killed)
    with engines.pool() as pool:
        pipeline.run(compose(FAKE), tmp_path / "run", RunOptions(pool=pool))
    run = load_run(tmp_path / "run")
    assert len(run.results) == 40
    assert [restart["running"] for restart in run.manifest["restarts"]] == [8, 0]


def test_continuations_are_asked_again_by_themselves(tmp_path: Path) -> None:
    settings = (*FAKE[:2], "limit=12", "batch_size=4", "benchmarks.arithmetic.max_tokens=3")
    engines = Dying(*[Death(after=n) for n in (3, 5, 7)])
    with engines.pool() as pool:
        pipeline.run(compose(settings), tmp_path / "run", RunOptions(pool=pool))
    pipeline.run(compose(settings), tmp_path / "whole")
    run, whole = load_run(tmp_path / "run"), load_run(tmp_path / "whole")
    assert outcomes(run) == outcomes(whole)
    assert all(len(result.completions) == 2 for result in run.results)


def test_a_later_job_gets_an_engine_that_lives(tmp_path: Path, undisturbed: Run) -> None:
    last = undisturbed.results[-1].sample_id
    with EnginePool(Engines(find_checkpoint=lambda _: None)) as pool:
        pipeline.run(compose([*FAKE, die(on=[last])]), tmp_path / "1", RunOptions(pool=pool))
        again = pipeline.run(compose([*FAKE, die(on=[last])]), tmp_path / "2", RunOptions(pool=pool))
    assert again.status == "finished"
    assert len(load_run(tmp_path / "2").results) == 40


def test_sequential_benchmarks_are_each_asked_to_their_end(tmp_path: Path) -> None:
    mcq = DATA / "mcq_sample.jsonl"
    settings = (
        "benchmark=[arithmetic,gpqa]", "engine=fake", "limit=6", "batch_size=3", "schedule=sequential",
        f"benchmarks.gpqa.data_files={mcq}",
    )  # fmt: skip
    engines = Dying(Death(after=5), Death(after=0), Death(after=4))
    with engines.pool() as pool:
        pipeline.run(compose(settings), tmp_path / "run", RunOptions(pool=pool))
    names = [result.benchmark for result in load_run(tmp_path / "run").results]
    assert names == ["arithmetic"] * 6 + ["gpqa"] * 6


def test_a_broken_process_is_replaced_and_what_is_known_goes_with_it(
    tmp_path: Path, undisturbed: Run
) -> None:
    poison = undisturbed.results[10].sample_id
    done = llmbench_program(
        *FAKE, "hydra.run.dir=run", die(on=[poison], needs_new_process=True), folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "in a new process" in done.stderr
    run = load_run(tmp_path / "run")
    assert len(run.results) == 40
    assert [r.sample_id for r in run.results if r.score.outcome is Outcome.ERROR] == [poison]
    restarts = run.manifest["restarts"]
    assert all(restart["fresh"] for restart in restarts)
    assert [restart["running"] for restart in restarts] == [8, 8, 1]
    assert not (tmp_path / "run" / "recovery.json").exists()


def test_a_broken_process_that_may_not_be_replaced_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineDiedError, match="Only a new process"):
        pipeline.run(compose([*FAKE, die(after=3, needs_new_process=True)]), tmp_path / "run")


def test_while_there_is_no_engine_what_is_left_is_queued(tmp_path: Path) -> None:
    def wait(number: int) -> None:
        if number == 1:
            time.sleep(3 * PERIOD_S)

    engines = Dying(Death(after=9), before_load=wait)
    with engines.pool() as pool:
        pipeline.run(compose(FAKE), tmp_path / "run", RunOptions(pool=pool))
    states = [sample.engine for sample in read_trace(tmp_path / "run" / TRACE) if sample.engine is not None]
    between = [state for state in states if state.running is None]
    assert between
    assert all(state.queued and state.queued >= 40 - 17 for state in between)


@pytest.mark.parametrize(
    ("said", "needs_new_process"),
    [
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: device-side assert triggered", True),
        ("CUDA error: unspecified launch failure", True),
        ("CUDA error: uncorrectable ECC error encountered", True),
        ("CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`", True),
        ("list index out of range", False),
    ],
)
def test_cudas_errors_break_the_process_they_come_in(said: str, *, needs_new_process: bool) -> None:
    inside = RuntimeError(said)
    outside = ValueError("a step failed")
    outside.__cause__ = inside
    assert spoils(outside) is needs_new_process
    here, elsewhere = step_error(outside), step_error(outside, in_process=False)
    assert isinstance(here, EngineDiedError)
    assert isinstance(elsewhere, EngineDiedError)
    assert (here.needs_new_process, elsewhere.needs_new_process) == (needs_new_process, False)


def test_memory_that_runs_out_is_no_death() -> None:
    assert isinstance(step_error(RuntimeError("CUDA out of memory. Tried to allocate")), OutOfMemoryError)


def test_a_process_killed_while_it_starts_is_a_death_and_a_refused_setting_is_none() -> None:
    text = "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': %s}"
    assert isinstance(start_error(RuntimeError(text % -9), compose(FAKE)), EngineDiedError)
    assert not isinstance(start_error(RuntimeError(text % 1), compose(FAKE)), EngineDiedError)
