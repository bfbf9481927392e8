"""Intervals of a mean that hold at every look: however often one looks, and whatever one stops for, they keep their level.

Waudby-Smith and Ramdas (2024, "Estimating means of bounded random variables by betting", Journal of the Royal Statistical Society B
86:1) test each candidate m for the mean by betting against it. The capital begins at 1 and is multiplied with

    1 + bet * (value - m)        bet: chosen before the value is seen, so that the capital never falls below 0

If m is the mean, the capital is expected to stay where it is, so it ever reaches 1 / alpha with a chance of at most alpha (Ville
1939). The interval holds each m whose capital has stayed below that. For values drawn without replacement from a finite set, what is bet
against is the mean that the rest would have to have (Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling without
replacement", NeurIPS 33).

The bets are ours. A third of the capital bets on the share seen so far, with half a right and half a wrong one added (Krichevsky and
Trofimov 1981); for values of 0 and 1 that is the beta-binomial mixture. The other two thirds bet that the mean is half of the
wanted width above m, and below it, which is what shows soonest that an interval need be no wider.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID = 2001
"""Candidates for the mean; ends are rounded outwards by a step, 0.0005."""
MOST = 0.75
"""Share of the capital that a bet on a value between 0 and 1 may lose."""
ROUNDING = 1e-9
"""Means of the rest that are this near to 0 or 1 are 0 or 1."""
PRIOR = 0.5
"""Right and wrong values that are added to those seen, before a bet."""


@dataclass(slots=True)
class ConfidenceSequence:
    """The interval of the mean of values from 0 to 1, which are added one after another in a random order.

    Attributes:
        level: The chance that the mean lies in all intervals, at whatever times one looks.
        population: How many values there are in all, of which each is drawn once: then the mean is that of all of them, and when all
            have been added the interval is that mean. None: the mean is that of what the values are drawn from.
        width: Of the interval that is wanted, for which the bets are made; None: whatever comes.
        count: Values so far.
        total: Their sum.
    """

    level: float = 0.95
    population: int | None = None
    width: float | None = None
    count: int = 0
    total: float = 0.0
    _squares: float = 0.0
    _means: Floats = field(init=False, repr=False)  # candidates that are left
    _log_capital: Floats = field(init=False, repr=False)  # a row for each way to bet

    def __post_init__(self) -> None:
        self._means = np.linspace(0.0, 1.0, GRID)
        self._log_capital = np.zeros((1 if self.width is None else 3, GRID))

    def add(self, value: float) -> None:
        """Adds the next value.

        Raises:
            ValueError: It is not between 0 and 1, or there are more than the population holds.
        """
        if not 0 <= value <= 1:
            raise ValueError(f"a value must be from 0 to 1, not {value}")
        if self.count == self.population:
            raise ValueError(f"there are only {self.population} values")
        stretch = 1.0 if self.population is None else self.population / (self.population - self.count)
        m = self._means * stretch
        if self.population is not None:
            m -= self.total / (self.population - self.count)
        inside = (m > ROUNDING) & (m < 1 - ROUNDING)
        shares = self._shares(m[inside], stretch)
        factors = value * shares / m[inside] + (1 - value) * (1 - shares) / (1 - m[inside])
        self._log_capital[:, inside] += np.log(factors)
        # where all that is left would have to be 0, or 1, no bet is needed
        ends = ((np.abs(m) <= ROUNDING) & (value == 0)) | ((np.abs(m - 1) <= ROUNDING) & (value == 1))
        capital = np.logaddexp.reduce(self._log_capital) - np.log(len(self._log_capital))
        kept = (inside | ends) & (capital < -np.log1p(-self.level))
        if kept.any():
            self._means, self._log_capital = self._means[kept], self._log_capital[:, kept]
        self.count += 1
        self.total += value
        self._squares += value * value

    def interval(self) -> tuple[float, float]:
        """Both ends, as shares of 1; before the first value 0 and 1."""
        if not self.count:
            return 0.0, 1.0
        mean, step, low, high = self.total / self.count, 1 / (GRID - 1), 0.0, 1.0
        if self.population is not None:  # the mean of all if the rest were 0, and if it were 1
            rest = self.population - self.count
            low, high = self.total / self.population, (self.total + rest) / self.population
        return (
            max(low, min(mean, float(self._means[0]) - step)),
            min(high, max(mean, float(self._means[-1]) + step)),
        )

    def _shares(self, m: Floats, stretch: float) -> Floats:
        """The bets, a row for each way to bet, as shares of ones: the capital is multiplied with share / m at a value of 1.

        Args:
            m: What is bet against.
            stretch: How much farther apart the means of the rest are than those of all.
        """
        count = self.count + 2 * PRIOR
        mean = (self.total + PRIOR) / count
        away = [mean - m]
        if self.width is not None:
            away += [np.full_like(m, sign * stretch * self.width / 2) for sign in (-1, 1)]
        apart = np.stack(away)
        # of the values, as a share of that of zeros and ones with the same mean
        variance = ((self._squares + PRIOR) / count - mean * mean) / (mean * (1 - mean))
        bernoulli = m * (1 - m)
        shares = m + apart * bernoulli / (variance * bernoulli + (1 - variance) * apart * apart)
        lowest, highest = m * (1 - MOST), m + MOST * (1 - m)
        return np.clip(shares, np.minimum(mean, lowest), np.maximum(mean, highest))
