"""Statistics of scores and times. Accuracies are fractions, intervals are two-sided at 95%."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Mean and percentiles of a measured quantity, in its own unit; None where nothing was measured."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


def distribution(values: Sequence[float]) -> Distribution:
    """Mean and percentiles, percentiles by linear interpolation between order statistics."""
    if not values:
        return Distribution()
    ordered = sorted(values)
    return Distribution(math.fsum(ordered) / len(ordered), *(percentile(ordered, p) for p in (50, 95, 99)))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """A percentile of sorted values (the definition that numpy calls `linear`)."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's score interval for a proportion (1927), which holds for few trials and near 0 and 1.

    Raises:
        ValueError: There are no trials.
    """
    if trials <= 0:
        raise ValueError("an interval needs at least one trial")
    share = successes / trials
    square = Z95 * Z95
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = (
        Z95 / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    )
    low = 0.0 if successes == 0 else max(0.0, centre - half)  # exactly, not but for rounding
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean of independent values; None for fewer than two."""
    count = len(values)
    if count < 2:  # noqa: PLR2004 - a variance needs two
        return None
    mean = math.fsum(values) / count
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)


def interval(values: Sequence[float], answers: int | None = None) -> tuple[float, float]:
    """The interval of a mean of scores from 0 to 1, one for each question.

    Wilson's where every score is 0 or 1. With scores between (means over repeats) Wilson's too, on the effective number of
    trials that gives the mean its variance, widened as Student's t asks for so few questions; this keeps the interval inside
    0 to 1. The variance is that of the scores and of one more question, which is right or wrong as often as all are: where
    most questions are nearly always got right, a few of them may hold none of those that are not. In simulations of 10
    questions the interval then holds the true mean at least 95 times in 100, with 20 or more and extremely skewed questions
    (chances of a beta(1, 0.1) distribution, 16 answers to each) 92 times.

    Args:
        values: A score for each question.
        answers: How many answers the scores are means of: there cannot be more evidence than that.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if all(value in (0.0, 1.0) for value in values):
        return wilson(mean * count, count)
    error, binomial = standard_error(values) or 0.0, mean * (1 - mean)
    if error == 0 or binomial == 0:
        return wilson(mean * count, count)
    from scipy.special import stdtrit

    widening = float(stdtrit(count - 1, 0.975)) / Z95
    variance = ((count - 1) * error**2 + binomial / count) / count  # of the mean
    effective = min(binomial / variance / widening**2, answers or math.inf)
    return wilson(mean * effective, effective)
