"""When this run began: the start of the process, so that imports are part of the time that is reported."""

import time

import psutil

_started: float | None = None


def started() -> float:
    """The run's beginning as a value of `time.time()`, in seconds: that of the process, or of the last `restart`."""
    return psutil.Process().create_time() if _started is None else _started


def restart() -> None:
    """Begins anew, for the second and later jobs of one process."""
    global _started  # noqa: PLW0603 - one process has one clock
    _started = time.time()


def since_start() -> float:
    """Seconds since the run began."""
    return time.time() - started()
