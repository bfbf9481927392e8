"""Whether the intervals of `stop_when` hold however a run stops, and how many questions they take or spare: simulated, with fixed seeds.

    python -m tests.bench.stopping [--runs 200] [--table accuracies|differences]

A run *missed* if the truth lay outside the interval after any of its questions, so that no rule of stopping could do worse. Fixed n is the number
of questions after which an ordinary interval is as narrow (Wilson's, for a finite set with its correction), where the accuracy is known
beforehand, and where it is not and 50% is planned for; of differences the number with which McNemar's test finds the difference in 80% of runs.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmbench.results import stats
from llmbench.results.paired_tests import mcnemar_power
from llmbench.results.stopping import Reason, StopRule

Floats = NDArray[np.float64]
LEAST = 20


@dataclass(frozen=True, slots=True)
class Simulated:
    """What many runs came to: shares of runs, and questions asked until they stopped."""

    missed: float
    missed_kind: float
    ordinary_missed: float
    asked: Floats
    reasons: Sequence[str]

    def share(self, reason: str) -> float:
        """Of runs that stopped for a reason."""
        return self.reasons.count(reason) / len(self.reasons)


def accuracies(rule: StopRule, values: Sequence[Floats], expected: float) -> Simulated:
    """Runs that stop for a width; `values` are a run's scores in the order they are asked."""
    missed = kind = ordinary = 0
    asked, reasons = [], []
    for scores in values:
        of_all, of_kind, truth = rule.of_all(), rule.of_kind(rule.level), float(scores.mean())
        stopped, out, out_of_kind, out_of_wilson = 0, False, False, False
        for number, score in enumerate(map(float, scores), 1):
            of_all.add(score)
            of_kind.add(score)
            ends = of_all.interval()
            out |= not holds(ends, truth)
            out_of_kind |= not holds(of_kind.interval(), expected)
            if number >= LEAST:
                out_of_wilson |= not holds(stats.wilson(of_kind.total, number), expected)
            if not stopped and number >= rule.least and rule.settled(ends):
                stopped = number
        missed, kind, ordinary = missed + out, kind + out_of_kind, ordinary + out_of_wilson
        asked.append(stopped or len(scores))
        reasons.append(Reason.NARROW if stopped else Reason.ALL)
    runs = len(values)
    return Simulated(missed / runs, kind / runs, ordinary / runs, np.array(asked, float), reasons)


def differences(rule: StopRule, values: Sequence[Floats], expected: float) -> Simulated:
    """Runs that stop for a difference; `values` are a run's differences, question by question."""
    missed = ordinary = 0
    asked, reasons = [], []
    for found in values:
        sequence, out, out_of_normal, reason, squares = rule.of_difference(), False, False, None, 0.0
        for number, difference in enumerate(map(float, found), 1):
            sequence.add((difference + 1) / 2)
            ends = sequence.interval()
            out |= not holds(ends, (expected + 1) / 2)
            squares += difference * difference
            mean = 2 * sequence.total / number - 1
            error = math.sqrt(max(0.0, squares / number - mean * mean) / number)
            out_of_normal |= number >= LEAST and error > 0 and abs(mean - expected) > stats.Z95 * error
            if number >= rule.least and (reason := rule.settled(ends)) is not None:
                break
        missed, ordinary = missed + out, ordinary + out_of_normal
        asked.append(number)
        reasons.append(reason or Reason.ALL)
    runs = len(values)
    return Simulated(missed / runs, 0.0, ordinary / runs, np.array(asked, float), reasons)


def holds(ends: tuple[float, float], truth: float) -> bool:
    """Whether the interval has the truth, but for rounding."""
    return ends[0] - 1e-9 <= truth <= ends[1] + 1e-9


def right_or_wrong(accuracy: float, count: int, runs: int, seed: int) -> list[Floats]:
    """Scores of runs: each question is right with the same chance."""
    generator = np.random.default_rng(seed)
    return [(generator.random(count) < accuracy).astype(float) for _ in range(runs)]


def means_of(repeats: int, accuracy: float, count: int, runs: int, seed: int) -> list[Floats]:
    """Scores of runs with several answers to a question: questions are hard or easy, as a beta distribution with a sum of 2 has it."""
    generator = np.random.default_rng(seed)
    chances = generator.beta(2 * accuracy, 2 * (1 - accuracy), (runs, count))
    return list(generator.binomial(repeats, chances) / repeats)


