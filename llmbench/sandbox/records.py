"""What a box is given and what it gives back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one job.

    Attributes:
        cpu_s: Seconds of CPU time of all its processes, which decide.
        idle_s: Seconds in which none of them runs or waits for a core (looked at 50 times a second): asleep, or reading what never comes.
        wall_s: Seconds after which it ends in any case.
        memory_bytes: Address space of each process, and main memory of all of a job's together, kernel memory that they hold included.
        processes: How many at once, threads included.
        file_bytes: Size of one file; all files together share `disk_bytes`.
        output_bytes: Of standard output, or of a call's value.
        may_hide: Whether a job's first process may hide its mappings: a judge in there that must not be read by what it judges.
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
    """What became of a job, in the words of the box (`runner.main.run`)."""

    DONE = "done"
    COMPILE_ERROR = "compile error"
    RUNTIME_ERROR = "runtime error"
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    REFUSED = "refused"
    """The sandbox itself failed; it says nothing about the code."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a job: `output` of a program, or `value` of a call, `encoded` as it came; `load_s` of its `cpu_s` was before the call."""

    status: Status
    why: str = ""
    output: str = ""
    value: Any = None
    cpu_s: float | None = None
    load_s: float | None = None
    encoded: str = field(default="null", repr=False)


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
        """As `runner.main.run` takes it; a call's arguments follow when its code is loaded."""
        job = {**asdict(limits), "code": self.code, "header": self.header}
        if self.call is None:
            return {**job, "stdin": self.stdin, "as_main": self.as_main}
        return {**job, "as_main": False, "call": self.call, "method_first": self.method_first}
