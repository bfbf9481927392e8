"""The bounds of an accuracy: what it would be if all that has no verdict were wrong, and if it were right."""

import pytest

from llmbench.records import Outcome
from llmbench.results.metrics import bounds
from tests.helpers.factories import result

WITH_VERDICT = {Outcome.CORRECT: (1.0, 1.0), Outcome.WRONG: (0.5, 0.5)}


@pytest.mark.parametrize("outcome", Outcome)
def test_what_has_no_verdict_counts_as_right_in_the_upper_bound_alone(outcome: Outcome) -> None:
    results = [result("first"), result("second", outcome)]
    low, high = WITH_VERDICT.get(outcome, (0.5, 1.0))
    assert bounds(results, 2) == (low, high)
    assert bounds(results, 4) == (low / 2, (high + 1) / 2)  # two were not asked
