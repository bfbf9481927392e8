"""What a run does while its folder takes nothing: it says so once, waits, and goes on; nothing is lost meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llmbench.errors import Interrupted, RunError
from llmbench.streams import silent

LOOK_S = 0.25
"""Seconds between two tries."""


class Stopped(Protocol):
    """Tells which signal asked the run to end, if one did."""

    signal_number: int | None


def _nothing() -> None:
    """Does nothing."""


@dataclass(slots=True)
class Patience:
    """Waits for a file that cannot be written, as long as `limit_s` seconds; 0: not at all.

    Attributes:
        stop: Ends the waiting: after Ctrl-C nobody wants to wait.
        say: Tells the person who waits.
        paused_s: Seconds waited so far.
        then: Called when the file could be written after a wait.
        spent: It was waited once for as long as may be, in vain; what cannot be written from now on is not waited for.
    """

    limit_s: float = 0.0
    stop: Stopped | None = None
    say: Callable[[str], None] = silent
    paused_s: float = 0.0
    then: Callable[[], None] = _nothing
    spent: bool = False
    _since: float | None = field(default=None)

    def wait(self, error: OSError, path: Path) -> None:
        """Waits a moment.

        Raises:
            RunError: It has been long enough, now or before.
            Interrupted: The run was asked to end.
        """
        self._refuse_when_ending(path, error)
        now = time.monotonic()
        if self._since is None:
            if not self.limit_s or self.spent:
                raise cannot_write(path, error) from error
            self._since = now
            self.say(
                f"{path} cannot be written ({error.strerror}); the run pauses and goes on by itself when it can, for at most "
                f"{self.limit_s:.0f} s (disk_wait_s). Ctrl-C ends it; what was journalled is kept."
            )
        if now - self._since > self.limit_s:
            self.spent = True
            self._end("The run gives up after a pause of {:.0f} s (disk_wait_s).")
            raise cannot_write(path, error) from error
        time.sleep(LOOK_S)
        self._refuse_when_ending(path, error)

    def over(self) -> None:
        """What was waited for has come."""
        if self._since is not None:
            self._end("The pause is over after {:.0f} s.")
            self.then()

    def _refuse_when_ending(self, path: Path, error: OSError) -> None:
        if self.stop is None or self.stop.signal_number is None:
            return
        if self._since is not None:
            self._end("The pause ends after {:.0f} s because the run is to end.")
        else:
            self.say(str(cannot_write(path, error)))
        raise Interrupted(self.stop.signal_number) from error

    def _end(self, sentence: str) -> None:
        if self._since is not None:
            waited, self._since = time.monotonic() - self._since, None
            self.paused_s += waited
            self.say(sentence.format(waited))


def cannot_write(path: Path, error: OSError) -> RunError:
    """The sentence for a file of a run that takes no more."""
    return RunError(f"{path} cannot be written ({error.strerror}); what was journalled is kept.")
