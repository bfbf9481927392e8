"""The benchmark `arithmetic` whose `extract` or `is_equal` raises; imported by grading workers."""

import os

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.records import Sample

WHERE = "LLMBENCH_TEST_RAISES"
"""The variable that names the method that raises."""


class Raising(Arithmetic):
    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        if os.environ[WHERE] == "extract":
            raise KeyError("unit")
        return super().extract(sample, text, complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        if os.environ[WHERE] == "is_equal":
            raise ValueError("12,5 is no float\nsecond line")
        return super().is_equal(sample, answer)
