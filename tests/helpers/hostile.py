"""A benchmark whose grading misbehaves as its text says; imported by grading workers."""

import os
import re
import signal
import time
from pathlib import Path

from llmbench import sandbox
from llmbench.records import Sample

PRELOAD: tuple[str, ...] = ()
PROGRAMS = {
    "forks": "import os\nfor _ in range(2):\n    os.fork()\nwhile True:\n    pass",
    "loops": "while True:\n    pass",
}
LIMITS = sandbox.Limits(cpu_s=600, idle_s=600, wall_s=600)


def extract(sample: Sample, text: str, *, complete: bool) -> str | None:
    assert sample.target == "x"
    if not complete:
        _search(text)
    return None if text == "nothing" else text


def _search(text: str) -> None:
    if text == "hang":
        time.sleep(3600)
    if text == "eat":
        assert len(b"x" * (64 << 30)) > 0
    if text == "digits":
        str(10**5000)  # int refuses to be written


def equal(sample: Sample, answer: str) -> bool:
    assert sample.target == "x"
    if answer == "hang":
        time.sleep(3600)
    if answer == "die":
        os._exit(7)
    if answer in PROGRAMS:
        with sandbox.SandboxBox(LIMITS) as box:
            return box.run(sandbox.Program(PROGRAMS[answer])).output == answer
    if answer == "regex":
        return re.match("(a+)+$", "a" * 99 + "b") is None
    if answer == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    kind, once, mark = answer.partition(" once ")
    if once:
        return _once(kind, Path(mark))
    if answer.startswith("sleep "):
        Path(answer.removeprefix("sleep ")).touch()
        time.sleep(3600)
    if answer == "eat":
        return len(b"x" * (64 << 30)) > 0
    raise RuntimeError(answer)


def _once(kind: str, mark: Path) -> bool:
    """Misbehaves in the first worker and is right in another."""
    if mark.exists():
        return mark.read_text() != str(os.getpid())
    mark.write_text(str(os.getpid()))
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hangs":
        time.sleep(3600)
    return len(b"x" * (64 << 30)) > 0
