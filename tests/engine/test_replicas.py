"""Replicas give what the single engine gives, once; and keep their processes from job to job."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from llmbench.engine.fake import WordTokenizer
from llmbench.engine.replicas import cleaner
from llmbench.engine.replicas.cluster import Cluster
from llmbench.engine.replicas.engine import ReplicatedEngine
from llmbench.engine.replicas.ray_environment import PRIVATE
from llmbench.records import FinishReason
from llmbench.results.summary import Summary
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool
from llmbench.run.options import RunOptions
from llmbench.system.signals import ENDING
from tests.helpers.replicas import (
    TWO,
    WORK,
    answers,
    engine_of,
    folder_of,
    nothing_stays,
    ray_started,
    request,
    until_answered,
    workers,
)
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

QUESTIONS = ("limit=100", "sampling.repeats=20", "batch_size=32")
CUT = ("limit=30", "batch_size=4", "early_stopping=answer", "benchmarks.arithmetic.max_tokens=5")
"""Texts that end before an answer, which the engine is asked for."""
STEPS = "engine.args={step_s: 0.004}"


@dataclass(frozen=True)
class Ray:
    """Ray, and what this process was like before and after its start."""

    cluster: Cluster
    before: tuple[object, ...]
    after: tuple[object, ...]


def _process() -> tuple[object, ...]:
    handlers = [signal.getsignal(number) for number in ENDING]
    ours = {
        name: value for name, value in os.environ.items() if name in PRIVATE or name.startswith("LLMBENCH_")
    }
    return handlers, ours, signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    before = _process()
    with ray_started() as cluster:
        folder = folder_of(cluster)
        yield Ray(cluster, before, _process())
    nothing_stays(folder)


@pytest.fixture(scope="module")
def pool(ray: Ray) -> Iterator[EnginePool]:
    assert ray.cluster.alive()
    with EnginePool() as pool:
        yield pool


@dataclass(frozen=True)
class Jobs:
    """Two jobs of one engine, and the processes that served each."""

    folders: list[Path]
    summaries: list[Summary]
    processes: list[list[int]]
    loads: int


@pytest.fixture(scope="module")
def jobs(pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    base = tmp_path_factory.mktemp("jobs")
    folders, summaries, processes = [base / "1", base / "2"], [], []
    for folder, questions in zip(folders, (QUESTIONS, CUT), strict=True):
        summaries.append(pipeline.run(compose([*TWO, STEPS, *questions]), folder, RunOptions(pool=pool)))
        processes.append(workers(engine_of(pool)))
    return Jobs(folders, summaries, processes, pool.loads)


@pytest.mark.parametrize(("job", "questions"), [(0, QUESTIONS), (1, CUT)])
def test_the_journal_is_the_single_engines(
    jobs: Jobs, tmp_path: Path, job: int, questions: tuple[str, ...]
) -> None:
    pipeline.run(compose([*TWO[:3], *questions]), tmp_path / "single")
    single = answers(tmp_path / "single")
    assert answers(jobs.folders[job]) == single
    assert len(single) == (2000, 30)[job]
    assert any(row["elicited"] for row in single.values()) == (questions is CUT)


def test_both_work_at_it(jobs: Jobs) -> None:
    for summary, wanted in zip(jobs.summaries, (2000, None), strict=True):
        assert summary.status == "finished"
        assert summary.engine is not None
        shares = [replica.requests for replica in summary.engine.replicas]
        assert len(shares) == 2
        assert wanted is None or sum(shares) == wanted
        assert min(shares) >= sum(shares) / 4  # with so few cores one may be slower
        assert not any(replica.deaths or replica.lost for replica in summary.engine.replicas)


def test_jobs_of_one_engine_keep_its_processes(jobs: Jobs) -> None:
    assert jobs.loads == 1
    assert [summary.engine and summary.engine.loads for summary in jobs.summaries] == [2, 0]
    first, second = jobs.processes
    assert first == second
    assert len(set(first)) == 2


def test_the_manifest_names_the_hosts(jobs: Jobs) -> None:
    (host,) = json.loads((jobs.folders[0] / "manifest.json").read_text())["hosts"]
    assert (host["replicas"], host["gpus"]) == (2, [])
    assert host["versions"]["llmbench"]


def test_ray_listens_on_the_loopback_interface_alone(ray: Ray, jobs: Jobs) -> None:
    family = [*cleaner.users_of(folder_of(ray.cluster)), psutil.Process()]
    listening = [
        each.laddr.ip
        for process in family
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert {process.pid for process in family} >= set(jobs.processes[0])
    assert len(listening) > 5
    assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_a_start_of_ray_leaves_signals_and_environment_as_they_were(ray: Ray) -> None:
    assert ray.after == ray.before


@pytest.fixture
def engine(ray: Ray) -> Iterator[ReplicatedEngine]:
    """Two replicas of batch size 4, ready for requests."""
    assert ray.cluster.alive()
    engine = ReplicatedEngine(compose([*TWO]), None)
    engine.prepare()
    try:
        engine.load(WORK, print)
        engine.begin(WordTokenizer(), WORK, loaded=True, notice=print)
        yield engine
    finally:
        engine.close()


def test_what_is_dropped_comes_back_and_another_run_can_begin(engine: ReplicatedEngine) -> None:
    for number in range(40):
        engine.submit(request(number))
    done = engine.step()
    done += engine.abort()
    assert sorted(each.request_id for each in done) == sorted(f"b/{number}/0" for number in range(40))
    engine.begin(WordTokenizer(), WORK, loaded=False, notice=print)
    for number in range(40, 50):
        engine.submit(request(number))
    done = until_answered(engine, 10)
    assert sorted(each.request_id for each in done) == [f"b/{number}/0" for number in range(40, 50)]
    assert all(each.finish_reason is FinishReason.STOP for each in done)
    assert engine.report().loads == 0


def test_settings_of_each_are_known_before_loading(engine: ReplicatedEngine) -> None:
    assert engine.preferred_batch_size(WORK) == engine.capacity == 4
    assert engine.serves(WORK)
    assert not engine.serves(replace(WORK, batch_size=9))
    assert engine.remote_gpus == []
