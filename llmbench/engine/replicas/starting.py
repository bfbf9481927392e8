"""How a process is started, step by step: each step is begun and seen through later."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmbench.engine.replicas.cluster import Cluster, ProcessGoneError
from llmbench.engine.replicas.silence import Silence
from llmbench.errors import EngineDiedError, EngineError
from llmbench.system.number_format import count

if TYPE_CHECKING:
    from llmbench.engine.replicas.worker import Answer

PLACE_S = 120.0
"""For the cluster to find room for a process and start it."""
WAIT_S = 1.0
"""For a step, before it is looked at again whether the process was placed at all."""


class Starting:
    """The steps of a process that have not ended; false where there are none.

    Attributes:
        placed: Whether the process runs.
    """

    def __init__(self, cluster: Cluster, handle: Any, gpus: int, limit_s: float | None) -> None:  # noqa: ANN401 - Ray's handle
        """Takes the process, the GPUs that it needs, and the seconds that a step may take once it runs."""
        self._cluster, self._handle, self._gpus, self._limit_s = cluster, handle, gpus, limit_s
        self._steps: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self._silence = Silence()
        self.placed = False

    def __bool__(self) -> bool:
        return bool(self._steps)

    def begin(self, name: str, take: Callable[[Any], None], *arguments: object) -> None:
        """Begins a step: a method of the worker, whose value is taken when it ends."""
        self._silence.reset()
        self._steps.append((getattr(self._handle, name).remote(*arguments), take))

    def calls(self) -> list[Any]:
        """What is waited for."""
        return [self._steps[0][0]] if self._steps else []

    def wait(self) -> list[str]:
        """Waits for what was begun, however long it takes once the process runs; returns what was said meanwhile.

        Raises:
            LlmbenchError: What went wrong there.
            EngineError: The process could not be started, or is gone.
        """
        said: list[str] = []
        while self._steps:
            if self._cluster.ready(self.calls(), WAIT_S):
                said += self._take()
            elif not self.placed and self._silence.elapsed_s() > PLACE_S:
                raise EngineError(self._no_place())
        return said

    def go_on(self) -> None:
        """Takes what has ended meanwhile.

        Raises:
            LlmbenchError: What went wrong there.
            EngineError: The process could not be started, is gone, or takes too long.
        """
        while self._steps and self._cluster.ready(self.calls(), 0):
            self._take()
        limit_s = self._limit_s if self.placed else PLACE_S
        if self._steps and limit_s is not None and self._silence.elapsed_s() > limit_s:
            slow = f"A replica was not loaded within {limit_s:g} s (engine_wait_s)."
            raise EngineError(slow if self.placed else self._no_place())

    def _take(self) -> tuple[str, ...]:
        """Takes the answer of what was begun first.

        Raises:
            LlmbenchError: The error that it is.
        """
        call, take = self._steps.popleft()
        try:
            answer: Answer = self._cluster.result(call)
        except ProcessGoneError as error:
            raise EngineDiedError(f"A replica ended while it was started ({error}).") from error
        if answer.error is not None:
            raise answer.error
        take(answer.value)
        self._silence.reset()
        return answer.notices

    def _no_place(self) -> str:
        wanted = count(self._gpus, "free GPU") if self._gpus else "room"
        return f"The cluster had no {wanted} for a replica for {PLACE_S:g} s."

    def clear(self) -> None:
        """Forgets what was begun."""
        self._steps.clear()
