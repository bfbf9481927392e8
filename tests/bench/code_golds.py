"""Canonical solutions of HumanEval, HumanEval+, MBPP and MBPP+, each extracted and run in the sandbox: all should pass.

python -m tests.bench.code_golds mbpp_plus [--rows mbpp_plus.jsonl] [--every 1]

Without a file the data set comes from the hub.
"""

import argparse
import json
import time

from llmbench.benchmarks.dataset import read_rows
from llmbench.benchmarks.importing import import_benchmark
from llmbench.benchmarks.programs import ProgramBenchmark, ProgramVerdict
from llmbench.cli.compose import compose


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=["humaneval", "humaneval_plus", "mbpp", "mbpp_plus"])
    parser.add_argument("--rows")
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    settings = compose([f"benchmark={given.benchmark}", "engine=fake"]).benchmarks[given.benchmark]
    settings.data_files = given.rows
    benchmark = import_benchmark(given.benchmark, settings.module)
    assert isinstance(benchmark, ProgramBenchmark)
    rows, _ = read_rows(given.benchmark, settings, benchmark.columns)
    failed, begun = {}, time.monotonic()
    samples = benchmark.load(rows, settings.options, 0)[:: given.every]
    for sample in samples:
        program = benchmark.extract(sample, benchmark.worked_example(sample), complete=True)
        judged = None if program is None else benchmark.judged(sample, program)
        if judged is None or judged.verdict is not ProgramVerdict.PASSED:
            failed[sample.id] = "no program" if judged is None else f"{judged.verdict}: {judged.why}"
    seconds = time.monotonic() - begun
    print(json.dumps({"run": len(samples), "failed": failed, "seconds": seconds}))


if __name__ == "__main__":
    main()
