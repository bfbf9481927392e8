"""What SIGTERM and a lost terminal (SIGHUP) do where no run listens: before the first, between two jobs of a sweep, after the last."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from llmbench.errors import Interrupted

SIGNALLED = 128
"""Exit statuses above this say which signal ended the program."""


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Has them end the program as Ctrl-C does, with its last words; only in the main thread, as signals are."""

    def handle(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    main = threading.current_thread() is threading.main_thread()
    ending = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    before = {number: signal.signal(number, handle) for number in ending if main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Has signals that would end the run heeded only at the end of the context: what is half begun can neither go on nor be ended."""
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if main}
    handled = {number: handler for number, handler in handlers.items() if callable(handler)}
    for listened in handled:
        signal.signal(listened, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for listened, handler in handled.items():
            signal.signal(listened, handler)
    for number in came:
        handled[signal.Signals(number)](number, None)
