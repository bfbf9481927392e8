"""An engine that replaces another: every request comes back once, what kills engines as an error, and a new process knows the rest."""

from collections.abc import Callable

import pytest

from llmbench.engine.base import Engine
from llmbench.engine.fake import Death, FakeEngine, Misbehaviour, WordTokenizer
from llmbench.engine.restarting import PROBE, RestartingEngine, RestartLog
from llmbench.engine.workload import Workload
from llmbench.errors import EngineDiedError, EngineError
from llmbench.records import Completion, FinishReason, Request, Sampling

BATCH = 4


class Source:
    """Opens fake engines, each of which dies as it is told."""

    def __init__(self, die: Callable[[int], Death | None]) -> None:
        self.die, self.opened, self.discarded = die, list[FakeEngine](), 0
        self.refuse = frozenset[str]()

    def open(self) -> Engine:
        work = Workload(100, 8, 800, batch_size=BATCH)
        faults = Misbehaviour(self.refuse, die=self.die(len(self.opened)) or Death())
        engine = FakeEngine(BATCH, lambda request: "word " * (1 + len(request.sample_id)), faults)
        engine.load(work, lambda _: None)
        engine.begin(WordTokenizer(), work, loaded=True, notice=print)
        self.opened.append(engine)
        return engine

    def discard(self) -> None:
        self.discarded += 1


def restarting(
    die: Callable[[int], Death | None],
    *,
    bound: int = 3,
    log: RestartLog | None = None,
    probe: tuple[int, Request] | None = None,
) -> tuple[RestartingEngine, Source, list[str]]:
    said, source, log = list[str](), Source(die), log or RestartLog()
    log.begin(bound, ())
    return RestartingEngine(source.open(), source, log, said.append, finished=(), probe=probe), source, said


def request(name: str, suffix: str = "") -> Request:
    return Request(f"b/{name}/0{suffix}", "b", name, 0, (0,), Sampling(max_tokens=8))


def answers(engine: RestartingEngine, *requests: Request) -> list[Completion]:
    for each in requests:
        engine.submit(each)
    done: list[Completion] = []
    while len(done) < len(requests):
        done += engine.step()
    assert engine.step() == []
    return done


def step_on(engine: RestartingEngine) -> None:
    while True:
        engine.step()


def test_what_was_in_flight_is_asked_again_and_comes_back_once() -> None:
    engine, source, said = restarting(lambda number: Death(after=3) if number == 0 else None)
    done = answers(engine, *(request(str(n)) for n in range(10)))
    assert sorted(c.request_id for c in done) == sorted(f"b/{n}/0" for n in range(10))
    assert all(c.finish_reason is FinishReason.STOP for c in done)
    assert (len(source.opened), source.discarded, len(said)) == (2, 1, 1)
    assert engine.report().loads == 2


def test_a_request_that_always_kills_comes_back_as_an_error_and_the_rest_is_answered() -> None:
    engine, source, _ = restarting(lambda _: Death(on=frozenset({"5"})))
    done = {c.request_id: c for c in answers(engine, *(request(str(n)) for n in range(10)))}
    failed = [name for name, completion in done.items() if completion.finish_reason is FinishReason.ABORT]
    assert (failed, len(done)) == (["b/5/0"], 10)
    assert "asked nothing but this" in (done["b/5/0"].error or "")
    assert len(source.opened) <= 6


def test_no_engine_is_opened_for_nothing() -> None:
    engine, source, _ = restarting(lambda _: Death(on=frozenset({"0"})))
    (completion,) = answers(engine, request("0"))
    assert completion.finish_reason is FinishReason.ABORT
    assert (len(source.opened), source.discarded) == (2, 2)
    assert engine.state().running is None
    assert engine.report().name == "fake"


def test_a_continuation_is_asked_again_by_itself() -> None:
    engine, source, _ = restarting(lambda number: Death(after=1) if number == 0 else None)
    done = answers(engine, request("a"), request("longer", "+"))
    assert [(c.request_id, c.finish_reason) for c in done] == [
        ("b/a/0", FinishReason.STOP),
        ("b/longer/0+", FinishReason.STOP),
    ]
    assert len(source.opened) == 2


