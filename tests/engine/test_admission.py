"""What vLLM is given and when, without vLLM: places, requests admitted early, refilling; and what a dead engine worked on."""

from types import SimpleNamespace

import pytest

from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import Death, FakeEngine, Hang, Misbehaviour, WordTokenizer
from llmbench.engine.vllm.admission import AdmissionQueue
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.workload import Workload
from llmbench.errors import EngineDiedError
from llmbench.records import Request, Sampling
from tests.helpers.settings import compose


def asked(number: int) -> Request:
    return Request(f"b/{number}/0", "b", str(number), 0, (0,), Sampling(max_tokens=8))


def filled(requests: int, batch_size: int, *, ahead: bool, refill: int = 1) -> AdmissionQueue:
    queue = AdmissionQueue()
    queue.begin(batch_size, ahead=ahead, refill=False)
    queue.refill = refill
    for number in range(requests):
        queue.submit(asked(number), first=False)
    return queue


def admit(queue: AdmissionQueue) -> list[str]:
    keys = []
    for key, request in queue.admissible():
        queue.admitted(key, request, f"{key}-internal")
        keys.append(key)
    return keys


def test_a_few_are_admitted_ahead_and_count_as_queued_from_when_a_place_is_free() -> None:
    queue = filled(9, 4, ahead=True)
    first = admit(queue)
    assert (len(first), len(queue.running), len(queue.waiting), len(queue)) == (5, 5, 4, 9)
    assert admit(queue) == []
    request, free_since = queue.finished(first[1], 7.5)
    assert (request.id, free_since) == ("b/1/0", 0.0)
    assert admit(queue) == ["5"]  # a key that was never used
    assert queue.finished(first[4], 9.0)[1] == 7.5  # the one ahead took the place of the one that finished


def test_without_a_bound_of_vllms_nothing_is_admitted_ahead() -> None:
    queue = filled(9, 4, ahead=False)
    assert len(admit(queue)) == 4
    queue.finished("0", None)
    assert admit(queue) == ["4"]


def test_several_are_admitted_together() -> None:
    queue = filled(9, 4, ahead=True, refill=2)
    keys = admit(queue)
    assert len(keys) == 4
    queue.finished(keys[0], 1.0)
    assert admit(queue) == []
    queue.finished(keys[1], 1.0)
    assert len(admit(queue)) == 2


def test_a_request_that_vllm_refuses_takes_no_place() -> None:
    queue = filled(3, 2, ahead=False)
    taken = [request.id for _, request in queue.admissible()]
    assert taken == ["b/0/0", "b/1/0", "b/2/0"]
    assert len(queue) == 0


def test_a_continuation_goes_first_and_all_are_dropped_together() -> None:
    queue = filled(3, 1, ahead=False)
    queue.submit(asked(7), first=True)
    admit(queue)
    assert [request.id for request in queue.clear()] == ["b/7/0", "b/0/0", "b/1/0", "b/2/0"]
    assert len(queue) == 0
    assert not queue.internal


@pytest.mark.parametrize(
    "fault", [Misbehaviour(die=Death(after=0)), Misbehaviour(hang=Hang(after=0, apart=True))]
)
def test_the_fake_engine_names_what_it_worked_on_when_it_died(fault: Misbehaviour) -> None:
    engine = FakeEngine(4, misbehaviour=fault)
    work = Workload(6, 8, 48, batch_size=4)
    engine.load(work, lambda _: None)
    engine.begin(WordTokenizer(), work, loaded=True, notice=print)
    for number in range(6):
        engine.submit(asked(number))
    engine.kill("It hung.")
    with pytest.raises(EngineDiedError) as died:
        engine.step()
    assert died.value.running == ("b/0/0", "b/1/0", "b/2/0", "b/3/0")


@pytest.mark.parametrize("killed", [False, True])
def test_vllm_names_what_it_worked_on_when_it_died(*, killed: bool) -> None:
    def breaks() -> None:
        raise RuntimeError("It is gone.")

    engine = VllmEngine(compose([]), Checkpoint("model", None, local=True))
    classes = SimpleNamespace(SamplingParams=dict, RequestOutputKind=SimpleNamespace(FINAL_ONLY=None))
    engine._package.vllm = SimpleNamespace(sampling_params=classes)
    engine._llm = SimpleNamespace(
        llm_engine=SimpleNamespace(step=breaks, add_request=lambda key, prompt, params, **_: key)  # noqa: ARG005
    )
    engine._processes.killed = "It hung." if killed else None
    engine._queue.begin(2, ahead=False, refill=False)
    for number in range(3):
        engine.submit(asked(number))
    with pytest.raises(EngineDiedError, match=r"It hung\." if killed else "It is gone") as died:
        engine.step()
    assert died.value.running == ("b/0/0", "b/1/0")
