"""The time that a job's processes take: all of them, those too that nobody waits for."""

import contextlib
import math
import os
import time
from collections.abc import Iterable
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
POLL_S = 0.02
"""Between looks at a running job, on average."""
CERTAIN = 0.8
"""How much of what is estimated counts: on a busy machine estimates are up to a third too high, and most programs wait for their children."""
_Process = tuple[int, bytes]
"""A process id, which may be used again, and when the process began."""


def until_next_look() -> float:
    """Seconds, of which a job learns nothing from when the last look was, nor from its copy of this process's memory."""
    return min(2 * POLL_S, -math.log((int.from_bytes(os.urandom(2), "big") + 1) / (1 << 16)) * POLL_S)


class CpuTime:
    """Seconds of CPU time.

    Of a process that somebody waited for, the kernel adds the time to the parent's. Of one whose parent ignores SIGCHLD it does
    not: there, the time at the last look counts, and if the process ran then, the mean time between looks for what came after. On
    average that is what it took, however short it lives: looks at random moments meet the time that they miss.
    """

    def __init__(self) -> None:
        """Starts to count."""
        self._waited_for = self._gone = 0.0
        self._seen: dict[_Process, tuple[float, float]] = {}
        self._began, self._looks = time.monotonic(), 0

    def reaped(self, process: int, usage: Any) -> None:  # noqa: ANN401 - a resource.struct_rusage
        """Adds a process that ended, with those that it had waited for."""
        self._waited_for += usage.ru_utime + usage.ru_stime
        for known in [known for known in self._seen if known[0] == process]:
            self._gone += self._seen.pop(known)[0]

    def look(self, processes: Iterable[int]) -> float:
        """Looks at the processes that there are now, and gives the time of all until now."""
        self._looks += 1
        between_s = (time.monotonic() - self._began) / self._looks
        seen: dict[_Process, tuple[float, float]] = {}
        own = waited_for = 0.0
        for process in processes:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = stat(process)
                known = process, fields[19]
                clock, children = _clock(process, fields), (int(fields[13]) + int(fields[14])) / TICKS
                clock = max(clock, self._seen.get(known, (0.0, 0.0))[0])
                seen[known] = clock, between_s * _share(process, fields)
                own, waited_for = own + clock, waited_for + children
        self._gone += sum(sum(self._seen[known]) for known in self._seen.keys() - seen.keys())
        self._seen = seen
        return own + max(self._waited_for + waited_for, CERTAIN * self._gone)


def _share(process: int, fields: list[bytes]) -> float:
    """How much of the time in which a process can run it does run; none if it cannot now."""
    if fields[0] != b"R" and int(fields[17]) == 1:
        return 0.0
    with open(f"/proc/{process}/schedstat") as file:  # noqa: PTH123 - fifty times a second
        ran, waited = map(int, file.read().split()[:2])
    return ran / max(1, ran + waited)


def stat(process: int | str) -> list[bytes]:
    """The fields of `/proc/PID/stat`, or of a thread's, `PID/task/ID`, behind the name, which may be any bytes."""
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123 - fifty times a second
        return file.read().rpartition(b")")[2].split()


def _clock(process: int, fields: list[bytes]) -> float:
    """Seconds of a process with all its threads; more exactly than in ticks where the kernel lets its clock be read."""
    with contextlib.suppress(OSError):
        return time.clock_gettime(~process << 3 | 2)  # what clock_getcpuclockid(3) makes of it
    return (int(fields[11]) + int(fields[12])) / TICKS


class IdleTime:
    """Seconds in which no thread of any process ran or waited for a core, as looks at random moments find it.

    What threads and short-lived processes add up to would not tell: a process that ended takes with it how long it waited for a core.
    """

    def __init__(self) -> None:
        """Starts to count."""
        self._seconds, self._at = 0.0, time.monotonic()

    def look(self, processes: Iterable[int]) -> float:
        """Looks again; what is found counts for the time since the last look."""
        now = time.monotonic()
        if not any(map(_can_run, processes)):
            self._seconds += now - self._at
        self._at = now
        return self._seconds


def _can_run(process: int) -> bool:
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - fifty times a second
            with contextlib.suppress(OSError, IndexError):
                if stat(f"{process}/task/{thread}")[0] == b"R":
                    return True
    return False