def test_engines_that_die_one_after_another_end_it() -> None:
    engine, source, _ = restarting(lambda _: Death(after=0), bound=2)
    engine.submit(request("a"))
    engine.submit(request("b"))
    with pytest.raises(EngineError, match=r"died 3 times in a row .* engine_restarts=2"):
        step_on(engine)
    assert len(source.opened) == 3


def test_the_last_engine_allowed_is_asked_what_was_answered_before() -> None:
    engine, source, _ = restarting(lambda number: Death(after=1 if number == 0 else 0), bound=1)
    engine.submit(request("longer"))
    engine.submit(request("a"))
    with pytest.raises(EngineError, match="in a row"):
        step_on(engine)
    assert [c.request_id for c in source.opened[1].abort()] == [PROBE]


def test_without_restarts_a_death_is_the_end() -> None:
    engine, source, said = restarting(lambda _: Death(after=0), bound=0)
    engine.submit(request("a"))
    with pytest.raises(EngineDiedError):
        engine.step()
    assert (len(source.opened), said) == (1, [])


def test_a_new_process_knows_what_was_set_aside() -> None:
    log = RestartLog()
    engine, _, said = restarting(lambda _: Death(on=frozenset({"c"}), needs_new_process=True), log=log)
    for name in "abcdef":
        engine.submit(request(name))
    with pytest.raises(EngineDiedError):
        step_on(engine)
    assert "in a new process" in said[0]
    again = RestartLog.of(log.as_data())
    again.begin(3, {"b/b/0"})
    engine, source, _ = restarting(lambda _: None, log=again)
    for name in "acdef":
        engine.submit(request(name))
    engine.step()
    first = [c.request_id for c in source.opened[0].abort()]
    assert first == ["b/e/0", "b/f/0"]  # a, c and d were running when it died


def processes(poison: Callable[[Request], bool], *requests: Request, most: int = 30) -> dict[str, bool]:
    """Whether each request was answered, with a new process for each death, as `cli.main` starts them.

    Requests with a "+" behind them follow when their beginning was answered, in the same process or a later one.
    """
    log, answered, following = RestartLog(), dict[str, bool](), {r.id for r in requests if r.id.endswith("+")}
    for _ in range(most):
        log = RestartLog.of(log.as_data())
        log.begin(3, {name for name in answered if name not in following})
        source = Source(lambda _: None)
        engine = RestartingEngine(source.open(), source, log, lambda _: None, finished=())
        fake = source.opened[-1]
        original, left = fake.step, [r for r in requests if not r.id.endswith("+") and r.id not in answered]

        def step(
            fake: FakeEngine = fake, original: Callable[[], list[Completion]] = original
        ) -> list[Completion]:
            finished = original()
            running = [state.request for state in fake._running]
            if any(map(poison, running)):
                raise EngineDiedError("It died.", needs_new_process=True, running=[r.id for r in running])
            return finished

        fake.step = step  # type: ignore[method-assign]
        open_ones = {r.id for r in left}
        for each in left:
            engine.submit(each)
        begun = dict[str, bool]()
        try:
            while open_ones:
                for done in engine.step():
                    open_ones.discard(done.request_id)
                    good = done.finish_reason is not FinishReason.ABORT
                    more = next((r for r in requests if r.id == f"{done.request_id}+"), None)
                    if more is not None and good:
                        begun[done.request_id] = True
                        engine.submit(more)
                        open_ones.add(more.id)
                    else:
                        answered[done.request_id] = good
                        answered[done.request_id.removesuffix("+")] = good
        except EngineDiedError:
            continue
        return answered
    raise AssertionError(f"no end after {most} processes; {answered}")


def test_two_that_kill_in_processes_of_their_own_are_both_found() -> None:
    requests = [request(name) for name in "abcdefgh"]
    answered = processes(lambda r: r.sample_id in "ch", *requests)
    assert {name for name, good in answered.items() if not good} == {"b/c/0", "b/h/0"}
    assert len(answered) == 8


