"""How often something may be done that costs time itself."""

import math


class Pace:
    """Every `period_s` seconds, or less often where once costs more than `share` of a core allows.

    Where a time costs much that the next ones do not, `over` spreads the cost: the mean of about so many times decides.
    """

    def __init__(self, period_s: float, share: float, over: int = 1, longest_s: float = math.inf) -> None:
        """Due at once. `share` is of one core: 0.01 allows 10 ms of work a second; after `longest_s` it is due whatever it costs."""
        self._period_s, self._share, self._over, self._longest_s = period_s, share, over, longest_s
        self._next: float | None = None
        self._mean_s = 0.0
        self._times = min(over, 5) - 1  # the first look, which opens files, counts for no more

    def wait_s(self, now: float) -> float:
        """Seconds until it is due, 0 where it is; `now` on any clock that does not go back."""
        return 0.0 if self._next is None else max(0.0, self._next - now)

    def done(self, begun: float, cost_s: float) -> None:
        """It was done, beginning at `begun`, and took `cost_s` seconds of a core."""
        self._times = min(self._times + 1, self._over)
        self._mean_s += (cost_s - self._mean_s) / self._times
        self._next = begun + max(self._period_s, min(self._mean_s / self._share, self._longest_s))
