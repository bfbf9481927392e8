import threading
import time

import pytest

from llmbench.background import Background
from llmbench.errors import ModelError


def refuse() -> int:
    raise ModelError("no chat template")


def test_the_result_and_its_seconds_come_back() -> None:
    work = Background("test", lambda: 7)
    with work.watched():
        pass
    assert work.result() == 7
    assert work.seconds >= 0


def test_a_failure_is_raised_where_the_main_thread_waits() -> None:
    begin = threading.Event()

    def fail() -> None:
        begin.wait(10)
        raise ModelError("context too long")

    work = Background("test", fail)

    def load() -> None:
        begin.set()
        begun = time.monotonic()
        while time.monotonic() - begun < 60:
            time.sleep(0.01)

    with pytest.raises(ModelError, match="context too long"), work.watched():
        load()
    with pytest.raises(ModelError):
        work.result()


def test_a_failure_from_before_is_raised_at_once() -> None:
    work = Background("test", refuse)
    work._thread.join()
    with pytest.raises(ModelError, match="no chat template"), work.watched():
        pytest.fail("the block must not run")


def test_in_another_thread_the_failure_waits_for_the_result() -> None:
    seen: list[str] = []

    def elsewhere() -> None:
        work = Background("test", refuse)
        with work.watched():
            seen.append("ran")
        try:
            work.result()
        except ModelError:
            seen.append("raised")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == ["ran", "raised"]
