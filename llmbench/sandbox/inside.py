"""The sandbox's own process, inside it: runs programs and calls of functions, one after another, each in a process of its own.

Started as a script with nothing but the standard library. It reads a job a line from standard input and writes a finding a
line to standard output, both JSON. A job's code never gets these two streams. What is right or wrong is decided outside:
neither expected outputs nor checks are here while code runs that nobody trusts.

As the first process of its namespace (`boxed`) no signal of a job's reaches it, and it ends whatever a job leaves behind.
"""

import atexit
import builtins
import contextlib
import ctypes
import gc
import json
import linecache
import math
import operator
import os
import resource
import select
import signal
import site
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

POLL_S = 0.02
"""Between looks at a running job."""
WHY_CHARACTERS = 300
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
SOLUTION = "solution.py"
"""The name that a program is run under."""
STATUS_BYTES = 1 << 16
BLOCK, HIDDEN = 512, 1 << 62
"""Bytes of what `stat` counts, and what a process is taken to hold that does not show it."""
Job = Mapping[str, Any]


def encode(value: object) -> Any:  # noqa: ANN401, C901, PLR0911 - any JSON; a branch for each type
    """A value as JSON that tells tuples, sets and mappings apart; what is no plain value becomes its type's name."""
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 62 else {"i": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [encode(inner) for inner in value]
    for mark, kind in (("t", tuple), ("s", set), ("f", frozenset)):
        if isinstance(value, kind):
            return {mark: [encode(inner) for inner in value]}
    if isinstance(value, dict):
        return {"d": [[encode(key), encode(inner)] for key, inner in value.items()]}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"b": bytes(value).hex()}
    if hasattr(value, "__index__"):
        return encode(operator.index(value))
    if hasattr(value, "__float__"):
        return float(value)
    return {"?": type(value).__name__}


def decode(value: Any) -> Any:  # noqa: ANN401, PLR0911 - as above
    """What `encode` was given. A value that was none compares equal to nothing."""
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    ((mark, inner),) = value.items()
    if mark == "i":
        return int(inner, 16)
    if mark == "c":
        return complex(*inner)
    if mark == "b":
        return bytes.fromhex(inner)
    if mark == "d":
        return {decode(key): decode(one) for key, one in inner}
    if mark in _COLLECTIONS:
        return _COLLECTIONS[mark](decode(one) for one in inner)
    return Unknown(inner)


_COLLECTIONS: dict[str, Callable[..., Any]] = {"t": tuple, "s": set, "f": frozenset}


class Unknown:
    """Stands for a value that cannot leave the sandbox, by the name of its type; equal to nothing."""

    def __init__(self, name: str) -> None:
        """Takes the type's name."""
        self.name = str(name)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def run(job: Job, *, boxed: bool) -> dict[str, Any]:
    """Runs one job in a process of its own.

    Args:
        job: `code`; `stdin`, for a program; or `call`, the name of a function or of a method of `Solution`, and `arguments`
            as `encode` has them, and `method_first` (see `_called`). `header` is executed before. Limits: `cpu_s`, `idle_s`, `wall_s`, `memory_bytes`,
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
            _be_the_job(job, given.fileno(), out_write, said_write)
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
    idle, look = _Idle(child), began + POLL_S
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
                over, look = _past(job, child, began, idle, boxed=boxed), time.monotonic() + POLL_S
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


def _past(job: Job, child: int, began: float, idle: _Idle, *, boxed: bool) -> tuple[str, str] | None:
    """Which limit a running job is past, if any."""
    wall = time.monotonic() - began
    if wall > job["wall_s"]:
        return "time", f"more than {job['wall_s']:g} s"
    if _cpu_s(child) > job["cpu_s"] + 1:
        return "time", f"more than {job['cpu_s']:g} s of CPU time"
    if idle.seconds() > job["idle_s"]:
        return "time", f"waits for more than {job['idle_s']:g} s"
    if boxed:
        resident, cpu_s = _usage(may_hide=job.get("may_hide", False))
        if resident > job["memory_bytes"]:
            return "memory", f"more than {job['memory_bytes'] >> 20} MiB"
        if cpu_s > job["cpu_s"] + 1:
            return "time", f"more than {job['cpu_s']:g} s of CPU time of all its processes"
    return None


def _cpu_s(process: int) -> float:
    """Seconds of CPU time of a process with all its threads."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{process}/stat") as file:  # noqa: PTH123
        return sum(int(ticks) for ticks in file.read().rpartition(")")[2].split()[11:13]) / os.sysconf(
            "SC_CLK_TCK"
        )
    return 0.0


def _usage(*, may_hide: bool) -> tuple[int, float]:
    """Bytes of memory that all processes but this one hold, files in memory included, and their seconds of CPU time.

    A process that hides its files counts as one that holds everything, unless it `may_hide`.
    """
    total, ticks, own = 0, 0, str(os.getpid())
    files: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - fifty times a second
        if not name.isdigit() or name == own:
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            with open(f"/proc/{name}/stat") as file:  # noqa: PTH123
                fields = file.read().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
            if fields[0] != "Z":
                total += _resident(name)
                files |= _files_in_memory(name, may_hide=may_hide)
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/sysvipc/shm") as file:  # noqa: PTH123
        total += sum(int(line.split()[14]) for line in file.readlines()[1:])
    return total + sum(files.values()), ticks / os.sysconf("SC_CLK_TCK")


def _resident(process: str) -> int:
    with open(f"/proc/{process}/status") as file:  # noqa: PTH123
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith(("RssAnon", "RssShmem")))


