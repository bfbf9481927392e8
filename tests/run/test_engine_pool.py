"""One engine for many runs: when it is kept, when it is loaded again, and what a run finds of the one before."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.config.schema import Config
from llmbench.engine.fake import FakeEngine
from llmbench.engine.replicas import agreement
from llmbench.engine.workload import Workload
from llmbench.errors import DataError, EngineError
from llmbench.results.summary import Summary
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines, bound, engine_key, merged
from llmbench.run.options import RunOptions
from llmbench.telemetry.engine_report import EngineReport
from tests.helpers.engines import FakeEngines
from tests.helpers.settings import compose

ARITHMETIC = ("benchmark=arithmetic", "limit=6")


class Counting:
    """The fake engine, counting what is done to it."""

    def __init__(self, **options: object) -> None:
        self.engines = FakeEngines(lambda _: "7", **options)
        self.opened: list[FakeEngine] = []
        self.closed = 0

    def pool(self) -> EnginePool:
        pool = self.engines.pool()
        original = pool.engines.open_engine

        def open_engine(*arguments: object) -> FakeEngine:
            engine = original(*arguments)  # type: ignore[arg-type]
            assert isinstance(engine, FakeEngine)
            self.opened.append(engine)
            engine.close = self._close  # type: ignore[method-assign]
            return engine

        object.__setattr__(pool.engines, "open_engine", open_engine)
        return pool

    def _close(self, *, process_ends: bool = False) -> None:
        assert not process_ends
        self.closed += 1

        def gone() -> EngineReport:
            raise AssertionError("a closed engine was asked for its report")

        self.opened[-1].report = gone  # type: ignore[method-assign]


def run(pool: EnginePool, folder: Path, *overrides: str) -> Summary:
    return pipeline.run(compose([*ARITHMETIC, *overrides]), folder, RunOptions(pool=pool))


@pytest.mark.parametrize(
    "same",
    [
        ("batch_size=2",),
        ("sampling.temperature=0.5",),
        ("early_stopping=off",),
        ("profile=before", "model.gpu_memory_utilization=0.95"),
        ("benchmark=gpqa",),
        ("benchmarks.arithmetic.stop=[x]",),
        ("seed=3",),
    ],
)
def test_what_a_run_decides_needs_no_other_engine(same: tuple[str, ...]) -> None:
    assert engine_key(compose(["benchmark=arithmetic"])) == engine_key(compose([*same]))


@pytest.mark.parametrize(
    "other",
    [
        "model.quantization=fp8",
        "model.dtype=float32",
        "model.max_length=2048",
        "model=qwen7b",
        "engine.startup=full",
        "engine.args={max_num_batched_tokens: 64}",
        "model.gpu_memory_utilization=0.5",
    ],
)
def test_what_the_engine_is_loaded_with_needs_another(other: str) -> None:
    assert engine_key(compose([])) != engine_key(compose([other]))


def test_runs_share_an_engine_and_count_its_loads(tmp_path: Path) -> None:
    counting = Counting()
    with counting.pool() as pool:
        first = run(pool, tmp_path / "1", "batch_size=4")
        second = run(pool, tmp_path / "2", "batch_size=2")
        assert counting.closed == 0
    assert (len(counting.opened), counting.closed, pool.loads) == (1, 1, 1)
    assert first.engine is not None
    assert second.engine is not None
    assert (first.engine.loads, second.engine.loads) == (1, 0)
    assert (first.engine.batch_size, second.engine.batch_size) == (4, 2)
    assert second.time_s.load == 0
    assert first.benchmarks["arithmetic"].n == second.benchmarks["arithmetic"].n == 6


def test_a_batch_that_does_not_fit_loads_the_engine_again(tmp_path: Path) -> None:
    counting = Counting()
    with counting.pool() as pool:
        run(pool, tmp_path / "1", "batch_size=2")
        run(pool, tmp_path / "2", "batch_size=4")
        assert (pool.loads, counting.closed) == (2, 1)


def test_a_plan_makes_room_for_what_comes(tmp_path: Path) -> None:
    counting = Counting()
    with counting.pool() as pool:
        pool.plan([compose([*ARITHMETIC, f"batch_size={size}"]) for size in (2, 8, 4)])
        for number, size in enumerate((2, 8, 4)):
            found = run(pool, tmp_path / str(number), f"batch_size={size}")
            assert found.engine is not None
            assert found.engine.batch_size == size
        assert pool.loads == 1


def test_another_engine_comes_only_when_the_first_is_closed(tmp_path: Path) -> None:
    counting = Counting()
    with counting.pool() as pool:
        run(pool, tmp_path / "1")
        run(pool, tmp_path / "2", "model.max_length=2048")
        assert (len(counting.opened), counting.closed, pool.loads) == (2, 1, 2)


def test_a_run_that_fails_before_asking_keeps_the_engine(tmp_path: Path) -> None:
    counting = Counting()
    with counting.pool() as pool:
        run(pool, tmp_path / "1")
        with pytest.raises(DataError):
            run(pool, tmp_path / "2", "benchmark=gsm8k", "benchmarks.gsm8k.data_files=/no/such.jsonl")
        run(pool, tmp_path / "3")
        assert (pool.loads, counting.closed) == (1, 0)


def test_an_engine_that_broke_is_not_met_again(tmp_path: Path) -> None:
    counting = Counting(break_after=2)
    with counting.pool() as pool:
        with pytest.raises(EngineError):
            run(pool, tmp_path / "1", "batch_size=1")
        assert counting.closed == 1
        with pytest.raises(EngineError):
            run(pool, tmp_path / "2", "batch_size=1")
        assert pool.loads == 2


def test_graders_are_kept_too(tmp_path: Path) -> None:
    with Counting().pool() as pool:
        run(pool, tmp_path / "1")
        first = pool.graders._grader
        run(pool, tmp_path / "2")
        assert pool.graders._grader is first


def test_work_follows_from_the_settings_and_added_up() -> None:
    work = bound(compose(["benchmark=arithmetic", "limit=5", "early_stopping=off"]))
    limit = compose(["benchmark=arithmetic"]).benchmarks["arithmetic"].max_tokens
    assert work.counts == (("arithmetic", 5),)
    assert replace(work, batching=None, counts=()) == Workload(5, limit, 5 * limit, 0, 5, greedy=True)
    asked = bound(compose(["benchmark=arithmetic", "limit=5", "batch_size=3", "sampling.temperature=1"]))
    assert (asked.batch_size, asked.at_once, asked.greedy) == (3, 0, False)
    assert asked.longest > limit  # the tokens for asking for the answer are part of it
    both = merged([work, asked])
    assert (both.batch_size, both.at_once, both.greedy) == (3, 5, False)
    assert both.output_tokens == work.output_tokens + asked.output_tokens
    assert both.jobs == (work, asked)
    assert merged([work]).jobs == ()


def test_what_auto_means_is_decided_once_for_all_jobs_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Workload]()

    def choose(_: object, __: object, workload: Workload) -> tuple[int, str]:
        asked.append(workload)
        return 3, "3 replicas, for a reason."

    monkeypatch.setattr(agreement, "choose", choose)
    said, opened = list[str](), list[Config]()
    jobs = [compose([*ARITHMETIC, "engine.replicas=auto", f"seed={seed}"]) for seed in (1, 2)]
    other = compose([*ARITHMETIC, "engine.replicas=auto", "model.dtype=float32"])

    def open_engine(config: Config, _: object) -> FakeEngine:
        opened.append(config)
        return FakeEngine()

    pool = EnginePool(Engines(find_checkpoint=lambda _: None, open_engine=open_engine))
    with pool:
        pool.plan([*jobs, other])
        for job in (*jobs, other):
            chosen = pool.choose_replicas(job, None, bound(job), said.append)
            assert chosen.engine.replicas == 3
            pool.prepare(chosen, None)
    assert [work.requests for work in asked] == [12, 6]
    assert [sentence for sentence in said if "reason" in sentence] == ["3 replicas, for a reason."] * 2
    assert [config.engine.replicas for config in opened] == [3, 3]


def test_a_number_of_replicas_is_taken_as_it_is() -> None:
    pool, said = EnginePool(), list[str]()
    config = compose([*ARITHMETIC, "engine.replicas=4"])
    assert pool.choose_replicas(config, None, bound(config), said.append) == config
    assert said == ["Starting 4 replicas …"]
    few = compose([*ARITHMETIC, "engine.replicas=40"])
    assert pool.choose_replicas(few, None, bound(few), said.append).engine.replicas == bound(few).requests
    assert "there are no more requests" in said[-2]
