"""HumanEval: what is taken for the program, and verdicts in the real sandbox on all 164 problems."""

import ast
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from llmbench.answers.function import function_program
from llmbench.benchmarks.humaneval import HumanEval
from llmbench.benchmarks.programs import ProgramVerdict
from llmbench.records import Sample
from tests.helpers.humaneval_forms import ROW, forms


def sample(**changes: Any) -> Sample:  # noqa: ANN401 - fields of the row
    (found,) = HumanEval().load([{**ROW, **changes}], {}, 0)
    return found


@pytest.fixture(scope="module")
def problems(shared_data: Path) -> list[Sample]:
    rows = [json.loads(line) for line in (shared_data / "humaneval.jsonl").read_text().splitlines()]
    assert len(rows) == 164
    return HumanEval().load(rows, {}, 0)


@pytest.mark.usefixtures("sandboxed")
def test_canonical_solutions_pass(problems: list[Sample]) -> None:
    """Every eighth; `python -m tests.bench.humaneval_forms` takes all, in forty forms each."""
    failed = {}
    for problem in problems[::8]:
        program = HumanEval().extract(problem, HumanEval().worked_example(problem), complete=True)
        assert program is not None
        judged = HumanEval().judged(problem, program)
        if judged.verdict is not ProgramVerdict.PASSED:
            failed[problem.id] = judged
    assert not failed


@pytest.mark.usefixtures("sandboxed")
def test_problems_without_their_body_fail(problems: list[Sample]) -> None:
    passed = [
        problem.id
        for problem in problems[4::12]
        if HumanEval().judged(problem, problem.fields["prompt"] + "    return None\n").verdict
        is ProgramVerdict.PASSED
    ]
    assert not passed


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("Here:\n```python\ndef total(xs):\n    return 6\n```\nDone.", "return 6"),
        ("```python\nreturn 1\n```\nbetter:\n```python\ndef total(xs):\n    return 6\n```", "return 6"),
        ("    return sum(xs)\n\nprint(total([1]))", "return sum(xs)"),
        ("```python\ndef total(xs):\n    return 6\n```\nRun it:\n```bash\npython total.py\n```", "return 6"),
        ("```python\n    return sum(xs)\n```", "return sum(xs)"),
        ("def total(xs):\n    '\\d'  # Python warns of it\n    return 6\n", "return 6"),
    ],
)
def test_the_program_is_found(text: str, body: str) -> None:
    program = HumanEval().extract(sample(), text, complete=True)
    assert program is not None
    assert body in program
    assert "def twice" in program  # what the prompt brings is there
    assert "print(total" not in program


def function_of(program: str, name: str) -> str:
    """The last function of this name, which is what counts, without anything around it."""
    functions = [n for n in ast.parse(program).body if isinstance(n, ast.FunctionDef) and n.name == name]
    return ast.dump(functions[-1])


@pytest.mark.slow
def test_the_function_is_found_in_every_form(problems: list[Sample]) -> None:
    """Of every third problem; `python -m tests.bench.humaneval_forms` takes all, and runs what is compared here."""
    lost = []
    for problem in problems[::3]:
        head, name = problem.fields["prompt"], problem.fields["entry_point"]
        canonical = function_of(head + problem.target, name)
        for form, text in forms(head, problem.target):
            program = HumanEval().extract(problem, text, complete=True)
            if program is None or function_of(program, name) != canonical:
                lost.append((problem.id, form))
    assert not lost


