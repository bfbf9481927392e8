"""MBPP: short Python functions to be written from a sentence and three assertions (Austin et al., 2021, https://arxiv.org/abs/2108.07732).

Data: google-research-datasets/mbpp. Config `full`: its test split is task ids 11 to 510; with `text`, `test_setup_code` and
`challenge_test_list`, which nobody's protocol runs. Config `sanitized`: 257 of these, verified by hand; with `prompt` and `test_imports`.
A row: {"task_id": 11, "text": "Write a …", "code": "def …", "test_list": ["assert …", …], "test_setup_code": "", "challenge_test_list": []}
Protocol: the paper's question, with all assertions in it. As a text (`chat=false`) with three worked examples (`fewshot=3`, of task ids 1 to
10; the paper's are 2, 3 and 4), each between [BEGIN] and [DONE]; the text ends in [BEGIN], and an
answer at [DONE]; as a chat zero-shot, with a code block as the answer. All assertions must
hold, with 3 s of CPU time.
The assertions become HumanEval's `check(candidate)`. An expression in them that calls the program is sent as text to the program's sandbox and
evaluated there after the row's setup, so that arguments may be objects and may need imports or several functions. Its value is compared in another
sandbox.
"""

import ast
import builtins
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llmbench import answers
from llmbench.answers.function_syntax import binds, parsed
from llmbench.benchmarks.base import TextPrompt
from llmbench.benchmarks.candidate import Calls, calls_ahead
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.humaneval import SHOWN, Check, HumanEval
from llmbench.errors import DataError, shortened
from llmbench.records import Sample

TASK = "You are an expert Python programmer, and here is your task: {task} Your code should pass these tests:\n\n{tests}"
"""The protocol's question."""
ASK = "Answer with one code block that holds the function and everything it needs."
VALUE = "_llmbench_value"
SETUP = """
try:
    _llmbench_setup = {setup!r}
    exec(_llmbench_setup, globals())
    _llmbench_setup = ""
except NameError:
    pass
"""
"""Executes the setup where it needs nothing of the program; some makes objects of the program's classes."""
VALUES = f"""
def {VALUE}(text, names, globals=globals, exec=exec, eval=eval, getattr=getattr):
    exec(globals().pop("_llmbench_setup", ""), globals())
    scope = {{**globals(), **names}}
    if ENTRY not in scope and "Solution" in scope:
        scope[ENTRY] = getattr(scope["Solution"](), ENTRY)
    return eval(text, scope)
"""
"""Runs beside the program, whose functions may have the names of Python's own: the value of an expression there, behind the setup."""
_BEGIN, _DONE = "[BEGIN]", "[DONE]"
_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign)
"""The statements of a program that give it names of its own, not imported ones."""


class MBPP(HumanEval):
    """Functions that the model writes, checked by assertions."""

    columns: tuple[str, ...] = ("task_id", "code", "test_list")
    name = "mbpp"
    checks = MappingProxyType(
        {
            **HumanEval.checks,
            "chat": lambda value: isinstance(value, bool),
            "sizes": lambda value: isinstance(value, Mapping),
        }
    )
    stored: tuple[str, ...] = ("prompt", "entry_point", "setup", "test", "cpu_s", "chat")
    text_prompt = TextPrompt("", f"\n{_BEGIN}\n", "", _DONE)

    def sample(self, row: Row, index: int, options: Mapping[str, Any]) -> Sample:
        """Its tests are to be Python, call a function and assert something."""
        task = "text" if row.get("text") is not None else "prompt"
        code, name = text_of(row, "code", index).replace("\r\n", "\n"), text_of(row, "task_id", index)
        parts: list[Any] = [
            row.get("test_list"),
            row.get("test_imports") or [],
            [row.get("test_setup_code") or ""],
        ]
        tests, imports, before = parts
        if not all(isinstance(part, list) and all(isinstance(each, str) for each in part) for part in parts):
            raise DataError(f"{self.name}: the tests of task {name} are not a list of texts; fix the row.")
        setup = "\n".join(before + imports).strip().replace("\r\n", "\n")
        try:
            names = called_names(tests, setup, code)
            check_compared(tests)
            test = as_check(tests, names)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise DataError(
                f"{self.name}: the tests of task {name} cannot be read: {error}; fix the row."
            ) from error
        test = self.test(row, test, index)
        self._check_asserts(name, test)
        fields = {
            "task": text_of(row, task, index), "tests": tests, "setup": setup, "test": test,
            "entry_point": names[0], "prompt": "", "cpu_s": float(options.get("cpu_s", self.cpu_s)),
            "chat": options.get("chat", True),
        }  # fmt: skip
        return Sample(name, fields, code)

    def test(self, row: Row, check: str, index: int) -> str:
        """What is run: the assertions as HumanEval's `check`."""
        return check

    def question(self, sample: Sample) -> str:
        """The protocol's question; in a chat, how to answer it."""
        fields = sample.fields
        asked = TASK.format(task=fields["task"].strip(), tests="\n".join(fields["tests"]))
        return f"{asked}\n\n{ASK}" if fields["chat"] else asked

    def worked_example(self, sample: Sample) -> str:
        """The data's code: as a code block, or up to the protocol's mark; the prompt has the one before it."""
        code = sample.target.strip()
        return f"```python\n{code}\n```" if sample.fields["chat"] else f"{code}\n{_DONE}"

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """HumanEval's rules, with what stands between [BEGIN] and [DONE] as a code block."""
        text = answers.strip_thinking(text)
        if not sample.fields.get("chat", True) and _BEGIN not in text:
            text = f"{_BEGIN}\n{text}"  # which the prompt ends in
        before, done, _ = text.partition(_DONE)
        code = before.rpartition(_BEGIN)[2]
        if (done or (_BEGIN in text and complete)) and not re.search("^ *(?:```|~~~)", code, re.MULTILINE):
            text = f"```python\n{code.strip(chr(10))}\n```"
        return super().extract(sample, text, complete=complete)

    def calls(self, sample: Sample, code: str) -> Calls:
        """The expressions that call the program, behind the setup, in one batch."""
        fields = sample.fields
        header = self.header(sample) + VALUES.replace("ENTRY", repr(fields["entry_point"]))
        return Calls(code, VALUE, header, calls_ahead(fields["test"]))

    def header(self, sample: Sample) -> str:
        """What executes the setup."""
        return SETUP.format(setup=sample.fields["setup"])

    def check(self, sample: Sample) -> Check:
        """The assertions, behind the setup."""
        return Check(self.header(sample), sample.fields["test"])