def paired(difference: float, discordant: float, count: int, runs: int, seed: int) -> list[Floats]:
    """Differences of runs: of so many questions one side alone is right."""
    generator = np.random.default_rng(seed)
    up, down = (discordant + difference) / 2, (discordant - difference) / 2
    draws = generator.random((runs, count))
    return list((draws < up) * 1.0 - ((draws >= up) & (draws < up + down)))


def fixed_for_width(accuracy: float, width: float, population: int) -> int:
    """Questions after which an ordinary interval of a finite set is as narrow."""
    return next(
        n
        for n in range(1, population + 1)
        if math.sqrt((population - n) / (population - 1))
        * float(np.subtract(*stats.wilson(accuracy * n, n)[::-1]))
        <= width
    )


def fixed_for_difference(difference: float, discordant: float) -> int | None:
    """Questions with which McNemar's exact test finds a difference in 80% of runs."""
    if not difference:
        return None
    return next(n for n in range(10, 5000, 5) if mcnemar_power(n, discordant, difference) >= 0.8)


def rule_of(count: int, **settings: float) -> StopRule:
    """A rule for so many questions."""
    return StopRule([str(number) for number in range(count)], least=LEAST, **settings)  # type: ignore[arg-type]


def main() -> None:
    """Prints both tables, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--table", choices=["accuracies", "differences"])
    chosen = parser.parse_args()
    print(f"{chosen.runs} runs a row; 95% intervals; missed: at any look of a run")
    if chosen.table != "differences":
        print_accuracies(chosen.runs)
    if chosen.table != "accuracies":
        print_differences(chosen.runs)


def print_accuracies(runs: int) -> None:
    """Runs that stop for a width."""
    print(
        "\naccuracy  answers     N  ci_width  missed  (of kind)  (ordinary)  asked  p90  fixed n  if unknown"
    )
    kinds = ((1, 1000, 0.1), (1, 1000, 0.2), (1, 200, 0.2), (4, 1000, 0.1))
    for row, (repeats, count, width) in enumerate(kinds):
        for column, accuracy in enumerate((0.1, 0.5, 0.9)):
            drawn = (count, runs, 10 * row + column)
            values = right_or_wrong(accuracy, *drawn) if repeats == 1 else means_of(repeats, accuracy, *drawn)
            found = accuracies(rule_of(count, width=width), values, accuracy)
            known, unknown = (
                fixed_for_width(p, width, count) if repeats == 1 else "-" for p in (accuracy, 0.5)
            )
            print(
                f"{accuracy:8}{repeats:9}{count:6}{width:10}{found.missed:8.1%}{found.missed_kind:11.1%}{found.ordinary_missed:12.1%}"
                f"{found.asked.mean():7.0f}{np.quantile(found.asked, 0.9):5.0f}{known:>9}{unknown:>12}",
                flush=True,
            )


def print_differences(runs: int) -> None:
    """Runs that stop for a difference, of at most 1,000 questions."""
    print(
        "\ndifference  discordant  margin  missed  (ordinary)  asked  p90  better  worse  none  open  fixed n"
    )
    for seed, (difference, discordant, margin) in enumerate((
        (0.0, 0.2, None), (0.0, 0.2, 0.1), (0.0, 0.05, 0.05), (0.05, 0.1, None), (0.05, 0.1, 0.1), (0.2, 0.3, None), (0.2, 0.3, 0.1),
    )):  # fmt: skip
        settings = {} if margin is None else {"margin": margin}
        values = paired(difference, discordant, 1000, runs, 100 + seed)
        found = differences(rule_of(1000, **settings), values, difference)
        shares = "".join(
            f"{found.share(each):{width}.0%}"
            for each, width in ((Reason.BETTER, 8), (Reason.WORSE, 7), (Reason.SAME, 6), (Reason.ALL, 6))
        )
        needed = fixed_for_difference(difference, discordant)
        print(
            f"{difference:10}{discordant:12}{margin or '-':>8}{found.missed:8.1%}{found.ordinary_missed:12.1%}{found.asked.mean():7.0f}"
            f"{np.quantile(found.asked, 0.9):5.0f}{shares}{needed or '-':>9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
