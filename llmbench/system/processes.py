"""Starting processes that Ctrl-C must not reach, and that must not outlive the one that started them, however it ends; and ending them.

It is also the main module of the processes that vLLM spawns (`followed`): they import it before anything else.
"""

import ctypes
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import parent_process, resource_tracker, util
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

VARIABLE = "LLMBENCH_PID"
"""Tells the processes of an engine which process they must not outlive."""
PR_SET_PDEATHSIG = 1


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with these variables inside, and as it was before afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def blocked_sigint() -> Iterator[None]:
    """Threads and processes that start inside inherit the block and keep it: Ctrl-C reaches only the run itself."""
    start_tracker()  # its own start would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_tracker() -> None:
    """Starts multiprocessing's resource tracker, which ignores Ctrl-C and SIGTERM, so that a lost terminal leaves it alone too.

    One that died before its processes is followed by another, which complains of all that it does not know.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it inherits that and keeps it
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Has the kernel end this process with the thread that started it, also while it is deep in C code.

    For processes that do not outlive that thread anyway.
    """
    parent = parent_process()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and parent.pid != os.getppid():  # it was gone before
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def followed() -> Iterator[None]:
    """Processes that multiprocessing starts inside follow this one, and so do those that they start in their turn.

    The forked ones are told by multiprocessing. The spawned ones import this program's main module before anything else,
    unless it is a package's, as `python -m llmbench` is; inside, that is this module, which has them follow.
    """
    main = sys.modules["__main__"]
    os.environ[VARIABLE] = str(os.getpid())
    util.register_after_fork(follow, lambda _: follow())
    sys.modules["__main__"] = sys.modules[__name__]
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        os.environ.pop(VARIABLE)


class _Spawned(SpawnProcess):
    """A process that does not import this program's main module: a script without `if __name__ == "__main__":` would run again there."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: ANN401, N802 - as multiprocessing has it
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # of no file
        try:
            return SpawnProcess._Popen(process_obj)  # noqa: SLF001 - what a context overrides
        finally:
            sys.modules["__main__"] = main


class Spawning(SpawnContext):
    """Starts such processes."""

    Process = _Spawned


_following = set[int]()


def follow() -> None:
    """In a process of an engine, wherever vLLM has started it: ends it when the process that leads is gone.

    A thread waits for that. Where this one was started by another process of the same engine, as the workers of a model
    that is spread over GPUs are, that one ends too: it may have no code of llmbench's in it. And this one ends with it.
    """
    leader = int(os.environ.get(VARIABLE) or 0)
    if not leader or leader == os.getpid() or os.getpid() in _following:
        return
    _following.add(os.getpid())
    try:
        gone = os.pidfd_open(leader)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return
    between = None
    with suppress(ProcessLookupError):
        if os.getppid() != leader and _parent_of(os.getppid()) == leader:
            between = os.pidfd_open(os.getppid())
    threading.Thread(target=_wait, args=(gone, between), name="llmbench-follow", daemon=True).start()


def one_is_gone(pids: Sequence[int]) -> None:
    """Waits until one of these processes has ended, whatever still holds what was its own."""
    files: list[int] = []
    try:
        files.extend(os.pidfd_open(pid) for pid in pids)
        _poll(files)
    except ProcessLookupError:
        return
    finally:
        for file in files:
            os.close(file)


def _poll(files: Sequence[int]) -> None:
    waiting = select.poll()
    for file in files:
        waiting.register(file, select.POLLIN)
    waiting.poll()


def _wait(gone: int, between: int | None) -> None:
    _poll([gone] if between is None else [gone, between])
    if between is not None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(between, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _parent_of(pid: int) -> int | None:
    found = _status(pid)
    return int(found[1]) if found else None


def started(pid: int) -> str | None:
    """When a process started, as text that no other process of this number has; None where it has ended.

    The boot and the clock ticks since then: unlike a date they stay the same when the machine's clock is set.
    """
    found = _status(pid)
    if not found or found[0] in "ZX":
        return None
    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123
        return f"{file.read().strip()} {found[19]}"


def process_space() -> str:
    """The machine, or the container, within which a process's number means something."""
    return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat (proc(5)) from the third on, the state; none where there is no such process."""
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - as elsewhere for /proc
        return file.read().rpartition(")")[2].split()
    return []


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kills processes, also those that are stopped; those that have ended or are somebody else's are left out."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def kill_family(pid: int) -> None:
    """Kills a process and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        one = psutil.Process(pid)
        kill((*one.children(recursive=True), one))


if __name__ == "__mp_main__":
    follow()
