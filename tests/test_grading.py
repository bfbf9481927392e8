import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from llmbench.benchmarks import math as math_benchmark
from llmbench.grading import Grader
from llmbench.records import FinishReason, Outcome, Sample

MATH = math_benchmark.__name__
HOSTILE = "tests.hostile"


def sample(target: str) -> Sample:
    return Sample("1", {}, target)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader[str]]:
    with Grader[str](["math_verify"], workers=2, limit_s=5) as grader:
        yield grader


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
    for kind in ("hang", "die", "eat", "raise"):
        grader.submit(kind, HOSTILE, sample("x"), kind, FinishReason.STOP)
    grader.submit("fine", MATH, sample("3"), "\\boxed{3}", FinishReason.STOP)
    assert grades(grader) == {
        "hang": Outcome.TIMEOUT,
        "die": Outcome.ERROR,
        "eat": Outcome.ERROR,
        "raise": Outcome.ERROR,
        "fine": Outcome.CORRECT,
    }


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