HEAD = ROW["prompt"]
WHOLE = "def total(xs):\n    return sum(map(twice, xs))\n"
CHAIN = "".join(f"f{n} = f{n - 1}\n" for n in range(1, 1000))
BINDS_WITHIN = """def total(xs):
    import math
    def inner(x):
        return x * 2
    class Pair:
        pass
    try:
        missing
    except NameError as error:
        str(error)
    match list(map(inner, xs)):
        case [first, *rest]:
            return math.floor(first + sum(rest) + 0 * len(Pair.__name__))
    return 0
"""
RIGHT = {
    "prose that looks like code around it": f"from here on: easy\nimport nothing else.\n\n{WHOLE}\nNote: done\nclass dismissed",
    "examples behind it": f"{WHOLE}\nassert total([1]) == 7\nprint(total(input()))\nfor x in undefined: print(x)\n",
    "a helper behind it": "    return helped(xs)\n\n\ndef helped(xs):\n    return sum(map(factor, xs))\n\nfactor = lambda x: 2 * x\n",
    "another task behind it": "    return sum(map(twice, xs))\n\n\n@undefined\ndef other():\n    pass\n\nx = undefined\n",
    "itself again behind it": "    return sum(map(twice, xs))\n\n\ndef total(xs):\n    return 0\n",
    "corrected in the open": f"def total(xs):\n    return 0\n\nThat is wrong. Better:\n\n{WHOLE}",
    "a helper in the open, prose, the function": f"First:\n\ndef double(x):\n    return 2 * x\n\nNow the function:\n\n{WHOLE.replace('twice', 'double')}",
    "a helper in the block before": "First a helper:\n```python\nimport math\nFACTOR = math.isqrt(4)\ndef double(x):\n    return FACTOR * x\n```\nThen:\n```python\ndef total(xs):\n    return sum(map(double, xs))\n```",
    "a helper that is replaced": f"```python\ndef double(x):\n    return 0\n```\n```python\ndef double(x):\n    return 2 * x\n```\n```python\n{WHOLE.replace('twice', 'double')}```",
    "a block before with names that it has": f"```python\ndef sum(xs):\n    return 0\ndef twice(x):\n    return 0\nxs = input()\n```\n```python\n{WHOLE}```",
    "a block before with names that it binds within": f"```python\nerror = first = rest = math = inner = Pair = input()\n```\n```python\n{BINDS_WITHIN}```",
    "a thousand helpers in the block before": f"```python\nf0 = 2\n{CHAIN}```\n```python\ndef total(xs):\n    return f999 * sum(xs)\n```",
    "a deep expression in the block before": f"```python\nFACTOR = {'-' * 900}2\n```\n```python\ndef total(xs):\n    return FACTOR * sum(xs)\n```",
    "an annotated constant in the block before": "```python\nFACTOR: int = 2\n```\n```python\ndef total(xs):\n    return FACTOR * sum(xs)\n```",
    "control tokens behind it": f"{WHOLE}<|endoftext|>def total(xs): return 0",
    "tags of its own": f"[PYTHON]\n{WHOLE}[/PYTHON]\n[TESTS]\nassert False\n[/TESTS]",
    "a margin comment, a string at the margin": '    text = """\nno code\n"""\n# comment\n    return sum(map(twice, xs))\n# end\n',
    "brackets at the margin": "    doubled = [\ntwice(x) for x in xs\n]\n    return sum(doubled)\n",
    "a body, a fence, an example": "    return sum(map(twice, xs))\n```\n\nExample:\n```python\nprint(total([1]))\n```",
    "a head in a fence, the body in the next": f"```python\n{HEAD}```\n\n```python\n    return sum(map(twice, xs))\n```",
    "the answer, then the head again": f"```python\n{WHOLE}```\nThe question was:\n```python\n{HEAD}```",
    "a body without indentation": "```python\nif not xs:\n    return 0\nreturn sum(map(twice, xs))\n```",
    "a body without that of its first line": "doubled = map(twice, xs)\n    return sum(doubled)",
    "a body of two spaces": "Sure:\n\n  if not xs:\n    return 0\n  return sum(map(twice, xs))\n\nThat is all.",
    "Windows line ends": WHOLE.replace("\n", "\r\n"),
    "an alias": "```python\ndef add(xs):\n    return 2 * sum(xs)\n\ntotal = add\n```",
    "two imports of the future": f"```python\nfrom __future__ import annotations\nfrom __future__ import (\n    division,\n)\n{WHOLE}```",
    "the future and more in one line": f"```python\nfrom __future__ import annotations; import math  # both\n{WHOLE}```",
    "the future in the open": f"Here:\n\nfrom __future__ import annotations\nimport math\n\n{WHOLE}",
    "class Solution with the same method": "```python\nclass Solution:\n    def total(self, xs):\n        return sum(map(twice, xs))\n\ndef total(xs):\n    return Solution().total(xs)\n```",
    "a dataclass beside it": f"```python\nfrom __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Pair:\n    x: int\n\n{WHOLE}```",
    "recursion with its limit": "import sys\nsys.setrecursionlimit(10**5)\n\ndef total(xs):\n    return twice(xs[0]) + total(xs[1:]) if xs else 0\n\nprint(total([1]))",
    "a whole function, indented": f"{textwrap.indent(WHOLE, '    ')}\nThis adds.",
    "a whole function, indented between prose": f"Here it is:\n\n    import math\n\n{textwrap.indent(WHOLE, '    ')}\nThis adds.",
    "a whole function in a list": f"1. Define:\n\n{textwrap.indent(WHOLE, '   ')}\n2. Done.",
    "a body, then a block with another function": "    return sum(map(twice, xs))\n```\n\nAlso:\n```python\ndef total(xs):\n    return 0\n```",
    "a fence behind its last line": f"```python\n{WHOLE.rstrip()}```\n\nThis adds.",
    "a body with a fence behind its last line": "```python\n    return sum(map(twice, xs))```",
    "a fence behind the last line of open text": f"{WHOLE.rstrip()}```\nDone.",
    "another turn behind a control token": f"{WHOLE}<|endoftext|>Human: thanks\n\ndef total(xs):\n    return 0\n",
    "control tokens on its last line": f"{WHOLE.rstrip()}<|im_end|>\n<|im_start|>user\nThanks, and now another:",
    "another fence behind a control token": f"```python\n{WHOLE}```<|eot_id|>\n```python\ndef total(xs):\n    return 0\n```",
    "the body that replaces a wrong one": "```python\ndef total(xs):\n    return 0\n```\nWait, it should double them:\n```python\n    return sum(map(twice, xs))\n```",
    "an example behind it that may be tried": f"```python\n{WHOLE}```\nActually, try it:\n```python\nprint(total([1]))\n```",
    "a variant in a block behind it": f"```python\n{WHOLE}```\n```python\n    return 0\n```",
    "a session": "```python\n>>> def total(xs):\n...     return sum(map(twice, xs))\n...\n>>> total([1])\n2\n```",
    "a session with spaced prompts": "> > > def total(xs):\n. . .     return sum(map(twice, xs))\n",
    "a session with an import": ">>> import math\n>>> def total(xs):\n...     return sum(map(twice, xs))\n\nThis adds.",
    "an example that reads arguments": f"```python\n{WHOLE}\nimport sys\nprint(total([int(sys.argv[1])]))\n```",
    "an example that reads a line": f"```python\n{WHOLE}\nn = int(input())\nprint(total([n]))\n```",
    "a loop that reads lines": f"```python\nimport sys\n{WHOLE}\nfor line in sys.stdin.read().split():\n    print(total([int(line)]))\nx = input()\n```",
    "a language without its fence": "python\n    return sum(map(twice, xs))\n```\n",
    "thinking with another program": f"<think>\ndef total(xs):\n    return 0\n</think>\n\n{WHOLE}",
}
WRONG = {
    "wrong in the open": "def total(xs):\n    return sum(xs)\n",
    "corrected to wrong": f"{WHOLE}\nNo, better:\n\ndef total(xs):\n    return 0\n",
    "a wrong body": "    return sum(xs)\n```\nDone.",
    "wrong in the last block": f"```python\n{WHOLE}```\nor\n```python\ndef total(xs):\n    return 0\n```",
    "a wrong block behind the right text": f"{WHOLE}\nFinal:\n```python\ndef total(xs):\n    return 0\n```",
    "a comment that hides the return": "    doubled = list(map(twice, xs))\n    # return sum(doubled)\n",
    "a function beside a Solution that is right": "```python\nclass Solution:\n    def total(self, xs):\n        return sum(map(twice, xs))\n\ndef total(xs):\n    return 0\n```",
    "a syntax error in a block": "```python\ndef total(xs):\n    return sum(map(twice, xs)\n```",
    "a right function that is replaced by a wrong body": f"```python\n{WHOLE}```\nSorry, it should be:\n```python\n    return 0\n```",
    "an assertion of its own that fails": f"```python\n{WHOLE}\nassert total([1]) == 7\n```",
    "a session with a wrong function": ">>> def total(xs):\n...     return sum(xs)\n",
    "the head alone": f"```python\n{HEAD}    pass\n```",
    "another name": "```python\ndef totals(xs):\n    return sum(map(twice, xs))\n```",
}


