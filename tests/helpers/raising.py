"""The benchmark `arithmetic` whose `extract` or `equal` raises; imported by grading workers."""

import os
from typing import Any

from llmbench.benchmarks import arithmetic
from llmbench.records import Sample

WHERE = "LLMBENCH_TEST_RAISES"
"""The variable that names the function that raises."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the benchmark has
    return getattr(arithmetic, name)


def extract(sample: Sample, text: str, *, complete: bool) -> str | None:
    if os.environ[WHERE] == "extract":
        raise KeyError("unit")
    return arithmetic.extract(sample, text, complete=complete)


def equal(sample: Sample, answer: str) -> bool:
    if os.environ[WHERE] == "equal":
        raise ValueError("12,5 is no float\nsecond line")
    return arithmetic.equal(sample, answer)
