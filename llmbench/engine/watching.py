"""An engine that hangs without dying: a collective that is stuck, a process that was stopped, a loop without an end.

A step of the engine is a moment's work: a token of every answer, or a part of the prompts. Only the time within one counts, not grading or
loading. A step that takes too long is ended by killing the engine's processes, which is a death like any other. What computes in this
process cannot be stopped from within: then the process ends.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmbench.engine.base import ModelEngine
from llmbench.records import Completion
from llmbench.system.stdio import silent

log = logging.getLogger(__name__)

WARN_AT = 0.25
"""The share of the limit after which a warning is due."""
LOOK_S, LOOKS = 1.0, 20
"""Between looks, at least so many of which make up the limit."""
END_S = 30.0
"""For a step to end when the engine's processes are killed."""


class Watch:
    """Looks now and then how long the engine has been silent.

    Time counts as it is seen to pass: where this process was stopped itself, or the whole machine slept, that was one look.
    """

    def __init__(self, limit_s: float | None = None, say: Callable[[str], None] = silent) -> None:
        """Args: the seconds that a step may last (None: no limit) and the function that gets messages."""
        self._limit_s, self._say = limit_s, say
        self._lock = threading.Lock()
        self._engine: ModelEngine | None = None  # within a step
        self._silent_s = 0.0
        self._warned = self._left = False
        self._killed_s: float | None = None  # how long it had been silent then

    def step(self, engine: ModelEngine) -> list[Completion]:
        """The engine's step, watched."""
        with self._lock:
            self._engine, self._silent_s, self._killed_s = engine, 0.0, None
            self._warned = self._left = False
        try:
            return engine.step()
        finally:
            with self._lock:  # which is not given back where the run is being left
                self._engine = None

    @contextmanager
    def looking(self, leave: Callable[[str], None]) -> Iterator[None]:
        """Looks, in a thread of its own, while the context lasts; `leave` gets the reason where only the end of the process can end a step."""
        if self._limit_s is None:
            yield
            return
        over = threading.Event()
        period_s = min(LOOK_S, self._limit_s / LOOKS)

        def look() -> None:
            last = time.monotonic()
            while not over.wait(period_s):
                now = time.monotonic()
                try:
                    self.look(min(now - last, 2 * period_s), leave)
                except (Exception, SystemExit):  # rich leaves with the latter where nobody reads any more
                    log.exception("the message that the engine is silent could not be shown")
                last = now

        thread = threading.Thread(target=look, name="llmbench-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def look(self, passed_s: float, leave: Callable[[str], None]) -> None:
        """Looks once; so many seconds have passed since the last time."""
        with self._lock:
            self._silent_s += passed_s
            said = self._act(self._engine, leave) if self._engine is not None else None
        if said is not None:
            log.warning("%s", said)
            self._say(said)

    def _act(self, engine: ModelEngine, leave: Callable[[str], None]) -> str | None:
        """Acts on the silence so far; returns the message, if any."""
        limit_s, silent_s = self._limit_s, self._silent_s
        if limit_s is None or self._left:
            return None
        reason = f"The engine did not answer for {limit_s:g} s (engine_wait_s)"
        if self._killed_s is not None:
            if silent_s >= self._killed_s + END_S:
                self._left = True
                leave(f"{reason}, and went on when its processes were killed")
        elif silent_s >= limit_s:
            log.warning("%s", reason)
            if engine.kill(f"{reason} and was killed."):
                self._killed_s = silent_s
            else:
                self._left = True
                leave(reason)
        elif silent_s >= WARN_AT * limit_s and not self._warned:
            self._warned = True
            return f"The engine has not answered for {round(silent_s, 1):g} s; after {limit_s:g} s (engine_wait_s) it is given up."
        return None
