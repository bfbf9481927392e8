"""Reading the questions: from the hub through the `datasets` library, or from a local copy.

Only what is needed to name and verify the data later is kept beside the rows: where they came from, which revision it
resolved to, a fingerprint, and how long reading took.
"""

import codecs
import csv
import glob
import hashlib
import io
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from llmbench.config.schema import BenchmarkConfig
from llmbench.errors import DataError
from llmbench.system import files as files_of_user

Row = Mapping[str, Any]

EXACT = 2.0**53
"""Below this every whole number has a float of its own."""
MOST_NAMES, SHOWN = 20, 40
"""Names of columns that a sentence tells, and characters of each."""
BUILDERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a benchmark's rows came from.

    Attributes:
        source: Hub id, path of the local file, or `generated`.
        revision: The commit a hub data set resolved to, None elsewhere or where it is not known.
        fingerprint: SHA-256 of a local file or of generated rows; `datasets`' fingerprint for the hub.
        size_bytes: Of the local file or of the downloaded data, None where not known.
        load_s: Seconds that reading took.
    """

    source: str
    split: str | None
    revision: str | None
    fingerprint: str
    rows: int
    size_bytes: int | None
    load_s: float


def read_rows(
    name: str, config: BenchmarkConfig, columns: Sequence[str], files: Sequence[str] = ()
) -> tuple[list[Row], DataSource]:
    """The rows of a benchmark's data set, in its own order.

    Args:
        name: The benchmark's name, for messages.
        config: Says where the data is; `data_files` wins over the hub.
        columns: Field names that must be there.
        files: On the hub, JSON files that hold the rows; without any the data set's own builder finds them.

    Raises:
        DataError: The file is missing, empty or malformed, a column is missing, the data set is gated or out of reach.
    """
    begun = time.monotonic()
    if config.data_files is not None:
        rows, revision, fingerprint, size = _read_file(
            name, files_of_user.expanded(config.data_files, DataError, f"benchmarks.{name}.data_files")
        )
        source, split = config.data_files, None
    elif config.hub_id is None:
        raise DataError(f"{name}: neither benchmarks.{name}.hub_id nor benchmarks.{name}.data_files is set.")
    else:
        rows, revision, fingerprint, size = (
            _read_hub_files(name, config, files) if files else _read_hub(name, config)
        )
        source, split = str(config.hub_id), config.split
    if not rows:
        raise DataError(
            f"{name}: {source} holds no rows; check the file, or leave data_files away to use the hub."
        )
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise DataError(
            f"{name}: {source} has no column {', '.join(map(repr, missing))}; it has {_names(rows[0])}. "
            f"Fields must be named {', '.join(columns)}."
        )
    seconds = time.monotonic() - begun
    return rows, DataSource(source, split, revision, fingerprint, len(rows), size, seconds)


def _names(row: Row) -> str:
    """Names of columns in a sentence: whoever made the file chose them."""
    shown = [repr(name[:SHOWN])[1:-1] for name in list(row)[:MOST_NAMES]]
    return ", ".join(shown + (["…"] if len(row) > MOST_NAMES else []))


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


_Loaded = tuple[list[Row], str | None, str, int | None]


def _read_file(name: str, path: Path) -> _Loaded:
    hint = f"check benchmarks.{name}.data_files"
    if not path.exists():
        raise DataError(f"{name}: there is no file {path}; {hint}.")
    if path.is_dir():
        raise DataError(f"{name}: {path} is not a file; {hint}.")
    builder = BUILDERS.get(path.suffix.lower())
    if builder is None:
        raise DataError(f"{name}: {path} is none of {', '.join(BUILDERS)}; {hint}.")
    try:
        content = files_of_user.read(path)
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read ({error.strerror}); {hint}.") from error
    if not content.strip():
        raise DataError(f"{name}: {path} is empty; {hint}.")
    digest = hashlib.sha256(content).hexdigest()
    if builder in PARSERS:
        try:
            return PARSERS[builder](content), None, digest, len(content)
        except ValueError as error:
            raise DataError(f"{name}: {path} cannot be read as {builder}: {error}; {hint}.") from error
    datasets = _datasets()
    try:
        loaded = datasets.load_dataset(builder, data_files=glob.escape(str(path)), split="train")
        rows = [_plain(row) for row in _with_short_numbers(loaded)]
    except Exception as error:  # of the library and of pyarrow, about this file: their kinds are many
        cause = _innermost(error)
        raise DataError(f"{name}: {path} cannot be read as {builder}: {cause}; {hint}.") from error
    return rows, None, digest, len(content)


def _with_short_numbers(loaded: Any) -> Iterator[Row]:  # noqa: ANN401 - of `datasets`
    """The rows of a table, with numbers of less than double precision as the shortest that read the same: 0.1, not 0.10000000149011612."""
    import numpy as np

    types = {name: getattr(feature, "dtype", "") for name, feature in loaded.features.items()}
    narrow = {name: np.dtype(kind).type for name, kind in types.items() if kind in ("float16", "float32")}
    for row in loaded:
        short = {name: float(str(kind(row[name]))) for name, kind in narrow.items() if row[name] is not None}
        yield {**row, **short}


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


def _read_hub(name: str, config: BenchmarkConfig) -> _Loaded:
    datasets = _datasets()
    try:
        loaded = datasets.load_dataset(
            config.hub_id, config.hub_config, split=config.split, revision=config.revision
        )
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(_not_found(name, config, str(error))) from error
    except (ConnectionError, TimeoutError, OSError) as error:
        raise DataError(files_of_user.cache_trouble(error) or _unreachable(name, config)) from error
    except (ValueError, datasets.exceptions.DatasetGenerationError) as error:
        if "ouldn't find cache" in str(error) or "offline" in str(error).lower():
            raise DataError(_unreachable(name, config)) from error
        raise DataError(f"{name}: {config.hub_id} cannot be read: {_innermost(error)}.") from error
    info = loaded.info
    checksums = " ".join(info.download_checksums or {})
    commit = re.search(r"@([0-9a-f]{40})/", checksums)
    return list(loaded), commit.group(1) if commit else None, loaded._fingerprint, info.download_size  # noqa: SLF001


def _read_hub_files(name: str, config: BenchmarkConfig, files: Sequence[str]) -> _Loaded:
    """JSON files of a data set whose own loading script `datasets` no longer runs."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    rows: list[Row] = []
    digest, size, commit = hashlib.sha256(), 0, None
    for file in files:
        try:
            path = hf_hub_download(str(config.hub_id), file, repo_type="dataset", revision=config.revision)
        except (GatedRepoError, RepositoryNotFoundError) as error:
            raise DataError(_not_found(name, config, str(error))) from error
        except (LocalEntryNotFoundError, ConnectionError, TimeoutError, OSError) as error:
            raise DataError(files_of_user.cache_trouble(error) or _unreachable(name, config)) from error
        content = Path(path).read_bytes()
        try:
            rows += parse_json(content)
        except ValueError as error:
            raise DataError(f"{name}: {file} of {config.hub_id} cannot be read as json: {error}.") from error
        digest.update(content)
        size += len(content)
        found = re.search(r"/snapshots/([0-9a-f]{40})/", path)
        commit = found.group(1) if found else None
    return rows, commit, digest.hexdigest(), size


def _datasets() -> Any:  # noqa: ANN401 - a module without types
    import datasets

    datasets.disable_progress_bars()
    return datasets


def _not_found(name: str, config: BenchmarkConfig, message: str) -> str:
    local = f"or give a local copy with benchmarks.{name}.data_files=PATH"
    if "gated" in message.lower() or config.sealed:
        return (
            f"{name}: {config.hub_id} is gated: accept its terms on https://huggingface.co/datasets/{config.hub_id}, "
            f"log in with `hf auth login`, {local}."
        )
    return (
        f"{name}: the hub has no data set {config.hub_id} for you; check benchmarks.{name}.hub_id, {local}."
    )


def _unreachable(name: str, config: BenchmarkConfig) -> str:
    return (
        f"{name}: the hub cannot be reached (no network, or HF_HUB_OFFLINE is set) and {config.hub_id} is not in the local "
        f"cache; give a local copy with benchmarks.{name}.data_files=PATH."
    )


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
