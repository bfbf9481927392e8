import pytest

from llmbench.system.number_format import (
    NONE,
    count,
    interval,
    joules,
    listed,
    memory,
    number,
    percent,
    seconds,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE),
        (0.0412, "41.2 ms"),
        (4.214, "4.21 s"),
        (38.4, "38.4 s"),
        (599, "599 s"),
        (720, "720 s"),
        (1200, "20.0 min"),
    ],
)
def test_durations_read_well(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_other_numbers_do_too() -> None:
    assert (percent(0.479), percent(0.479, 0), percent(None)) == ("47.9%", "48%", NONE)
    assert (interval((0.345, 0.617)), interval(None)) == ("[34.5, 61.7]", NONE)
    assert (number(2137.2), number(0.12345, "W")) == ("2,137", "0.123 W")
    assert (memory(3 << 29), memory(3 << 19), joules(36_000)) == ("1.5 GiB", "1.5 MiB", "10.0 Wh")
    assert (count(1, "run"), count(2137, "run"), listed(["a", "b", "c"])) == (
        "1 run",
        "2,137 runs",
        "a, b and c",
    )
