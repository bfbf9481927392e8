import json

import pytest

from llmbench.answers import stated_text
from llmbench.answers.free_text import same_text
from tests.helpers.paths import CASES

ROWS = [json.loads(line) for line in (CASES / "texts.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_the_stated_text_is_found(row: dict[str, str]) -> None:
    assert stated_text(row["text"], complete=bool(row.get("complete", True))) == row["want"]


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("New York", "new  york", True),
        ("U.S.", "u.s", True),
        ("'yes'", "Yes", True),
        ("C++", "C", False),
        ("-5", "5", False),
        ("(a)", "a", False),
        ("ﬁne", "fine", True),
        (".", ".", True),
    ],
)
def test_texts_are_the_same_but_for_what_is_around_them(gold: str, answer: str, same: bool) -> None:  # noqa: FBT001
    assert same_text(gold, answer) is same
