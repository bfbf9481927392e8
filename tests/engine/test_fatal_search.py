"""Whatever kills an engine is found, with few engines, and nothing else is blamed."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.engine.fatal_search import PARTS, FatalRequestSearch, parts


def most_deaths(batch_size: int) -> int:
    """Engines that one guilty request can cost at most, where so many run at once."""
    cuts = 0
    while batch_size > 1:
        batch_size, cuts = -(-batch_size // PARTS), cuts + 1
    return 3 + cuts if cuts else 2


class Machine:
    """Engines that die of some requests, and of deaths that come from elsewhere, each at a step; `RestartingEngine` around them."""

    def __init__(
        self, count: int, batch_size: int, poison: Collection[int], elsewhere: Collection[int] = ()
    ) -> None:
        self.ids = [str(number) for number in range(count)]
        self.poison = {str(number) for number in poison}
        self.batch_size, self.elsewhere = batch_size, set(elsewhere)
        self.answered: list[str] = []
        self.fatal_requests: list[str] = []
        self.deaths = self.steps = 0

    def run(self, fatal_search: FatalRequestSearch) -> bool:
        """Whether it came to an end; False: too many deaths in a row."""
        fatal_search.add(self.ids)
        queue: list[str] = []
        while fatal_search.left:
            if fatal_search.needs_probe and self.answered and not queue:
                queue = ["probe"]
            elif not (fatal_search.needs_probe and self.answered):
                queue += fatal_search.next()
            running = queue[: self.batch_size]
            assert running
            self.steps += 1
            if self.poison & set(running) or self.steps in self.elsewhere:
                self.deaths += 1
                self.fatal_requests += fatal_search.died(running)
                queue = []
                if fatal_search.spent:
                    return False
                continue
            first = queue.pop(0)  # one after another, so that others are under way when it ends
            fatal_search.works()
            if first != "probe":
                fatal_search.answered(first)
                self.answered.append(first)
        return True


@given(data=st.data(), count=st.integers(2, 60), batch_size=st.integers(1, 70), bound=st.integers(1, 5))
def test_all_that_kill_and_no_others_are_found(
    data: st.DataObject, count: int, batch_size: int, bound: int
) -> None:
    poison = data.draw(st.sets(st.integers(0, count - 1), max_size=count))
    machine = Machine(count, batch_size, poison)
    finished = machine.run(FatalRequestSearch(bound))
    assert not machine.poison & set(machine.answered)
    assert set(machine.fatal_requests) <= machine.poison
    assert len(machine.fatal_requests) == len(set(machine.fatal_requests))
    assert machine.deaths <= len(poison) * most_deaths(min(batch_size, count))
    if finished:
        assert sorted(machine.fatal_requests + machine.answered) == sorted(machine.ids)
    else:  # it never had an answer, so nobody could know whether the engine works
        assert not machine.answered
        assert machine.deaths == bound + 1


@given(data=st.data(), count=st.integers(1, 60), batch_size=st.integers(1, 70))
def test_deaths_from_elsewhere_blame_nobody(data: st.DataObject, count: int, batch_size: int) -> None:
    """Unless they hit one that is alone twice, or come again and again without an answer between."""
    first = data.draw(st.integers(1, 20))
    elsewhere = {first + number * (count + 3) for number in range(data.draw(st.integers(1, 4)))}
    machine = Machine(count, max(2, batch_size), (), elsewhere)
    assert machine.run(FatalRequestSearch(3))
    assert machine.fatal_requests == []
    assert sorted(machine.answered) == sorted(machine.ids)
    assert len(machine.answered) == count


def test_a_single_one_costs_few_engines() -> None:
    machine = Machine(1000, 256, {300})
    assert machine.run(FatalRequestSearch(3))
    assert machine.fatal_requests == ["300"]
    assert machine.deaths == 6 == most_deaths(256)


@pytest.mark.parametrize("bound", [1, 3])
def test_a_broken_engine_blames_nobody_and_ends_soon(bound: int) -> None:
    machine = Machine(1000, 16, (), range(200, 10_000))
    assert not machine.run(FatalRequestSearch(bound))
    assert machine.fatal_requests == []
    assert machine.deaths == bound + 1
    assert len(machine.answered) == 199


def test_each_try_without_an_answer_is_an_eighth() -> None:
    fatal_search = FatalRequestSearch(5)
    fatal_search.add(map(str, range(1000)))
    sizes = []
    while not fatal_search.spent:
        asked = fatal_search.next()
        sizes.append(len(asked))
        fatal_search.died(asked[:256])
    assert sizes == [1000, 744, 32, 4, 1, 1]


def test_what_was_set_aside_goes_over_to_a_new_process() -> None:
    fatal_search = FatalRequestSearch(3)
    fatal_search.add("abcdef")
    fatal_search.next()
    fatal_search.works()
    fatal_search.answered("a")
    fatal_search.died(["b", "c", "d"])
    again = FatalRequestSearch.of(3, fatal_search.as_data(), answered={"c"})
    again.add("bdef")
    assert (list(again.waiting), list(again.aside), again.consecutive_deaths) == (["e", "f"], [("b", "d")], 1)


def test_parts_are_eighths() -> None:
    assert [len(part) for part in parts([str(n) for n in range(100)])] == [13] * 7 + [9]
    assert list(parts(["a"])) == [("a",)]


def test_what_the_engine_was_not_given_can_go_to_others() -> None:
    fatal_search = FatalRequestSearch(3)
    fatal_search.add("abcdef")
    fatal_search.next()
    fatal_search.works()
    fatal_search.died(["a", "b"])  # set aside, the others wait
    fatal_search.add("gh")
    assert fatal_search.release(lambda name: name in "bg") == ["c", "d", "e", "f", "h", "a"]
    assert (list(fatal_search.waiting), list(fatal_search.aside)) == (["g"], [("b",)])
    assert fatal_search.held == 2
    assert fatal_search.release(lambda _: False) == ["g", "b"]
    assert not fatal_search.left


def test_what_the_engine_has_is_not_released() -> None:
    fatal_search = FatalRequestSearch(3)
    fatal_search.add("ab")
    fatal_search.next()
    fatal_search.add("c")
    assert fatal_search.release(lambda _: False) == ["c"]
    assert list(fatal_search.asked) == ["a", "b"]
