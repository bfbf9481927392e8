"""One row a result, as Parquet and as CSV.

Texts are what a model wrote, so they are hostile. Parquet holds them as they are, but for lone surrogates, which UTF-8
cannot hold and U+FFFD stands for. CSV has U+FFFD for NUL too, and an apostrophe before a text that a spreadsheet would
take for a formula (one that begins with = + - @, a tab or a line break and is no plain number) and before one that begins
with an apostrophe itself: whoever takes one leading apostrophe away has the text again. Null is an empty cell.
"""

import csv as csv_module
import io
import re
from collections.abc import Sequence
from typing import Any

from llmbench.results.rows import COLUMNS

_FORMULA = re.compile("[=+\\-@\t\r\n']")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """The rows as Parquet, every column with its type even where all of it is null."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)
    return file.getvalue()


def csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """The rows as CSV in UTF-8 with a header, as RFC 4180 has it."""
    file = io.StringIO(newline="")
    # Python before 3.13 puts quotes around a carriage return only where lines end with one: else it would begin a row.
    writer = csv_module.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    return file.getvalue().encode()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "\ufffd")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
