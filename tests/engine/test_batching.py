import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.engine.batching import Batching, batches
from tests.helpers.settings import compose

DOCUMENTED = Batching(dynamic=True, static_size=4, largest=8, smallest=2, context=4096)
BEFORE = Batching(dynamic=False, static_size=2, largest=4, smallest=1, context=4096)

CASES: tuple[tuple[list[int], list[list[int]]], ...] = (
    ([], []),
    ([100], [[100]]),
    ([100] * 10, [[100] * 8, [100] * 2]),  # full at max_batch_size
    ([90, 100, 80, 75], [[100, 90, 80, 75]]),  # a quarter shorter is near enough
    ([90, 100, 80, 74], [[100, 90, 80], [74]]),
    ([100, 10, 9], [[100, 10], [9]]),  # smaller than min_batch_size nothing closes
    ([1000, 900, 300, 290, 280, 60, 50], [[1000, 900], [300, 290, 280], [60, 50]]),
    ([400, 390, 299, 298, 297, 296], [[400, 390], [299, 298, 297, 296]]),
    ([2049] * 5, [[2049] * 4, [2049]]),  # longer than half of the context: half as many
    ([2048] * 5, [[2048] * 5]),
    ([3000, 2900, 2800, 2700, 2600, 2000], [[3000, 2900, 2800, 2700], [2600, 2000]]),
)


@pytest.mark.parametrize(("lengths", "expected"), CASES)
def test_batches_hold_like_lengths(lengths: list[int], expected: list[list[int]]) -> None:
    found = [[lengths[place] for place in batch] for batch in batches(lengths, DOCUMENTED)]
    assert found == expected


def test_equal_lengths_keep_their_order() -> None:
    assert batches([5, 7, 5, 7, 5], DOCUMENTED) == [[1, 3], [0, 2, 4]]


def test_static_batches_keep_the_order_given() -> None:
    assert batches([5, 900, 6, 800, 7], BEFORE) == [[0, 1], [2, 3], [4]]
    assert batches([], BEFORE) == []


def test_long_prompts_never_go_below_the_smallest_batch() -> None:
    tight = Batching(dynamic=True, static_size=4, largest=5, smallest=4, context=100)
    assert [len(batch) for batch in batches([90] * 9, tight)] == [4, 4, 1]


@given(
    lengths=st.lists(st.integers(1, 5000), max_size=60),
    dynamic=st.booleans(),
    static_size=st.integers(1, 9),
    one=st.integers(1, 9),
    other=st.integers(1, 9),
)
def test_every_request_is_in_one_batch_of_allowed_size(
    lengths: list[int], *, dynamic: bool, static_size: int, one: int, other: int
) -> None:
    batching = Batching(dynamic, static_size, max(one, other), min(one, other), 4096)
    found = batches(lengths, batching)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batching.most for batch in found)
    if dynamic:
        assert all(len(batch) >= batching.smallest for batch in found[:-1])
        order = [lengths[place] for batch in found for place in batch]
        assert order == sorted(order, reverse=True)
        # What is left forms the same batches, so that an engine may form one at a time.
        rest = [place for batch in found[1:] for place in batch]
        again = batches([lengths[place] for place in rest], batching)
        assert [[rest[place] for place in batch] for batch in again] == found[1:]


def test_settings_come_from_the_profile_and_batch_size_stands_above_them() -> None:
    assert Batching.of(compose([]), 4096) == DOCUMENTED
    assert Batching.of(compose(["profile=before", "batch_size=null"]), 4096) == BEFORE
    assert Batching.of(compose(["batch_size=16"]), 4096) == Batching(
        dynamic=True, static_size=16, largest=16, smallest=2, context=4096
    )
    assert Batching.of(compose(["min_batch_size=4", "batch_size=1"]), 4096).smallest == 1
    assert (DOCUMENTED.most, BEFORE.most) == (8, 2)
