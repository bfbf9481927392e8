"""The power of the sign-flip test between two runs with several answers to each question, by a seeded simulation.

The alternative: a question of a new pair of runs is drawn from the questions that were compared. Its chance of a right answer
in the first run is the share of right answers that both runs gave to it, with half a right and half a wrong answer added to
them (Jeffreys' prior), for a question that four answers out of four got right is not always got right. In the second run the
log-odds of every question are shifted by the same amount. The effect is the mean difference of the chances. So easy and hard
questions move less than others, as they do between models, and there is as much noise as so many answers have.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmbench.results import stats

FEWEST = 6
"""Questions: of five differences of one sign the test still gives p = 2 / 2^5 = 0.0625."""
SEED = 0
FLIPS = 999
ALL_FLIPS = 10
"""Questions up to which all flips are tried."""
NORMAL_FROM = 60
"""Questions from which a sum of flipped differences is taken to be normal."""
LARGEST_SHIFT = 12.0
"""Log-odds; with these a chance of 1% becomes 99.9%."""
STEPS = 12

Floats = NDArray[np.float64]


class Simulation:
    """Pairs of runs on as many questions as were compared, with a shift between the sides.

    The same random numbers serve every shift, so that the power rises with it.
    """

    def __init__(self, first: Sequence[float], second: Sequence[float], repeats: int) -> None:
        """Takes the scores that were compared, and how many answers each is the mean of."""
        scores = np.asarray([first, second], dtype=np.float64)
        count = scores.shape[1]
        self._repeats = repeats
        rounds = int(np.clip(1_000_000 // count, 200, 4000))
        generator = np.random.default_rng(SEED)
        right = scores.sum(axis=0) * self._repeats
        chances = (right + 0.5) / (2 * self._repeats + 1)
        self._chances = generator.choice(chances, (rounds, count))
        self._first = generator.binomial(self._repeats, self._chances)
        self._flips = _flips(count, generator)
        self._direction = 1.0 if scores[1].sum() >= scores[0].sum() else -1.0

    def at(self, shift: float) -> tuple[float, float]:
        """Power at the 5% level and effect (without its sign) of a shift of the log-odds, in the direction that was observed."""
        odds = self._chances / (1 - self._chances) * np.exp(self._direction * shift)
        chances = odds / (1 + odds)
        second = np.random.default_rng(SEED + 1).binomial(self._repeats, chances)
        rejected = _rejected((second - self._first).astype(np.float64), self._flips)
        return float(rejected.mean()), abs(float((chances - self._chances).mean()))

    def effect(self, power: float) -> float | None:
        """The effect that is found with this power; None where none is."""
        low, high = 0.0, LARGEST_SHIFT
        if self.at(high)[0] < power:
            return None
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.at(middle)[0] >= power else (middle, high)
        return self.at(high)[1]


def _flips(count: int, generator: np.random.Generator) -> Floats | None:
    """Signs for every question, a row for each flip, the first one without any; None where the normal approximation serves."""
    if count >= NORMAL_FROM:
        return None
    if count <= ALL_FLIPS:
        every: Floats = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return every
    flips = generator.choice([-1.0, 1.0], (FLIPS + 1, count))
    flips[0] = 1.0
    return flips


def _rejected(differences: Floats, flips: Floats | None) -> NDArray[np.bool_]:
    """Which rows of differences the two-sided sign-flip test rejects."""
    total = differences.sum(axis=1)
    if flips is None:
        rejected: NDArray[np.bool_] = np.abs(total) > stats.Z95 * np.sqrt((differences**2).sum(axis=1))
        return rejected
    flipped = differences @ flips.T  # whole numbers of answers, so equal sums are equal
    above = (flipped >= total[:, None]).mean(axis=1)
    below = (flipped <= total[:, None]).mean(axis=1)
    return 2 * np.minimum(above, below) < 0.05  # type: ignore[no-any-return] # noqa: PLR2004 - paired.ALPHA
