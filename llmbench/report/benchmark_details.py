"""What a benchmark adds to its accuracy (`details` of the summary): a line at the terminal, facts and tables in the page.

A single value is a fact. A mapping of values, such as how often there was each verdict, is a table of two columns; a mapping of mappings, such as
rates by kind of instruction, one with a column for each of their names. A number with a point from 0 to 1 is a share. Anything else stands in
summary.json alone.
"""

from collections.abc import Mapping
from typing import Any

from llmbench.report.escaping import short, visible
from llmbench.results.summary import Summary
from llmbench.system.number_format import NONE, number, percent

MOST_ROWS, LONGEST = 200, 60
"""Rows of a table, a longer one is left out; and characters of a text in it."""
Details = Mapping[str, Any]


def line(details: Details | None) -> str:
    """Returns the single values and the counts in one line; an empty text where there are none."""
    parts = [", ".join(f"{name} {value}" for name, value in facts(details) if value != NONE)]
    for name, values in (details or {}).items():
        if isinstance(values, Mapping) and values and all(map(_is_count, values.values())):
            counts = (f"{_text(key)} {number(value)}" for key, value in values.items())
            parts.append(f"{_words(name)} {', '.join(counts)}")
    return "; ".join(part for part in parts if part)


def facts(details: Details | None) -> list[tuple[str, str]]:
    """Returns the single values: name and value."""
    found = (details or {}).items()
    return [(_words(name), _shown(value)) for name, value in found if _is_single(value)]


def tables_of(summary: Summary) -> list[dict[str, Any]]:
    """Returns the tables of all benchmarks of a run."""
    return [each for name, found in summary.benchmarks.items() for each in tables(name, found.details)]


def tables(benchmark: str, details: Details | None) -> list[dict[str, Any]]:
    """Returns the tables of a benchmark as the template shows them: a title, columns and rows of cells."""
    found = []
    for name, values in (details or {}).items():
        if not isinstance(values, Mapping) or not 0 < len(values) <= MOST_ROWS:
            continue
        rows = {key: each if isinstance(each, Mapping) else {"value": each} for key, each in values.items()}
        if not all(_is_single(value) for row in rows.values() for value in row.values()):
            continue
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        cells = [
            [{"text": _text(key), "sort": _text(key)}, *(_cell(row.get(column)) for column in columns)]
            for key, row in rows.items()
        ]
        title = f"{_text(benchmark)}: {_words(name)}"
        found.append({"title": title, "columns": ["name", *map(_words, columns)], "rows": cells})
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_single(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _cell(value: object) -> dict[str, str]:
    return {"text": _shown(value), "sort": "" if value is None else _text(value)}


def _shown(value: object) -> str:
    if isinstance(value, float) and 0 <= value <= 1:
        return percent(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return NONE if value is None else _words(value)


def _words(name: object) -> str:
    return _text(name).replace("_", " ")


def _text(value: object) -> str:
    return short(visible(str(value)), LONGEST)
