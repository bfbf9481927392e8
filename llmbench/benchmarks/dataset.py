"""Reading the questions: from the hub through the `datasets` library, or from a local copy.

Only what is needed to name and verify the data later is kept beside the rows: where they came from, which revision it
resolved to, a fingerprint, and how long reading took.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmbench.benchmarks.hub import read_hub, read_hub_configs, read_hub_files
from llmbench.benchmarks.rows import PARSERS, Loaded, Row, Rows, check_text, names, text_of, written
from llmbench.config.schema import BenchmarkConfig
from llmbench.errors import DataError, first_line
from llmbench.system import files as files_of_user

__all__ = ["DataSource", "Row", "Rows", "check_text", "read_rows", "text_of", "written"]


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a benchmark's rows came from.

    Attributes:
        source: Hub id, path of the local file, or `generated`.
        revision: The commit a hub data set resolved to, None elsewhere or where it is not known.
        fingerprint: SHA-256 of a local file or of generated rows; `datasets`' fingerprint for the hub.
        size_bytes: Of the local file or of the downloaded data, None where not known.
        load_s: Seconds that reading took.
        notes: How the benchmark understood it, in sentences; see `Benchmark.data_notes`.
    """

    source: str
    split: str | None
    revision: str | None
    fingerprint: str
    rows: int
    size_bytes: int | None
    load_s: float
    notes: tuple[str, ...] = ()


def read_rows(
    name: str,
    config: BenchmarkConfig,
    columns: Sequence[str],
    files: Sequence[str] = (),
    configs: Sequence[str] = (),
) -> tuple[Rows, DataSource]:
    """The rows of a benchmark's data set, in its own order, with where each stands.

    Args:
        name: The benchmark's name, for messages.
        config: Says where the data is; `data_files` wins over the hub.
        columns: Field names that must be there.
        files: On the hub, JSON files that hold the rows; without any the data set's own builder finds them.
        configs: On the hub, the configurations that hold them; without any the one that `config` names.

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
        raise DataError(
            f"{name}: neither benchmarks.{name}.hub_id nor benchmarks.{name}.data_files is set; "
            "for data of your own type custom.data=FILE or custom.data=hub:ORG/NAME:CONFIG:SPLIT."
        )
    else:
        rows, revision, fingerprint, size = _read_hub(name, config, files, configs)
        source, split = str(config.hub_id), config.split
    if not rows:
        instead = ", or leave data_files away to use the hub" if config.data_files and config.hub_id else ""
        checked = "file" if config.data_files else "data set"
        raise DataError(f"{name}: {source} holds no rows; check the {checked}{instead}.")
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise DataError(
            f"{name}: {source} has no column {', '.join(map(repr, missing))}; it has {names(rows[0])}. "
            f"Fields must be named {', '.join(columns)}."
        )
    seconds = time.monotonic() - begun
    placed = Rows.of(rows, Path(source).name if config.data_files is not None else source)
    return placed, DataSource(source, split, revision, fingerprint, len(rows), size, seconds)


def _read_hub(name: str, config: BenchmarkConfig, files: Sequence[str], configs: Sequence[str]) -> Loaded:
    if files:
        return read_hub_files(name, config, files)
    return read_hub_configs(name, config, configs) if configs else read_hub(name, config)


def _read_file(name: str, path: Path) -> Loaded:
    hint = f"check benchmarks.{name}.data_files"
    parse = PARSERS.get(path.suffix.lower())
    if parse is None:
        raise DataError(f"{name}: {path} is none of {', '.join(PARSERS)}; {hint}.")
    try:
        content = files_of_user.read(path)
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read ({error.strerror}); {hint}.") from error
    try:
        rows = parse(content)
    except Exception as error:  # of pyarrow, about this file: their kinds are many
        raise DataError(
            f"{name}: {path} cannot be read as {path.suffix[1:]}: {first_line(error)}; {hint}."
        ) from error
    return Loaded(rows, None, hashlib.sha256(content).hexdigest(), len(content))
