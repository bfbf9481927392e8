"""A box: a process behind bubblewrap that runs programs and calls, each under limits, and says what became of them.

bubblewrap (https://github.com/containers/bubblewrap) gives it namespaces of its own (user, mount, pid, ipc, uts, cgroup and
network, with nothing but a loopback), a read-only system of /usr and the Python that runs llmbench, a small /tmp, no capabilities.
As root, it becomes another user first: limits on processes mean nothing to root. `inside.py` does the work in there.
"""

import atexit
import contextlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmbench.errors import ConfigError
from llmbench.sandbox import alone
from llmbench.sandbox.inside import decode, encode

KINDS = ("bwrap", "docker", "none")
VARIABLE = "LLMBENCH_SANDBOX"
"""Says the kind to processes that this one starts."""
INSIDE = Path(__file__).with_name("inside.py")
IMAGE = "python:3.11-slim"
"""What `sandbox=docker` runs in."""
START_S, ANSWER_S = 30.0, 30.0
"""For a box to start, and for it to answer beyond a job's own limit, on a machine that is busy."""
FLAGS = ("-s", "-S", "-B")
"""Of the Python in there. Not -I, which would ignore PYTHONHASHSEED: the order of a set would differ from run to run."""
NICE = 10
"""The engine's threads come first."""
FOREIGN_UID = 700_000
"""As root, a box's user: this and a part of the process id, so that one box's processes do not count for another."""
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ld.so.cache",
    "/etc/alternatives",
)
PACKAGES = (
    "numpy", "numpy.libs",
    "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py", "exceptiongroup", "tomli",
)  # fmt: skip
"""Beside the standard library: what programs for contests use, and what tests of repositories are run with."""
HOST = "llmbench"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one job.

    Attributes:
        cpu_s: Seconds of CPU time, which decide.
        idle_s: Seconds in which it neither runs nor waits for a core: asleep, or reading what never comes.
        wall_s: Seconds after which it ends in any case.
        memory_bytes: Address space of each process, and main memory of all of a job's together.
        processes: How many at once, threads included.
        file_bytes: Size of one file; all files together share `disk_bytes`.
        output_bytes: Of standard output, or of a call's value.
        may_hide: Whether a process may hide what files it holds: a judge in there that must not be read by what it judges.
    """

    cpu_s: float = 6.0
    idle_s: float = 6.0
    wall_s: float = 120.0
    memory_bytes: int = 2 << 30
    processes: int = 64
    file_bytes: int = 32 << 20
    disk_bytes: int = 64 << 20
    output_bytes: int = 16 << 20
    may_hide: bool = False


class Status(StrEnum):
    """What became of a job."""

    DONE = "done"
    COMPILE_ERROR = "compile error"
    RUNTIME_ERROR = "runtime error"
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    REFUSED = "refused"
    """The sandbox itself failed; it says nothing about the code."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a job: `output` of a program, or `value` of a call."""

    status: Status
    why: str = ""
    output: str = ""
    value: Any = None
    cpu_s: float | None = None
    wall_s: float | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Code to run: as a program that reads `stdin`, or to call its function (or its `Solution`'s method) `call`.

    A program's `__name__` is `__main__` if `as_main`; what is called is a module. Where code has both a function and such a
    method, the method is called if `method_first`.
    """

    code: str
    header: str = ""
    stdin: str = ""
    call: str | None = None
    arguments: Sequence[Any] = ()
    as_main: bool = True
    method_first: bool = True

    def job(self, limits: Limits) -> dict[str, Any]:
        """As `inside.py` takes it."""
        job = {**asdict(limits), "code": self.code, "header": self.header}
        if self.call is None:
            return {**job, "stdin": self.stdin, "as_main": self.as_main}
        call = {
            "call": self.call,
            "method_first": self.method_first,
            "arguments": encode(list(self.arguments)),
        }
        return {**job, "as_main": False, **call}


_STATUS = {
    "done": Status.DONE, "compile": Status.COMPILE_ERROR, "raised": Status.RUNTIME_ERROR, "died": Status.RUNTIME_ERROR,
    "output": Status.RUNTIME_ERROR, "time": Status.TIME_LIMIT, "memory": Status.MEMORY_LIMIT,
}  # fmt: skip


class BrokenBoxError(Exception):
    """The box does not answer."""


class Box:
    """A sandbox for one piece of code nobody trusts. A context manager; leaving it ends everything in it."""

    def __init__(self, limits: Limits | None = None, folders: Sequence[Path] = ()) -> None:
        """Starts it, without waiting for it; programs see `folders`, which they cannot change, as /folder/0 and so on.

        Raises:
            ConfigError: There is no sandbox on this machine.
        """
        self.limits = limits or Limits()
        self._kind = chosen()
        self._folders = tuple(folders)
        self._process = _start(self._kind, self.limits, self._folders)
        self._buffer, self._ready = b"", False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, program: Program, limits: Limits | None = None) -> Ran:
        """Runs it; what runs out of time is run again with no other job beside it before that counts."""
        limits = limits or self.limits
        with alone.turn(alone=False):
            ran = self._run(program, limits)
        if ran.status is not Status.TIME_LIMIT:
            return ran
        with alone.turn(alone=True):
            return self._run(program, limits)

    def _run(self, program: Program, limits: Limits) -> Ran:
        unused = not self._ready
        try:
            return ran_of(self.ask(program.job(limits), limits.wall_s + ANSWER_S))
        except BrokenBoxError as error:
            self._restart()
            if not unused:
                return Ran(Status.REFUSED, f"the sandbox broke: {error}")
        try:  # it had never run anything: it may have ended with the thread that opened it
            return ran_of(self.ask(program.job(limits), limits.wall_s + ANSWER_S))
        except BrokenBoxError as error:
            self._restart()
            return Ran(Status.REFUSED, f"the sandbox broke: {error}")

    def ask(self, job: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Gives a job and waits for its finding.

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
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise BrokenBoxError(f"no answer within {limit_s:g} s")
            data = os.read(pipe, 1 << 20)
            if not data:
                raise BrokenBoxError(self._last_words() or "it ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
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
        self._process = _start(self._kind, self.limits, self._folders)
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


def ran_of(told: Mapping[str, Any]) -> Ran:
    """A finding of the box's as data."""
    status = _STATUS.get(str(told.get("status")), Status.REFUSED)
    why, value = printable(str(told.get("why", ""))), None
    if status is Status.DONE and "value" in told:
        try:
            value = decode(told["value"])
        except (
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ):  # forged by the program
            status, why = Status.RUNTIME_ERROR, "its value cannot be read"
    return Ran(status, why, str(told.get("output", "")), value, told.get("cpu_s"), told.get("wall_s"))


_spare: list[Box] = []


@contextlib.contextmanager
def preload(limits: Limits) -> Iterator[Box]:
    """A new box that is likely to have started: the next one starts while this one is used."""
    box = next((b for b in _spare if b.limits == limits and b._kind == chosen()), None)  # noqa: SLF001 - its own module
    if box is None:
        box = Box(limits)
    else:
        _spare.remove(box)
    with box:
        _discard()
        _spare.append(Box(limits))
        yield box


def _discard() -> None:
    while _spare:
        _spare.pop().close()


atexit.register(_discard)


def choose(kind: str) -> None:
    """Says which sandbox this process and those it starts use: `bwrap`, `docker` or `none`."""
    os.environ[VARIABLE] = kind


def chosen() -> str:
    """The kind that was chosen; `bwrap` unless another was."""
    return os.environ.get(VARIABLE, "bwrap")


def check() -> None:
    """Tries the sandbox.

    Raises:
        ConfigError: It cannot be used on this machine; says why and what to do.
    """
    _start_words(chosen())
    limits = Limits(cpu_s=5, idle_s=10, wall_s=20)
    with Box(limits) as box:
        ran = box.run(Program("print(6 * 7)"))
    if ran.status is not Status.DONE or ran.output.strip() != "42":
        raise ConfigError(
            f"the sandbox ({chosen()}) cannot run a program here: {ran.why or ran.output}{CURE}"
        )


CURE = (
    "; code benchmarks need bubblewrap that may make namespaces (apt install bubblewrap), or sandbox=docker; "
    "sandbox=none runs what the model writes with nothing around it."
)


def _start_words(kind: str) -> list[str]:
    """The program that makes the sandbox.

    Raises:
        ConfigError: It is not installed.
    """
    if kind == "none":
        return []
    name = {"bwrap": "bwrap", "docker": "docker"}[kind]
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"sandbox={kind} needs the program {name}, which is not installed{CURE}")
    return [found]


