"""What Ctrl-C, SIGTERM and a lost terminal (SIGHUP) do to a run.

The first ends the run in order: nothing more is asked, what is in flight is dropped, and the summary says how to go on. The second leaves
at once: the journal is with the file system line by line, so that nothing is lost by it. Before requests run the first already leaves.

Python runs a handler only between two of its own instructions. A thread that reads the wake-up descriptor (signal.set_wakeup_fd, written by
the C handler) sees to it that a second signal ends a program that hangs inside the engine.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from llmbench.errors import Interrupted

SIGNALLED = 128
"""Exit statuses above this say which signal ended the program."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 3.0
"""How long the second signal gives the main thread before the process is left from outside."""


@dataclass(slots=True)
class Stop:
    """Set by a signal handler while requests run; asked between the engine's steps."""

    signal_number: int | None = None
    listening: bool = False


@contextmanager
def listening(descriptor: int | None = 2, *, in_program: bool = False) -> Iterator[Stop]:
    """Handles the signals while the context lasts; only in the main thread, as signals are.

    Args:
        descriptor: Where the first signal is answered; None: nowhere.
        in_program: A program called: handlers of its own stay, and the second signal raises at once in place of ending the process.
    """
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.signal_number is not None:
            if in_program:
                raise Interrupted(number)
            leave(SIGNALLED + number)
        if descriptor is not None:
            _announce(descriptor, in_program=in_program)
        if not stop.listening:
            raise Interrupted(number)
        stop.signal_number = number

    # a program's own thread: it handles signals itself
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heard = [n for n in ENDING if _is_heard(signal.getsignal(n), in_program=in_program)]
    before = {number: signal.signal(number, handle) for number in heard}
    if in_program:
        try:
            yield stop
        finally:
            _restore(before)
        return
    own, theirs = socket.socketpair()
    theirs.settimeout(0)  # the C handler must not wait
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(own,), name="llmbench-signals", daemon=True).start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        _restore(before)
        theirs.close()  # which ends the thread


Handler = Callable[[int, FrameType | None], Any] | int | None
"""As `signal` has it: a function, or one of its constants."""


def _is_heard(handler: Handler, *, in_program: bool) -> bool:
    """Whether a signal with this handler is listened to: nohup has SIGHUP ignored, and a program's own handlers are its own."""
    if in_program:
        return handler in (signal.SIG_DFL, signal.default_int_handler)
    return handler != signal.SIG_IGN


def _restore(handlers: Mapping[signal.Signals, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _announce(descriptor: int, *, in_program: bool) -> None:
    """Says at once that the run ends: dropping what is in flight may take seconds. To the descriptor, as handlers must."""
    second = b"stops it" if in_program else b"leaves"
    with suppress(OSError):
        os.write(
            descriptor,
            b"\nllmbench: ending the run; what is finished is kept. Once more " + second + b" at once.\n",
        )


def _watch(wakeup: socket.socket) -> None:
    """Leaves the process when a second signal has come and the main thread does not."""
    heard = 0
    with wakeup:
        while True:
            received = wakeup.recv(16)
            if not received:
                return
            heard += sum(number in ENDING for number in received)
            if heard > 1:
                time.sleep(GRACE_S)
                leave(SIGNALLED + received[-1])


def leave(status: int) -> None:
    """Ends this process and those that it started, at once, with this exit status."""
    import psutil  # as late as this, since every command imports this module

    from llmbench.system.processes import kill

    with suppress(psutil.Error):
        kill(psutil.Process().children(recursive=True))
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Has SIGTERM and a lost terminal end the program as Ctrl-C does, with its last words, where no run listens; only in the main thread."""

    def handle(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    main = threading.current_thread() is threading.main_thread()
    ending = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    before = {number: signal.signal(number, handle) for number in ending if main}
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def deferred() -> Iterator[None]:
    """Has signals that would end the run heeded only at the end of the context: what is half begun can neither go on nor be ended."""
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handlers = {n: signal.getsignal(n) for n in ENDING if main}
    handled = {number: handler for number, handler in handlers.items() if callable(handler)}
    for listened in handled:
        signal.signal(listened, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        _restore(handled)
    for number in came:
        handled[signal.Signals(number)](number, None)
