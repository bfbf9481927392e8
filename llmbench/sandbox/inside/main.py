"""The sandbox's own processes, inside it: run programs and calls of functions, one after another, each in a process of its own.

The first process never sees a job: for each it forks a manager, which runs the job in a child of its own and then ends. So a job finds
nothing of the one before in its memory, which is a copy of the manager's. A manager reads the job, a line of standard input, and writes
to standard output, a line each: that the job began, that a call's code is loaded, for which it then reads the arguments, and the
finding; all JSON. A job's code never gets these two streams. What is right or wrong is decided outside: neither expected outputs nor
checks are here while code runs that nobody trusts, and a call's arguments only when its code is loaded.

In a box no signal reaches the first process, which is the first of its namespace. A manager blocks signals; a job that kills or stops
its manager has failed, and the first process ends all that is left.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import site
import sys
import tempfile
import traceback
from collections.abc import Mapping
from typing import Any

from . import processes
from .check import check
from .cpu_time import CpuTime
from .job import ARGUMENTS, GO, SAID, Job, become, why
from .watch import watch

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
NO_MORE = 3
"""A manager's exit status where there is no job left."""


def run(job: Job, *, boxed: bool) -> dict[str, Any]:
    """Runs one job in a process of its own.

    Args:
        job: `code`; `stdin`, for a program; or `call`, the name of a function or of a method of `Solution`, and `method_first`
            (see `job._called`). `header` is executed before. Limits: `cpu_s`, `idle_s`, `wall_s`, `memory_bytes`,
            `processes`, `file_bytes`, `output_bytes`.
        boxed: Whether all processes but this one are the job's.

    Returns:
        `status` (`done`, `compile`, `raised`, `died`, `time`, `memory`, `output`; `refused` if the job could not begin), `why`,
        `output` (text) of a program or `value` (JSON) of a call; `cpu_s`, of it `load_s` before the arguments came, `wall_s`; `clean`, whether
        nothing of the job is left.
    """
    with contextlib.ExitStack() as opened:
        try:
            given, arguments = (opened.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in range(2))
            _write(given.fileno(), job.get("stdin", "").encode("utf-8", "surrogatepass"))
            os.lseek(given.fileno(), 0, os.SEEK_SET)
            (out, out_job), (said, said_job), (go_job, go) = [os.pipe() for _ in range(3)]
            _may_be_seen(yes=True)  # what the job's process inherits; nothing else runs in here now
            child = os.fork()
            if not child:
                os.close(go)
                if not boxed:
                    _end_with_parent()
                os.read(go_job, 1)  # until this process is hidden again
                files = {
                    SAID: said_job,
                    ARGUMENTS: arguments.fileno(),
                    GO: go_job,
                    0: given.fileno(),
                    1: out_job,
                }
                become(job, files)
        except OSError as error:
            return {"status": "refused", "why": why(error), "clean": False}
        _may_be_seen(yes=False)
        for pipe in (go_job, out_job, said_job):
            os.close(pipe)

        def give() -> None:
            say({"loaded": True})
            _write(arguments.fileno(), json.loads(sys.stdin.readline())["arguments"].encode())
            with contextlib.suppress(BrokenPipeError):  # it may have closed its end
                os.write(go, b"2")

        os.write(go, b"1")
        try:
            return watch(job, child, (out, said), give, boxed=boxed)
        finally:
            for pipe in (out, said, go):
                os.close(pipe)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _may_be_seen(*, yes: bool) -> None:
    """Whether processes of the same user may read this one's memory and open files."""
    _prctl(PR_SET_DUMPABLE, int(yes))


def _end_with_parent() -> None:
    """Has the kernel end this process with the one that started it; a box's end is bubblewrap's own matter."""
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def say(finding: Mapping[str, Any]) -> None:
    """Writes a line."""
    sys.stdout.write(json.dumps(finding) + "\n")
    sys.stdout.flush()


def main(*, boxed: bool) -> None:
    """Answers jobs until there are no more."""
    _may_be_seen(yes=False)  # jobs cannot read or trace this process and its managers
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a box's first process gets signals from inside only where it handles them
    if not boxed:
        _end_with_parent()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.path.isdir("/packages"):  # noqa: PTH112
        sys.path.append("/packages")
    for name in (
        "bisect",
        "collections",
        "copy",
        "datetime",
        "functools",
        "heapq",
        "itertools",
        "random",
        "re",
        "string",
        "typing",
    ):
        __import__(name)
    site.setquit()  # -S leaves these out
    site.setcopyright()
    site.sethelper()
    gc.collect()
    gc.freeze()
    say({"ready": True})
    while _answered(boxed=boxed):
        pass


def _answered(*, boxed: bool) -> bool:
    """Has a new manager answer one job; whether there was one.

    Raises:
        SystemExit: The manager failed.
    """
    manager = os.fork()
    if not manager:
        os._exit(_answer(boxed=boxed))
    _, status = os.waitpid(manager, os.WUNTRACED)
    if os.WIFEXITED(status):
        if os.WEXITSTATUS(status) not in (0, NO_MORE):
            raise SystemExit(os.WEXITSTATUS(status))
        return os.WEXITSTATUS(status) == 0
    processes.end(CpuTime(), boxed=boxed)
    say({"status": "died", "why": "the process that watches it was ended", "clean": False})
    return True


def _answer(*, boxed: bool) -> int:
    """Reads and answers one job; the exit status."""
    try:
        if not boxed:
            _end_with_parent()
        _prctl(PR_SET_CHILD_SUBREAPER, 1)  # a child does not inherit it
        line = sys.stdin.readline()
        if not line:
            return NO_MORE
        job = json.loads(line)
        if job.get("checks"):
            say(check(job, say))
            return 0
        say({"began": True})
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        say(run(job, boxed=boxed))
    except BaseException:  # noqa: BLE001 - the first process must not be forked again from here
        traceback.print_exc()
        return 1
    return 0
