"""Work that goes on in a thread while the main thread waits for something else."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A function running in a thread of its own, which ends with the program: an interrupted run does not wait for it."""

    def __init__(self, name: str, function: Callable[[], Result]) -> None:
        self._function = function
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=f"llmbench-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is wanted
            self._error = error
        finally:
            self.seconds = time.monotonic() - begun

    def result(self) -> Result:
        """Waits for the function and returns what it returned, or raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]