def _start(kind: str, limits: Limits, seen: Sequence[Path]) -> "subprocess.Popen[bytes]":
    words = _start_words(kind)
    options: dict[str, Any] = {}
    files: list[int] = []
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    if kind == "bwrap":
        if os.getuid() == 0:
            uid = FOREIGN_UID + os.getpid() % 100_000
            options = {"user": uid, "group": uid, "extra_groups": []}
        words += _bubblewrap(limits, files, seen)
    elif kind == "docker":
        words += _docker(limits, seen)
        environment = dict(os.environ)
    else:
        words = [sys.executable, *FLAGS, str(INSIDE), "plain"]
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/" if kind == "bwrap" else None,
            start_new_session=True,
            pass_fds=files,
            preexec_fn=_behind if kind != "docker" else None,  # noqa: PLW1509 - workers have one thread
            **options,
        )
    except OSError as error:
        raise ConfigError(f"the sandbox ({kind}) cannot be started: {error}{CURE}") from error
    finally:
        for file in files:
            os.close(file)


def _behind() -> None:
    os.nice(NICE)


def _bubblewrap(limits: Limits, files: list[int], seen: Sequence[Path] = ()) -> list[str]:
    """Bubblewrap's arguments and the command; what runs inside comes as an open file, since the box's user may not reach it."""
    words = [
        "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", HOST,
        "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", *_if_known("--disable-userns"),
    ]  # fmt: skip
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114 - beside the next line
            words += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        elif os.path.exists(path):  # noqa: PTH110
            words += ["--ro-bind", path, path]
    python, folders = _python()
    folders = [*folders, *((str(path), f"/folder/{place}") for place, path in enumerate(seen))]
    for folder, inside in folders:
        words += ["--ro-bind", folder, inside]
    files.append(os.open(INSIDE, os.O_RDONLY))
    words += ["--perms", "0444", "--ro-bind-data", str(files[-1]), "/inside.py"]
    size = str(limits.disk_bytes)
    words += [
        "--proc", "/proc", "--dev", "/dev", "--size", str(1 << 20), "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
        "--perms", "0700", "--size", size, "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp",
    ]  # fmt: skip
    return [*words, "--", python, *FLAGS, "/inside.py", "boxed"]