def passes(program: str) -> bool:
    """Whether the check passes, without a sandbox: these programs are our own."""
    scope: dict[str, Any] = {"__name__": __name__}
    limit = sys.getrecursionlimit()
    try:
        exec(program, scope)  # noqa: S102
        exec(ROW["test"], scope)  # noqa: S102
        scope["check"](scope["total"])
    except (AssertionError, SyntaxError, KeyError):
        return False
    finally:
        sys.setrecursionlimit(limit)  # one of the programs sets it
    return True


@pytest.mark.parametrize("case", RIGHT)
def test_right_answers_in_many_forms(case: str) -> None:
    program = HumanEval().extract(sample(), RIGHT[case], complete=True)
    assert program is not None
    assert passes(program), program


@pytest.mark.parametrize("case", WRONG)
def test_wrong_answers_in_many_forms(case: str) -> None:
    program = HumanEval().extract(sample(), WRONG[case], complete=True)
    assert program is None or not passes(program), program


def test_a_text_that_was_cut_off_counts_as_far_as_the_function_is_whole() -> None:
    problem = sample()
    for text in (f"{WHOLE}\nprint(tot", "    return sum(map(twice, xs))\n\ndef nex", f"{WHOLE}```\nThis"):
        program = HumanEval().extract(problem, text, complete=False)
        assert program is not None, text
        assert "sum(map(twice, xs))" in program
    for text in (WHOLE, "Here:\n\n    doubled = []\n    return dou", f"```python\n{WHOLE}"):
        assert HumanEval().extract(problem, text, complete=False) is None, text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot do that.",
        "Sorry",
        "return",
        "None",
        "The result is:\n\n    total = 6",
        "import math",
        "def other(xs):\n    return sum(map(twice, xs))",
        "def other(xs):\n    doubled = map(twice, xs)\n\n    return sum(doubled)",
        "```python\ndef total(xs):\n    return",
        "```python\n```",
    ],
)
def test_what_is_no_program_is_no_answer(text: str) -> None:
    assert HumanEval().extract(sample(), text, complete=True) is None


