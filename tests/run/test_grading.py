import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import psutil
import pytest

from llmbench.benchmarks import math as math_benchmark
from llmbench.benchmarks.gsm8k import GSM8K
from llmbench.errors import GradingError, Interrupted
from llmbench.records import FinishReason, Outcome, Sample, Score
from llmbench.run import grading
from llmbench.run.grading import Grader, checked_score, find_stated, grade
from llmbench.system.signals import as_interrupts
from tests.helpers.commands import wait_until

pytestmark = pytest.mark.slow

MATH = math_benchmark.__name__
HOSTILE = "tests.helpers.hostile"


def sample(target: str) -> Sample:
    return Sample("1", {}, target)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader[str]]:
    with Grader[str](["math_verify"], workers=2) as grader:
        yield grader


def submit_hanging(grader: Grader[str], ticket: str, text: str, *task: Any) -> None:  # noqa: ANN401 - see Grader.submit
    """Submits a text whose time is to run out; all others have more, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{HOSTILE}.LIMIT_S", 1.0, raising=False)
        grader.submit(ticket, HOSTILE, sample("x"), text, *task)


def grades(grader: Grader[str]) -> dict[str, Outcome]:
    return {ticket: score.outcome for ticket, score in grader.finished(wait=True)}


def test_texts_come_back_with_their_tickets(grader: Grader[str]) -> None:
    texts = {
        "right": "\\boxed{\\frac{1}{2}}",
        "wrong": "\\boxed{3}",
        "none": "I do not know",
        "half": "\\boxed{0.5}",
    }
    for ticket, text in texts.items():
        grader.submit(ticket, MATH, sample("\\frac12"), text, FinishReason.STOP)
    assert grades(grader) == {
        "right": Outcome.CORRECT,
        "wrong": Outcome.WRONG,
        "none": Outcome.NO_ANSWER,
        "half": Outcome.CORRECT,
    }
    assert grader.unfinished == 0


def test_a_cut_text_without_an_answer_is_truncated(grader: Grader[str]) -> None:
    grader.submit("cut", MATH, sample("3"), "First we note that", FinishReason.LENGTH)
    assert grades(grader) == {"cut": Outcome.TRUNCATED}


def test_hanging_dying_and_greedy_graders_take_one_answer_with_them(grader: Grader[str]) -> None:
    submit_hanging(grader, "hang", "hang", FinishReason.STOP)
    for kind in ("die", "eat", "raise"):
        grader.submit(kind, HOSTILE, sample("x"), kind, FinishReason.STOP)
    grader.submit("fine", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
    assert grades(grader) == {
        "hang": Outcome.TIMEOUT,
        "die": Outcome.ERROR,
        "eat": Outcome.ERROR,
        "raise": Outcome.ERROR,
        "fine": Outcome.CORRECT,
    }


def test_looking_for_an_answer_has_the_limits_of_grading(grader: Grader[str]) -> None:
    submit_hanging(grader, "hang", "hang", FinishReason.LENGTH, find_stated)
    for text in ("stated", "nothing", "eat", "digits"):
        grader.submit(text, HOSTILE, sample("x"), text, FinishReason.LENGTH, find_stated)
    found = {ticket: (score.outcome, score.answer) for ticket, score in grader.finished(wait=True)}
    assert found == {
        "stated": (Outcome.WRONG, "stated"),
        "nothing": (Outcome.NO_ANSWER, None),
        "hang": (Outcome.TIMEOUT, None),
        "eat": (Outcome.ERROR, None),
        "digits": (Outcome.ERROR, None),
    }


def test_a_text_whose_worker_died_is_graded_again_once(grader: Grader[str], tmp_path: Path) -> None:
    for kind in ("segfault", f"dies once {tmp_path / 'mark'}", "die"):
        grader.submit(kind.split()[0], HOSTILE, sample("x"), kind, FinishReason.STOP)
    scores = dict(grader.finished(wait=True))
    assert {ticket: score.outcome for ticket, score in scores.items()} == {
        "segfault": Outcome.ERROR,
        "dies": Outcome.CORRECT,
        "die": Outcome.ERROR,
    }
    assert "tried again died" in scores["segfault"].explanation


def test_a_text_that_ran_out_of_memory_is_graded_again_once_and_one_that_hung_is_not(
    grader: Grader[str], tmp_path: Path
) -> None:
    submit_hanging(grader, "hangs once", f"hangs once {tmp_path / 'hung'}", FinishReason.STOP)
    grader.submit("eat", HOSTILE, sample("x"), "eat", FinishReason.STOP)
    grader.submit("eats once", HOSTILE, sample("x"), f"eats once {tmp_path / 'ate'}", FinishReason.STOP)
    scores = dict(grader.finished(wait=True))
    assert {ticket: score.outcome for ticket, score in scores.items()} == {
        "eat": Outcome.ERROR,
        "eats once": Outcome.CORRECT,
        "hangs once": Outcome.TIMEOUT,
    }
    assert "tried again ran out of memory" in scores["eat"].explanation


def kill_workers() -> None:
    for worker in workers_now():
        worker.kill()


def test_workers_killed_while_they_have_nothing_to_do_are_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grading, "MOST_BREAKS", 1)
    with Grader[str](workers=2) as grader:
        for _ in range(2):  # more often than they may die in a row
            grader.submit("before", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
            assert grades(grader) == {"before": Outcome.CORRECT}
            kill_workers()
            wait_until(lambda: not grader.usable)
            grader.submit("after", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
            assert grades(grader) == {"after": Outcome.CORRECT}
            assert grader.usable


def test_what_was_open_when_the_pool_broke_is_graded(tmp_path: Path) -> None:
    with Grader[str](workers=1) as grader:
        submit_hanging(grader, "hang", f"sleep {tmp_path / 'mark'}", FinishReason.STOP)
        for number in range(3):
            grader.submit(f"fine {number}", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
        wait_until((tmp_path / "mark").exists)
        grader._pool._pool_manager.handle_broken_pool(BrokenProcessPool("as a test has it"))
        assert grades(grader) == {
            "hang": Outcome.TIMEOUT,
            "fine 0": Outcome.CORRECT,
            "fine 1": Outcome.CORRECT,
            "fine 2": Outcome.CORRECT,
        }


def test_a_text_that_got_lost_with_its_worker_is_graded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_benchmark.MATH, "grading_limit_s", 60.0)
    with Grader[str](workers=1) as grader:
        grader.submit("lost", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
        grader._open[0].future = Future()  # which nobody will ever answer
        assert list(grader.finished()) == []
        grader._heard -= 60 + grading.SLACK_S
        assert grades(grader) == {"lost": Outcome.CORRECT}


def test_workers_that_cannot_live_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "MOST_BREAKS", 1)
    with Grader[str](["no_such_module"], workers=1) as grader:
        grader.submit("one", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
        with pytest.raises(GradingError, match="2 times in a row"):
            list(grader.finished(wait=True))


def test_ctrl_c_does_not_reach_the_workers(grader: Grader[str]) -> None:
    grader.submit("before", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
    assert grades(grader) == {"before": Outcome.CORRECT}
    workers = workers_now()
    assert workers
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(worker.is_running() for worker in workers)
    grader.submit("after", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
    assert grades(grader) == {"after": Outcome.CORRECT}


def workers_now() -> set[psutil.Process]:
    return {p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())}


def test_no_worker_is_left_behind() -> None:
    before = workers_now()
    with Grader[str](workers=1) as grader:
        grader.submit("one", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
        list(grader.finished(wait=True))
        assert workers_now() - before
    assert not workers_now() - before


def test_a_signal_while_the_workers_start_is_heeded_once_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pebble, left in the middle of its start, starts once more when it is to end, and then waits for itself for ever."""
    start = threading.Thread.start

    def signalled(thread: threading.Thread) -> None:
        start(thread)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(threading.Thread, "start", signalled)
    grader = Grader[str](workers=1)
    with as_interrupts():
        with pytest.raises(Interrupted):
            grader.__enter__()
        monkeypatch.undo()
        grader.close(at_once=False)


@pytest.mark.parametrize(
    "given",
    [
        None,
        0.5,
        Score(math.nan, "1", Outcome.CORRECT),
        Score(7.0, "1", Outcome.CORRECT),
        Score(1.0, "1", "fine"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_score_is_an_error(given: Score) -> None:
    found = checked_score(given)
    assert (found.value, found.outcome) == (0.0, Outcome.ERROR)
    assert "grading failed" in found.explanation


def test_a_right_score_stays() -> None:
    score = Score(0.25, "a", Outcome.WRONG)
    assert checked_score(score) is score


def test_grading_that_ends_the_program_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_: object) -> bool:
        raise SystemExit(3)

    monkeypatch.setattr(GSM8K, "is_equal", ends)
    found = grade("llmbench.benchmarks.gsm8k", Sample("1", {}, "7"), "The answer is 7.", FinishReason.STOP)
    assert found.outcome is Outcome.ERROR
    assert "SystemExit: 3" in found.explanation
