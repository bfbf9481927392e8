"""Paired statistics against scipy, hand calculation and simulation. Simulations are seeded, so their results are fixed."""

import itertools
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as reference

from llmbench.results import paired_tests
from llmbench.results.paired_tests import Method

pytestmark = pytest.mark.slow

Scores = list[float]


def table(both: int, only_first: int, only_second: int, neither: int) -> tuple[Scores, Scores]:
    """Scores of 0 and 1 with these cells."""
    first = [1.0] * both + [1.0] * only_first + [0.0] * only_second + [0.0] * neither
    second = [1.0] * both + [0.0] * only_first + [1.0] * only_second + [0.0] * neither
    return first, second


def test_the_difference_is_the_second_side_less_the_first() -> None:
    found = paired_tests.difference([1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.5, 1.0])
    assert found.questions == 4
    assert found.difference == pytest.approx(0.375)
    # differences 0, 1, 0.5, 0: sum of squares about the mean 0.6875, over 3 and over 4
    assert found.stderr == pytest.approx(math.sqrt(0.6875 / 3 / 4))
    assert found.ci95 is not None
    assert found.ci95[0] < 0.375 < found.ci95[1]


def test_a_single_question_has_no_interval() -> None:
    found = paired_tests.difference([0.0], [1.0])
    assert (found.difference, found.stderr, found.ci95) == (1.0, None, None)


@pytest.mark.parametrize(
    "function", [paired_tests.difference, paired_tests.significance, paired_tests.smallest_detectable]
)
def test_unpaired_scores_are_refused(function: Callable[[Scores, Scores], object]) -> None:
    for sides in (([1.0], [1.0, 0.0]), ([], [])):
        with pytest.raises(ValueError, match="no pairs"):
            function(*sides)


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"),
    [(0, 0, 1.0), (0, 5, 0.0625), (6, 0, 0.03125), (1, 7, 18 / 256), (4, 4, 1.0), (2, 10, 158 / 4096)],
)
def test_mcnemar_is_the_hand_calculated_value(only_first: int, only_second: int, expected: float) -> None:
    found = paired_tests.significance(*table(10, only_first, only_second, 3))
    assert found.method is Method.MCNEMAR
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.discordant == only_first + only_second


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_binomial_test(only_first: int, only_second: int) -> None:
    found = paired_tests.significance(*table(1, only_first, only_second, 1))
    total = only_first + only_second
    expected = reference.binomtest(only_first, total, 0.5).pvalue if total else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)


def test_the_permutation_test_of_right_and_wrong_is_mcnemars() -> None:
    for up, down in itertools.product(range(6), range(7)):
        if up + down > 1:
            moved = np.array([1.0] * up + [-1.0] * down)
            assert paired_tests._sign_flip(moved) == pytest.approx(reference.binomtest(up, up + down).pvalue)


def test_means_over_repeats_are_tested_by_sign_flips() -> None:
    found = paired_tests.significance([0.0, 0.25, 0.5, 1.0], [0.5, 0.75, 0.75, 1.0])
    assert found.method is Method.SIGN_FLIP
    assert found.p_value == pytest.approx(
        2 / 8
    )  # of eight sign patterns only all plus and all minus are as extreme
    same = paired_tests.significance([0.5, 0.25], [0.5, 0.25])
    assert (same.method, same.p_value) == (Method.SIGN_FLIP, 1.0)
    assert paired_tests.significance([0.5, 0.25], [0.5, 0.5]).p_value == 1.0


def test_the_same_scores_give_the_same_numbers() -> None:
    generator = np.random.default_rng(3)
    first, second = (generator.binomial(4, 0.5, 50) / 4 for _ in range(2))
    sides = first.tolist(), second.tolist()
    assert paired_tests.difference(*sides) == paired_tests.difference(*sides)
    assert paired_tests.significance(*sides) == paired_tests.significance(*sides)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=60))
def test_an_interval_holds_the_mean_and_has_a_width(differences: Scores) -> None:
    low, high = paired_tests.bootstrap_interval(differences, resamples=500)
    assert -1 <= low <= float(np.mean(differences)) <= high <= 1
    assert high - low > 1 / (10 * len(differences))


def test_no_difference_at_all_leaves_an_interval_that_shrinks_with_the_questions() -> None:
    widths = [np.diff(paired_tests.bootstrap_interval([0.0] * n))[0] for n in (10, 40, 200)]
    assert widths[0] > widths[1] > widths[2] > 0
    low, high = paired_tests.bootstrap_interval([1.0] * 30)
    assert (low < 1.0, high) == (True, 1.0)


def test_the_interval_is_near_the_textbooks_for_many_questions() -> None:
    first, second = table(1200, 300, 400, 600)
    found = paired_tests.difference(first, second)
    assert found.ci95 is not None
    assert found.stderr is not None
    expected = (found.difference - 1.96 * found.stderr, found.difference + 1.96 * found.stderr)
    assert found.ci95 == pytest.approx(expected, abs=0.001)