@pytest.mark.parametrize(("complete", "is_found"), [(True, True), (False, False)])
def test_a_fence_left_open_ends_with_a_text_that_ended_by_itself(*, complete: bool, is_found: bool) -> None:
    text = "Here it is:\n\n```python\ndef twice(x):\n    return 2 * x"
    found = function_program("def twice(x):\n", "twice", text, complete=complete)
    assert (found is not None and "return 2 * x" in found) is is_found


def test_a_continuation_that_was_cut_off_is_no_answer() -> None:
    assert HumanEval().extract(sample(), "    return sum(x", complete=False) is None


@pytest.mark.usefixtures("sandboxed")
def test_the_program_is_a_module_not_a_script() -> None:
    problem = sample()
    ends = "\n\nif __name__ == '__main__':\n    import sys\n    sys.exit(1)\n"
    assert (
        HumanEval().judged(problem, HumanEval().worked_example(problem)[10:-4] + ends).verdict
        is ProgramVerdict.PASSED
    )
    assert (
        HumanEval()
        .judged(problem, "# no class Solution here\n" + HumanEval().worked_example(problem)[10:-4])
        .verdict
        is ProgramVerdict.PASSED
    )


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("return sum(map(twice, xs))", ProgramVerdict.PASSED),
        ("return 6", ProgramVerdict.WRONG_ANSWER),
        ("return None", ProgramVerdict.WRONG_ANSWER),
        ("return xs[0] * 6", ProgramVerdict.RUNTIME_ERROR),
        ("while True: pass", ProgramVerdict.TIME_LIMIT),
        ("return bytearray(1 << 40)", ProgramVerdict.MEMORY_LIMIT),
        ("return (", ProgramVerdict.COMPILE_ERROR),
        ("import os; os._exit(0)", ProgramVerdict.RUNTIME_ERROR),
        ("raise SystemExit(0)", ProgramVerdict.RUNTIME_ERROR),
        ("global check; check = lambda c: None; return 0", ProgramVerdict.WRONG_ANSWER),
        ("return type('Yes', (), {'__eq__': lambda a, b: True})()", ProgramVerdict.WRONG_ANSWER),
    ],
)
def test_verdicts(body: str, verdict: ProgramVerdict) -> None:
    problem = sample()
    (found,) = HumanEval().load([ROW], {"cpu_s": 0.3 if verdict is ProgramVerdict.TIME_LIMIT else 3}, 0)
    judged = HumanEval().judged(found, problem.fields["prompt"] + f"    {body}\n")
    assert judged.verdict is verdict, judged
