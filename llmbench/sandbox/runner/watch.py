"""Watches a job's processes: reads what they write, and ends them where they go past a limit."""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from . import processes
from .cpu_time import POLL_S, CpuTime, IdleTime, until_next_look
from .job import LOADED, WHY_CHARACTERS, Job
from .memory import Memory

HEAD_BYTES = 1 << 12
"""Of what a job's process says of its end, before a call's value."""
ENDS = ("done", "compile error", "runtime error", "memory limit")
"""What a job's first process may say of its end."""
Over = tuple[str, str] | None
"""The limit that a job is past, and why."""


def watch(
    job: Job, child: int, pipes: tuple[int, int], give: Callable[[], None], *, boxed: bool
) -> dict[str, Any]:
    """The finding on a job (see `main.run`), whose processes have ended then.

    Args:
        job: With its limits.
        child: Its first process.
        pipes: Where that writes: output, and what it says of itself.
        give: Gives it the arguments of its call, once it has loaded its code.
        boxed: Whether all processes but this one are the job's.
    """
    began = time.monotonic()
    cpu, load_s = CpuTime(), None
    idle, memory = IdleTime(), Memory(child if job.get("may_hide") else None)
    out, said = pipes
    read: dict[int, bytearray] = {out: bytearray(), said: bytearray()}
    open_pipes, code, over, look = set(pipes), None, None, began + until_next_look()
    while over is None:
        ready, _, _ = select.select(
            list(open_pipes), [], [], _wait_s(look, closed=not open_pipes, ended=code is not None)
        )
        for pipe in ready:
            data = _read(pipe)
            read[pipe] += data or b""
            if data == b"":
                open_pipes.discard(pipe)
        if load_s is None and "call" in job and read[said].startswith(LOADED):
            load_s = cpu.look(processes.of_job(boxed=boxed))
            give()
        if max(map(len, read.values())) > job["output_bytes"] + HEAD_BYTES * (
            len(read[out]) <= job["output_bytes"]
        ):
            over = "runtime error", f"more than {job['output_bytes']} bytes of output"
        if code is not None and not ready:
            break  # pipes that a job's own children hold open do not count
        if code is None:
            code = _reap(child, cpu)
        # Also when the first process has ended and others write on; not for each piece of output: it reads all of /proc.
        if time.monotonic() >= look:
            over = over or _past(job, child, time.monotonic() - began, (cpu, idle, memory), boxed=boxed)
            look = time.monotonic() + until_next_look()
    none_left = processes.end(cpu, boxed=boxed)
    cpu_s = cpu.look(())
    if over is None and (
        cpu_s > job["cpu_s"]
        or (code is not None and os.WIFSIGNALED(code) and os.WTERMSIG(code) == signal.SIGXCPU)
    ):
        over = _too_long(job)
    finding = (
        {"status": over[0], "why": over[1]}
        if over
        else _finding(job, code or 0, bytes(read[out]), bytes(read[said]))
    )
    took = {"cpu_s": cpu_s, "load_s": load_s}
    return {**finding, **took, "clean": none_left and (not boxed or processes.clean())}


def _read(pipe: int) -> bytes | None:
    """What is in a pipe, nothing at its end; None where somebody else took it first."""
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return None


def _wait_s(look: float, *, closed: bool, ended: bool) -> float:
    """How long to wait for output: until the next look; where there is none to come, the end is near."""
    return 0.0 if ended else POLL_S / 40 if closed else max(0.0, look - time.monotonic())


def _reap(child: int, cpu: CpuTime) -> int | None:
    """Reaps what ended, of the job's first process too what others left to this one; the first one's status if it is among them."""
    while True:
        process, code, usage = os.wait4(-1, os.WNOHANG)
        if not process:
            return None
        cpu.reaped(process, usage)
        if process == child:
            return code


def _past(
    job: Job, child: int, wall_s: float, meters: tuple[CpuTime, IdleTime, Memory], *, boxed: bool
) -> Over:
    """Which limit a running job is past, if any."""
    cpu, idle, memory = meters
    running = processes.of_job(boxed=boxed)
    if wall_s > job["wall_s"]:
        return "time limit", f"more than {job['wall_s']:g} s"
    if cpu.look(running) > job["cpu_s"]:
        return _too_long(job, all_of_them=running != [child])
    if idle.look(running) > job["idle_s"]:
        return "time limit", f"waits for more than {job['idle_s']:g} s"
    if boxed and memory.held() > job["memory_bytes"]:
        return "memory limit", f"more than {job['memory_bytes'] >> 20} MiB"
    return None


def _too_long(job: Job, *, all_of_them: bool = False) -> tuple[str, str]:
    return "time limit", f"more than {job['cpu_s']:g} s of CPU time" + " of all its processes" * all_of_them


def _finding(job: Job, code: int, output: bytes, message: bytes) -> dict[str, Any]:
    """What the job's first process says of its end, which anything in the job may have written: no more than text is made of it."""
    if os.WIFSIGNALED(code):
        return {"status": "runtime error", "why": f"ended by signal {os.WTERMSIG(code)}"}
    head, _, value = message.removeprefix(LOADED).partition(b"\n")
    try:
        told = json.loads(head) if len(head) <= HEAD_BYTES else None
    except (ValueError, RecursionError):
        told = None
    status = told.get("status") if isinstance(told, dict) else None
    if not isinstance(told, dict) or status not in ENDS:
        if "call" in job:
            ended = f"ended with status {os.WEXITSTATUS(code)} before it was done"
            return {"status": "runtime error", "why": ended}
        told = {"status": "done"}  # os._exit: what was written until then counts
    found = {"status": told["status"], "why": str(told.get("why", ""))[:WHY_CHARACTERS]}
    if "call" in job:
        return {**found, "value": value.decode("utf-8", "replace")}
    return {**found, "output": output.decode("utf-8", "replace")}
