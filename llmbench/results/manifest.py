"""The files of a run folder: their names, manifest.json as others read it, and whole files written and read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from llmbench.config.groups import EXPORTS
from llmbench.errors import RunError
from llmbench.results.recovery import Step
from llmbench.system import decoding, files
from llmbench.telemetry.engine_report import ReplicaReport, Restart, ServerIdentity

T = TypeVar("T")
VERSION = 1
"""Of the manifest's names."""

CONFIG, MANIFEST, JOURNAL, SUMMARY = "config.yaml", "manifest.json", "samples.jsonl", "summary.json"
LOG, TRACE, MEMORY_LOG, REPORT = "llmbench.log", "trace.jsonl", "memory.log", "report.html"
UNJUDGED = "unjudged.jsonl"
"""Answers that wait for a judge's verdict, while a run is not finished."""
REGRADED_JOURNAL, REGRADED_SUMMARY = "samples.regraded.jsonl", "summary.regraded.json"
REGRADED_REPORT = "report.regraded.html"
"""What llmbench.regrade writes beside them."""

ASKED_FOR = (*EXPORTS.values(), "predictions.jsonl")
"""What exports and SWE-bench leave."""

BEGUN = "sweep.json"
"""In a sweep's folder: how it was begun."""

REMEDY = "take it from a backup, or run again."

STARTING, RUNNING = "starting", "running"
"""The status in a manifest that says only how the run was called, when nothing has begun yet; and that of a run that has."""

ALL, RANDOM, STRATIFIED = "all", "random", "stratified"
"""How questions are chosen (`Selection.strategy`)."""


def cannot_write(path: Path, error: OSError) -> RunError:
    """Returns the error for a file of a run that cannot be written."""
    return RunError(f"{path} cannot be written ({error.strerror}); what was journalled is kept.")


def replace_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file of a run as a whole: readers see the old one or the new one.

    Raises:
        RunError: It cannot be written.
    """
    try:
        files.replace(path, pieces)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_whole(path: Path, text: str) -> None:
    """Writes a text as a whole to a file that a person named, which may be anywhere.

    Raises:
        RunError: It cannot be written.
    """
    if not path.name:
        raise RunError(f"{path} does not name a file to write.")
    try:
        files.refuse_special(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    replace_file(path, (text.encode(), b"\n"))


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object as a whole, to be read with `read_record`.

    Raises:
        RunError: It cannot be written.
    """
    write_whole(path, orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str).decode())


