"""What benchmarks of programs share: running one against tests, and the verdict as a score."""

import ast
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from llmbench import answers
from llmbench.answers.function_syntax import statements_of
from llmbench.benchmarks.base import Benchmark, accuracy_by
from llmbench.records import Outcome, Result, Sample, Score
from llmbench.sandbox import Program, Ran, SandboxBox, Status

LIMIT_S = 3600.0
"""For one answer with all its tests, and for waiting until what ran out of time can run alone."""
SHOWN_CHARACTERS = 120
JOURNAL_CHARACTERS = 1 << 20
"""Tests up to this size are kept in the journal, so that answers can be graded again."""
NOT_KEPT = "the journal does not hold this problem's tests, which are too large for it"


class ProgramVerdict(StrEnum):
    """What became of a program: how a score's explanation begins."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong answer"
    COMPILE_ERROR = "compile error"
    RUNTIME_ERROR = "runtime error"
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    REFUSED = "refused"
    """The sandbox failed; it says nothing about the program."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and why."""

    verdict: ProgramVerdict
    why: str = ""

    def score(self, code: str) -> Score:
        """As a score: all tests or nothing."""
        outcome = {ProgramVerdict.PASSED: Outcome.CORRECT, ProgramVerdict.REFUSED: Outcome.ERROR}.get(
            self.verdict, Outcome.WRONG
        )
        explanation = f"{self.verdict}: {self.why}" if self.why else self.verdict.value
        return Score(float(self.verdict is ProgramVerdict.PASSED), code, outcome, explanation)


@dataclass(frozen=True, slots=True)
class Test:
    """One test: text in and text out, or arguments and a value."""

    given: str
    expected: str
    arguments: tuple[Any, ...] | None = None
    value: Any = None


class ProgramBenchmark(Benchmark):
    """A benchmark whose answers are programs, which run in the sandbox."""

    preload = ("llmbench.sandbox",)
    grading_limit_s = LIMIT_S
    runs_code = True

    @abstractmethod
    def judged(self, sample: Sample, code: str) -> Judged:
        """Runs a program and returns the verdict on it."""

    def grade(self, sample: Sample, answer: str) -> Score:
        """The verdict as a score."""
        return self.judged(sample, answer).score(answer)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Whether the program passes."""
        return self.grade(sample, answer).outcome is Outcome.CORRECT

    def details(self, results: Sequence[Result]) -> dict[str, Any]:
        """How often there was each verdict, and accuracy by what results are grouped by: {"difficulty": {"easy": {"n", "accuracy"}}}."""
        verdicts = [verdict.value for r in results if (verdict := verdict_of(r.score)) is not None]
        counts = {v.value: verdicts.count(v.value) for v in ProgramVerdict if v.value in verdicts}
        groups = {field: accuracy_by(field, results) for field in ("difficulty", "month")}
        return {"verdicts": counts} | {field: found for field, found in groups.items() if found}


def are_seconds(value: object) -> bool:
    """Whether an option's value is a number of seconds, up to an hour."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 < value <= LIMIT_S


def verdict_of(score: Score) -> ProgramVerdict | None:
    """The verdict that a score of a program's tells of; None where there was no program."""
    said = score.explanation.partition(":")[0]
    return ProgramVerdict(said) if said in list(ProgramVerdict) else None


def other_program(text: str) -> str | None:
    """The last closed fenced block that defines a function or a class; None without one."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    blocks = reversed(answers.code_blocks(text))
    return next((b for b in blocks if any(isinstance(node, kinds) for node in statements_of(b))), None)


def lacks(code: str, name: str) -> str | None:
    """Says that nothing in a program gives this name a value, and which functions it has instead; None where something may."""
    statements = statements_of(code)
    if not statements or any(_may_bind(node, name) for each in statements for node in ast.walk(each)):
        return None
    others = dict.fromkeys(n.name for n in statements if isinstance(n, (ast.FunctionDef, ast.ClassDef)))
    found = f"; it defines {', '.join(others)}" if others else ""
    return f"nothing in it is named {name}{found}"[:SHOWN_CHARACTERS]


def _may_bind(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.alias):
        return (node.asname or node.name) in (name, "*")
    if isinstance(node, ast.Constant):
        return name in str(node.value)  # exec("def name(): …"), globals()["name"]
    return getattr(node, "name", None) == name


def judge(box: SandboxBox, code: str, header: str, tests: Sequence[Test], call: str | None) -> Judged:
    """Runs the tests in order, until one is not passed."""
    for number, test in enumerate(tests, 1):
        ran = box.run(Program(code, header, test.given, call, test.arguments or ()))
        if ran.status is Status.DONE and _right(ran, test, call):
            continue
        verdict = (
            ProgramVerdict.WRONG_ANSWER if ran.status is Status.DONE else ProgramVerdict(ran.status.value)
        )
        why = _instead(ran, test, call) if verdict is ProgramVerdict.WRONG_ANSWER else ran.why
        return Judged(verdict, f"test {number} of {len(tests)}: {why}")
    return Judged(ProgramVerdict.PASSED)


def _right(ran: Ran, test: Test, call: str | None) -> bool:
    if call is None:
        return same_output(ran.output, test.expected)
    value = list(ran.value) if isinstance(ran.value, tuple) else ran.value
    try:
        return bool(value == test.value)
    except RecursionError:
        return False


def _instead(ran: Ran, test: Test, call: str | None) -> str:
    found, expected = (ran.output, test.expected) if call is None else (_shown(ran.value), _shown(test.value))
    return f"{_short(found)} instead of {_short(expected)}"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"<a {type(value).__name__} too large to show>"


def _short(text: str) -> str:
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text.strip()[: SHOWN_CHARACTERS + 1])
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")


def same_output(output: str, expected: str) -> bool:
    """LiveCodeBench's comparison: line by line without the space around, equal as text or as numbers word by word."""
    output, expected = output.strip(), expected.strip()
    if output.count("\n") != expected.count("\n"):  # before millions of lines are made of it
        return False
    lines = zip(output.split("\n"), expected.split("\n"), strict=True)
    return all(_same_line(ours.strip(), theirs.strip()) for ours, theirs in lines)


def _same_line(output: str, expected: str) -> bool:
    if output == expected:
        return True
    words = zip_longest(re.finditer(r"\S+", output), re.finditer(r"\S+", expected))
    try:
        return all(ours and theirs and Decimal(ours[0]) == Decimal(theirs[0]) for ours, theirs in words)
    except (InvalidOperation, ValueError):
        return False
