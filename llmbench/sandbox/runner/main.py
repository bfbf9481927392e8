"""The sandbox's own process, inside it: runs programs and calls of functions, one after another, each in a process of its own.

It reads a job a line from standard input and writes to standard output, a line each: that the job began, that a call's code is
loaded, for which it then reads the arguments, and the finding; all JSON. A job's code never gets these two streams. What is right or
wrong is decided outside:
neither expected outputs nor checks are here while code runs that nobody trusts, and a call's arguments only when its code is loaded.

As the first process of its namespace (`boxed`) no signal of a job's reaches it, and it ends whatever a job leaves behind.
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
from collections.abc import Mapping
from typing import Any

from .check import check
from .job import ARGUMENTS, GO, SAID, Job, become, why, write
from .watch import watch

COMMON = "bisect collections copy datetime functools heapq itertools random re string typing"
"""Modules that most programs import: they are here once and for all."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36


def run(job: Job, *, boxed: bool) -> dict[str, Any]:
    """Runs one job in a process of its own.

    Args:
        job: `code`; `stdin`, for a program; or `call`, the name of a function or of a method of `Solution`, and `method_first`
            (see `job._called`). `header` is executed before. Limits: `cpu_s`, `idle_s`, `wall_s`, `memory_bytes`,
            `processes`, `file_bytes`, `output_bytes`.
        boxed: Whether all processes but this one are the job's.

    Returns:
        `status`, in the words of `records.Status` (`refused` if the job could not begin), `why`, `output` (text) of a program or `value` (JSON)
        of a call; `cpu_s`, of it `load_s` before the arguments came; `clean`, whether nothing of the job is left.
    """
    with contextlib.ExitStack() as opened:
        try:
            given, arguments = (opened.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in range(2))
            write(given.fileno(), job.get("stdin", "").encode("utf-8", "surrogatepass"))
            os.lseek(given.fileno(), 0, os.SEEK_SET)
            (out, out_job), (said, said_job), (go_job, go) = [os.pipe() for _ in range(3)]
            _may_be_seen(yes=True)  # what the job's process inherits; nothing else runs in here now
            child = os.fork()
            if not child:
                os.close(go)
                if not boxed:
                    _end_with_parent()
                os.read(go_job, 1)  # until this process is hidden again
                own = {SAID: said_job, ARGUMENTS: arguments.fileno(), GO: go_job}
                become(job, {**own, 0: given.fileno(), 1: out_job})
        except OSError as error:
            return {"status": "refused", "why": why(error), "clean": False}
        _may_be_seen(yes=False)
        for pipe in (go_job, out_job, said_job):
            os.close(pipe)
        # The job may open its ends anew, the other way round, and take or fill what is in them.
        for pipe in (out, said, go):
            os.set_blocking(pipe, False)

        def give() -> None:
            say({"loaded": True})
            write(arguments.fileno(), json.loads(sys.stdin.readline())["arguments"].encode())
            # It may have closed its end, or filled it.
            with contextlib.suppress(BrokenPipeError, BlockingIOError):
                os.write(go, b"2")

        os.write(go, b"1")
        try:
            return watch(job, child, (out, said), give, boxed=boxed)
        finally:
            for pipe in (out, said, go):
                os.close(pipe)


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
    _may_be_seen(yes=False)  # jobs cannot read or trace this process
    # A box's first process gets signals from inside only where it handles them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not boxed:
        _end_with_parent()
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.path.isdir("/packages"):  # noqa: PTH112
        sys.path.append("/packages")
    for name in COMMON.split():
        __import__(name)
    site.setquit()  # -S leaves these out
    site.setcopyright()
    site.sethelper()
    gc.collect()
    gc.freeze()
    say({"ready": True, "pid": os.getpid()})
    for line in sys.stdin:
        job = json.loads(line)
        if job.get("checks"):
            say(check(job, say))
            continue
        say({"began": True})
        say(run(job, boxed=boxed))
