"""The account of how often a run was begun, how long each attempt took, and what became of it."""

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from llmbench.results.manifest import JOURNAL, RUNNING, TRACE, Attempt
from llmbench.system.number_format import listed, seconds

KILLED = "killed"
"""The status of an attempt that had no time to write one."""


def begin(before: Sequence[Attempt], folder: Path, results: int, began: float) -> list[Attempt]:
    """Returns the attempts with a new one; one that was killed ends when it last wrote a file."""
    ended = list(before)
    if ended and ended[-1].status == RUNNING:
        counted = sum(attempt.results for attempt in ended[:-1])
        ended[-1] = replace(
            ended[-1],
            status=KILLED,
            results=max(0, results - counted),
            time_s=last_sign((folder / JOURNAL, folder / TRACE), ended[-1].began),
        )
    return [*ended, Attempt(iso(began), began)]


def last_sign(paths: Iterable[Path], began: float) -> float | None:
    """Seconds from the beginning to the last time that one of the files was written; None where none was since."""
    times = [path.stat().st_mtime for path in paths if path.is_file()]
    later = [t - began for t in times if t >= began]
    return max(later) if later else None


def iso(moment: float) -> str:
    """Seconds since the epoch as local time, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))


def moment(text: str | None) -> float:
    """Seconds since the epoch of a time as `iso` writes it; long ago for what is no time. Local times do not sort as texts."""
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text or "").timestamp()
    return -math.inf


def sentence(sittings: Sequence[Attempt]) -> str:
    """How many there were and how long each took."""
    spans = ["unknown time" if s.time_s is None else seconds(s.time_s) for s in sittings]
    return f"{len(sittings)} attempts of {listed(spans)}"