class FileRecord(Mapping[str, Any]):  # noqa: PLW1641 - it can change
    """A record that is also the mapping that its file holds, so that programs written for llmbench 0.1 read it by its names."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns plain data under the names of the file."""
        found: dict[str, Any] = decoding.plain(self)
        return found

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
        return self.as_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FileRecord):
            return self.as_dict() == other.as_dict()
        return self.as_dict() == dict(other) if isinstance(other, Mapping) else NotImplemented


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process, or several that replaced each other, that worked on a run.

    Attributes:
        started: Local time, ISO 8601.
        began: The same as seconds since the epoch.
        status: As the run's; `killed` where it ended without a word.
        results: That it added.
        time_s: Seconds from the start of the process to its end; of a killed one to its last sign of life.
        cost: Of its requests by `engine.price`; None without prices, or where it was killed.
    """

    started: str
    began: float
    status: str = RUNNING
    results: int = 0
    time_s: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU of the machine that a run was made on."""

    name: str | None = None
    total_bytes: int | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run was made on."""

    platform: str | None = None
    python: str | None = None
    cpu_count: int | None = None
    memory_bytes: int | None = None
    gpus: list[GpuModel] = field(default_factory=list)


@dataclass(slots=True)
class Host:
    """A host that replicas ran on.

    Attributes:
        replicas: How many; `gpus`: theirs.
        versions: Of the packages there that decide a result.
    """

    name: str | None = None
    replicas: int = 0
    gpus: list[GpuModel] = field(default_factory=list)
    versions: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, replicas: Sequence[ReplicaReport]) -> "list[Host]":
        """The hosts of these replicas."""
        hosts: dict[str | None, Host] = {}
        for replica in replicas:
            host = hosts.setdefault(replica.host, Host(replica.host, versions=replica.versions))
            host.replicas += 1
            sizes = zip(replica.gpus, replica.gpu_bytes, strict=True)
            host.gpus += [GpuModel(name, size, replica.driver) for name, size in sizes]
        return list(hosts.values())


@dataclass(frozen=True, slots=True)
class DataOrigin:
    """Where a benchmark's rows came from, see `benchmarks.dataset.DataSource`."""

    source: str | None = None
    split: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    rows: int | None = None
    size_bytes: int | None = None
    load_s: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stratum:
    """The questions of one subject: how many there are, and how many are asked."""

    available: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """How a benchmark's questions were chosen.

    Attributes:
        strategy: `all`; `random`: drawn with the run's seed; `stratified`: drawn from each subject in proportion to its size.
        available: Questions that there were to choose from.
        strata: Of `stratified`, the subjects.
    """

    strategy: str = ""
    available: int | None = None
    strata: dict[str, Stratum] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Manifest(FileRecord):
    """How a run came about, as manifest.json holds it; a sweep's sweep.json has the names of its beginning.

    Attributes:
        overrides: What was typed for this run; `arguments` is the whole command line, in the folder `directory`. The
            last two are None where a program made the run.
        sweep: The folder of the sweep that the run is a job of.
        samples: The ids of the planned questions, by benchmark; `selection` says how they were chosen.
        order: What decided in which order they were asked, in words; None in older runs.
        versions, machine: Of what computed here; where a server has the model, nothing of torch, vLLM and GPUs.
        checkpoint: See `engine.checkpoint_record`; where a server has the model, the one whose tokenizer wrote the prompts. Its
            `weights_copy` is there where a copy of its quantised weights was loaded.
        chat_template: The file of `model.chat_template` with its SHA-256; None without one.
        lora: The adapter of `model.lora` with a mark of its content; None without one.
        kv_cache_dtype: `model.kv_cache_dtype`; what the engine made of it is in the summary's `engine`.
        deterministic: The environment variables that `engine.deterministic` set; None where it was off.
        hosts: Where replicas of the engine ran; none where there was one engine.
        server: The server that has the model, as the last process found it; None where the model was loaded here.
        judge: The server that has the judge, likewise; None where none was asked, or the evaluated model judges.
        tracked: The trackers that have the run; None where that was not noted yet.
        sittings: Its attempts.
    """

    version: int = VERSION
    status: str | None = None
    started: str | None = None
    overrides: list[str] = field(default_factory=list)
    git_commit: str | None = None
    versions: dict[str, str | None] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)
    sampling: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    tracked: list[str] | None = None
    arguments: list[str] | None = None
    directory: str | None = None
    sweep: str | None = None
    recovery: list[Step] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    sittings: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, DataOrigin] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)
    selection: dict[str, Selection] = field(default_factory=dict)
    order: str | None = None
    checkpoint: dict[str, Any] | None = None
    chat_template: dict[str, Any] | None = None
    lora: dict[str, Any] | None = None
    kv_cache_dtype: str | None = None
    deterministic: dict[str, str] | None = None
    hosts: list[Host] = field(default_factory=list)
    server: ServerIdentity | None = None
    judge: ServerIdentity | None = None


def read_record(path: Path, kind: type[T]) -> T:
    """The record that a file of a run holds.

    Raises:
        RunError: There is no such file, it cannot be read, or something in it does not fit the record.
    """
    try:
        return decoding.decode(content_of(path, files.JSON_BYTES), kind)
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); {REMEDY}") from error


def content_of(path: Path, most_bytes: int = files.DATA_BYTES) -> bytes:
    """What a file of a run holds; raises a RunError that names it where it cannot be read."""
    try:
        return files.read(path, most_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(
            f"{path.parent} holds no {path.name}; it is not the folder of a run. `python -m llmbench.runs` lists those in runs/."
        ) from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from error
