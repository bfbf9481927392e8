"""How requests are shared between replicas, and what replicas did as a whole."""

from collections import deque
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.engine.replicas import sums
from llmbench.engine.replicas.queue import SharedQueue
from llmbench.engine.replicas.replica import AHEAD, Replica
from llmbench.engine.workload import Took, Workload
from llmbench.records import FinishReason, Request
from llmbench.telemetry.engine_report import EngineReport, Speculation
from llmbench.telemetry.records import EngineState
from tests.helpers.replicas import ended, request

# Adding up


def test_a_share_is_an_equal_part_rounded_up() -> None:
    job = Workload(10, 64, 1000, batch_size=16, at_once=7)
    part = sums.share(replace(job, jobs=(job,)), 3)
    assert (part.requests, part.output_tokens, part.at_once) == (4, 334, 3)
    assert (part.longest, part.batch_size) == (64, 16)
    assert part.jobs == (replace(part, jobs=()),)


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 8))
def test_what_one_took_is_of_long_and_short_answers_alike(outputs: list[int], replicas: int) -> None:
    took = sums.share_of(Took(outputs, 900, 99.0, 60.0, energy_j=None), replicas, 12.0)
    assert len(took.outputs) == -(-len(outputs) // replicas)
    assert sum(outputs) <= replicas * sum(took.outputs) <= sum(outputs) + replicas * max(outputs, default=0)
    assert (took.load_s, took.generate_s, took.prompt_tokens) == (12.0, 60.0, 900 // replicas)
    assert took.energy_j is None


def test_states_are_added_and_unknown_parts_left_out() -> None:
    states = [
        EngineState(running=3, kv_cache_use=0.5, queued=1),
        EngineState(running=4),
        EngineState(kv_cache_use=0.1),
    ]
    found = sums.of_states(states)
    assert (found.running, found.queued, found.waiting) == (7, 1, None)
    assert found.kv_cache_use == pytest.approx(0.3)
    assert sums.of_states([EngineState()] * 2) == EngineState()


def test_reports_are_added() -> None:
    reports = [
        EngineReport("vllm", batch_size=8, preemptions=2, prefix_cache_hit_rate=0.5),
        EngineReport("vllm", batch_size=8, preemptions=3, prefix_cache_hit_rate=None),
    ]
    assert sums.of_reports(reports) == EngineReport(
        "vllm", batch_size=8, preemptions=5, prefix_cache_hit_rate=0.5
    )
    assert sums.of_reports([EngineReport("vllm")] * 2).preemptions is None


def test_what_replicas_drafted_is_added_up() -> None:
    reports = [EngineReport("vllm", speculation=Speculation.of(1, 10, accepted)) for accepted in (2, 7)]
    assert sums.of_reports([*reports, EngineReport("vllm")]).speculation == Speculation(2, 20, 9, 0.45)
    counted = EngineReport("vllm", speculation=Speculation.of(1, 10, 5, 40, 8))
    assert sums.of_reports([counted, counted]).speculation == Speculation(2, 20, 10, 0.5, 80, 16)


# The shared queue


class StandIn:
    """As much of a replica as the queue asks for; each round it answers what it runs."""

    def __init__(self, number: int, batch_size: int) -> None:
        self.number, self.batch_size = number, batch_size
        self.lost: str | None = None
        self.remote = SimpleNamespace(ready=True)
        self.engine = self
        self.given: deque[Request] = deque()
        self.ran: list[str] = []
        self.most = 0

    def submit(self, request: Request, *, first: bool = False) -> None:
        self.given.insert(0, request) if first else self.given.append(request)
        self.most = max(self.most, len(self.given))

    @property
    def unfinished(self) -> int:
        return len(self.given)

    def places(self, *, ahead: bool) -> int:
        return Replica.places(cast("Replica", self), ahead=ahead)

    def round(self) -> None:
        self.ran += [self.given.popleft().id for _ in range(min(self.batch_size, len(self.given)))]


def replicas(*batch_sizes: int) -> tuple[list[StandIn], list[Replica]]:
    made = [StandIn(number, size) for number, size in enumerate(batch_sizes, 1)]
    return made, cast("list[Replica]", made)


@given(st.integers(1, 300), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_all_is_asked_once_and_equal_work_is_shared_evenly(requests: int, batch_sizes: list[int]) -> None:
    queue, (made, working) = SharedQueue(), replicas(*batch_sizes)
    for number in range(requests):
        queue.submit(request(number), first=False)
    while len(queue) or any(each.given for each in made):
        queue.share_out(working)
        for each in made:
            each.round()
    assert sorted(name for each in made for name in each.ran) == sorted(f"b/{n}/0" for n in range(requests))
    for each in made:
        assert each.most <= each.batch_size + max(1, each.batch_size // AHEAD)
        share = requests * each.batch_size / sum(batch_sizes)
        assert len(each.ran) <= share + 2 * each.batch_size


def test_some_more_than_can_run_are_given_while_many_wait() -> None:
    queue, (made, working) = SharedQueue(), replicas(16, 16)
    for number in range(100):
        queue.submit(request(number), first=False)
    queue.share_out(working)
    assert [len(each.given) for each in made] == [18, 18]


@pytest.mark.parametrize("requests", [5, 32])
def test_the_last_ones_go_only_to_places_that_are_free(requests: int) -> None:
    queue, (made, working) = SharedQueue(), replicas(16, 16)
    for number in range(requests):
        queue.submit(request(number), first=False)
    queue.share_out(working)
    assert sorted(len(each.given) for each in made) == [requests // 2, requests - requests // 2]
    queue.submit(request("last"), first=False)
    queue.share_out(working)
    assert len(queue) == (requests == 32)
    made[1].round()
    queue.share_out(working)
    assert len(queue) == 0


def test_one_that_is_lost_or_not_ready_is_given_nothing() -> None:
    queue, (made, working) = SharedQueue(), replicas(4, 4, 4)
    made[0].lost, made[1].remote.ready = "gone", False
    for number in range(20):
        queue.submit(request(number), first=False)
    queue.share_out(working)
    assert [len(each.given) for each in made] == [0, 0, 5]


def test_a_continuation_goes_to_who_wrote_its_beginning() -> None:
    queue, (made, working) = SharedQueue(), replicas(2, 2)
    queue.remember_writers(working[1], [ended("b/a/0"), ended("b/b/0", FinishReason.STOP)])
    made[1].submit(request("other"))
    queue.submit(request("a", "+"), first=True)
    assert [each.id for each in made[1].given] == ["b/a/0+", "b/other/0"]
    queue.submit(request("b", "+"), first=True)  # nobody expected it to be continued
    assert len(queue) == 1
    queue.remember_writers(working[1], [ended("b/c/0")])
    made[1].lost = "gone"
    queue.submit(request("c", "+"), first=True)
    assert [each.id for each in queue.clear()] == ["b/c/0+", "b/b/0+"]
    assert len(queue) == 0


def test_what_a_replica_had_goes_before_what_waits() -> None:
    queue = SharedQueue()
    queue.submit(request("new"), first=False)
    queue.give_back([request("a"), request("b")])
    assert [each.sample_id for each in queue.clear()] == ["a", "b", "new"]
