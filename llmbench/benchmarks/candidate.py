"""A program whose function a check calls, in a sandbox of its own, and how many calls go into one process.

By default each call loads the program anew. Where the calls are known beforehand (`Calls.ahead`), as in checks of hundreds of calls, they
are made in batches: one process loads the program once and makes several calls, one after another, as the sets' own graders do. A batch
only gives values. Whatever goes wrong in it says nothing: the call is then made alone, and its end is the verdict.
"""

import ast
import contextlib
import json
import math
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmbench.answers.function_syntax import parsed
from llmbench.sandbox import Program, Ran, SandboxBox, Status
from llmbench.sandbox.runner.values import dumps, json_of, loads

FIRST, MOST = 4, 256
"""Calls of the first batch and of the largest: a wrong program mostly fails at one of the first."""
BATCH_S = 1.0
"""Of CPU time for a batch: what takes longer is made in smaller ones, and at last alone."""
_ASSERTION = re.compile(
    r"(?:^|[:;])[ \t]*(?:assert\b(?!\s*\(?True\b)|raise\b)|\b(?:assert_|assert[A-Z])\w*\(", re.MULTILINE
)
_IN_PARENTHESES = re.compile(r"\bassert\s*\(")
BATCH = "_llmbench_calls"
BATCHES = f"""
def {BATCH}(name, calls, globals=globals, getattr=getattr, BaseException=BaseException):
    for arguments in calls:
        try:
            scope = globals()
            function = scope[name] if name in scope else getattr(scope["Solution"](), name)
            value = function(*arguments)
        except BaseException:
            return
        yield value
"""
"""Runs beside the program. Each value is written down before the next call is made; the first call that gives none ends them."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What is called: a program's function `name`, after `header`; `ahead` are calls that the check is likely to make, in order, as `dumps` writes their arguments."""

    code: str
    name: str
    header: str = ""
    ahead: Sequence[str] = ()


class Candidate:
    """A program whose function is called: with what it took so far."""

    def __init__(self, box: SandboxBox, calls: Calls, load_s: float) -> None:
        """Takes the program and what loading it took once."""
        self._box, self._calls = box, calls
        self.load_s, self.called = load_s, False
        self.begin()

    def begin(self) -> None:
        """Forgets all calls: the check begins anew."""
        self.calls_s = 0.0
        self._known: dict[str, deque[tuple[str, float]]] = defaultdict(deque)
        self._next, self._size, self._most = 0, FIRST, MOST

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU time: each call's own, and once the longest that loading took, which every process repeats."""
        return self.load_s + self.calls_s

    def call(self, arguments: str) -> Ran:
        """What became of a call with these arguments, as `dumps` writes them."""
        self.called = True
        if not self._known[arguments]:
            self._look_ahead(arguments)
        if self._known[arguments]:
            encoded, cpu_s = self._known[arguments].popleft()
            self.calls_s += cpu_s
            return Ran(Status.DONE, encoded=encoded)
        ran = self._run(self._calls.name, loads(arguments, math.inf), self._calls.header)
        self.calls_s += (ran.cpu_s or 0.0) - (ran.load_s or 0.0)
        return ran

    def _look_ahead(self, arguments: str) -> None:
        """Makes this call and some that are likely to follow, in one process, where it is among those known beforehand."""
        ahead = self._calls.ahead
        if arguments not in ahead[self._next :]:
            return
        begin = ahead.index(arguments, self._next)
        batch = ahead[begin : begin + self._size]
        self._next = begin + len(batch)
        if len(batch) == 1:
            self._size = min(FIRST, self._most)
            return
        values, cpu_s = self._values(batch)
        for key, value in zip(batch, values, strict=False):
            self._known[key].append((json.dumps(value), cpu_s / len(values)))
        self._next = begin + len(values)
        if len(values) == len(batch):
            self._size = min(self._size * 4, self._most)
        else:
            self._size, self._most = 1, max(1, self._size // 4)

    def _values(self, batch: Sequence[str]) -> tuple[list[Any], float]:
        """The values of the first of these calls, those that gave one, and the seconds of CPU time that they took."""
        limit_s = min(BATCH_S, self._box.limits.cpu_s)
        arguments = self._calls.name, [loads(key, math.inf) for key in batch]
        ran = self._run(BATCH, arguments, self._calls.header + BATCHES, limit_s)
        if ran.status is not Status.DONE:
            return [], 0.0
        told = json_of(ran.encoded)
        values = told.get("g") if isinstance(told, dict) else None
        if not isinstance(values, list):  # the program says what it likes
            return [], 0.0
        return values[: len(batch)], (ran.cpu_s or 0.0) - (ran.load_s or 0.0)

    def _run(self, name: str, arguments: Sequence[Any], header: str, limit_s: float | None = None) -> Ran:
        limits = (
            self._box.limits if limit_s is None else replace(self._box.limits, cpu_s=limit_s, idle_s=limit_s)
        )
        program = Program(self._calls.code, header, call=name, arguments=arguments, method_first=False)
        ran = self._box.run(program, limits)
        self.load_s = max(self.load_s, ran.load_s or 0.0)
        return ran


def asserts(test: str) -> bool:
    """Returns whether a check can fail on a wrong value: it has an assertion other than `assert True`, raises, or calls one such as `assert_allclose`.

    Only looked for in the text, since checks may be megabytes; but for `assert (…, "message")`, a tuple, which is always true.
    """
    return _ASSERTION.search(test) is not None and not (_IN_PARENTHESES.search(test) and _asserts_tuple(test))


def _asserts_tuple(test: str) -> bool:
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):  # the sandbox will say so
        asserted = [node.test for node in ast.walk(parsed(test)) if isinstance(node, ast.Assert)]
        return any(isinstance(node, ast.Tuple) and node.elts for node in asserted)
    return False


def calls_ahead(test: str) -> list[str]:
    """The calls that a check makes, as far as its text tells: those in its list `inputs`, else those of `candidate` with literal arguments."""
    try:
        tree = parsed(test)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "inputs":
                return [dumps(list(arguments)) for arguments in _literal(node.value)]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return []  # each call is then made by itself
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "candidate"]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    keys = []
    for call in found:
        with contextlib.suppress(ValueError, TypeError):  # arguments that only the check knows
            keys.append(dumps([_literal(each) for each in call.args]))
    return keys


class _Numbers(ast.NodeTransformer):
    """Puts numbers in the place of `inf` and `nan`."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(node.id)) if node.id in ("inf", "nan") else node


def _literal(node: ast.expr) -> Any:  # noqa: ANN401 - any value
    return ast.literal_eval(_Numbers().visit(node))