@cache
def _help() -> str:
    return subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False).stdout


def _if_known(option: str) -> list[str]:
    return [option] if option in _help() else []


@cache
def _python() -> tuple[str, list[tuple[str, str]]]:
    """The interpreter as the box sees it, and the folders to bind for it.

    This one's; as root, where no other user can reach it, the system's own. With the packages above where it has them.

    Raises:
        ConfigError: There is none that the box's user can reach.
    """
    base, folders = Path(sys.base_prefix).resolve(), []
    if not reachable(base):
        system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
        if system is None or not reachable(Path(system).resolve()):
            raise ConfigError(
                f"the sandbox's user cannot reach the Python in {base}, and there is none in /usr/bin{CURE}"
            )
        python = system
    elif base.parts[:2] == ("/", "usr"):
        python = str(base / "bin" / "python3")
    else:
        python = "/python/bin/python3"
        folders.append((str(base), "/python"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if python.startswith("/usr") and not Path(python).resolve().name.startswith(version):
        return python, folders  # packages of another version are of no use
    site = Path(sysconfig.get_path("platlib"))
    found = [(site / name, f"/packages/{name}") for name in PACKAGES if (site / name).exists()]
    return python, [*folders, *((str(path), to) for path, to in found if reachable(path.resolve()))]


def reachable(path: Path) -> bool:
    """Whether the box's user can go there: any other than root's folders, as root."""
    if os.getuid():
        return True
    need = 0o005 if path.is_dir() else 0o004
    return path.stat().st_mode & need == need and all(
        folder.stat().st_mode & 0o001 for folder in path.parents
    )


def _docker(limits: Limits, seen: Sequence[Path] = ()) -> list[str]:
    memory = str(limits.memory_bytes + limits.disk_bytes)
    folders = [word for place, path in enumerate(seen) for word in ("-v", f"{path}:/folder/{place}:ro")]
    return [
        "run", *folders, "--rm", "-i", "--init=false", "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--user", "65534:65534", "--pids-limit", str(limits.processes + 8),
        "--memory", memory, "--memory-swap", memory, "--cpus", "1", "--ipc", "private",
        "--tmpfs", f"/tmp:rw,nosuid,nodev,size={limits.disk_bytes},mode=1777", "-v", f"{INSIDE}:/inside.py:ro",
        "-w", "/tmp", "-e", "HOME=/tmp", "-e", "PYTHONHASHSEED=0", "-e", "PYTHONSAFEPATH=1",
        IMAGE, "python3", *FLAGS, "/inside.py", "boxed",
    ]  # fmt: skip


def printable(text: str) -> str:
    """A line that can be written down anywhere: lone surrogates and control characters become question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)


def seconds(value: float | None) -> str:
    """For explanations."""
    return "" if value is None or math.isnan(value) else f"{value:.2f} s"


def tighter(limits: Limits, **changes: Any) -> Limits:  # noqa: ANN401 - fields of Limits
    """The limits with changes."""
    return replace(limits, **changes)
