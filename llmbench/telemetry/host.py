"""This process, its children and the main memory, through psutil."""

import time

import psutil

from llmbench.system import clock
from llmbench.telemetry.records import TelemetrySample

SHORTEST_S = 0.05
"""Over less, a share of CPU time says little."""


class HostReader:
    """Reads this process at every look; its children and the main memory only when told to look around."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_at, self._cpu_s = time.monotonic(), time.process_time()
        self._cpu_share: float | None = None
        self._around_at: float | None = None
        self._children_s: dict[psutil.Process, float] = {}
        self._children_rss: int | None = None
        self._children_share: float | None = None
        self._available: int | None = None

    def read(self) -> TelemetrySample:
        """A sample of this process now, and of the rest of the host as it was when last looked at."""
        now = time.monotonic()
        if now - self._cpu_at >= SHORTEST_S:
            used = time.process_time()
            self._cpu_share = round((used - self._cpu_s) / (now - self._cpu_at), 4)
            self._cpu_at, self._cpu_s = now, used
        return TelemetrySample(
            t=round(clock.since_start(), 4),
            rss_bytes=self._rss(),
            cpu_share=self._cpu_share,
            children_rss_bytes=self._children_rss,
            children_cpu_share=self._children_share,
            available_bytes=self._available,
        )

    def _rss(self) -> int | None:
        try:
            return int(self._process.memory_info().rss)
        except (psutil.Error, OSError):
            return None

    def look_around(self) -> None:
        """Reads the children and the main memory: the whole process table is searched, some milliseconds on a large machine."""
        now = time.monotonic()
        try:
            self._available = int(psutil.virtual_memory().available)
            children = self._process.children(recursive=True)
        except (psutil.Error, OSError):
            self._available = self._children_rss = self._children_share = None
            return
        rss, seconds = 0, {}
        for child in children:
            try:
                times = child.cpu_times()
                rss += child.memory_info().rss
            except (psutil.Error, OSError):  # it has ended meanwhile
                continue
            seconds[child] = times.user + times.system
        self._children_rss = rss
        if self._around_at is not None and now > self._around_at:
            used = sum(max(0.0, s - self._children_s.get(child, 0.0)) for child, s in seconds.items())
            self._children_share = round(used / (now - self._around_at), 4)
        self._around_at, self._children_s = now, seconds
