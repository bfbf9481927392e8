"""Answers to HumanEval, LiveCodeBench and SWE-bench with the outcome they must have: `cases/programs.jsonl`."""

import json
from typing import Any

import pytest

from llmbench.benchmarks.base import score
from llmbench.benchmarks.importing import import_benchmark
from llmbench.records import FinishReason
from tests.helpers.paths import CASES

PROGRAMS: list[dict[str, Any]] = [
    json.loads(line) for line in (CASES / "programs.jsonl").read_text().splitlines()
]


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("case", PROGRAMS, ids=[f"{case['id']} {case['kind']}" for case in PROGRAMS])
def test_outcomes(case: dict[str, Any]) -> None:
    module = import_benchmark(case["benchmark"], f"llmbench.benchmarks.{case['benchmark']}")
    (sample,) = module.load([case["row"]], {}, 0)
    found = score(module, sample, case["output"], FinishReason(case["finish_reason"]))
    assert found.outcome == case["expected"], found
