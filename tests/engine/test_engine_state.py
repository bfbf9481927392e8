"""What the trace and the display say of requests: running and waiting are the scheduler's, queued is what llmbench holds back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import FakeEngine, Misbehaviour, WordTokenizer
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.vllm.figures import scheduler_state
from llmbench.engine.workload import Workload
from llmbench.records import Request, Sampling
from llmbench.results.reader import load_run
from llmbench.telemetry import EngineState, read_trace
from tests.helpers.asked import finish
from tests.helpers.runs import MCQ, make
from tests.helpers.settings import compose

ALL = 12


def asked(number: int) -> Request:
    return Request(f"b/{number}/0", "b", str(number), 0, (0,), Sampling(max_tokens=8))


def counts(state: EngineState) -> tuple[float | None, ...]:
    return state.running, state.waiting, state.queued


def test_a_scheduler_with_fewer_places_than_the_batch_lets_the_rest_wait_timed() -> None:
    engine = FakeEngine(5, lambda _: "a b c d", Misbehaviour(places=2))
    work = Workload(ALL, 8, ALL * 8, batch_size=5)
    engine.load(work, lambda _: None)
    engine.begin(WordTokenizer(), work, loaded=True, notice=print)
    for number in range(ALL):
        engine.submit(asked(number))
    assert counts(engine.state()) == (0, 0, ALL)
    engine.step()
    assert counts(engine.state()) == (2, 3, 7)
    done = finish(engine)
    timings = sorted((c.timing for c in done.values() if c.timing), key=lambda t: t.finished)
    assert [t.queue > 0 for t in timings[:5]] == [False, False, True, True, True]
    assert all(abs(t.queue + t.prefill - t.ttft) < 1e-9 for t in timings)
    assert counts(engine.state()) == (0, 0, 0)


def states_of(folder: Path, *overrides: str, places: int | None = None) -> list[EngineState]:
    run = make(folder, lambda _: "12 " * 12, *overrides, places=places, step_s=0.02)
    assert load_run(run).results
    return [sample.engine for sample in read_trace(run / "trace.jsonl") if sample.engine is not None]


def test_the_trace_tells_the_schedulers_requests_from_those_that_were_held_back(tmp_path: Path) -> None:
    states = states_of(tmp_path / "run", "limit=12", "batch_size=5", places=2)
    full = [s for s in states if s.queued and s.waiting]
    assert full
    assert {s.running for s in full} <= {0, 1, 2}
    assert any((s.running, s.waiting, s.queued) == (2, 3, 7) for s in full)


def test_benchmarks_whose_turn_has_not_come_are_held_back_too(tmp_path: Path) -> None:
    both = ("benchmark=[arithmetic,gpqa]", f"benchmarks.gpqa.data_files={MCQ}", "limit=6", "batch_size=4")
    states = states_of(tmp_path / "run", *both, "schedule=sequential")
    assert (
        max(s.queued or 0 for s in states if s.running) == 8
    )  # two of the first benchmark and six of the second
    assert max(s.running or 0 for s in states) == 4


@contextmanager
def metrics(running: float, waiting: float) -> Iterator[None]:
    """vLLM's metrics of two engines of one process, after 3 preemptions and 500 tokens."""
    prometheus = pytest.importorskip("prometheus_client")
    gauges = {"num_requests_running": running, "num_requests_waiting": waiting, "kv_cache_usage_perc": 0.75}
    made = [(prometheus.Gauge(f"vllm:{name}", name, ["engine"]), value) for name, value in gauges.items()]
    counters = {"num_preemptions": 3, "generation_tokens": 500}
    for metric, value in made:
        metric.labels("0").set(value)
    for name, value in counters.items():
        made.append((prometheus.Counter(f"vllm:{name}", name, ["engine"]), value))
        made[-1][0].labels("0").inc(value)
    try:
        yield
    finally:
        for metric, _ in made:
            prometheus.REGISTRY.unregister(metric)


def apart() -> SimpleNamespace:
    return around(SimpleNamespace())


def around(core: object) -> SimpleNamespace:
    return SimpleNamespace(llm_engine=SimpleNamespace(engine_core=core))


def test_an_engine_in_another_process_is_asked_for_vllms_metrics() -> None:
    with metrics(running=13, waiting=27):
        state = scheduler_state(apart(), {"preemptions": 1, "generated_tokens": 400}, 40)
    assert (state.running, state.waiting, state.kv_cache_use) == (13, 27, 0.75)
    assert (state.preemptions, state.generated_tokens, state.prefix_cache_hits) == (2, 100, None)


def test_before_the_first_step_nothing_is_said_of_requests_that_were_given() -> None:
    with metrics(running=0, waiting=0):
        assert scheduler_state(apart(), {}, 40).running is None
        assert scheduler_state(apart(), {}, 0).running == 0


def test_a_scheduler_in_this_process_is_counted_now() -> None:
    scheduler = SimpleNamespace(
        get_request_counts=lambda: (13, 27), kv_cache_manager=SimpleNamespace(usage=0.99)
    )
    engine = around(SimpleNamespace(engine_core=SimpleNamespace(scheduler=scheduler)))
    state = scheduler_state(engine, {}, 40)
    assert (state.running, state.waiting, state.kv_cache_use) == (13, 27, 0.99)


@pytest.mark.parametrize(
    ("typed", "batch"), [([], 8), (["engine.args.max_num_seqs=3"], 3), (["engine.args.max_num_seqs=64"], 8)]
)
def test_vllms_own_bound_is_never_passed(typed: list[str], batch: int) -> None:
    config = compose(["batch_size=8", *typed])
    engine = VllmEngine(config, Checkpoint("model", None, local=True))
    assert engine.preferred_batch_size(Workload.of(config, {"arithmetic": 40})) == batch
