"""What the fuzzers share: mutated texts and values, trying a case under a time limit, and what is a finding."""

import copy
import io
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any

from llmbench.errors import LlmbenchError

UNEXPECTED = re.compile(
    r"Traceback|^llmbench: \w*(?:Error|Exception|Interrupt|Warning)(?::|\.$)", re.MULTILINE
)
"""How the command line tells of an error that nobody foresaw."""
MOST_FINDINGS = 20
SHOWN = 600

PIECES = (
    "\\boxed{", "}", "{", "\\frac", "\\frac{1}{", "^{9^{9^{9}}}", "\\sqrt[", "\\sum_{n=1}^{10^9}", "\\int_0^1", "!" * 5,
    "The answer is ", "Answer: ", "**", "(B)", "\\text{", "<think>", "</think>", "$", "\\(", "\\]", "\\begin{pmatrix}",
    "\\\\", "&", "1e999", "0.\\overline{3}", "\u0661\u0662", "\u202e", "\x00", "\\pm", "\\infty", "10^{100000}", "=", ",",
    "\\cup", "[", "(", "\\left", "\\right)", "x_{1", "####", "1/0", "%", "\\%", "-", "\\circ", "\n\n", "None", "\\lim_{x\\to0}",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**18, -(2**63), 0.5, -0.5, 1e308, 5e-324, "", " ", "0", "-1", "1e400", "NaN", "A", "E",
    "\x00", "\u202e\u2066", "\U0001d7d9", "\U0010ffff", "a" * 5000, "../../etc/passwd", "{", "[]", "{}", "null", "test_x", "<b>&\"'",
    [], {}, [None], [[]], [1, "a", None], {"a": {"b": [1]}}, {"": ""}, ["x"] * 200, 2**53 + 1, "2024-13-45", "\n", "#### 3",
)  # fmt: skip


class TooSlowError(BaseException):
    """A case ran past its limit; no Exception, so that nothing swallows it."""


@dataclass
class Report:
    """What a fuzzer did."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def count(self, outcome: str, case: str = "") -> None:
        """One case more; a finding where the outcome is none of the good ones."""
        self.cases += 1
        good = outcome in ("done", "refused")
        self.outcomes[outcome if good else "finding"] += 1
        if not good:
            self.findings.append(f"{case[:SHOWN]}: {outcome}")

    @property
    def enough(self) -> bool:
        """Whether more findings would tell nothing new."""
        return len(self.findings) >= MOST_FINDINGS


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TooSlowError in what takes longer."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(call: Callable[[], object], limit_s: float = 10.0) -> str:
    """`done`, `refused` with an LlmbenchError, or what else happened."""
    try:
        with limited(limit_s):
            call()
    except LlmbenchError as error:
        return "refused" if str(error).strip() and "\n" not in str(error) else f"no sentence: {error!r}"
    except TooSlowError:
        return f"ran longer than {limit_s} s: {_where()}"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"{type(error).__name__}: {str(error)[:SHOWN]} {_where()}"
    return "done"


def _where() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    return " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames[-6:])
    )


def command(main: Callable[[Sequence[str]], int], arguments: Sequence[str], limit_s: float = 60.0) -> str:
    """The same of a command line: its exit status is 0 or 1, and with 1 goes a sentence that somebody wrote."""
    out, err = io.StringIO(), io.StringIO()
    statuses: list[int] = []
    with redirect_stdout(out), redirect_stderr(err):
        outcome = attempt(lambda: statuses.append(main(arguments)), limit_s)
    if outcome != "done":
        return f"escaped: {outcome}"
    said, status = err.getvalue(), statuses[0]
    if UNEXPECTED.search(said) or status not in (0, 1) or (status == 1 and not said.strip()):
        return f"exit status {status}: {said[-SHOWN:]!r}"
    return "refused" if status else "done"


def mutate(text: str, generator: Random) -> str:
    """A text a few edits away, sometimes very long."""
    for _ in range(generator.randrange(1, 6)):
        text = edit(text, generator)
    if generator.random() < 0.01:
        text *= generator.randrange(2, 2000)
    return text[:200_000]


def edit(text: str, generator: Random, pieces: Sequence[str] = PIECES) -> str:
    """One insertion, deletion, repetition or rotation, or something else altogether."""
    place = generator.randrange(len(text) + 1)
    before, behind = text[:place], text[place:]
    kind = generator.randrange(6)
    if kind == 0:
        return before + generator.choice(pieces) + behind
    if kind == 1:
        return before + behind[generator.randrange(1, 9) :]
    if kind == 2:
        return before + chr(generator.randrange(1, 0x2FFF)) + behind
    if kind == 3:
        return before + behind[:50] * generator.randrange(2, 6) + behind
    if kind == 4:
        return behind + before
    return "".join(generator.choice(pieces) for _ in range(generator.randrange(1, 60)))


def mutate_bytes(content: bytes, generator: Random) -> bytes:
    """Bytes a few edits away."""
    data = bytearray(content)
    for _ in range(generator.randrange(1, 5)):
        place = generator.randrange(len(data) + 1)
        kind = generator.randrange(6)
        if kind == 0:
            data[place:place] = generator.randbytes(generator.randrange(1, 9))
        elif kind == 1:
            del data[place : place + generator.randrange(1, 200)]
        elif kind == 2 and place < len(data):
            data[place] = generator.randrange(256)
        elif kind == 3:
            data[place:place] = data[place : place + 500] * generator.randrange(1, 4)
        elif kind == 4:
            del data[place:]
        else:
            token = generator.choice(
                (
                    b"null",
                    b"-1",
                    b"1e400",
                    b"NaN",
                    b'"\\ud800"',
                    b"[" * 2000,
                    b"\xff\xfe",
                    b"{}",
                    b"\n",
                    b"9" * 400,
                )
            )
            data[place:place] = token
    return bytes(data)


def mutate_value(value: Any, generator: Random) -> Any:  # noqa: ANN401 - nested plain data
    """Nested data with something in it replaced, left out or added."""
    value = copy.deepcopy(value)
    for _ in range(generator.randrange(1, 3)):
        owner: Any = value
        while isinstance(owner, dict | list) and owner:
            key = (
                generator.choice(list(owner)) if isinstance(owner, dict) else generator.randrange(len(owner))
            )
            inner = owner[key]
            if isinstance(inner, dict | list) and inner and generator.random() < 0.8:
                owner = inner
                continue
            _change(owner, key, generator)
            break
    return value


def _change(owner: Any, key: Any, generator: Random) -> None:  # noqa: ANN401
    kind = generator.randrange(5)
    if kind == 0:
        del owner[key]
    elif kind == 1 and isinstance(owner[key], str):
        owner[key] = mutate(owner[key], generator)
    elif kind == 2 and isinstance(owner, dict):
        owner[generator.choice(("id", "answer", "x", "", "é"))] = generator.choice(VALUES)
    else:
        owner[key] = copy.deepcopy(generator.choice(VALUES))
