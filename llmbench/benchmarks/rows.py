"""The rows of a data set: their fields as text, and how they are read from JSON and CSV."""

import codecs
import csv
import io
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self

import orjson

from llmbench.errors import DataError, RowError

Row = Mapping[str, Any]


class Rows(list[Row]):
    """Rows that know where they stand, so that a message can name the place as an editor shows it.

    Attributes:
        source: The file's name or the data set's, as a message begins.
        lines: The line on which each row begins, counted from 1; empty where rows are no lines, and then rows are counted from 1.
    """

    source: str = "the data"
    lines: Sequence[int] = ()

    def number(self, index: int) -> int:
        """Returns the row's line in the file, or its place among the rows, counted from 1."""
        return self.lines[index] if self.lines else index + 1

    def place(self, index: int) -> str:
        """Returns where a row stands, such as `mine.csv, line 7` or `mine.parquet, row 6`."""
        return f"{self.source}, {'line' if self.lines else 'row'} {self.number(index)}"

    def wrong(self, index: int, what: str) -> RowError:
        """Returns the error of a row that does not fit."""
        return RowError(self.place(index), what)

    @classmethod
    def of(cls, rows: Sequence[Row], source: str | None = None) -> Self:
        """Returns rows with their places: those they have, or counted from 1."""
        found = rows if isinstance(rows, cls) else cls(rows)
        found.source = source or found.source
        return found


MOST_NAMES, SHOWN = 20, 40
"""Names of columns that a sentence tells, and characters of each."""
EXACT = 2.0**53
"""Below this every whole number has a float of its own."""


class Loaded(NamedTuple):
    """The rows of a data set, and what identifies it; see `dataset.DataSource`."""

    rows: list[Row]
    revision: str | None
    fingerprint: str
    size_bytes: int | None


def names(columns: Iterable[str]) -> str:
    """Returns names of columns as a sentence tells them: whoever made the file chose them."""
    shown = [repr(name[:SHOWN])[1:-1] for name in columns]
    return ", ".join(shown[:MOST_NAMES] + ["…"] * (len(shown) > MOST_NAMES))


def text_of(row: Row, column: str, index: int) -> str:
    """A field that must hold text, as `read_text` reads it.

    Raises:
        DataError: It holds something else, or nothing.
    """
    try:
        return read_text(row.get(column), column)
    except ValueError as error:
        raise DataError(f"Row {index} of the data {error}") from error


def read_text(value: object, column: str) -> str:
    """A field's text without the white space around it; numbers and truth values are texts as JSON writes them.

    Raises:
        ValueError: It is something else, or nothing; the message says it of the row.
    """
    if isinstance(value, float) and abs(value) >= EXACT:
        raise ValueError(
            f"has {value:g} under {column!r}, a number too long to be read exactly; write it as text."
        )
    if isinstance(value, int | float):
        return written(value)
    if isinstance(value, str) and not value.isprintable() and re.search(r"[\udc80-\udcff]", value):
        raise ValueError(f"has bytes under {column!r} that are no UTF-8; convert the file.")
    if not isinstance(value, str) or not value.strip():
        shown = "nothing" if value is None or value == "" else f"a {type(value).__name__}"
        raise ValueError(f"has {shown} under {column!r} where text is expected; fix the row.")
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


def parse_json(content: bytes) -> Rows:
    """Rows of a JSON file: a list of objects, or an object a line; a field that a row lacks is None, as in `datasets`.

    Read without `datasets`, whose import takes a second and which turns texts that look like dates into dates.

    Raises:
        ValueError: It is neither; the message names the line.
    """
    rows: list[Any]
    lines: list[int] = []
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
                lines.append(number)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number}: {str(error).rstrip('.')}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not an object")  # noqa: TRY004 - the content is wrong, not our caller
    columns = dict.fromkeys(column for row in rows for column in row)
    found = Rows({column: row.get(column) for column in columns} for row in rows)
    found.lines = lines
    return found


def parse_csv(content: bytes) -> Rows:
    """Rows of a CSV file with a header, in UTF-8; every value is the text that is written there, an empty one None.

    Values are separated by commas, or, where the header has none, by semicolons or tabs, as spreadsheets write them in some countries.

    Raises:
        ValueError: It is none; the message names the line.
    """
    csv.field_size_limit(sys.maxsize)  # a question may be long
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8; save the file as UTF-8") from error
    head = text.partition("\n")[0]
    separator = next((mark for mark in ",;\t" if mark in head), ",")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    rows, lines = Rows(), list[int]()
    try:
        header = [name.strip() for name in next(reader, [])]
        twice = [name for number, name in enumerate(header) if name in header[:number]]
        if twice:
            raise ValueError(f"two columns are called {twice[0]!r}")
        begins = reader.line_num + 1
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"line {reader.line_num}: {len(cells)} values under {len(header)} column names"
                )
            rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
            lines.append(line)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    rows.lines = lines
    return rows


def parse_parquet(content: bytes) -> Rows:
    """Rows of a Parquet file.

    Numbers of less than double precision are the shortest that read the same: 0.1, not 0.10000000149011612.

    Raises:
        ArrowInvalid: Of pyarrow, or another of its errors: it is not a Parquet file, or is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(content))
    narrow = {
        field.name: field.type.to_pandas_dtype()
        for field in table.schema
        if pa.types.is_float16(field.type) or pa.types.is_float32(field.type)
    }
    rows = Rows()
    for row in table.to_pylist():
        short = {name: float(str(kind(row[name]))) for name, kind in narrow.items() if row[name] is not None}
        rows.append(_plain({**row, **short}))
    return rows


def _plain(value: Any) -> Any:  # noqa: ANN401 - nested plain data
    """A value of a table as JSON has it, but for dates; what is not a number is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


PARSERS: Mapping[str, Callable[[bytes], Rows]] = {
    ".jsonl": parse_json,
    ".json": parse_json,
    ".csv": parse_csv,
    ".parquet": parse_parquet,
}
"""Read without `datasets`, which guesses types: 0.50, None and True are texts in a CSV file, and dates are in JSON."""
