"""What a job's own process does: it takes limits on, runs the program or the call, and says how that ended."""

import atexit
import builtins
import contextlib
import gc
import json
import linecache
import math
import os
import resource
import signal
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

from .values import dumps, loads

WHY_CHARACTERS = 300
SOLUTION = "solution.py"
"""The name that a program is run under."""
Job = Mapping[str, Any]
SAID, ARGUMENTS, GO = 100, 101, 102
"""The numbers of a job's open files beside the standard streams, out of the way of its own."""
LOADED = b"loaded\n"
"""What a call's process says when its code is loaded: then it gets the arguments."""


def become(job: Job, files: Mapping[int, int]) -> None:
    """Becomes the job, with these open files under these numbers; never returns."""
    try:
        os.setsid()
        for number, file in files.items():
            os.dup2(file, number)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.closerange(3, SAID)
        os.closerange(GO + 1, 256)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _limit(job)
        _open_streams()
        itself = os.getpid()
        told, value = _do(job)
        if os.getpid() != itself:  # a process that the job forked
            os._exit(0)
        write(SAID, f"{json.dumps(told)}\n{value}".encode())
    except BaseException:  # noqa: BLE001 - nothing may return from here
        os._exit(1)
    os._exit(0)


def write(file: int, data: bytes) -> None:
    """Writes all of it to an open file."""
    while data:
        data = data[os.write(file, data) :]


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


def _do(job: Job) -> tuple[dict[str, Any], str]:
    """Compiles and executes, as `python solution.py` would; how that ended, and a call's value."""
    scope = _module("__main__" if job.get("as_main", True) else "solution", job["code"])
    try:
        try:
            code = compile(job["code"], scope["__file__"], "exec")
        except (SyntaxError, ValueError, RecursionError) as error:
            return {"status": "compile error", "why": why(error)}, ""
        if job.get("header"):
            exec(job["header"], scope)  # noqa: S102 - what this process is for
        if "call" not in job:
            with contextlib.suppress(SystemExit):
                exec(code, scope)  # noqa: S102
            _end_interpreter(scope)
            return {"status": "done"}, ""
        exec(code, scope)  # noqa: S102
        arguments = _arguments()
        value = _called(scope, job["call"], method_first=job["method_first"])(*arguments)
        return {"status": "done"}, dumps(value)
    except MemoryError:
        scope.clear()
        gc.collect()
        return {"status": "memory limit", "why": f"more than {job['memory_bytes'] >> 20} MiB"}, ""
    except BaseException as error:  # noqa: BLE001 - whatever it raises
        return {"status": "runtime error", "why": why(error)}, ""


def _arguments() -> Any:  # noqa: ANN401 - a list of any values
    """The arguments, which come when the code is loaded: loading is not the call's time, and may not depend on them."""
    os.write(SAID, LOADED)
    os.read(GO, 1)
    with open(ARGUMENTS, "rb") as file:
        file.seek(0)
        return loads(file.read().decode(), math.inf)


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


def why(error: BaseException) -> str:
    """The error in one line."""
    with contextlib.suppress(BaseException):
        return traceback.format_exception_only(type(error), error)[-1].strip()[:WHY_CHARACTERS]
    return type(error).__name__
