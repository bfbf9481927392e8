"""`MemoryTracker`: a log of memory and GPU use that a person can read, and its summary."""

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from llmbench.errors import RunError
from llmbench.system import files, hardware
from llmbench.system.number_format import GIB, memory, percent
from llmbench.telemetry.aggregate import Aggregate
from llmbench.telemetry.records import GpuSample, Spread, TelemetrySample, Totals
from llmbench.telemetry.sampler import Sampler

log = logging.getLogger(__name__)

LINE_S = 1.0
"""Seconds between two lines of the log; peaks and means are of all samples."""


class MemoryTracker:
    """Tracks memory between `start_tracking` and `stop_tracking`, and writes `log_dir`/`log_file` meanwhile.

    Each line is with the file system as soon as it is written, so whatever ends the process leaves the log; an exception that
    ends it also leaves the summary. It may be started again after it was stopped: the log goes on, the summary is of the last time.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        log_file: str = "memory.log",
        sampler: Sampler | None = None,
        *,
        of_run: bool = False,
    ) -> None:
        """Touches nothing yet; `sampler` is one that runs already, otherwise all visible GPUs are watched.

        `of_run`: the log is one of a run's files, so no link is followed, and where it cannot be written the run goes on without.
        """
        self.path = Path(log_dir).absolute() / log_file
        self._shared, self._of_run = sampler, of_run
        self._own: Sampler | None = None
        self._sampler: Sampler | None = None  # while tracking
        self._gpus: tuple[hardware.Gpu, ...] = ()
        self._lock = threading.Lock()
        self._aggregate: Aggregate | None = None
        self._began = 0.0
        self._line_due = 0.0
        self._writable = True

    def __enter__(self) -> Self:
        self.start_tracking()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_tracking()

    def start_tracking(self) -> None:
        """Begins; does nothing where it has begun already.

        Raises:
            RunError: The log cannot be written.
        """
        if self._sampler is not None:
            return
        self._gpus = hardware.gpus()[: None if self._shared is None else self._shared.gpus]
        self._begin_log(f"# {_now()} tracking process {os.getpid()}; {_describe(self._gpus)}")
        self._aggregate = Aggregate()
        self._began = self._line_due = time.monotonic()
        sampler = self._shared
        if sampler is None:
            sampler = self._own = Sampler(len(self._gpus)).__enter__()
        self._sampler = sampler
        sampler.listen(self._note)
        sampler.sample()
        atexit.register(self.stop_tracking)

    def _begin_log(self, line: str) -> None:
        self._writable = True
        if self._of_run:
            self._try_append(line)
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(line)
        except OSError as error:
            raise RunError(
                f"The memory log {self.path} cannot be written ({error.strerror}); choose another log_dir or log_file."
            ) from error

    def stop_tracking(self) -> None:
        """Ends, with a last line and the summary in the log; does nothing where nothing was begun."""
        if self._sampler is None:
            return
        atexit.unregister(self.stop_tracking)
        self._sampler.unlisten(self._note)  # else another look could take the last line's place
        self._line_due = 0.0
        self._note(self._sampler.sample())
        if self._own is not None:
            self._own.__exit__()
        self._sampler = self._own = None
        self._try_append("\n".join(f"# {line}" for line in self._summary()))

    def summary(self) -> Totals | None:
        """What was tracked the last time, or so far; None before the first start."""
        with self._lock:
            return None if self._aggregate is None else self._aggregate.totals()

    def print_summary(self) -> None:
        """Prints duration, peaks, means and energy."""
        sys.stdout.write("\n".join(self._summary()) + "\n")

    def _note(self, sample: TelemetrySample) -> None:
        """Counts a sample; in the sampler's thread."""
        with self._lock:
            if self._aggregate is not None:
                self._aggregate.add(sample)
        now = time.monotonic()
        if now >= self._line_due:
            self._line_due = now + LINE_S
            self._try_append(_line(sample, now - self._began))

    def _try_append(self, text: str) -> None:
        try:
            self._append(text)
            self._writable = True
        except OSError as error:
            if self._writable:
                log.warning(
                    "%s cannot be written (%s); lines are left out until it can.", self.path, error.strerror
                )
            self._writable = False

    def _append(self, text: str) -> None:
        opener = (lambda path, _: files.opened_to_add(Path(path))) if self._of_run else None
        with open(self.path, "a", encoding="utf-8", opener=opener) as file:
            file.write(text + "\n")

    def _summary(self) -> list[str]:
        totals = self.summary()
        if totals is None:
            return ["Nothing was tracked: start_tracking() was not called."]
        children = totals.children_rss_bytes
        lines = [
            f"Tracked for {totals.duration_s:.1f} s, {totals.samples} samples",
            f"  memory of this process  {_both(totals.rss_bytes)}",
        ]
        if children.peak:
            lines.append(f"  memory of its children  {_both(children)}")
        if not self._gpus:
            lines.append("  GPU                     none watched")
        else:
            lines += _gpu_summary(totals)
        return [*lines, f"  log                     {self.path}"]


def _gpu_summary(totals: Totals) -> list[str]:
    energy = totals.energy_j
    lines = [
        f"  GPU memory              {_both(totals.gpu_bytes)}",
        f"  GPU utilisation         {_both(totals.utilization, lambda share: percent(share, 0))}",
        f"  GPU power               {_both(totals.power_w, lambda watts: f'{watts:.0f} W')}",
        f"  GPU energy              {_UNKNOWN if energy is None else f'{energy:,.0f} J ({energy / 3600:,.2f} Wh)'}",
    ]
    if totals.throttled:
        reasons = ", ".join(
            f"{name} {percent(share, 0)} of the time" for name, share in totals.throttled.items()
        )
        lines.append(f"  GPU held back           {reasons}")
    return lines


_UNKNOWN = "not told by the driver"


def _both(spread: Spread, shown: Callable[[float], str] = memory) -> str:
    if spread.mean is None or spread.peak is None:
        return _UNKNOWN
    return f"peak {shown(spread.peak)}, mean {shown(spread.mean)}"


def _line(sample: TelemetrySample, since_s: float) -> str:
    parts = [
        _now(),
        f"{since_s:8.1f} s",
        f"RSS {_amount(sample.rss_bytes)}",
        *(_gpu_part(number, gpu) for number, gpu in enumerate(sample.gpus)),
    ]
    return "  ".join(parts)


def _gpu_part(number: int, gpu: GpuSample) -> str:
    busy = "?" if gpu.utilization is None else f"{gpu.utilization:.0%}"
    power = "?" if gpu.power_w is None else f"{gpu.power_w:.0f}"
    return f"GPU{number} {_amount(gpu.memory_bytes)} {busy:>4} {power:>4} W"


def _amount(value: int | None) -> str:
    return "?" if value is None else f"{value / GIB:.2f} GiB"


def _describe(gpus: tuple[hardware.Gpu, ...]) -> str:
    if not gpus:
        return "no GPU is watched, so only main memory is tracked"
    return ", ".join(f"GPU{n} is {gpu.name} with {memory(gpu.total_bytes)}" for n, gpu in enumerate(gpus))


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
