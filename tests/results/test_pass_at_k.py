import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.records import Outcome, Result
from llmbench.results import stats
from llmbench.results.pass_at_k import _estimate, majority, pass_at_k, repeat_statistics, variance_split
from tests.helpers.factories import result


def outcome_of(answer: str | None, value: float) -> Outcome:
    return Outcome.CORRECT if value == 1 else Outcome.NO_ANSWER if answer is None else Outcome.WRONG


def results(questions: dict[str, list[tuple[str | None, float]]]) -> list[Result]:
    return [
        result(sample_id, outcome_of(answer, value), answer=answer, repeat=repeat, target="7")
        for sample_id, answers in questions.items()
        for repeat, (answer, value) in enumerate(answers)
    ]


RIGHT, WRONG, OTHER, NONE = ("7", 1.0), ("8", 0.0), ("9", 0.0), (None, 0.0)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(case: tuple[int, int, int]) -> None:
    count, correct, k = case
    answers = [True] * correct + [False] * (count - correct)
    subsets = list(itertools.combinations(answers, k))
    assert pass_at_k(count, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_is_unbiased() -> None:
    chance, count, k = 0.3, 6, 3
    expected = sum(
        math.comb(count, c) * chance**c * (1 - chance) ** (count - c) * pass_at_k(count, c, k)
        for c in range(count + 1)
    )
    assert expected == pytest.approx(1 - (1 - chance) ** k)


def test_pass_at_k_stands_large_counts() -> None:
    assert pass_at_k(2000, 1, 1000) == pytest.approx(0.5)
    assert pass_at_k(200, 100, 200) == 1.0


@pytest.mark.parametrize(("count", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses_what_cannot_be(count: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(count, correct, k)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([RIGHT, RIGHT, WRONG], 1.0),
        ([RIGHT, WRONG, WRONG], 0.0),
        ([RIGHT, WRONG], 0.5),  # a tie: one of two tied answers is right
        ([RIGHT, WRONG, OTHER], 1 / 3),
        ([RIGHT, RIGHT, WRONG, WRONG, OTHER], 0.5),
        ([RIGHT, NONE, NONE, NONE], 1.0),  # no answer is no vote
        ([NONE, NONE], 0.0),
        (
            [(" X + 1", 1.0), ("x+1", 1.0), ("8", 0.0), ("9", 0.0)],
            1.0,
        ),  # white space and case do not part votes
        (
            [("1/2", 1.0), ("0.5", 1.0), ("3", 0.0), ("3.0", 0.0), ("\\frac12", 1.0)],
            1.0,
        ),  # what is right is equal
        ([("1,450", 0.0), ("1450.0", 0.0), ("8", 1.0)], 0.0),  # the same number
    ],
)
def test_majority(answers: list[tuple[str | None, float]], expected: float) -> None:
    assert majority(answers) == pytest.approx(expected)


@pytest.mark.parametrize(
    "huge",
    [
        "1e999999999",
        "-1E+999999999",
        "1e-999999999",
        "1.5e1000000000",
        "9" * 100_000,
        "1/" + "7" * 100_000,
        "1e" + "9" * 99,
    ],
)
def test_numbers_too_large_to_be_written_exactly_vote_as_texts(huge: str) -> None:
    assert majority([(huge, 0.0), (f" {huge} ", 0.0), ("8", 1.0)]) == 0.0
    assert majority([(huge, 0.0), ("8", 1.0), ("8.0", 1.0)]) == 1.0


@pytest.mark.parametrize(
    "same", [("1e3", "1,000"), (".5", "2/4"), ("5.", "+5"), ("1e-2", "0.01"), ("1/0", "1 / 0")]
)
def test_numbers_of_ordinary_size_vote_by_their_value(same: tuple[str, str]) -> None:
    assert majority([(same[0], 0.0), (same[1], 0.0), ("8", 1.0)]) == 0.0


def test_one_answer_each_has_no_repeat_statistics() -> None:
    found = repeat_statistics(results({"a": [RIGHT], "b": [WRONG]}))
    assert (found.questions, found.repeats) == (2, 1)
    assert (found.avg, found.pass_at, found.maj, found.variance) == (None, None, None, None)
    assert repeat_statistics([]).questions == 0


def test_the_metrics_of_a_small_benchmark() -> None:
    found = repeat_statistics(
        results(
            {
                "a": [RIGHT] * 4,
                "b": [RIGHT, RIGHT, WRONG, NONE],
                "c": [WRONG, WRONG, RIGHT, OTHER],
                "d": [NONE] * 4,
            }
        )
    )
    assert (found.questions, found.repeats) == (4, 4)
    assert found.avg is not None
    assert found.pass_at is not None
    assert found.maj is not None
    assert found.avg.value == pytest.approx((1 + 0.5 + 0.25 + 0) / 4)
    assert found.avg.stderr == stats.standard_error([1, 0.5, 0.25, 0])
    assert [estimate.k for estimate in found.pass_at] == [1, 2, 3, 4]
    assert found.pass_at[0].value == pytest.approx(found.avg.value)
    assert found.pass_at[1].value == pytest.approx((1 + (1 - 1 / 6) + (1 - 3 / 6) + 0) / 4)
    assert found.pass_at[3].value == pytest.approx(3 / 4)
    assert found.maj.value == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert found.maj.stderr == stats.standard_error([1, 1, 0, 0])
    for estimate in (found.avg, found.maj, *found.pass_at):
        low, high = estimate.ci95
        assert 0 <= low <= estimate.value <= high <= 1
        assert estimate.questions == 4


def test_an_unfinished_run_counts_as_far_as_it_goes() -> None:
    found = repeat_statistics(results({"a": [RIGHT, WRONG, WRONG], "b": [RIGHT, WRONG], "c": [RIGHT]}))
    assert found.avg is not None
    assert found.pass_at is not None
    assert found.maj is not None
    assert found.avg.value == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)
    assert [estimate.questions for estimate in found.pass_at] == [3, 2, 1]
    assert (found.maj.questions, found.maj.value, found.maj.stderr) == (1, 0.0, None)


def test_the_variance_split_is_the_hand_calculated_one() -> None:
    # means 1, 0.5, 0; within: (0 + 0.5 + 0) / 3; between: MSB 0.5, (0.5 - 1/6) / 2
    found = variance_split([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert found is not None
    assert found.within == pytest.approx(1 / 6)
    assert found.between == pytest.approx(1 / 6)
    assert found.question_stderr == pytest.approx(math.sqrt(1 / 18))
    assert found.sampling_stderr == pytest.approx(math.sqrt(1 / 36))


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), min_size=2, max_size=30))
def test_variances_are_never_negative(scores: list[list[float]]) -> None:
    found = variance_split(scores)
    if found is None:
        assert all(len(values) == 1 for values in scores)
        return
    assert min(found.between, found.within, found.sampling_stderr, found.question_stderr) >= 0


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3), min_size=2, max_size=30))
def test_the_parts_make_up_the_standard_error(scores: list[list[float]]) -> None:
    found = variance_split(scores)
    error = stats.standard_error([sum(values) / 3 for values in scores])
    assert found is not None
    assert error is not None
    together = math.hypot(found.sampling_stderr, found.question_stderr)
    if found.between > 0:
        assert together == pytest.approx(error, abs=1e-12)
    else:
        assert together >= error - 1e-12


