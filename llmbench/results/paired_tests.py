"""Two runs on the same questions: the difference, its interval, its test, and what so many questions could have shown.

All functions take one score per question and side, a question's mean over its repeats, from 0 to 1, in the same order.
A difference is the second side minus the first. Everything random is seeded, so the same scores give the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from llmbench.results import repeat_power, stats

ALPHA = 0.05
POWER = 0.8
RESAMPLES = 10_000
SEED = 0

Floats = NDArray[np.float64]


class Method(StrEnum):
    """Which test gave the p value."""

    MCNEMAR = "mcnemar_exact"
    """McNemar's test in its exact form: all scores are 0 or 1."""
    SIGN_FLIP = "sign_flip_permutation"
    """Sign flips of the questions' differences: some scores lie between 0 and 1, as means over repeats do."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A mean difference over `questions`, in shares of 1.

    Attributes:
        stderr: Standard error of the mean difference; None for a single question.
        ci95: Paired bootstrap interval (see `bootstrap_interval`); None for a single question.
    """

    questions: int
    difference: float
    stderr: float | None
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A two-sided test of no difference."""

    method: Method
    p_value: float
    only_first: int
    only_second: int

    @property
    def discordant(self) -> int:
        """Questions on which the sides differ."""
        return self.only_first + self.only_second


@dataclass(frozen=True, slots=True)
class Flip:
    """A question on which the sides differ, with the score of each."""

    sample_id: str
    before: float
    after: float


def _differences(first: Sequence[float], second: Sequence[float]) -> Floats:
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} scores are no pairs")
    difference: Floats = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return np.round(difference, 12)  # 2/3 - 1/3 and 1/3 - 0 are one difference, not two


def difference(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """The mean difference with its standard error and interval.

    Raises:
        ValueError: The sides have no scores, or not equally many.
    """
    differences = _differences(first, second).tolist()
    return PairedDifference(
        questions=len(differences),
        difference=math.fsum(differences) / len(differences),
        stderr=stats.standard_error(differences),
        ci95=bootstrap_interval(differences) if len(differences) > 1 else None,
    )


def bootstrap_interval(differences: Sequence[float], *, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95% percentile interval of a mean difference, from a bootstrap over questions.

    A plain bootstrap of few discordant questions is too narrow (without any it has no width at all), so half a question
    won by either side, of the typical size of the differences seen (1 where there are none), is added to what is drawn
    from. For right and wrong answers that is the half that Agresti and Min (2005, Statistics in Medicine 24:729) add to
    the discordant cells. Equal questions are drawn together, as multinomial counts, which is the same and much quicker.
    """
    values = np.asarray(differences, dtype=np.float64)
    distinct, counts = np.unique(values, return_counts=True)
    moved = values[values != 0]
    size = math.sqrt(float(np.mean(moved**2))) if moved.size else 1.0
    pool = np.append(distinct, [-size, size])
    weights = np.append(counts.astype(np.float64), [0.5, 0.5])
    drawn = values.size + 1
    generator = np.random.default_rng(SEED)
    at_once = max(1, 4_000_000 // pool.size)  # 32 MB of counts
    means = np.concatenate(
        [
            generator.multinomial(drawn, weights / drawn, size=min(at_once, resamples - done)) @ pool / drawn
            for done in range(0, resamples, at_once)
        ]
    )
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    mean = float(values.mean())
    return max(-1.0, min(float(low), mean)), min(1.0, max(float(high), mean))


def significance(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Tests whether the sides differ; two-sided.

    Where every score is 0 or 1 this is McNemar's exact test: under no difference each discordant question falls to
    either side with probability one half (McNemar 1947, Psychometrika 12:153). With scores between, it is the
    permutation test that it is a case of: the sign of each question's difference is flipped, so a question's repeats
    stay together. It is exact for up to 13 discordant questions, beyond that 9,999 seeded flips stand for all.

    Raises:
        ValueError: The sides have no scores, or not equally many.
    """
    from scipy.stats import binomtest

    differences = _differences(first, second)
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    method = Method.MCNEMAR if _all_or_nothing(first, second) else Method.SIGN_FLIP
    if up + down <= 1:
        p_value = 1.0  # a single question falls one way or the other
    elif method is Method.MCNEMAR:
        p_value = float(binomtest(up, up + down, 0.5).pvalue)
    else:
        p_value = _sign_flip(differences[differences != 0])
    return PairedTest(method, p_value, down, up)


def _all_or_nothing(*sides: Sequence[float]) -> bool:
    return all(value in (0.0, 1.0) for side in sides for value in side)


def _sign_flip(moved: Floats) -> float:
    from scipy.stats import permutation_test

    found = permutation_test(
        (moved,),
        partial(np.mean),
        permutation_type="samples",
        n_resamples=9_999,
        batch=max(1, 1_000_000 // moved.size),
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


def smallest_detectable(first: Sequence[float], second: Sequence[float], repeats: int = 1) -> float | None:
    """The smallest true difference that the test finds with 80% power at the 5% level, with so many questions.

    For scores of 0 and 1: the exact power of McNemar's exact test (`mcnemar_power`) at the share of discordant questions
    that was observed, solved for the difference. For scores between: the power of the sign-flip test in simulated pairs of
    runs (`repeat_power` has the model). The noise is known only from the scores themselves: where the questions of the
    next pair are not those of this one, the power is 0.80 on average and not each time.

    Args:
        first: The first side's score for each question.
        second: The other side's.
        repeats: Answers to a question on each side.

    Returns:
        A share of 1; None where no difference could be found, as with fewer than six questions.

    Raises:
        ValueError: The sides have no scores, or not equally many.
    """
    from scipy.optimize import brentq

    differences = _differences(first, second)
    count = differences.size
    if count < repeat_power.FEWEST:
        return None
    if not _all_or_nothing(first, second):
        return repeat_power.Simulation(first, second, repeats).effect(POWER)
    discordance = float(np.mean(differences != 0))

    def lacking(effect: float) -> float:
        return mcnemar_power(count, discordance, effect) - POWER

    if lacking(1.0) < 0:
        return None
    return float(brentq(lacking, 0.0, 1.0, xtol=1e-6))


def mcnemar_power(count: int, discordance: float, effect: float) -> float:
    """The power of McNemar's exact test: sum over m of P(m of n questions discordant) * P(rejected | m).

    m is binomial with n = `count` and `discordance`; given m, the questions that fall to the better side are binomial
    with (discordance + effect) / (2 * discordance); rejected is what the two-sided exact test rejects at `ALPHA`
    (Duffy 1984, Biometrics 40:1005). An effect above `discordance` cannot be, so discordance is then taken to be the
    effect: every discordant question falls to the better side.
    """
    from scipy.stats import binom

    discordance = max(discordance, effect)
    if discordance == 0:
        return 0.0
    better = (discordance + effect) / (2 * discordance)
    found = np.arange(count + 1)
    # The largest count of the losing side at which a tail holds at most ALPHA / 2; -1 where there is none.
    tail = binom.ppf(ALPHA / 2, found, 0.5)
    tail = np.where(binom.cdf(tail, found, 0.5) > ALPHA / 2, tail - 1, tail)
    rejected = binom.cdf(tail, found, 1 - better) + binom.cdf(tail, found, better)
    weights = binom.pmf(found, count, discordance)
    return float(np.sum(weights * np.where(tail < 0, 0.0, rejected)))


def flips(
    sample_ids: Sequence[str], first: Sequence[float], second: Sequence[float]
) -> tuple[tuple[Flip, ...], tuple[Flip, ...]]:
    """The questions that the second side did better on, and those that it did worse on, in the order given."""
    moved = [
        Flip(sample_id, before, after)
        for sample_id, before, after in zip(sample_ids, first, second, strict=True)
        if before != after
    ]
    return (
        tuple(flip for flip in moved if flip.after > flip.before),
        tuple(flip for flip in moved if flip.after < flip.before),
    )
