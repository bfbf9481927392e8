"""The time that a job's processes take: all of them, those too that nobody waits for."""

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))
_Process = tuple[int, bytes]
"""A process id, which may be used again, and when the process began."""


class CpuTime:
    """Seconds of CPU time.

    Of a process that somebody waited for, the kernel adds the time to the parent's. Of one whose parent ignores SIGCHLD it does
    not: there, what was seen of it counts, and where others came and went since the look before, the whole time between as
    far as a new one runs. That is right on average, since the looks come at moments that no job can foresee.
    """

    def __init__(self, *, boxed: bool) -> None:
        """Starts to count; only in a box are process ids the job's alone."""
        self._boxed = boxed
        self._waited_for = self._gone = 0.0
        self._seen: dict[_Process, float] = {}
        self._at, self._newest = time.monotonic(), _newest() if boxed else 0

    def reaped(self, usage: Any) -> None:  # noqa: ANN401 - a resource.struct_rusage
        """Adds a process that ended, with those that it had waited for."""
        self._waited_for += usage.ru_utime + usage.ru_stime

    def look(self, processes: Iterable[int]) -> float:
        """Looks at the processes that there are now, and gives the time of all until now."""
        now, newest = time.monotonic(), _newest() if self._boxed else 0
        seen: dict[_Process, float] = {}
        new: dict[_Process, float] = {}
        own = waited_for = 0.0
        for process in processes:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = _stat(process)
                known = process, fields[19]
                clock, children = _clock(process, fields), (int(fields[13]) + int(fields[14])) / TICKS
                seen[known] = max(clock, self._seen.get(known, 0.0))
                own, waited_for = own + clock, waited_for + children
                if known not in self._seen:
                    new[known] = _share(process, fields)
        if self._boxed and newest - self._newest > len(new):
            busy = min(1.0, CORES / max(1.0, sum(new.values()))) * (now - self._at)
            seen |= {known: max(seen[known], share * busy) for known, share in new.items()}
        self._gone += sum(self._seen[known] for known in self._seen.keys() - seen.keys())
        self._seen, self._at, self._newest = seen, now, newest
        return own + max(self._waited_for + waited_for, self._gone)


def _share(process: int, fields: list[bytes]) -> float:
    """How much of the time in which a new process can run it does run."""
    if fields[0] != b"R" and int(fields[17]) == 1:
        return 0.0
    with open(f"/proc/{process}/schedstat") as file:  # noqa: PTH123 - fifty times a second
        ran, waited = map(int, file.read().split()[:2])
    return ran / max(1, ran + waited)


def _stat(process: int) -> list[bytes]:
    """The fields of `/proc/PID/stat` behind the name, which may be any bytes."""
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123 - fifty times a second
        return file.read().rpartition(b")")[2].split()


def _clock(process: int, fields: list[bytes]) -> float:
    """Seconds of a process with all its threads; more exactly than in ticks where the kernel lets its clock be read."""
    with contextlib.suppress(OSError):
        return time.clock_gettime(~process << 3 | 2)  # what clock_getcpuclockid(3) makes of it
    return (int(fields[11]) + int(fields[12])) / TICKS


def _newest() -> int:
    """The id that was given last to a process or thread."""
    with open("/proc/loadavg") as file:  # noqa: PTH123
        return int(file.read().split()[4])


class IdleTime:
    """Seconds in which no thread of any process ran or waited for a core."""

    def __init__(self) -> None:
        """Starts to count."""
        self._seconds, self._at = 0.0, time.monotonic()
        self._busy: dict[str, int] = {}

    def look(self, processes: Iterable[int]) -> float:
        """Looks at the threads again; between two looks, the busiest of them counts."""
        now, busy = time.monotonic(), {}
        for process in processes:
            tasks = f"/proc/{process}/task"
            with contextlib.suppress(OSError, ValueError):
                for thread in os.listdir(tasks):  # noqa: PTH208 - fifty times a second
                    with open(f"{tasks}/{thread}/schedstat") as file:  # noqa: PTH123
                        ran, waited = file.read().split()[:2]
                        busy[thread] = int(ran) + int(waited)
        most = max((after - self._busy.get(thread, 0) for thread, after in busy.items()), default=0)
        self._seconds += max(0.0, now - self._at - most / 1e9)
        self._at, self._busy = now, busy
        return self._seconds
