"""Which results a rule of stopping looks at, in whatever order they come, and what it says of them."""

import heapq
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from llmbench.records import Outcome, Result
from llmbench.results.stopping import Reason, StopEntry, StopMonitor, StopRule, entry
from tests.helpers.factories import result

ORDER = [str(number) for number in range(60)]
NARROW = StopRule(ORDER, least=5, width=0.4)
AT_ONCE = 16


def answer(sample_id: str, *, right: bool) -> Result:
    return result(sample_id, Outcome.CORRECT if right else Outcome.WRONG)


def watched(rule: StopRule, results: list[Result]) -> StopMonitor:
    monitor = StopMonitor(rule)
    for each in results:
        monitor.add(each)
    return monitor


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=60, max_size=60), st.randoms(use_true_random=False))
def test_the_order_in_which_answers_come_changes_nothing(
    rights: list[bool], generator: random.Random
) -> None:
    results = [answer(sample_id, right=right) for sample_id, right in zip(ORDER, rights, strict=True)]
    in_order = watched(NARROW, results)
    generator.shuffle(results)
    shuffled = watched(NARROW, results)
    assert in_order.reason is not None
    assert (shuffled.reason, shuffled.counted) == (in_order.reason, in_order.counted)


def test_quick_answers_that_are_right_more_often_do_not_raise_the_score() -> None:
    """Right answers take 1 second and wrong ones 30; 16 run at once. What is there when the run stops is right more often than what counts."""
    generator = random.Random(5)
    rights = {sample_id: generator.random() < 0.5 for sample_id in map(str, range(2000))}
    counted, finished = [], []
    for begin in range(0, 2000, 60):
        order = [str(number) for number in range(begin, min(begin + 60, 2000))]
        monitor, came = StopMonitor(StopRule(order, least=5, width=0.4)), list[bool]()
        waiting, running = order[AT_ONCE:], [(1 if rights[i] else 30, i) for i in order[:AT_ONCE]]
        heapq.heapify(running)
        while running and monitor.reason is None:
            now, sample_id = heapq.heappop(running)
            came.append(rights[sample_id])
            monitor.add(answer(sample_id, right=rights[sample_id]))
            if waiting:
                following = waiting.pop(0)
                heapq.heappush(running, (now + (1 if rights[following] else 30), following))
        counted += [rights[sample_id] for sample_id in order[: monitor.counted]]
        finished += came
    truth = sum(rights.values()) / len(rights)
    assert abs(sum(counted) / len(counted) - truth) < 0.05
    assert sum(finished) / len(finished) > truth + 0.05


def test_a_question_counts_when_all_its_answers_are_there() -> None:
    monitor = StopMonitor(StopRule(ORDER, repeats=2, least=1, width=0.4))
    monitor.add(answer("0", right=True))
    assert (monitor.counted, monitor.answered) == (0, 0)
    monitor.add(answer("0", right=False))
    assert (monitor.counted, monitor.answered) == (1, 1)


def test_after_the_rule_is_met_nothing_more_counts() -> None:
    monitor = watched(NARROW, [answer(sample_id, right=True) for sample_id in ORDER])
    assert monitor.reason is Reason.NARROW
    assert monitor.counted < 30
    assert monitor.answered == 60


def test_grades_that_change_later_are_said_to_leave_it_open() -> None:
    first = watched(NARROW, [answer(sample_id, right=True) for sample_id in ORDER]).counted
    now = [answer(sample_id, right=int(sample_id) % 2 == 0) for sample_id in ORDER[:first]]
    found = entry(NARROW, now, left_out=3)
    assert found.reason == Reason.OPEN
    assert found.questions == first
    assert "so far the interval for all 60 is wider" in found.sentences()[0]
    assert "3 answers to later questions" in found.sentences()[2]


def test_a_run_to_compare_with_that_is_gone_leaves_the_difference_unknown() -> None:
    entries = [answer(sample_id, right=True) for sample_id in ORDER[:20]]
    found = entry(StopRule(ORDER, against="runs/a"), entries, 0)
    assert isinstance(found, StopEntry)
    assert found.difference is None
    assert "the difference to runs/a is not known" in found.sentences()[0]


def test_fewer_shared_questions_than_are_to_be_asked_at_least_settle_nothing() -> None:
    results = [answer(sample_id, right=True) for sample_id in ORDER]
    rule = StopRule(
        ORDER, least=20, margin=0.5, level=0.5, against="other", scores=dict.fromkeys(ORDER[:11], 0.0)
    )
    monitor = watched(rule, results)
    assert (monitor.reason, monitor.counted) == (Reason.ALL, 11)
    assert entry(rule, results[:11], 0).reason == Reason.ALL