@cache
def interval_of(count: int, up: int, down: int) -> tuple[float, float]:
    return paired_tests.bootstrap_interval(
        [1.0] * up + [-1.0] * down + [0.0] * (count - up - down), resamples=2000
    )


@cache
def p_value_of(won: int, lost: int) -> float:
    return float(reference.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def drawn(count: int, up: float, down: float, rounds: int, seed: int) -> list[tuple[int, int]]:
    """How many questions each side won, in simulated comparisons with these chances."""
    tables = np.random.default_rng(seed).multinomial(count, [up, down, 1 - up - down], size=rounds)
    return [(int(row[0]), int(row[1])) for row in tables]


@pytest.mark.parametrize("count", [40, 80, 200])
@pytest.mark.parametrize(("up", "down"), [(0.1, 0.1), (0.15, 0.05), (0.2, 0.2), (0.1, 0.3), (0.3, 0.3)])
def test_the_interval_covers_the_true_difference_as_often_as_it_says(
    count: int, up: float, down: float
) -> None:
    rounds = drawn(count, up, down, 4000, seed=count)
    held = 0
    for won, lost in rounds:
        low, high = interval_of(count, won, lost)
        held += low - 1e-9 <= up - down <= high + 1e-9
    assert (
        0.93 <= held / len(rounds) <= 0.975
    )  # with eight discordant questions the level moves in steps: 0.971


def repeated(
    count: int, repeats: int, harder: float, rounds: int, seed: int
) -> tuple[NDArray[np.float64], float]:
    """Differences of means over repeats on questions of very different difficulty, and their true mean."""
    generator = np.random.default_rng(seed)
    chance = generator.beta(0.6, 0.6, (rounds, count))
    first = generator.binomial(repeats, chance) / repeats
    second = generator.binomial(repeats, chance * (1 - harder)) / repeats
    return second - first, -harder / 2


@pytest.mark.parametrize(("count", "repeats", "harder"), [(40, 4, 0.0), (100, 4, 0.2), (40, 8, 0.1)])
def test_the_interval_covers_with_repeats_too(count: int, repeats: int, harder: float) -> None:
    rounds, true = repeated(count, repeats, harder, 1000, seed=5)
    intervals = [paired_tests.bootstrap_interval(row.tolist(), resamples=1000) for row in rounds]
    held = sum(low <= true <= high for low, high in intervals)
    assert 0.93 <= held / len(intervals) <= 0.97


@pytest.mark.parametrize("count", [40, 80, 200])
@pytest.mark.parametrize("discordance", [0.1, 0.2, 0.4, 0.6])
def test_equal_models_are_seldom_distinguished(count: int, discordance: float) -> None:
    rounds = drawn(count, discordance / 2, discordance / 2, 4000, seed=count + 1)
    alarms = excluded = 0
    for won, lost in rounds:
        alarms += p_value_of(won, lost) < paired_tests.ALPHA
        low, high = interval_of(count, won, lost)
        excluded += low > 0 or high < 0
    assert alarms / len(rounds) <= 0.055
    assert excluded / len(rounds) <= 0.055


def test_equal_models_are_seldom_distinguished_with_repeats() -> None:
    count = 16  # too many for every pattern of signs to be tried
    rounds, _ = repeated(count, 4, 0.0, 300, seed=11)
    alarms = sum(
        paired_tests.significance([0.5] * count, (row + 0.5).tolist()).p_value < paired_tests.ALPHA
        for row in rounds
    )
    assert alarms / len(rounds) <= 0.055


def brute_force_power(count: int, up: float, down: float) -> float:
    """Over every table that could come up."""
    power = 0.0
    for won in range(count + 1):
        for lost in range(count + 1 - won):
            if p_value_of(won, lost) <= paired_tests.ALPHA:
                cells, chances = (won, lost, count - won - lost), (up, down, 1 - up - down)
                power += float(reference.multinomial.pmf(cells, count, chances))
    return power


@pytest.mark.parametrize(
    ("count", "discordance", "effect"), [(8, 0.9, 0.6), (14, 0.5, 0.0), (20, 0.4, 0.3), (12, 0.7, 0.7)]
)
def test_the_power_is_that_of_all_tables_together(count: int, discordance: float, effect: float) -> None:
    up, down = (discordance + effect) / 2, (discordance - effect) / 2
    expected = brute_force_power(count, up, down)
    assert paired_tests.mcnemar_power(count, discordance, effect) == pytest.approx(expected, abs=1e-9)


def test_the_smallest_detectable_effect_is_found_four_times_in_five() -> None:
    first, second = table(70, 12, 18, 20)
    effect = paired_tests.smallest_detectable(first, second)
    assert effect is not None
    discordance = 30 / 120
    rounds = drawn(120, (discordance + effect) / 2, (discordance - effect) / 2, 4000, seed=2)
    hits = sum(p_value_of(won, lost) < paired_tests.ALPHA for won, lost in rounds)
    assert hits / len(rounds) == pytest.approx(0.8, abs=0.02)


def test_the_smallest_detectable_effect_shrinks_with_the_questions() -> None:
    effects = [paired_tests.smallest_detectable(*table(4 * n, n, n, 4 * n)) for n in (4, 16, 64)]
    assert all(effect is not None for effect in effects)
    assert effects == sorted(effects, key=lambda effect: -(effect or 0.0))


def test_without_discordant_questions_six_must_fall_to_one_side() -> None:
    effect = paired_tests.smallest_detectable(*table(20, 0, 0, 20))
    assert effect is not None
    assert reference.binom.sf(5, 40, effect) == pytest.approx(0.8, abs=1e-4)
    assert paired_tests.smallest_detectable([1.0] * 5, [0.0] * 5) is None  # p = 0.0625 at best


Means = NDArray[np.float64]


def two_runs(
    generator: np.random.Generator, chances: Means, effect: float, repeats: int
) -> tuple[Means, Means]:
    """Means over repeats; in the second run the log-odds of all chances are shifted so that the means differ by the effect."""
    odds = chances / (1 - chances)
    low, high = 0.0, 30.0
    for _ in range(40):
        shift = (low + high) / 2
        factor = math.exp(shift)
        better = odds * factor / (1 + odds * factor)
        low, high = (shift, high) if (better - chances).mean() < effect else (low, shift)
    return generator.binomial(repeats, chances) / repeats, generator.binomial(repeats, better) / repeats


def power(first: Means, second: Means) -> float:
    """The share of rows in which the sides are told apart."""
    found = [
        paired_tests.significance(a, b).p_value < paired_tests.ALPHA
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    return sum(found) / len(found)


@pytest.mark.parametrize(("count", "repeats"), [(8, 4), (10, 4), (10, 8)])
def test_the_smallest_detectable_effect_of_repeats_is_found_four_times_in_five(
    count: int, repeats: int
) -> None:
    generator = np.random.default_rng(count)
    first, second = two_runs(generator, np.linspace(0.15, 0.75, count), 0.05, repeats)
    if second.sum() < first.sum():
        first, second = second, first  # the effect has the direction that was seen
    effect = paired_tests.smallest_detectable(first.tolist(), second.tolist(), repeats)
    assert effect is not None
    seen = ((first + second) * repeats + 0.5) / (
        2 * repeats + 1
    )  # what the documented model takes the chances to be
    rounds = 400
    sides = two_runs(generator, generator.choice(seen, (rounds, count)), effect, repeats)
    assert power(*sides) == pytest.approx(0.8, abs=2 * math.sqrt(0.8 * 0.2 / rounds))


def test_with_other_questions_the_effect_is_found_four_times_in_five_on_average() -> None:
    generator = np.random.default_rng(4)
    powers = []
    for _ in range(8):
        pilot = two_runs(generator, generator.beta(2, 2, 10), 0.0, 4)
        effect = paired_tests.smallest_detectable(pilot[0].tolist(), pilot[1].tolist(), 4)
        assert effect is not None
        powers.append(power(*two_runs(generator, generator.beta(2, 2, (60, 10)), effect, 4)))
    assert np.mean(powers) == pytest.approx(
        0.8, abs=2 * float(np.std(powers, ddof=1)) / math.sqrt(len(powers))
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_fewer_than_six_questions_detect_nothing(count: int) -> None:
    assert paired_tests.smallest_detectable([0.25] * count, [0.75, *[0.5] * (count - 1)]) is None
    assert paired_tests.smallest_detectable([0.0] * count, [1.0] * count) is None


def test_more_questions_and_more_repeats_detect_smaller_effects() -> None:
    few, many = [0.5, 0.25, 0.75, 0.5, 0.25, 0.5, 0.75, 1.0], [0.25, 0.5, 0.5, 0.75, 0.25, 0.5, 1.0, 0.75]
    effects = [
        paired_tests.smallest_detectable(few * times, many * times, repeats)
        for times, repeats in ((1, 4), (3, 4), (3, 16), (10, 16))
    ]
    assert all(effect is not None and 0 < effect < 0.6 for effect in effects)
    assert effects == sorted(effects, key=lambda effect: -(effect or 0.0))
    assert paired_tests.smallest_detectable(few, many, 4) == effects[0]  # the same with each call


def test_flips_are_named_in_both_directions() -> None:
    better, worse = paired_tests.flips(["a", "b", "c", "d"], [0.0, 1.0, 1.0, 0.25], [1.0, 0.0, 1.0, 0.5])
    assert [(f.sample_id, f.before, f.after) for f in better] == [("a", 0.0, 1.0), ("d", 0.25, 0.5)]
    assert [f.sample_id for f in worse] == ["b"]
