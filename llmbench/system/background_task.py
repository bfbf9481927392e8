"""Work that goes on in a thread while the main thread waits for something else."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")


class Background(Future[Result]):
    """A function running in a thread of its own, which ends with the program: an interrupted run does not wait for it."""

    def __init__(self, name: str, function: Callable[[], Result]) -> None:
        super().__init__()
        self.seconds = 0.0
        threading.Thread(target=self._run, args=(function,), name=f"llmbench-{name}", daemon=True).start()

    def _run(self, function: Callable[[], Result]) -> None:
        begun = time.monotonic()
        try:
            end = partial(self.set_result, function())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is wanted
            end = partial(self.set_exception, error)
        self.seconds = time.monotonic() - begun
        end()