def test_a_continuation_that_kills_its_process_is_found() -> None:
    requests = [request(name) for name in "abcdefgh"] + [request(name, "+") for name in "abcdefgh"]
    answered = processes(lambda r: r.id == "b/d/0+", *requests)
    bad = {name for name, good in answered.items() if not good}
    assert bad == {"b/d/0", "b/d/0+"}
    assert {f"b/{name}/0" for name in "abcdefgh"} <= set(answered)


def test_a_probe_that_is_refused_is_asked_once() -> None:
    dies_once = lambda number: Death(after=0) if number == 0 else None  # noqa: E731
    engine, source, _ = restarting(dies_once, bound=1, probe=(1, request("x")))
    source.refuse = frozenset({PROBE})
    (done,) = answers(engine, request("a"))
    assert done.request_id == "b/a/0"


def test_of_a_set_from_an_earlier_process_only_what_was_submitted_is_asked() -> None:
    log = RestartLog.of({"fatal_search": {"aside": [["b/a/0+", "b/later/0"]], "alone": {"b/a/0+": 1}}})
    engine, _, _ = restarting(lambda _: None, log=log)
    (done,) = answers(engine, request("a"))
    assert done.request_id == "b/a/0"
    (done,) = answers(engine, request("later"))
    assert done.request_id == "b/later/0"


def test_tokens_of_dead_engines_count() -> None:
    engine, source, _ = restarting(lambda number: Death(after=1) if number == 0 else None)
    seen = 0.0
    for name in ("a", "longer"):
        engine.submit(request(name))
    while not source.discarded:
        seen = engine.state().generated_tokens or 0
        engine.step()
    assert engine.state().generated_tokens == seen > 0
    done: list[Completion] = []
    while not done:
        done = engine.step()
    assert engine.state().generated_tokens == seen + done[0].output_tokens


def test_what_is_dropped_comes_back_as_aborted() -> None:
    engine, _, _ = restarting(lambda _: None)
    for name in "abcdef":
        engine.submit(request(name))
    engine.step()
    assert sorted(c.request_id for c in engine.abort()) == [f"b/{name}/0" for name in "abcdef"]
    assert engine.state().queued == 0


def step_to_death(engine: RestartingEngine, source: Source) -> None:
    before = source.discarded
    while source.discarded == before:
        engine.step()


def test_an_engine_follows_at_once_where_it_is_wanted() -> None:
    engine, source, said = restarting(lambda number: Death(after=0) if number == 0 else None)
    engine.submit(request("a"))
    step_to_death(engine, source)
    assert said == []
    engine.recover()
    assert (len(source.opened), len(said)) == (2, 1)
    engine.recover()
    source.opened[1]._loads = 3  # as of one that loads its parts again
    assert (len(source.opened), engine.report().loads) == (2, 4)
    done: list[Completion] = []
    while engine.unfinished:
        done += engine.step()
    assert [c.request_id for c in done] == ["b/a/0"]


def test_no_engine_follows_too_many_deaths() -> None:
    engine, source, _ = restarting(lambda _: Death(after=0), bound=1)
    engine.submit(request("a"))
    step_to_death(engine, source)
    engine.recover()
    step_to_death(engine, source)
    with pytest.raises(EngineError, match=r"engine_restarts=1"):
        engine.recover()
    assert len(source.opened) == 2


def test_after_a_death_others_can_be_asked_but_for_what_is_kept() -> None:
    engine, source, _ = restarting(lambda number: Death(after=1) if number == 0 else None)
    for name in ("a", "longer", "longer still", "d", "e", "f"):
        engine.submit(request(name))
    step_to_death(engine, source)
    back = engine.give_back(lambda name: name == "b/longer/0")
    assert "b/longer/0" not in {each.id for each in back}
    assert engine.unfinished == 1
    done: list[Completion] = []
    while engine.unfinished:
        done += engine.step()
    assert [c.request_id for c in done] == ["b/longer/0"]
