"""A run's folder: the only module that writes or reads one.

config.yaml   every setting, resolved      manifest.json   how the run came about
samples.jsonl the journal                  summary.json    what it found          llmbench.log   everything said
trace.jsonl   telemetry over time         memory.log      the same in lines to read    report.html     all of it to look at
"""

import base64
import dataclasses
import os
import shlex
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypedDict

import orjson

from llmbench.config.schema import EXPORTS
from llmbench.errors import RunError
from llmbench.records import Completion, FinishReason, Outcome, Result, Score, Timing
from llmbench.results import journal
from llmbench.results.summary import Summary, as_dict
from llmbench.system import files, schema
from llmbench.system.lock import FolderLock
from llmbench.system.redaction import clean

CONFIG, MANIFEST, JOURNAL, SUMMARY, LOG = (
    "config.yaml",
    "manifest.json",
    "samples.jsonl",
    "summary.json",
    "llmbench.log",
)
TRACE, MEMORY_LOG, REPORT = "trace.jsonl", "memory.log", "report.html"
ASKED_FOR = (*EXPORTS.values(), "predictions.jsonl")
"""What exports and SWE-bench leave."""
BEGUN = "sweep.json"
"""In a sweep's folder: how it was begun."""
MEND = "take it from a backup, or run again."
STARTING = "starting"
"""The status in a manifest that says only how the run was called: nothing has begun yet."""
SEALED = "sealed"
_SECRET_FIELDS = ("prompt", "text", "fields", "completions", "score")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished or unfinished run, read back."""

    folder: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    results: list[Result]
    sealed: frozenset[str] = frozenset()
    """Benchmarks whose questions must not stand in plain text."""
    notes: tuple[str, ...] = ()
    """What is wrong with the files, a sentence each: a line that was torn, results that are missing."""


class Store:
    """The folder of a run being made. `sealed` names the benchmarks whose questions must not stand in plain text."""

    def __init__(
        self,
        folder: Path,
        sealed: frozenset[str] = frozenset(),
        *,
        goes_on: bool = False,
    ) -> None:
        """Creates the folder and its journal, or `goes_on` with the journal that is there.

        Lines of the journal that cannot be used are put into `samples.damaged.jsonl` when the run goes on; `damage` tells of them.

        Raises:
            RunError: The folder holds a run already, is another process's, or cannot be written or named.
        """
        files.refuse_bytes(folder, RunError, "The name of the run's folder")
        self.folder, self.sealed = folder, sealed
        self.damage: journal.Damage | None = None
        self._lock = FolderLock(folder)
        path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.__enter__()
            if not goes_on or _starting(folder / MANIFEST):
                refuse_taken(folder)
                path.unlink(missing_ok=True)  # of a run that was killed before it had begun: it is empty
            elif path.exists():
                self.damage = journal.mend(path, from_row)
            self._journal = journal.Appender(path, new=not goes_on)
        except RunError:
            self._lock.__exit__()
            raise
        except OSError as error:
            self._lock.__exit__()
            raise RunError(
                f"The run's folder {folder} cannot be written ({error.strerror}); choose another with hydra.run.dir=FOLDER."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Brings the journal to the disk and closes it.

        Raises:
            RunError: The last lines cannot be written; after an error it is that one which is told.
        """
        try:
            self._journal.close()
        except OSError as trouble:
            if kind is None:
                raise cannot_write(self.folder / JOURNAL, trouble) from trouble
        finally:
            self._lock.__exit__()

    def write_text(self, name: str, text: str) -> None:
        """Writes a file as a whole: readers see the old one or the new one."""
        self._replace(name, text.encode())

    def read_manifest(self) -> dict[str, Any]:
        """What manifest.json holds; nothing where there is none, or none that can be read."""
        try:
            return read_object(self.folder / MANIFEST, Manifest)
        except RunError:
            return {}

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Writes manifest.json."""
        self._replace(MANIFEST, orjson.dumps(clean(manifest), option=_JSON, default=str))

    def write_summary(self, summary: Summary) -> None:
        """Writes summary.json."""
        self._replace(SUMMARY, orjson.dumps(clean(as_dict(summary)), option=_JSON, default=str))

    def _replace(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            files.replace(path, (content, b"\n"))
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, result: Result) -> None:
        """Adds a line to the journal: with the file system at once, on the disk within `journal.SYNC_S` seconds.

        Raises:
            RunError: The line cannot be written; those before it are kept.
        """
        line = line_of(result, sealed=result.benchmark in self.sealed)
        try:
            self._journal.append(line)
        except OSError as error:
            raise cannot_write(self.folder / JOURNAL, error) from error

    def sync_if_due(self) -> None:
        """Brings the journal's lines to the disk when they have waited for a second; to be called now and then."""
        try:
            self._journal.sync_if_due()
        except OSError as error:
            raise cannot_write(self.folder / JOURNAL, error) from error


