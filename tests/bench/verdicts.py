"""Verdicts on the sample programs, again and again, beside as many busy processes as there are cores; and seconds a test.

python -m tests.bench.verdicts [--rounds 10] [--thread 200] [--busy]
"""

import argparse
import collections
import json
import multiprocessing
import os
import statistics
import time
from pathlib import Path

from llmbench import sandbox
from llmbench.benchmarks.base import score
from llmbench.benchmarks.importing import import_benchmark
from llmbench.benchmarks.livecodebench import LiveCodeBench
from llmbench.benchmarks.programs import verdict_of
from llmbench.records import FinishReason
from llmbench.sandbox import Program, SandboxBox

DATA = Path(__file__).parents[1] / "data"
THREAD = "import threading\n\n\ndef main():\n    print(input())\n\n\nthreading.Thread(target=main).start()\n"
"""A program that is right only where its end waits for its thread."""


def burn() -> None:
    """Keeps a core busy."""
    while True:
        sum(range(10_000))


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--thread", type=int, default=0, help="runs of a program that does not join its thread"
    )
    parser.add_argument("--busy", action="store_true")
    given = parser.parse_args()
    rows, outputs = (
        [json.loads(line) for line in (DATA / name).read_text().splitlines()]
        for name in ("lcb_sample.jsonl", "lcb_sample_completions.jsonl")
    )
    module = import_benchmark("livecodebench", "llmbench.benchmarks.livecodebench")
    samples = {sample.id: sample for sample in LiveCodeBench().load(rows, {"cpu_s": 2}, 0)}
    sandbox.check()
    burners = [
        multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1) if given.busy
    ]
    for burner in burners:
        burner.start()
    unexpected: collections.Counter[str] = collections.Counter()
    rounds = []
    for _ in range(given.rounds):
        begun = time.monotonic()
        for output in outputs:
            found = verdict_of(
                score(module, samples[output["question_id"]], output["completion"], FinishReason.STOP)
            )
            expected = "passed" if output["expected_pass"] else output["expected_error"].replace("_", " ")
            if (found.value if found else "no code") != expected:
                unexpected[f"{output['question_id']} {output['label']}: {found}"] += 1
        rounds.append(time.monotonic() - begun)
    starts, tests = [], []
    for _ in range(10):
        begun = time.monotonic()
        with SandboxBox() as box:
            box.run(Program("print(input())", stdin="1"))
            starts.append(time.monotonic() - begun)
            begun = time.monotonic()
            for _ in range(20):
                box.run(Program("print(input())", stdin="1"))
            tests.append((time.monotonic() - begun) / 20)
    with SandboxBox() as box:
        threads = collections.Counter(box.run(Program(THREAD, stdin="1")).output for _ in range(given.thread))
    for burner in burners:
        burner.terminate()
    print(
        json.dumps(
            {
                "rounds": given.rounds,
                "busy_processes": len(burners),
                "verdicts": given.rounds * len(outputs),
                "unexpected": unexpected,
                "thread_outputs": threads,
                "round_s": statistics.median(rounds) if rounds else None,
                "start_and_first_test_s": statistics.median(starts),
                "test_s": statistics.median(tests),
            }
        )
    )


if __name__ == "__main__":
    main()
