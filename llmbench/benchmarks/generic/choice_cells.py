"""The choices of a multiple-choice question in its row, and which of them a gold answer means."""

import re
import string
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from llmbench.benchmarks.generic.templates import cell, no_column, plain, short
from llmbench.benchmarks.rows import Rows, read_text
from llmbench.errors import ConfigError

LETTERS = string.ascii_uppercase
"""The names of choices, in their order."""
FEWEST = 2
SHOWN_CHOICES = 4


@dataclass(frozen=True, slots=True)
class Choices:
    """The texts of a row's choices in their order, and the labels that the data gives them, if any."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def described(self) -> str:
        """Returns how many there are and their letters, or the data's own labels."""
        last = self.labels or LETTERS[: len(self.texts)]
        return f"{len(self.texts)} choices ({last[0]} to {last[-1]})"


def choices_of(rows: Rows, option: object, columns: Collection[str]) -> list[Choices]:
    """Returns the choices of each row.

    Args:
        rows: The data's.
        option: A column with a list or a mapping of texts, or a list of columns with one text each.
        columns: The data's.

    Raises:
        ConfigError: A column is not there.
        RowError: A row's choices are no texts, or fewer than two, or more than there are letters.
    """
    named = [str(name) for name in option] if isinstance(option, list | tuple) else [str(option)]
    for name in named:
        if name not in columns:
            raise ConfigError(f"choices={name}: {no_column(name, columns, rows.source)}")
    read = _in_columns if isinstance(option, list | tuple) else _in_one
    found = [read(rows, index, named) for index in range(len(rows))]
    for index, choices in enumerate(found):
        number = len(choices.texts)
        if not FEWEST <= number <= len(LETTERS):
            what = f"a question has {FEWEST} to {len(LETTERS)} choices, and not {number}; fix the row."
            raise rows.wrong(index, what)
    return found


def _in_columns(rows: Rows, index: int, named: Sequence[str]) -> Choices:
    """One text in each column; the last columns may be empty."""
    filled = [place for place, name in enumerate(named, 1) if rows[index].get(name) not in (None, "")]
    return Choices(tuple(cell(rows, index, name) for name in named[: max(filled, default=0)]))


def _in_one(rows: Rows, index: int, named: Sequence[str]) -> Choices:
    """A list of texts, their texts by letter, or the hub's `{"text": […], "label": […]}`; a text may hold one of them as JSON."""
    (column,) = named
    value: Any = rows[index].get(column)
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with suppress(orjson.JSONDecodeError):
            value = orjson.loads(value)
    labels: Sequence[Any] = ()
    if isinstance(value, dict):
        lists = {name: part for name, part in value.items() if isinstance(part, list)}
        if lists.keys() >= {"text", "label"}:
            value, labels = lists["text"], lists["label"]
        else:
            filled = {label: text for label, text in value.items() if text is not None}
            value, labels = list(filled.values()), list(filled)
    if not isinstance(value, list) or (labels and len(labels) != len(value)):
        raise rows.wrong(
            index,
            f"{column!r} holds {'nothing' if value is None else short(str(value))}, which is not a list of choices; write [a,b,c,d] "
            'for the columns of four choices, or put a list or a mapping in each row, such as ["one", "two"].',
        )
    return Choices(_texts(rows, index, column, value), tuple(map(str, labels)))


def _texts(rows: Rows, index: int, column: str, parts: Sequence[Any]) -> tuple[str, ...]:
    """The texts of a list; an empty one keeps its place, since the gold answers count it."""
    try:
        return tuple(
            "" if isinstance(part, str) and not part.strip() else read_text(plain(part), column)
            for part in parts
        )
    except ValueError as error:
        raise rows.wrong(index, f"not all choices are texts: the row {error}") from error


def _by_label(choices: Choices, answer: str) -> int | None:
    return choices.labels.index(answer) if answer in choices.labels else None


def _by_letter(choices: Choices, answer: str) -> int | None:
    found = re.fullmatch(r"[(\[]?([A-Za-z])[)\].:]{0,2}", answer)
    place = LETTERS.index(found[1].upper()) if found else len(LETTERS)
    return place if place < len(choices.texts) else None


def _by_text(choices: Choices, answer: str) -> int | None:
    return choices.texts.index(answer) if choices.texts.count(answer) == 1 else None


def _by_number(first: int) -> Callable[[Choices, str], int | None]:
    def read(choices: Choices, answer: str) -> int | None:
        place = int(answer) - first if re.fullmatch(r"\d{1,3}", answer, re.ASCII) else -1
        return place if 0 <= place < len(choices.texts) else None

    return read


READINGS: dict[str, Callable[[Choices, str], int | None]] = {
    "the data's own labels": _by_label,
    "letters": _by_letter,
    "the texts of choices": _by_text,
    "numbers of choices counted from 0": _by_number(0),
    "numbers of choices counted from 1": _by_number(1),
}
COUNTED = tuple(READINGS)[-2:]


def right_choices(
    rows: Rows, choices: Sequence[Choices], golds: Sequence[str], count_from: int | None
) -> tuple[Sequence[int], str]:
    """Returns which choice is right in each row, counted from 0, by the one reading that fits all of them, and that reading in words.

    Raises:
        RowError: A gold answer fits none of its row's choices.
        ConfigError: Two readings fit all rows and say different things.
    """
    found = {
        name: [read(each, gold) for each, gold in zip(choices, golds, strict=True)]
        for name, read in READINGS.items()
        if count_from is None or name == COUNTED[count_from]
    }
    fitting = {
        name: [p for p in places if p is not None] for name, places in found.items() if None not in places
    }
    if not fitting:
        best = min(found, key=lambda name: found[name].count(None))
        index = found[best].index(None)
        others = "" if set(found[best]) == {None} else f"; in other rows the answers are {best}"
        raise rows.wrong(index, f"{_misfit(choices[index], golds[index])}{others}; fix the row.")
    (name, places), *more = fitting.items()
    differing = [other for other, said in more if said != places]
    if differing and name != "the data's own labels":
        shown = ", ".join(map(short, list(dict.fromkeys(golds))[:SHOWN_CHOICES]))
        raise ConfigError(
            f"{rows.source}: the answers, such as {shown}, may be {name} or {differing[0]}, which mean different choices; "
            "set count_from=0 or count_from=1 where they are numbers of choices, else write letters where the choices are no letters."
        )
    return places, name


def _misfit(choices: Choices, gold: str) -> str:
    if choices.texts.count(gold) > 1:
        return f"two of the {choices.described()} are {short(gold)}, so that the answer is not clear"
    return f"the answer {short(gold)} is none of the {choices.described()}, by letter, number or text"