def test_the_split_finds_the_true_variances() -> None:
    generator = np.random.default_rng(4)
    chances = generator.beta(2, 2, 4000)  # variance 1/20, mean p(1 - p) 1/5
    sizes = generator.integers(2, 9, chances.size)
    scores = [generator.binomial(1, p, n).astype(float).tolist() for p, n in zip(chances, sizes, strict=True)]
    found = variance_split(scores)
    assert found is not None
    assert found.between == pytest.approx(0.05, abs=0.005)
    assert found.within == pytest.approx(0.2, abs=0.005)


def test_more_repeats_lower_the_sampling_part_only() -> None:
    generator = np.random.default_rng(6)
    chances = generator.beta(1, 1, 3000)
    parts = []
    for count in (2, 8):
        found = variance_split([generator.binomial(1, p, count).astype(float).tolist() for p in chances])
        assert found is not None
        parts.append(found)
    assert parts[0].sampling_stderr / parts[1].sampling_stderr == pytest.approx(2, rel=0.05)
    assert parts[0].question_stderr == pytest.approx(parts[1].question_stderr, rel=0.05)


@pytest.mark.parametrize("count", [2, 4])
def test_the_interval_of_avg_covers_the_truth(count: int) -> None:
    generator = np.random.default_rng(count)
    held = 0
    for _ in range(1000):
        chances = generator.beta(1, 2, 50)  # mean 1/3
        values = generator.binomial(count, chances) / count
        estimate = _estimate(count, values.tolist())
        held += estimate.ci95[0] <= 1 / 3 <= estimate.ci95[1]
    assert 0.93 <= held / 1000 <= 0.975
