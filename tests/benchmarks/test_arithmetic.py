import re

import pytest

from llmbench.benchmarks import arithmetic
from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.errors import ConfigError


def test_questions_are_right_different_and_repeatable() -> None:
    options = {"levels": list(arithmetic.LEVELS), "per_level": 40}
    rows = Arithmetic().generate(options, seed=3)
    assert len(rows) == 40 * len(arithmetic.LEVELS)
    assert len({row["question"] for row in rows}) == len(rows)
    assert rows == Arithmetic().generate(options, seed=3)
    assert rows != Arithmetic().generate(options, seed=4)
    for row in rows:
        sum_of = re.fullmatch(r"What is (\d+) ([-+*]) (\d+)\?", row["question"])
        if sum_of:
            a, sign, b = int(sum_of[1]), sum_of[2], int(sum_of[3])
            assert int(row["answer"]) == {"+": a + b, "-": a - b, "*": a * b}[sign]


def test_word_problems_follow_from_their_numbers() -> None:
    for row in Arithmetic().generate({"levels": ["word"], "per_level": 300}, seed=0):
        a, b = map(int, re.findall(r"\d+", row["question"]))
        expected = {"more": a + b, "away": a - b, "boxes": a * b}
        kind = next(word for word in expected if word in row["question"])
        assert int(row["answer"]) == expected[kind]


@pytest.mark.parametrize(
    "options",
    [
        {"levels": ["sum3"]},
        {"levels": []},
        {"per_level": 0},
        {"levels": ["sum1"], "per_level": 82},
        {"sizes": 3},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="arithmetic"):
        Arithmetic().generate(options, seed=0)