def called_names(tests: Sequence[str], setup: str, code: str) -> list[str]:
    """The program's own names that tests need, the function first that is called first.

    Args:
        tests: Statements.
        setup: What is executed before them, and is no part of the program.
        code: The data's own solution.

    Raises:
        SyntaxError: They are no Python.
        ValueError: They need nothing of the program.
    """
    tree, given = parsed("\n".join(tests)), {name for node in parsed(setup).body for name in binds(node)}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    read = [node.id for node in nodes if isinstance(node.ctx, ast.Load) and node.id not in given]
    try:
        defined = {name for node in parsed(code).body if isinstance(node, _DEFINING) for name in binds(node)}
    except SyntaxError:  # Python 2's
        defined = set()
    stored = {node.id for node in nodes if not isinstance(node.ctx, ast.Load)} | vars(builtins).keys()
    own = [name for name in read if name in defined] or [name for name in read if name not in stored]
    if not own:
        raise ValueError("they call no function of the program")
    return list(dict.fromkeys(own))


def check_compared(tests: Sequence[str]) -> None:
    """Refuses a comparison without `assert`, which says nothing of a program.

    Raises:
        ValueError: Shows it.
    """
    statements = [node.value for node in ast.walk(parsed("\n".join(tests))) if isinstance(node, ast.Expr)]
    compared = [node for node in statements if isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp))]
    if compared:
        raise ValueError(f"{shortened(ast.unparse(compared[0]), SHOWN)!r} is no assertion")


def as_check(tests: Sequence[str], own: Sequence[str]) -> str:
    """Tests as a program that defines `check(candidate)`, where `candidate(text, names)` is the value of an expression in the program.

    Args:
        tests: Statements.
        own: The program's names.
    """
    tree = parsed("\n".join(tests))
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    asks = _Asks(own, {node.id for node in names if isinstance(node.ctx, ast.Store)})
    body = ast.unparse(ast.fix_missing_locations(asks.visit(tree)))
    return "def check(candidate):\n" + "\n".join(f"    {line}" for line in body.splitlines()) + "\n"


class _Asks(ast.NodeTransformer):
    """Has `candidate` evaluate what touches the program's names, and as little else as there is: no comparison."""

    def __init__(self, own: Sequence[str], stored: set[str]) -> None:
        """Takes the program's names, and those that the tests give a value."""
        self._own, self._stored = set(own), stored

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Has it say what does not hold."""
        node.msg = ast.Constant(ast.unparse(node.test))
        return self.generic_visit(node)

    def visit(self, node: ast.AST) -> Any:  # noqa: ANN401 - as the library has it
        """Replaces what touches the program's names."""
        if not isinstance(node, ast.expr) or not self._touches(node):
            return super().visit(node)
        read = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & self._stored
        names = ast.Dict(
            [ast.Constant(name) for name in sorted(read)],
            [ast.Name(name, ast.Load()) for name in sorted(read)],
        )
        return ast.Call(ast.Name("candidate", ast.Load()), [ast.Constant(ast.unparse(node)), names], [])

    def _touches(self, node: ast.expr) -> bool:
        """Whether it is one of the names, what follows from it by calls, attributes and places, or a call that is given one."""
        if isinstance(node, ast.Call) and any(
            map(self._is_own, [*node.args, *(k.value for k in node.keywords)])
        ):
            return True
        while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)):
            node = node.func if isinstance(node, ast.Call) else node.value
        return self._is_own(node)

    def _is_own(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._own
