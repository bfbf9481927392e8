"""The rows of a data set: their fields as text, and how they are read from JSON and CSV."""

import codecs
import csv
import io
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from llmbench.errors import DataError

Row = Mapping[str, Any]

EXACT = 2.0**53
"""Below this every whole number has a float of its own."""


class Loaded(NamedTuple):
    """The rows of a data set, and what identifies it; see `dataset.DataSource`."""

    rows: list[Row]
    revision: str | None
    fingerprint: str
    size_bytes: int | None


def text_of(row: Row, column: str, index: int) -> str:
    """A field that must hold text, without the white space around it; numbers and truth values are texts as JSON writes them.

    Raises:
        DataError: It holds something else, or nothing.
    """
    value = row.get(column)
    if isinstance(value, float) and abs(value) >= EXACT:
        raise DataError(
            f"Row {index} of the data has {value:g} under {column!r}, a number too long to be read exactly; write it as text."
        )
    if isinstance(value, int | float):
        return written(value)
    if isinstance(value, str) and not value.isprintable() and re.search(r"[\udc80-\udcff]", value):
        raise DataError(
            f"Row {index} of the data has bytes under {column!r} that are no UTF-8; convert the file."
        )
    if not isinstance(value, str) or not value.strip():
        shown = "nothing" if value is None or value == "" else f"a {type(value).__name__}"
        raise DataError(
            f"Row {index} of the data has {shown} under {column!r} where text is expected; fix the row."
        )
    return value.strip()


def written(value: object) -> str:
    """A number or a truth value as JSON writes it: 7, 0.5, true."""
    return orjson.dumps(value).decode() if isinstance(value, bool | float) else str(value)


def check_text(row: Row, column: str, index: int) -> None:
    """Refuses a question that is there but holds no text; grading alone needs no question.

    Raises:
        DataError: As `text_of` does.
    """
    if column in row:
        text_of(row, column, index)


def parse_json(content: bytes) -> list[Row]:
    """Rows of a JSON file: a list of objects, or an object a line; a field that a row lacks is None, as in `datasets`.

    Read without `datasets`, whose import takes a second and which turns texts that look like dates into dates.

    Raises:
        ValueError: It is neither; the message names the line.
    """
    rows: list[Any]
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] == b"[":
        rows = orjson.loads(content)
    else:
        rows = []
        for number, line in enumerate(content.splitlines(), 1):
            if not line.strip():
                continue
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number}: {str(error).rstrip('.')}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not an object")  # noqa: TRY004 - the content is wrong, not our caller
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column) for column in columns} for row in rows]


def parse_csv(content: bytes) -> list[Row]:
    """Rows of a CSV file with a header, in UTF-8; every value is the text that is written there, an empty one None.

    Raises:
        ValueError: It is none; the message names the line.
    """
    csv.field_size_limit(sys.maxsize)  # a question may be long
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    rows: list[Row] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        twice = [name for number, name in enumerate(header) if name in header[:number]]
        if twice:
            raise ValueError(f"two columns are called {twice[0]!r}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"line {reader.line_num}: {len(cells)} values under {len(header)} column names"
                )
            rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    return rows


PARSERS: Mapping[str, Callable[[bytes], list[Row]]] = {"json": parse_json, "csv": parse_csv}
"""Read without `datasets`, which guesses types: 0.50, None and True are texts in a CSV file, and dates are in JSON."""
