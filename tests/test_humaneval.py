"""HumanEval: what is taken for the program, and verdicts in the real sandbox on all 164 problems."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks import humaneval
from llmbench.benchmarks.programs import Verdict
from llmbench.records import Sample

ROW = {
    "task_id": "own/0",
    "prompt": 'from typing import List\n\n\ndef twice(x):\n    return 2 * x\n\n\ndef total(xs: List[int]) -> int:\n    """ Sum of the doubled numbers.\n    >>> total([1, 2])\n    6\n    """\n',
    "entry_point": "total",
    "canonical_solution": "    return sum(map(twice, xs))\n",
    "test": "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == 6\n    assert candidate([]) == twice(0) == total([])\n",
}


def sample(**changes: Any) -> Sample:  # noqa: ANN401 - fields of the row
    (found,) = humaneval.load([{**ROW, **changes}], {}, 0)
    return found


@pytest.fixture(scope="module")
def problems(shared_data: Path) -> list[Sample]:
    rows = [json.loads(line) for line in (shared_data / "humaneval.jsonl").read_text().splitlines()]
    assert len(rows) == 164
    return humaneval.load(rows, {}, 0)


@pytest.mark.usefixtures("sandboxed")
def test_all_canonical_solutions_pass(problems: list[Sample]) -> None:
    failed = {}
    for problem in problems:
        program = humaneval.extract(problem, humaneval.worked(problem), complete=True)
        assert program is not None
        judged = humaneval.judged(problem, program)
        if judged.verdict is not Verdict.PASSED:
            failed[problem.id] = judged
    assert not failed


@pytest.mark.usefixtures("sandboxed")
def test_all_fail_without_their_body(problems: list[Sample]) -> None:
    passed = [
        problem.id
        for problem in problems
        if humaneval.judged(problem, problem.fields["prompt"] + "    return None\n").verdict is Verdict.PASSED
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
    ],
)
def test_the_program_is_found(text: str, body: str) -> None:
    program = humaneval.extract(sample(), text, complete=True)
    assert program is not None
    assert body in program
    assert "def twice" in program  # what the prompt brings is there
    assert "print(total" not in program


@pytest.mark.parametrize(
    "text", ["", "I cannot do that.", "```python\ndef total(xs):\n    return", "```python\n```"]
)
def test_what_is_no_program_is_no_answer(text: str) -> None:
    assert humaneval.extract(sample(), text, complete=True) is None


def test_a_continuation_that_was_cut_off_is_no_answer() -> None:
    assert humaneval.extract(sample(), "    return sum(x", complete=False) is None


@pytest.mark.usefixtures("sandboxed")
def test_the_program_is_a_module_not_a_script() -> None:
    problem = sample()
    ends = "\n\nif __name__ == '__main__':\n    import sys\n    sys.exit(1)\n"
    assert humaneval.judged(problem, humaneval.worked(problem)[10:-4] + ends).verdict is Verdict.PASSED
    assert (
        humaneval.judged(problem, "# no class Solution here\n" + humaneval.worked(problem)[10:-4]).verdict
        is Verdict.PASSED
    )


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("return sum(map(twice, xs))", Verdict.PASSED),
        ("return 6", Verdict.WRONG_ANSWER),
        ("return None", Verdict.WRONG_ANSWER),
        ("return xs[0] * 6", Verdict.RUNTIME_ERROR),
        ("while True: pass", Verdict.TIME_LIMIT),
        ("return bytearray(1 << 40)", Verdict.MEMORY_LIMIT),
        ("return (", Verdict.COMPILE_ERROR),
        ("import os; os._exit(0)", Verdict.RUNTIME_ERROR),
        ("raise SystemExit(0)", Verdict.RUNTIME_ERROR),
        ("global check; check = lambda c: None; return 0", Verdict.WRONG_ANSWER),
        ("return type('Yes', (), {'__eq__': lambda a, b: True})()", Verdict.WRONG_ANSWER),
    ],
)
def test_verdicts(body: str, verdict: Verdict) -> None:
    problem = sample()
    (found,) = humaneval.load([ROW], {"cpu_s": 1}, 0)
    judged = humaneval.judged(found, problem.fields["prompt"] + f"    {body}\n")
    assert judged.verdict is verdict, judged
