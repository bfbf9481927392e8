"""The sandbox's own process, inside it: runs programs and calls of functions, one after another, each in a process of its own.

It reads a job a line from standard input and writes a finding a
line to standard output, both JSON. A job's code never gets these two streams. What is right or wrong is decided outside:
neither expected outputs nor checks are here while code runs that nobody trusts.

As the first process of its namespace (`boxed`) no signal of a job's reaches it, and it ends whatever a job leaves behind.
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import site
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from .job import WHY_CHARACTERS, Job, become, why
from .memory import Memory
from .values import decode, encode

POLL_S = 0.02
"""Between looks at a running job."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
STATUS_BYTES = 1 << 16


def run(job: Job, *, boxed: bool) -> dict[str, Any]:
    """Runs one job in a process of its own.

    Args:
        job: `code`; `stdin`, for a program; or `call`, the name of a function or of a method of `Solution`, and `arguments`
            as `encode` has them, and `method_first` (see `job._called`). `header` is executed before. Limits: `cpu_s`, `idle_s`, `wall_s`, `memory_bytes`,
            `processes`, `file_bytes`, `output_bytes`.
        boxed: Whether all processes but this one are the job's.

    Returns:
        `status` (`done`, `compile`, `raised`, `died`, `time`, `memory`, `output`), `why`, `output` (text) of a program or
        `value` of a call, `cpu_s` and `wall_s`.
    """
    with tempfile.TemporaryFile() as given:
        given.write(job.get("stdin", "").encode("utf-8", "surrogatepass"))
        given.seek(0)
        out_read, out_write = os.pipe()
        said_read, said_write = os.pipe()
        go_read, go_write = os.pipe()
        began = time.monotonic()
        _may_be_seen(yes=True)  # what the job's process inherits; nothing else runs in here now
        child = os.fork()
        if not child:
            os.close(go_write)
            if not boxed:
                _end_with_parent()
            os.read(go_read, 1)  # until this process is hidden again
            become(job, given.fileno(), out_write, said_write)
        _may_be_seen(yes=False)
        os.close(go_read)
        os.close(go_write)
        os.close(out_write)
        os.close(said_write)
        try:
            finding, usage = _watch(job, child, out_read, said_read, began, boxed=boxed)
        finally:
            os.close(out_read)
            os.close(said_read)
            _end(child, boxed=boxed)
    return {
        **finding,
        "cpu_s": usage.ru_utime + usage.ru_stime if usage else None,
        "wall_s": time.monotonic() - began,
    }


def _watch(  # noqa: PLR0913, C901, PLR0912 - one loop over all that may end a job
    job: Job, child: int, out: int, said: int, began: float, *, boxed: bool
) -> tuple[dict[str, Any], Any]:
    """Reads what a job writes, and ends it where it goes past a limit."""
    output, status, open_pipes = bytearray(), bytearray(), {out, said}
    over: tuple[str, str] | None = None
    ended: tuple[int, Any] | None = None
    idle, memory, look = _Idle(child), Memory(child if job.get("may_hide") else None), began + POLL_S
    while True:
        ready, _, _ = select.select(list(open_pipes), [], [], POLL_S if open_pipes and not ended else 0)
        for pipe in ready:
            data = os.read(pipe, 1 << 16)
            if not data:
                open_pipes.discard(pipe)
            elif pipe == out:
                output += data
            elif len(status) < max(STATUS_BYTES, job["output_bytes"]):
                status += data
        if len(output) > job["output_bytes"] or len(status) >= max(STATUS_BYTES, job["output_bytes"]):
            over = "output", f"more than {job['output_bytes']} bytes of output"
        if ended is None:
            found, code, usage = os.wait4(child, os.WNOHANG)
            if found:
                ended = code, usage
        if ended and not ready:
            break  # pipes that a job's own children hold open do not count
        if ended is None:
            if (
                over is None and time.monotonic() >= look
            ):  # not for each piece of output: it reads all of /proc
                over, look = _past(job, child, began, idle, memory, boxed=boxed), time.monotonic() + POLL_S
            if not open_pipes and over is None:  # it is about to end
                time.sleep(POLL_S / 40)
        if over:
            _kill(child, boxed=boxed)
            if ended is None:
                _, code, usage = os.wait4(child, 0)
                ended = code, usage
            break
    code, usage = ended
    if over is None and usage.ru_utime + usage.ru_stime > job["cpu_s"]:
        over = "time", f"more than {job['cpu_s']:g} s of CPU time"
    if over is not None:
        return {"status": over[0], "why": over[1]}, usage
    return _finding(job, code, bytes(output), bytes(status)), usage


def _finding(job: Job, code: int, output: bytes, status: bytes) -> dict[str, Any]:
    if os.WIFSIGNALED(code):
        number = os.WTERMSIG(code)
        if number == signal.SIGXCPU:
            return {"status": "time", "why": f"more than {job['cpu_s']:g} s of CPU time"}
        return {"status": "died", "why": f"ended by signal {number}"}
    try:
        told = json.loads(status or b"null")
    except (ValueError, RecursionError):
        told = None
    said = told.get("status") if isinstance(told, dict) else None
    if not isinstance(told, dict) or said not in ("done", "compile", "raised", "memory"):
        ended = f"ended with status {os.WEXITSTATUS(code)} before it was done"
        if "call" in job:
            return {"status": "died", "why": ended}
        told = {"status": "done"}  # os._exit: what was written until then counts
    found = {"status": told["status"], "why": str(told.get("why", ""))[:WHY_CHARACTERS]}
    if "call" in job:
        return {**found, "value": told.get("value")}
    return {**found, "output": output.decode("utf-8", "replace")}


