r"""MBPP+: 378 tasks of MBPP with some 35 times as many tests (Liu et al., 2023, https://arxiv.org/abs/2305.01210).

Data: evalplus/mbppplus, split test: sanitized MBPP's columns and `test`, a program that compares each call with what it expects. Its inputs
hold MBPP's own assertions, so that `test` alone decides, as in EvalPlus.
A row: {"task_id": 2, "code": "def similar_elements…", "prompt": "Write a function to …", "source_file": "…", "test_imports": [],
"test_list": ["assert set(similar_elements(…", …], "test": "import numpy as np\n…inputs = [[(3, 4, …\nresults = [(4, 5), …\nfor i, (inp, …"}
Protocol: EvalPlus's question for chat models, which shows the first assertion alone; HumanEval's rules for the answer; 30 s of CPU time.
Differences: those of `humaneval_plus.py`. One input is left out, whose expected value is 1.7 million tuples of 77 texts (Mbpp/255). Three
tests whose `assertion` compares and then asserts nothing (Mbpp/737, 787, 794) assert it, as EvalPlus does.
"""

import re

from llmbench.benchmarks.base import TextPrompt
from llmbench.benchmarks.candidate import Calls, calls_ahead
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.humaneval import Check
from llmbench.benchmarks.humaneval_plus import CHECK_S, LONG_INTS, without_numpy
from llmbench.benchmarks.mbpp import MBPP
from llmbench.records import Sample

ASK = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
"""EvalPlus's (evalplus/codegen.py)."""
LEFT_OUT = "[['Dog', 'Cat', 'CatBird', 'Bird', 'Fish'], 77]"
_ASSERTION = re.compile(r"^def assertion\(.*\n(?:[ \t].*\n|\n(?=[ \t\n]))+", re.MULTILINE)


class MBPPPlus(MBPP):
    """MBPP with many more tests."""

    columns = (*MBPP.columns, "prompt", "test")
    name = "mbpp_plus"
    cpu_s = 30.0
    text_prompt = TextPrompt()

    def test(self, row: Row, check: str, index: int) -> str:
        """The row's program, repaired."""
        return repaired(text_of(row, "test", index))

    def question(self, sample: Sample) -> str:
        """EvalPlus's question."""
        fields = sample.fields
        return f'{ASK}\n```\n"""\n{fields["task"].strip()}\n{fields["tests"][0].strip()}\n"""\n```'

    def calls(self, sample: Sample, code: str) -> Calls:
        """The test's inputs, in batches."""
        fields = sample.fields
        return Calls(
            code, fields["entry_point"], self.header(sample) + LONG_INTS, calls_ahead(fields["test"])
        )

    def check(self, sample: Sample) -> Check:
        """The test, which calls the function by its name."""
        fields = sample.fields
        code = (
            f"TEST, NAME = {fields['test']!r}, {fields['entry_point']!r}\n"
            "def check(candidate):\n    exec(TEST, {**globals(), 'candidate': candidate, NAME: candidate})\n"
        )
        return Check(self.header(sample) + without_numpy(fields["test"]), code, cpu_s=CHECK_S)


def repaired(test: str) -> str:
    """A test as it is meant: one that asserts, on inputs whose values a sandbox can hold."""
    test = test.replace(f"{LEFT_OUT}, ", "").replace(f", {LEFT_OUT}", "")
    found = _ASSERTION.search(test)
    if found is None or re.search(r"\bassert\b|assert_allclose", found[0]):
        return test
    return f"{test[: found.end()].rstrip()}\n    assert exact_match\n\n{test[found.end() :]}"