def in_the_way(folder: Path) -> str | None:
    """The name of a file there that a run would lose or overwrite; None where none has begun, so that one may begin.

    What a run makes before its manifest is no beginning: an empty config.yaml, an empty journal, and a manifest that says
    only how it was called. Its log is added to, and other names are never touched. What a run leaves only where it is asked to counts always.
    """
    for name in (MANIFEST, SUMMARY, TRACE, MEMORY_LOG, REPORT, CONFIG, JOURNAL, *ASKED_FOR):
        path = folder / name
        if not os.path.lexists(path):
            continue
        if name in (CONFIG, JOURNAL) and not path.is_symlink() and path.is_file() and not path.stat().st_size:
            continue
        if name != MANIFEST or not _starting(path):
            return name
    return None


def _starting(path: Path) -> bool:
    try:
        return read_object(path, Manifest).get("status") == STARTING
    except RunError:
        return False


def refuse_taken(folder: Path) -> None:
    """Refuses a folder in which no run can begin.

    Raises:
        RunError: It holds a run, or a file that a run would overwrite.
    """
    name = in_the_way(folder)
    if name == MANIFEST:
        raise RunError(
            f"{folder} holds a run already; resume={shlex.quote(str(folder))} goes on with it, hydra.run.dir=FOLDER begins another."
        )
    if name is not None:
        raise RunError(
            f"{folder} holds {name} already, which a run would overwrite; choose another folder with hydra.run.dir=FOLDER."
        )


def cannot_write(path: Path, error: OSError) -> RunError:
    """The sentence for a file of a run that takes no more."""
    return RunError(f"{path} cannot be written ({error.strerror}); what was journalled is kept.")


def write_whole(path: Path, text: str) -> None:
    """Writes a file as a whole, as `Store.write_text` does, wherever it is.

    Raises:
        RunError: It cannot be written.
    """
    if not path.name:
        raise RunError(f"{path} is no name of a file to write.")
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


_JSON = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def to_row(result: Result, *, sealed: bool = False) -> dict[str, Any]:
    """A result as a journal line holds it: without token ids, and sealed where its question must not be read."""
    row = {
        "benchmark": result.benchmark,
        "id": result.sample_id,
        "repeat": result.repeat,
        "outcome": result.score.outcome.value,
        "value": result.score.value,
        "elicited": result.elicited,
        "target": result.target,
        "prompt_hash": result.prompt_hash,
        "prompt": result.prompt,
        "text": result.text,
        "fields": dict(result.fields),
        "score": {"answer": result.score.answer, "explanation": result.score.explanation},
        "completions": [_completion_row(completion) for completion in result.completions],
    }
    if not sealed:
        return row
    secret = {name: row.pop(name) for name in _SECRET_FIELDS}
    return row | {SEALED: base64.b64encode(zlib.compress(orjson.dumps(secret))).decode()}


def line_of(result: Result, *, sealed: bool = False) -> bytes:
    """The journal's line of a result, with its line break."""
    return journal.line_of(to_row(result, sealed=sealed))


_COMPLETION = [
    field.name for field in dataclasses.fields(Completion) if field.name not in ("output_ids", "timing")
]
_TIMING = [field.name for field in dataclasses.fields(Timing)]


def _completion_row(completion: Completion) -> dict[str, Any]:
    """Without dataclasses.asdict, which copies every value in depth: the engine waits meanwhile."""
    row = {name: getattr(completion, name) for name in _COMPLETION}
    timing = completion.timing
    row["timing"] = None if timing is None else {name: getattr(timing, name) for name in _TIMING}
    return row