class _Idle:
    """Seconds in which no thread of a process ran or waited for a core."""

    def __init__(self, process: int) -> None:
        """Starts to count."""
        self._tasks = f"/proc/{process}/task"
        self._seconds, self._at = 0.0, time.monotonic()
        self._busy: dict[str, int] = {}

    def seconds(self) -> float:
        """Looks at the threads again; between two looks, the busiest of them counts."""
        now, busy = time.monotonic(), {}
        with contextlib.suppress(OSError, ValueError):
            for thread in os.listdir(self._tasks):  # noqa: PTH208 - fifty times a second
                with open(f"{self._tasks}/{thread}/schedstat") as file:  # noqa: PTH123
                    ran, waited = file.read().split()[:2]
                    busy[thread] = int(ran) + int(waited)
        most = max((after - self._busy.get(thread, 0) for thread, after in busy.items()), default=0)
        self._seconds += max(0.0, now - self._at - most / 1e9)
        self._at, self._busy = now, busy
        return self._seconds


def _past(  # noqa: PLR0913 - all that may end a job
    job: Job, child: int, began: float, idle: _Idle, memory: Memory, *, boxed: bool
) -> tuple[str, str] | None:
    """Which limit a running job is past, if any."""
    wall = time.monotonic() - began
    if wall > job["wall_s"]:
        return "time", f"more than {job['wall_s']:g} s"
    if _cpu_s(child) > job["cpu_s"] + 1:
        return "time", f"more than {job['cpu_s']:g} s of CPU time"
    if idle.seconds() > job["idle_s"]:
        return "time", f"waits for more than {job['idle_s']:g} s"
    if boxed:
        if memory.held() > job["memory_bytes"]:
            return "memory", f"more than {job['memory_bytes'] >> 20} MiB"
        if _cpu_of_all() > job["cpu_s"] + 1:
            return "time", f"more than {job['cpu_s']:g} s of CPU time of all its processes"
    return None


def _cpu_s(process: int) -> float:
    """Seconds of CPU time of a process with all its threads."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
        return sum(int(ticks) for ticks in file.read().rpartition(b")")[2].split()[11:13]) / os.sysconf(
            "SC_CLK_TCK"
        )
    return 0.0


def _cpu_of_all() -> float:
    """Seconds of CPU time of all processes but this one."""
    ticks, own = 0, str(os.getpid())
    for name in os.listdir("/proc"):  # noqa: PTH208 - fifty times a second
        if not name.isdigit() or name == own:
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - a process's name may be any bytes
                fields = file.read().rpartition(b")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def _kill(child: int, *, boxed: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if boxed:
            os.kill(-1, signal.SIGKILL)  # everything in the namespace but this process
        else:
            os.killpg(child, signal.SIGKILL)


def _end(child: int, *, boxed: bool) -> None:
    """Ends and reaps whatever a job left."""
    patience = time.monotonic() + 5
    while time.monotonic() < patience:
        _kill(child, boxed=boxed)
        try:
            while True:
                os.waitpid(-1, 0 if boxed else os.WNOHANG)
                if not boxed:
                    return
        except ChildProcessError:
            return


def check(job: Job) -> dict[str, Any]:
    """Executes the data's own check, which asks for each call of the candidate over this process's streams.

    Args:
        job: `code`, which defines `check`; `header`, which is executed before; and `name`, the candidate's.

    Returns:
        `status`: `done` or `failed`, with `why`.
    """

    def candidate(*arguments: object) -> Any:  # noqa: ANN401 - what the candidate gives
        say({"call": encode(list(arguments))})
        told = json.loads(sys.stdin.readline())
        if told["status"] != "done":
            raise Ended(told)
        return decode(told["value"])

    class Ended(Exception):  # noqa: N818 - the candidate's end is not this code's error
        """The candidate gave no value."""

    scope: dict[str, Any] = {"__name__": "check"}
    try:
        exec(job["header"], scope)  # noqa: S102
        exec(job["code"], scope)  # noqa: S102
        scope[job["name"]] = candidate  # a check may also call it by its name
        scope["check"](candidate)
    except Ended as ended:
        return dict(ended.args[0])
    except BaseException as error:  # noqa: BLE001 - a check may raise anything
        return {"status": "failed", "why": why(error)}
    return {"status": "done", "why": ""}


def _may_be_seen(*, yes: bool) -> None:
    """Whether processes of the same user may read this one's memory and open files."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, int(yes), 0, 0, 0)


def _end_with_parent() -> None:
    """Has the kernel end this process with the one that started it; a box's end is bubblewrap's own matter."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def say(finding: Mapping[str, Any]) -> None:
    """Writes a line."""
    sys.stdout.write(json.dumps(finding) + "\n")
    sys.stdout.flush()


def main(*, boxed: bool) -> None:
    """Answers jobs until there are no more."""
    _may_be_seen(yes=False)  # jobs cannot read or trace this process
    if not boxed:
        _end_with_parent()
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
    say({"ready": True, "pid": os.getpid()})
    for line in sys.stdin:
        job = json.loads(line)
        try:
            say(check(job) if job.get("checks") else run(job, boxed=boxed))
        except OSError as error:  # no process could be made
            say({"status": "died", "why": why(error), "cpu_s": None, "wall_s": None})
