import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from llmbench.records import Outcome
from llmbench.results import stats
from llmbench.results.metrics import summarise
from tests.helpers.factories import result


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (1, 10), (5, 10), (10, 10), (37, 48), (450, 500)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    expected = reference.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert stats.wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_needs_trials() -> None:
    with pytest.raises(ValueError, match="at least one"):
        stats.wilson(0, 0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_lie_between_the_extremes_in_order(values: list[float]) -> None:
    found = stats.distribution(values)
    assert found.p50 is not None
    assert found.p95 is not None
    assert found.p99 is not None
    assert min(values) <= found.p50 <= found.p95 <= found.p99 <= max(values)


def test_percentiles_are_the_textbooks() -> None:
    assert stats.percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.5
    assert stats.distribution([]).mean is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_standard_error_is_the_sample_deviation_over_root_n(values: list[float]) -> None:
    expected = statistics.stdev(values) / math.sqrt(len(values))
    assert stats.standard_error(values) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=40))
def test_an_interval_holds_the_mean_and_stays_within_0_and_1(values: list[float]) -> None:
    low, high = stats.interval(values)
    assert 0 <= low <= sum(values) / len(values) + 1e-12
    assert sum(values) / len(values) - 1e-12 <= high <= 1


CHANCES = {"even": (2.0, 2.0), "hard": (0.2, 2.0), "easy": (5.0, 0.5), "few impossible": (1.0, 0.1)}
"""Of beta distributions."""


@pytest.mark.parametrize("chances", CHANCES)
@pytest.mark.parametrize(("repeats", "count"), [(1, 40), (4, 40), (8, 10), (16, 10), (8, 5)])
def test_the_interval_covers_the_truth_as_often_as_it_says(repeats: int, count: int, chances: str) -> None:
    generator = random.Random(repeats * count)
    first, second = CHANCES[chances]
    true = first / (first + second)
    covered, rounds = 0, 1000
    for _ in range(rounds):
        questions = [generator.betavariate(first, second) for _ in range(count)]
        values = [sum(generator.random() < p for _ in range(repeats)) / repeats for p in questions]
        low, high = stats.interval(values, repeats * count)
        covered += low <= true <= high
    claimed = 0.92 if chances == "few impossible" and count > 10 else 0.95
    assert covered / rounds >= claimed - 2 * math.sqrt(claimed * (1 - claimed) / rounds)


def test_one_mean_has_one_interval() -> None:
    values = [0.5, 0.25, 0.75, 0.5, 0.5, 0.25, 0.5, 0.75, 0.5, 0.5]
    results = [
        result(question, Outcome.CORRECT if repeat < 4 * value else Outcome.WRONG, repeat=repeat)
        for question, value in enumerate(values)
        for repeat in range(4)
    ]
    found = summarise(results, 40, 4)
    assert found.repeated is not None
    assert found.repeated.avg is not None
    assert found.ci95 == found.repeated.avg.ci95 == stats.interval(values, 40)


def test_a_distribution_holds_the_mean_and_its_percentiles() -> None:
    values = [*map(float, range(100)), 1000.0]
    found = stats.distribution(values[::-1])
    assert (found.p50, found.p95, found.p99) == (50.0, 95.0, 99.0)
    assert found.mean == pytest.approx(sum(values) / 101)
    assert stats.distribution([]) == stats.Distribution(None, None, None, None)