def from_row(row: Mapping[str, Any]) -> Result:
    """The result of a journal line.

    Raises:
        KeyError: The line lacks a field.
        TypeError: A field holds something else than it should.
        ValueError: A field holds what it cannot.
    """
    if not isinstance(row, dict):
        raise TypeError("the line holds no object")
    whole = dict(row)
    if SEALED in whole:
        inflate = zlib.decompressobj()
        whole |= orjson.loads(inflate.decompress(base64.b64decode(whole[SEALED]), files.JSON_BYTES))
    score = Score(
        whole["value"], whole["score"]["answer"], Outcome(whole["outcome"]), whole["score"]["explanation"]
    )
    result = Result(
        benchmark=whole["benchmark"],
        sample_id=whole["id"],
        repeat=whole["repeat"],
        target=whole["target"],
        prompt=whole["prompt"],
        prompt_hash=whole["prompt_hash"],
        text=whole["text"],
        completions=tuple(_completion(entry) for entry in whole["completions"]),
        score=score,
        elicited=whole["elicited"],
        fields=whole["fields"],
    )
    schema.check(result, Result)
    if not 0 <= score.value <= 1:
        raise ValueError(f"value must be from 0 to 1, not {score.value}")
    return result


def _completion(entry: Mapping[str, Any]) -> Completion:
    timing = entry["timing"]
    return Completion(
        **{
            **entry,
            "output_ids": (),
            "finish_reason": FinishReason(entry["finish_reason"]),
            "timing": None if timing is None else Timing(**timing),
        }
    )


def read_journal(
    folder: Path, sealed: set[str] | None = None, notes: list[str] | None = None, *, name: str = JOURNAL
) -> Iterator[Result]:
    """The results of a run, in the order they came; a torn last line is left out.

    Args:
        folder: The run's.
        sealed: Gets the names of the benchmarks whose lines are sealed.
        notes: Gets a sentence where the last line was torn.
        name: The journal's.

    Raises:
        RunError: There is no journal, or a line other than the last cannot be read.
    """
    path = folder / name
    found = journal.parse(_content(path), lambda row: (from_row(row), SEALED in row))
    if found.damage is not None and not found.damage.torn:
        raise RunError(
            f"{found.damage.sentence(path)}; `python -m llmbench resume={folder}` asks for what was lost again."
        )
    if found.damage is not None and notes is not None:
        notes.append(found.damage.sentence(path))
    seen: set[tuple[str, str, int]] = set()
    for result, hidden in found.items:
        if sealed is not None and hidden:
            sealed.add(result.benchmark)
        if result.key not in seen:  # a result counts once
            seen.add(result.key)
            yield result


def load_run(folder: str | os.PathLike[str]) -> Run:
    """A run read back from its folder.

    Raises:
        RunError: The folder holds no run, or a file of it cannot be read.
    """
    folder = Path(folder)
    if (folder / BEGUN).is_file():
        jobs = sorted(job.parent.name for job in folder.glob(f"*/{MANIFEST}"))
        there = f", such as {folder / jobs[0]}" if jobs else ""
        raise RunError(f"{folder} holds a sweep; its runs are in the folders below{there}.")
    killed = not os.path.lexists(folder / SUMMARY) and (folder / MANIFEST).is_file()
    summary = {} if killed else read_object(folder / SUMMARY, Summary)
    manifest = read_object(folder / MANIFEST, Manifest)
    sealed = set[str]()
    notes: list[str] = []
    results = list(read_journal(folder, sealed, notes))
    if killed:
        # which reads settings, as does what is above this module
        from llmbench.results.interim import interim_summary

        summary = interim_summary(folder, manifest, results)
        notes.append(
            f"{folder} holds no {SUMMARY}: the run was killed before it wrote one, or still runs. "
            f"The scores are those of {JOURNAL}; times and memory are not known."
        )
    counted = _counted(summary)
    if counted > len(results):
        notes.append(
            f"{folder / JOURNAL} holds {len(results)} of the {counted} results that {SUMMARY} counts."
        )
    return Run(folder, summary, manifest, results, frozenset(sealed), tuple(notes))


def _counted(summary: Mapping[str, Any]) -> int:
    benchmarks = summary.get("benchmarks")
    rows = benchmarks.values() if isinstance(benchmarks, dict) else ()
    counts = [row.get("n") for row in rows if isinstance(row, dict)]
    return sum(count for count in counts if isinstance(count, int))


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
        content = orjson.loads(_content(path, files.JSON_BYTES))
        schema.check(content, shape)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); {MEND}") from error
    return content  # type: ignore[no-any-return]


def _content(path: Path, most_bytes: int = files.DATA_BYTES) -> bytes:
    try:
        return files.read(path, most_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path.parent} holds no {path.name}; it is not the folder of a run.") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); {MEND}") from error
