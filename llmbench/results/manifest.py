"""The files of a run folder: their names, manifest.json as others read it, and whole files written and read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import orjson

from llmbench.config.schema import EXPORTS
from llmbench.errors import RunError
from llmbench.system import files, schema

CONFIG, MANIFEST, JOURNAL, SUMMARY, LOG = (
    "config.yaml",
    "manifest.json",
    "samples.jsonl",
    "summary.json",
    "llmbench.log",
)


TRACE, MEMORY_LOG, REPORT = "trace.jsonl", "memory.log", "report.html"
REGRADED_JOURNAL, REGRADED_SUMMARY = "samples.regraded.jsonl", "summary.regraded.json"
"""What llmbench.regrade writes beside them."""


ASKED_FOR = (*EXPORTS.values(), "predictions.jsonl")
"""What exports and SWE-bench leave."""


BEGUN = "sweep.json"
"""In a sweep's folder: how it was begun."""


REMEDY = "take it from a backup, or run again."


STARTING = "starting"
"""The status in a manifest that says only how the run was called: nothing has begun yet."""


def cannot_write(path: Path, error: OSError) -> RunError:
    """Returns the error for a file of a run that cannot be written."""
    return RunError(f"{path} cannot be written ({error.strerror}); what was journalled is kept.")


def write_whole(path: Path, text: str) -> None:
    """Writes a file as a whole, as `RunFolder.write_text` does, wherever it is.

    Raises:
        RunError: It cannot be written.
    """
    if not path.name:
        raise RunError(f"{path} does not name a file to write.")
    try:
        files.refuse_special(path)
        files.replace(path, (text.encode(), b"\n"))
    except OSError as error:
        raise cannot_write(path, error) from error


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object as a whole, to be read with `read_object`.

    Raises:
        RunError: It cannot be written.
    """
    write_whole(path, orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str).decode())


JSON_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class Machine(TypedDict, total=False):
    """What others read of a manifest's `machine`."""

    platform: str | None
    cpu_count: int | None
    memory_bytes: int | None
    gpus: list[dict[str, Any]]


class Manifest(TypedDict, total=False):
    """What others read of manifest.json."""

    status: str
    arguments: list[str]
    directory: str
    sweep: str | None
    sittings: list[dict[str, Any]]
    notes: list[str]
    restarts: list[dict[str, Any]]
    started: str | None
    overrides: list[str]
    samples: dict[str, list[str]]
    data: dict[str, dict[str, Any]]
    checkpoint: dict[str, Any] | None
    machine: Machine
    versions: dict[str, str | None]
    sampling: dict[str, Any]
    git_commit: str | None
    recovery: list[dict[str, Any]]
    tracked: list[str]


def read_object(path: Path, shape: Any) -> dict[str, Any]:  # noqa: ANN401 - a class, or a TypedDict
    """The JSON object that a file of a run holds.

    Raises:
        RunError: There is no such file, it cannot be read, or it is not of the shape.
    """
    try:
        content = orjson.loads(content_of(path, files.JSON_BYTES))
        schema.check(content, shape)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); {REMEDY}") from error
    return content  # type: ignore[no-any-return]


def content_of(path: Path, most_bytes: int = files.DATA_BYTES) -> bytes:
    """What a file of a run holds; raises a RunError that names it where it cannot be read."""
    try:
        return files.read(path, most_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path.parent} holds no {path.name}; it is not the folder of a run.") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from error
