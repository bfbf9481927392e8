"""Work that goes on in a thread while the main thread waits for something else; its failure is heard at once."""

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

Result = TypeVar("Result")
TELL = signal.SIGUSR2
"""Stands for the failure while the main thread is elsewhere; never sent by the system."""


class Background(Generic[Result]):
    """A function running in a thread of its own.

    The thread ends with the program, so an interrupted run does not wait for it.
    """

    def __init__(self, name: str, function: Callable[[], Result]) -> None:
        """Starts at once."""
        self._function = function
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self._watched = False
        self._lock = threading.Lock()
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=f"llmbench-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is wanted
            with self._lock:
                self._error = error
                if self._watched:
                    _thread.interrupt_main(TELL)
        finally:
            self.seconds = time.monotonic() - begun

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the block runs in the main thread, a failure is raised there, at the next Python instruction.

        In other threads nothing can be raised from outside: the failure comes with `result`.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def tell(_number: int, _frame: FrameType | None) -> None:
            if self._error is not None:
                raise self._error

        before = signal.signal(TELL, tell)
        try:
            with self._lock:
                self._watched = True
            if self._error is not None:
                raise self._error
            yield
        finally:
            with self._lock:
                self._watched = False
            signal.signal(TELL, before)

    def result(self) -> Result:
        """Waits for the function and returns what it returned, or raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]
