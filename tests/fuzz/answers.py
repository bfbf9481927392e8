"""Grades mutated and random texts through the workers that runs use. Time-outs at the limit are counted, not findings."""

import json
import time
from pathlib import Path
from random import Random

from llmbench.benchmarks.base import Benchmark
from llmbench.records import FinishReason, Outcome, Sample
from llmbench.run.grading import Grader
from tests.fuzz.common import Report, mutate

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "edge_cases.jsonl").read_text().splitlines()
]
MODULES = [f"llmbench.benchmarks.{name}" for name in ("math", "aime", "gsm8k", "gpqa")]
SLACK_S = 5.0
BATCH = 64


def make(generator: Random) -> tuple[str, Sample, str]:
    """A module, a sample and a text for it; one in five golds is mutated too."""
    case = generator.choice(CASES)
    module = generator.choice(MODULES)
    gold = str(case["gold"])
    if generator.random() < 0.2:
        gold = mutate(gold, generator)
    return (
        module,
        Sample("1", {"choices": ["one", "two", "x^2", "B"]}, gold),
        mutate(case["output"], generator),
    )


def run(seconds: float, seed: int) -> Report:
    """Grades until the time is over."""
    generator, report = Random(seed), Report()
    end = time.monotonic() + seconds
    with Grader[tuple[str, str, str]](["math_verify"], workers=1) as grader:
        while time.monotonic() < end and not report.enough:
            begun = time.monotonic()
            for _ in range(BATCH):
                module, sample, text = make(generator)
                grader.submit((module, sample.target, text), module, sample, text, FinishReason.STOP)
            timeouts = 0
            for (module, gold, text), score in grader.finished(wait=True):
                report.cases += 1
                report.outcomes[score.outcome.value] += 1
                timeouts += score.outcome is Outcome.TIMEOUT
                if score.outcome is Outcome.ERROR:
                    report.findings.append(f"{module} gold={gold!r} {text[:300]!r}: {score.explanation}")
            took = time.monotonic() - begun
            if took > SLACK_S + BATCH * 0.5 + timeouts * Benchmark.grading_limit_s * 1.5:
                report.findings.append(f"a batch took {took:.1f} s with {timeouts} time-outs")
    return report
