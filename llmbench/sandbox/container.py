"""A box: a process behind bubblewrap that runs programs and calls, each under limits, and says what became of them.

`start.py` starts it; `runner/` does the work in there.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmbench.errors import ConfigError
from llmbench.sandbox import exclusive
from llmbench.sandbox.records import Limits, Program, Ran, Status
from llmbench.sandbox.runner.values import dumps, json_of, loads
from llmbench.sandbox.start import CURE, chosen, require, start

START_S, ANSWER_S = 30.0, 30.0
"""For a box to start, and for it to answer beyond a job's own limit, on a machine that is busy."""
WHY_CHARACTERS = 300


class BrokenBoxError(Exception):
    """The box does not answer."""


class SandboxBox:
    """A sandbox for one piece of code nobody trusts. A context manager; leaving it ends everything in it."""

    def __init__(self, limits: Limits | None = None, folders: Sequence[Path] = ()) -> None:
        """Starts it, without waiting for it; programs see `folders`, which they cannot change, as /folder/0 and so on.

        Raises:
            ConfigError: There is no sandbox on this machine.
        """
        self.limits = limits or Limits()
        self._kind = chosen()
        self._folders = tuple(folders)
        self._process = start(self._kind, self.limits, self._folders)
        self._buffer, self._ready, self._began = b"", False, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, program: Program, limits: Limits | None = None) -> Ran:
        """Runs it; what runs out of time is run again with no other job beside it before that counts."""
        limits = limits or self.limits
        with exclusive.turn(alone=False):
            ran = self._run(program, limits)
        if ran.status is not Status.TIME_LIMIT:
            return ran
        with exclusive.turn(alone=True):
            return self._run(program, limits)

    def _run(self, program: Program, limits: Limits) -> Ran:
        """Runs it, in a new sandbox again where the first one broke. What breaks two that work otherwise is the program's own failure."""
        for attempt in range(2):
            unused, self._began = not self._ready, False
            try:
                ran = self._asked(program, limits)
                if ran.status is not Status.REFUSED or attempt:
                    return ran
                continue  # a program before it may have left it full
            except BrokenBoxError as error:
                why = str(error)
                self._restart()
            if not self._began and not unused:  # unused, it may have ended with the thread that opened it
                return Ran(Status.REFUSED, f"the sandbox broke: {why}")
        if self._began and self.works():
            return Ran(Status.RUNTIME_ERROR, f"it ends its sandbox: {printable(why)}")
        return Ran(Status.REFUSED, f"the sandbox broke: {why}")

    def _asked(self, program: Program, limits: Limits) -> Ran:
        limit_s = limits.wall_s + ANSWER_S
        arguments = dumps(list(program.arguments))
        self.ask(program.job(limits), limit_s)
        self._began = True
        told = self._receive(limit_s)
        if "loaded" in told:
            self.send({"arguments": arguments})
            told = self._receive(limit_s)
        if not told.get("clean"):
            self._restart()
        return ran_of(told)

    def works(self) -> bool:
        """Whether it runs a program that does nothing."""
        try:
            return self._asked(Program(""), self.limits).status is Status.DONE
        except BrokenBoxError:
            self._restart()
            return False

    def ask(self, job: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Gives a job and waits for the first answer.

        Raises:
            BrokenBoxError: It does not come.
        """
        if not self._ready:
            self._receive(START_S)
            self._ready = True
        self.send(job)
        return self._receive(limit_s)

    def send(self, message: Mapping[str, Any]) -> None:
        """Writes a line.

        Raises:
            BrokenBoxError: Nobody reads it.
        """
        try:
            assert self._process.stdin is not None  # noqa: S101 - Popen was asked for it
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise BrokenBoxError(self._last_words() or str(error)) from error

    def _receive(self, limit_s: float) -> dict[str, Any]:
        until = time.monotonic() + limit_s
        assert self._process.stdout is not None  # noqa: S101
        pipe = self._process.stdout.fileno()
        pieces = [self._buffer]
        while b"\n" not in pieces[-1]:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise BrokenBoxError(f"no answer within {limit_s:g} s")
            pieces.append(os.read(pipe, 1 << 20))
            if not pieces[-1]:
                raise BrokenBoxError(self._last_words() or "it ended")
        line, _, self._buffer = b"".join(pieces).partition(b"\n")
        try:
            told = json_of(line.decode())
        except ValueError as error:
            raise BrokenBoxError("its answer cannot be read") from error
        if not isinstance(told, dict):
            raise BrokenBoxError("its answer cannot be read")
        return told

    def _last_words(self) -> str:
        """What bubblewrap or Python wrote to standard error, made fit to print."""
        self._kill()
        assert self._process.stderr is not None  # noqa: S101
        said = self._process.stderr.read(2000).decode("utf-8", "replace").strip()
        return "".join(c if c.isprintable() else " " for c in said)[-300:]

    def _restart(self) -> None:
        self.close()
        self._process = start(self._kind, self.limits, self._folders)
        self._buffer, self._ready = b"", False

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(START_S)

    def close(self) -> None:
        """Ends everything in it: with its first process goes the whole namespace."""
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def ran_of(finding: Mapping[str, Any]) -> Ran:
    """A finding of the box's as data."""
    told = finding.get("status")
    status = Status(told) if told in list(Status) else Status.REFUSED
    why = printable(str(finding.get("why", "")))
    value, encoded = None, "null"
    if status is Status.DONE and "value" in finding:
        try:
            value, encoded = loads(finding["value"]), finding["value"]
        except ValueError as error:  # too large, or forged by the program
            why = printable(f"its value cannot be read: {error}"[:WHY_CHARACTERS])
            status = Status.RUNTIME_ERROR
    output, cpu_s, load_s = str(finding.get("output", "")), finding.get("cpu_s"), finding.get("load_s")
    return Ran(status, why, output, value, cpu_s, load_s, encoded)


_spare: list[SandboxBox] = []


@contextlib.contextmanager
def preload(limits: Limits) -> Iterator[SandboxBox]:
    """A new box that is likely to have started: the next one starts while this one is used."""
    box = next((b for b in _spare if b.limits == limits and b._kind == chosen()), None)  # noqa: SLF001 - its own module
    if box is None:
        box = SandboxBox(limits)
    else:
        _spare.remove(box)
    with box:
        _discard()
        _spare.append(SandboxBox(limits))
        yield box


def _discard() -> None:
    while _spare:
        _spare.pop().close()


atexit.register(_discard)


def check() -> None:
    """Tries the sandbox.

    Raises:
        ConfigError: It cannot be used on this machine; says why and what to do.
    """
    require(chosen())
    limits = Limits(cpu_s=5, idle_s=10, wall_s=20)
    with SandboxBox(limits) as box:
        ran = box.run(Program("print(6 * 7)"))
    if ran.status is not Status.DONE or ran.output.strip() != "42":
        raise ConfigError(
            f"the sandbox ({chosen()}) cannot run a program here: {ran.why or ran.output}{CURE}"
        )


def printable(text: str) -> str:
    """A line that can be written down anywhere: lone surrogates and control characters become question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)
