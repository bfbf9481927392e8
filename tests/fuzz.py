"""Grades mutated and random texts for a while, through the workers that runs use, and reports what went wrong.

    python -m tests.fuzz --seconds 600 [--seed 0]

Exit status 1 if anything raised, killed a worker, or ran past the limit. Time-outs at the limit are counted, not failures.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

from llmbench.grading import LIMIT_S, Grader
from llmbench.records import FinishReason, Outcome, Sample

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "edge_cases.jsonl").read_text().splitlines()
]
MODULES = [f"llmbench.benchmarks.{name}" for name in ("math", "aime", "gsm8k", "gpqa")]
PIECES = (
    "\\boxed{", "}", "{", "\\frac", "\\frac{1}{", "^{9^{9^{9}}}", "\\sqrt[", "\\sum_{n=1}^{10^9}", "\\int_0^1", "!" * 5,
    "The answer is ", "Answer: ", "**", "(B)", "\\text{", "<think>", "</think>", "$", "\\(", "\\]", "\\begin{pmatrix}",
    "\\\\", "&", "1e999", "0.\\overline{3}", "\u0661\u0662", "\u202e", "\x00", "\\pm", "\\infty", "10^{100000}", "=", ",",
    "\\cup", "[", "(", "\\left", "\\right)", "x_{1", "####", "1/0", "%", "\\%", "-", "\\circ", "\n\n", "None", "\\lim_{x\\to0}",
)  # fmt: skip
SLACK_S = 5.0
BATCH = 64


def mutate(text: str, generator: random.Random) -> str:
    """A text a few edits away, sometimes very long."""
    for _ in range(generator.randrange(1, 6)):
        text = edit(text, generator)
    if generator.random() < 0.01:
        text *= generator.randrange(2, 2000)
    return text[:200_000]


def edit(text: str, generator: random.Random) -> str:
    """One insertion, deletion, repetition or rotation, or something else altogether."""
    place = generator.randrange(len(text) + 1)
    before, behind = text[:place], text[place:]
    kind = generator.randrange(6)
    if kind == 0:
        return before + generator.choice(PIECES) + behind
    if kind == 1:
        return before + behind[generator.randrange(1, 9) :]
    if kind == 2:
        return before + chr(generator.randrange(1, 0x2FFF)) + behind
    if kind == 3:
        return before + behind[:50] * generator.randrange(2, 6) + behind
    if kind == 4:
        return behind + before
    return "".join(generator.choice(PIECES) for _ in range(generator.randrange(1, 60)))


def make(generator: random.Random) -> tuple[str, Sample, str]:
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


def main() -> int:
    """Runs the fuzzer; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    outcomes: Counter[str] = Counter()
    bad: list[tuple[str, str, str]] = []
    slowest = 0.0
    end = time.monotonic() + options.seconds
    with Grader[tuple[str, str, str]](["math_verify"], workers=1) as grader:
        while time.monotonic() < end:
            begun = time.monotonic()
            for _ in range(BATCH):
                module, sample, text = make(generator)
                grader.submit((module, sample.target, text), module, sample, text, FinishReason.STOP)
            timeouts = 0
            for ticket, score in grader.finished(wait=True):
                outcomes[score.outcome.value] += 1
                timeouts += score.outcome is Outcome.TIMEOUT
                if score.outcome is Outcome.ERROR:
                    bad.append((*ticket[:2], f"{ticket[2][:300]!r}: {score.explanation}"))
            seconds = time.monotonic() - begun
            slowest = max(slowest, seconds)
            if seconds > SLACK_S + BATCH * 0.5 + timeouts * LIMIT_S * 1.5:
                bad.append(("", "", f"a batch took {seconds:.1f} s with {timeouts} time-outs"))
    for module, gold, text in bad:
        print(f"BAD {module} gold={gold!r} {text}")
    print(f"{sum(outcomes.values())} texts in {options.seconds:.0f} s, seed {options.seed}: {dict(outcomes)}")
    print(f"{len(bad)} failures; slowest batch of {BATCH}: {slowest:.1f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
