"""The account of a sweep's attempts: how often it was begun, how long each took, and how many engines were loaded in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llmbench.results.attempts import KILLED, RUNNING, iso, last_sign
from llmbench.results.manifest import JOURNAL, SUMMARY, TRACE


@dataclass(frozen=True, slots=True)
class SweepAttempt:
    """One call of the program that worked on a sweep, as `Attempt` is of a run; while it runs, `time_s` goes to what was written last."""

    started: str
    began: float
    status: str = RUNNING
    loads: int = 0
    time_s: float | None = None


def begin(before: Sequence[SweepAttempt], folder: Path, began: float) -> list[SweepAttempt]:
    """The attempts with a new one; one that was killed gets its end from the last thing that it or a job of it wrote."""
    ended = list(before)
    if ended and ended[-1].status == RUNNING:
        signs = [folder / SUMMARY, *folder.rglob(JOURNAL), *folder.rglob(TRACE)]
        ended[-1] = replace(ended[-1], status=KILLED, time_s=last_sign(signs, ended[-1].began))
    return [*ended, SweepAttempt(iso(began), began)]
