"""Replicas that die, hang, run out of memory or do not come back: nothing is lost, nothing comes twice, and the run says what happened."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from llmbench.engine.replicas.cluster import Cluster
from llmbench.engine.replicas.engine import ReplicatedEngine
from llmbench.errors import EngineError, OutOfMemoryError, Shortage
from llmbench.records import Outcome
from llmbench.results.reader import load_run
from llmbench.results.summary import Summary
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool
from llmbench.run.new_process import StartAgain
from llmbench.run.options import RunOptions
from llmbench.telemetry.engine_report import ReplicaReport
from tests.helpers.families import all_end
from tests.helpers.replicas import (
    TWO,
    WORK,
    answers,
    asked_of_two,
    engine_of,
    ray_started,
    signal_worker,
    until_answered,
    when_answered,
    workers,
)
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

QUESTIONS = ("limit=60", "sampling.repeats=2", "batch_size=4")
SLOW = "engine.args={step_s: 0.01}"


@pytest.fixture(scope="module")
def ray() -> Iterator[Cluster]:
    with ray_started() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pool(ray: Cluster) -> Iterator[EnginePool]:
    assert ray.alive()
    with EnginePool() as pool:
        yield pool


def disturbed(pool: EnginePool, folder: Path, sign: int, *overrides: str) -> Summary:
    """A run in which one process gets a signal when thirty requests are answered."""
    config = compose([*TWO, *QUESTIONS, SLOW, *overrides])
    with when_answered(folder / "samples.jsonl", 30, partial(signal_worker, pool, 0, sign)):
        return pipeline.run(config, folder, RunOptions(pool=pool))


def replicas_of(summary: Summary) -> list[ReplicaReport]:
    assert summary.engine is not None
    return summary.engine.replicas


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single") / "run"
    pipeline.run(compose([*TWO[:3], *QUESTIONS]), folder)
    return folder


@pytest.mark.parametrize(
    ("sign", "reason"), [(signal.SIGKILL, "killed or crashed"), (signal.SIGSTOP, "did not answer for 4 s")]
)
def test_a_process_that_ends_or_stops_costs_no_answer(
    pool: EnginePool, tmp_path: Path, single: Path, sign: int, reason: str
) -> None:
    loads_before = pool.loads
    found = disturbed(pool, tmp_path / "run", sign, "engine_wait_s=4")
    assert found.status == "finished"
    assert answers(tmp_path / "run") == answers(single)
    first, second = replicas_of(found)
    assert (len(first.deaths), first.lost, second.deaths) == (1, None, [])
    assert reason in first.deaths[0]
    assert found.engine is not None
    loaded = 2 if pool.loads > loads_before else 0  # by whichever of the two comes first
    assert found.engine.loads == loaded + 1
    (warning,) = [said for said in found.warnings if "Replica 1 of 2" in said]
    assert "started again 1 time" in warning
    assert first.requests + second.requests == 120


def test_a_request_that_kills_is_one_error(ray: Cluster, tmp_path: Path, single: Path) -> None:
    assert ray.alive()
    poison = sorted(answers(single))[30][0]
    overrides = ("limit=60", "batch_size=2", f"engine.args={{die: {{on: [{poison}]}}}}")
    found = pipeline.run(compose([*TWO, *overrides]), tmp_path / "run")
    assert found.status == "finished"
    results = load_run(tmp_path / "run").results
    assert len(results) == len({result.key for result in results}) == 60
    (failed,) = [result for result in results if result.score.outcome is Outcome.ERROR]
    assert failed.sample_id == poison
    assert "engine.args.die" in failed.score.explanation
    deaths = [len(replica.deaths) for replica in replicas_of(found)]
    assert 2 <= sum(deaths) <= 6
    assert all(replica.lost is None for replica in replicas_of(found))


def test_one_that_does_not_come_back_leaves_the_rest_at_work(
    ray: Cluster, tmp_path: Path, single: Path
) -> None:
    assert ray.alive()
    with EnginePool() as pool:
        found = disturbed(pool, tmp_path / "run", signal.SIGKILL, "engine_restarts=0")
    assert found.status == "finished"
    assert answers(tmp_path / "run") == answers(single)
    first, second = replicas_of(found)
    assert first.lost is not None
    assert second.lost is None
    assert any("Replica 1 of 2" in said and "did not come back" in said for said in found.warnings)


def test_memory_that_runs_out_twice_lowers_a_setting_for_all(ray: Cluster, tmp_path: Path) -> None:
    assert ray.alive()
    little = "engine.args={too_little: {cause: running, requests: 2, after: 5}}"
    with pytest.raises(StartAgain):
        pipeline.run(compose([*TWO, *QUESTIONS, little]), tmp_path / "run", RunOptions(replaceable=True))
    left = load_run(tmp_path / "run")
    (step,) = left.manifest["recovery"]
    assert (step["setting"], step["fresh"]) == ("model.gpu_memory_utilization", True)
    assert step["kept"] == len(answers(tmp_path / "run")) >= 10


def test_all_that_are_lost_end_it(ray: Cluster) -> None:
    assert ray.alive()
    with asked_of_two(20, "engine_restarts=0", SLOW) as engine:
        assert engine.kill("a step hangs")
        with pytest.raises(EngineError, match="No replica is left"):
            until_answered(engine, 21)


def test_engines_that_break_for_good_are_not_started_again(ray: Cluster, tmp_path: Path) -> None:
    assert ray.alive()
    breaks = "engine.args={break_after: 10}"
    with pytest.raises(EngineError, match="No replica is left: The fake engine broke after"):
        pipeline.run(compose([*TWO, *QUESTIONS, breaks]), tmp_path / "run")
    left = load_run(tmp_path / "run")
    assert 0 < len(left.results) == len(answers(tmp_path / "run")) < 120
    assert left.summary.engine is not None
    assert [len(each.deaths) for each in left.summary.engine.replicas] == [1, 1]


def test_what_a_replica_had_that_is_given_up_is_asked_on_another(ray: Cluster) -> None:
    assert ray.alive()
    with asked_of_two(40, SLOW) as engine:
        first, second = engine._replicas
        assert first.engine.unfinished
        first.remote._broken = True  # as an engine that says that no other would do better
        first.remote._fail("it broke", ())
        done = until_answered(engine, 40)
        assert len({each.request_id for each in done}) == len(done) == 40
        assert all(each.error is None for each in done)
        assert (first.lost, second.lost) == ("it broke", None)


def test_a_process_that_dies_between_two_runs_is_replaced(ray: Cluster, tmp_path: Path, single: Path) -> None:
    assert ray.alive()
    with EnginePool() as pool:
        pipeline.run(compose([*TWO, *QUESTIONS]), tmp_path / "one", RunOptions(pool=pool))
        dead, alive = workers(engine_of(pool))
        psutil.Process(dead).kill()
        found = pipeline.run(compose([*TWO, *QUESTIONS]), tmp_path / "two", RunOptions(pool=pool))
        assert workers(engine_of(pool))[1] == alive
        assert workers(engine_of(pool))[0] != dead
    assert answers(tmp_path / "two") == answers(single)
    assert all(each.requests for each in replicas_of(found))


def test_memory_that_runs_out_once_is_one_death(ray: Cluster) -> None:
    assert ray.alive()
    with asked_of_two(40, SLOW) as engine:
        first = engine._replicas[0]
        first.remote.shortage = Shortage("running")
        first.remote._fail("too little memory", ())
        assert len(until_answered(engine, 40)) == 40
        assert (len(first.deaths), first.shortages) == (1, [Shortage("running")])


def test_memory_that_is_short_at_the_start_is_known_as_such(ray: Cluster) -> None:
    assert ray.alive()
    engine = ReplicatedEngine(
        compose([*TWO, "engine.args={too_little: {cause: weights, requests: 2}}"]), None
    )
    engine.prepare()
    processes = [psutil.Process(pid) for pid in workers(engine)]
    with pytest.raises(OutOfMemoryError, match="too_little") as caught:
        engine.load(WORK, print)
    assert (caught.value.shortage.cause, caught.value.shortage.needs_new_process) == ("weights", False)
    all_end(processes)
