"""When this run began: the start of the process, so that imports are part of the time that is reported."""

import os
import time
from pathlib import Path


def _process_age_s() -> float:
    """Seconds since the kernel started this process, to a hundredth (proc(5): starttime, field 22, in clock ticks)."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0  # not Linux: the interpreter's own start is left out


_began = time.monotonic() - _process_age_s()


def restart(began: float | None = None) -> None:
    """Begins anew, for the second and later jobs of one process; `began`: as long ago as a process before says."""
    global _began  # noqa: PLW0603 - one process has one clock
    _began = time.monotonic() if began is None else began


def began() -> float:
    """The run's beginning as a value of `time.monotonic()`, which all processes share."""
    return _began


def since_start() -> float:
    """Seconds since the run began."""
    return time.monotonic() - _began


def at(moment: float) -> float:
    """Seconds from the run's beginning to a value of `time.monotonic()`."""
    return moment - _began


def started() -> float:
    """The run's beginning as a value of `time.time()`, in seconds."""
    return time.time() - since_start()