def _files_in_memory(process: str, *, may_hide: bool) -> dict[int, int]:
    """Inode and bytes of the files that it holds open and that are nowhere but in memory."""
    found = {}
    try:
        for number in os.listdir(f"/proc/{process}/fd"):  # noqa: PTH208
            path = f"/proc/{process}/fd/{number}"
            if os.readlink(path).startswith("/memfd:"):  # noqa: PTH115
                about = os.stat(path)  # noqa: PTH116
                found[about.st_ino] = about.st_blocks * BLOCK
    except PermissionError:  # it hides them, or it is about to end and has no memory any more
        with open(f"/proc/{process}/status") as file:  # noqa: PTH123
            return {-1: HIDDEN} if not may_hide and "RssAnon" in file.read() else {}
    return found


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


def _be_the_job(job: Job, given: int, out: int, said: int) -> None:
    """Becomes the job; never returns."""
    try:
        os.setsid()
        said_at = 100
        os.dup2(said, said_at)
        os.dup2(given, 0)
        os.dup2(out, 1)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.closerange(3, said_at)
        os.closerange(said_at + 1, 256)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        _limit(job)
        _open_streams()
        itself = os.getpid()
        told = _do(job)
        if os.getpid() != itself:  # a process that the job forked
            os._exit(0)
        data = json.dumps(told).encode()
        while data:
            data = data[os.write(said_at, data) :]
    except BaseException:  # noqa: BLE001 - nothing may return from here
        os._exit(1)
    os._exit(0)


def _open_streams() -> None:
    """Opens the standard streams as Python does on a pipe: line ends stay as they are."""
    for name, number, mode, errors in (
        ("stdin", 0, "r", "surrogateescape"),
        ("stdout", 1, "w", "replace"),
        ("stderr", 2, "w", "replace"),
    ):
        stream = open(number, mode, encoding="utf-8", errors=errors, newline="\n", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _limit(job: Job) -> None:
    seconds = math.ceil(job["cpu_s"])
    limits = {
        resource.RLIMIT_CPU: (seconds, seconds + 1),
        resource.RLIMIT_AS: (job["memory_bytes"],) * 2,
        resource.RLIMIT_FSIZE: (job["file_bytes"],) * 2,
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NOFILE: (256, 256),
        resource.RLIMIT_NPROC: (job["processes"],) * 2,
    }
    for which, (soft, hard) in limits.items():
        now = resource.getrlimit(which)[1]
        if now != resource.RLIM_INFINITY:
            soft, hard = min(soft, now), min(hard, now)  # noqa: PLW2901
        resource.setrlimit(which, (soft, hard))


def _do(job: Job) -> dict[str, Any]:
    """Compiles and executes, as `python solution.py` would; what it raises is told."""
    scope = _module("__main__" if job.get("as_main", True) else "solution", job["code"])
    try:
        try:
            code = compile(job["code"], scope["__file__"], "exec")
        except (SyntaxError, ValueError, RecursionError) as error:
            return {"status": "compile", "why": _why(error)}
        if job.get("header"):
            exec(job["header"], scope)  # noqa: S102 - what this process is for
        if "call" not in job:
            with contextlib.suppress(SystemExit):
                exec(code, scope)  # noqa: S102
            _end_interpreter(scope)
            return {"status": "done"}
        exec(code, scope)  # noqa: S102
        value = _called(scope, job["call"], method_first=job["method_first"])(*decode(job["arguments"]))
        return {"status": "done", "value": encode(value)}
    except MemoryError:
        scope.clear()
        gc.collect()
        return {"status": "memory", "why": f"more than {job['memory_bytes'] >> 20} MiB"}
    except BaseException as error:  # noqa: BLE001 - whatever it raises
        return {"status": "raised", "why": _why(error), "kind": type(error).__name__}


def _module(name: str, code: str) -> dict[str, Any]:
    """The names of a new module in the place where Python looks a program's own up: pickle and dataclasses do, by its name."""
    module = types.ModuleType(name)
    path = os.path.abspath(SOLUTION)  # noqa: PTH100 - of a file that is nowhere but in `linecache`
    module.__dict__.update(__file__=path, __builtins__=builtins)
    linecache.cache[path] = (len(code), None, code.splitlines(keepends=True), path)
    sys.modules[name] = module
    sys.argv = [SOLUTION]
    return module.__dict__


def _called(scope: Mapping[str, Any], name: str, *, method_first: bool) -> Callable[..., Any]:
    """The function of this name, or the method of `Solution`; where there are both, `method_first` decides."""
    owner = scope.get("Solution")
    is_method = isinstance(owner, type) and hasattr(owner, name)
    if is_method and (method_first or name not in scope):
        return getattr(owner(), name)  # type: ignore[no-any-return, misc]
    return scope[name]  # type: ignore[no-any-return]


def _end_interpreter(scope: dict[str, Any]) -> None:
    """Does what Python does at a program's end; leaving Python itself would take longer than most programs.

    It waits for threads, runs the exit handlers, and lets go of the program's variables: files write what they hold.
    """
    threading = sys.modules.get("threading")
    for step in (getattr(threading, "_shutdown", None), atexit._run_exitfuncs, _flush):  # noqa: SLF001 - Python's own steps
        if step is not None:
            with contextlib.suppress(BaseException):
                step()
    for name in [name for name in scope if name != "__builtins__"]:
        scope[name] = None
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with contextlib.suppress(BaseException):
            stream.flush()  # type: ignore[union-attr] # a program may have put None there


def _why(error: BaseException) -> str:
    with contextlib.suppress(BaseException):
        return traceback.format_exception_only(type(error), error)[-1].strip()[:WHY_CHARACTERS]
    return type(error).__name__


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
        return {"status": "failed", "why": _why(error)}
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
            say({"status": "died", "why": _why(error), "cpu_s": None, "wall_s": None})


if __name__ == "__main__":
    main(boxed=sys.argv[1] == "boxed")
