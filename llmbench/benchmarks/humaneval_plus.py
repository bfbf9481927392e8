r"""HumanEval+: HumanEval's 164 functions with some 80 times as many tests (Liu et al., 2023, https://arxiv.org/abs/2305.01210).

Data: evalplus/humanevalplus, split test, with HumanEval's columns. `test` compares each of up to a thousand calls, with numpy where values
are floats; six of them compute what they expect (`ref_func`), for inputs up to a million.
A row: {"task_id": "HumanEval/0", "prompt": "…", "entry_point": "has_close_elements", "canonical_solution": "…", "test":
"import numpy as np\n…def assertion(out, exp, atol):…\ndef check(candidate):\n    inputs = [[[1.0, …\n    results = [True, …"}
Protocol: HumanEval's question and rules for the answer, so that both sets' scores compare; 30 s of CPU time in place of 3. EvalPlus gives
each call a second or more, and all of them a minute.
Differences: the calls of a check are made in batches (`candidate.py`), as EvalPlus makes all of them in one process; numpy's comparison is
`numpy_comparison.py`'s; HumanEval/32 is repaired. Its published test unpacks the number that the function returns, which no answer can pass. A
root counts, as in EvalPlus, and so does what the reference returns, which is no root for seven badly conditioned polynomials.
"""

import inspect
from dataclasses import replace

from llmbench.benchmarks import numpy_comparison
from llmbench.benchmarks.candidate import Calls, calls_ahead
from llmbench.benchmarks.humaneval import Check, HumanEval
from llmbench.records import Sample

LONG_INTS = "import sys; getattr(sys, 'set_int_max_str_digits', bool)(0)\n"
"""What tests expect may have more digits than Python reads by default, and was computed without that limit."""
CHECK_S = 60
"""Of CPU time for a check: some compute what they expect, which takes as long as the function."""
REPAIRS = {
    "assert _poly(*candidate(*inp), inp) <= 0.0001": (
        "found = candidate(*inp); assert abs(found - exp) <= 1e-6 * max(1, abs(exp)) or abs(_poly(*inp, found)) <= 0.0001"
    )
}
"""What published tests say, and what they mean."""


class HumanEvalPlus(HumanEval):
    """HumanEval with many more tests."""

    name = "humaneval_plus"
    cpu_s = 30.0

    def calls(self, sample: Sample, code: str) -> Calls:
        """The test's inputs, in batches."""
        return Calls(code, sample.fields["entry_point"], LONG_INTS, calls_ahead(sample.fields["test"]))

    def check(self, sample: Sample) -> Check:
        """The test, repaired, without need of numpy."""
        check = super().check(sample)
        header = f"{check.header}{without_numpy(check.code)}"
        return replace(check, header=header, code=repaired(check.code), cpu_s=CHECK_S)


def without_numpy(test: str) -> str:
    """What to execute before a test, so that it finds what it asks of numpy, and long integers are read."""
    if not numpy_comparison.suffices(test):
        return LONG_INTS
    source = f"{inspect.getsource(numpy_comparison)}\ninstall()\n"
    return f"{LONG_INTS}exec({source!r}, {{'__name__': 'numpy_comparison'}})\n"


def repaired(test: str) -> str:
    """A test as it is meant."""
    for published, meant in REPAIRS.items():
        test = test.replace(published, meant)
    return test
