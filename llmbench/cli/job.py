"""A job, single or of a sweep: what it was asked and what it left, and what a sweep wrote of its jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypedDict

from llmbench.cli.resume import RUNS_DIR
from llmbench.cli.sweep_attempts import SweepAttempt
from llmbench.errors import RunError
from llmbench.results.manifest import MANIFEST, REMEDY, STARTING, SUMMARY, Manifest, read_object
from llmbench.results.summary import Summary
from llmbench.run.beginning import Beginning
from llmbench.system import redaction


@dataclass
class Job:
    """One job of the program and what became of it.

    Attributes:
        number: Its place in the order in which the jobs were asked for, from 0.
        engine: Which of the engines loaded so far stood when it ended, from 1; 0: none.
        beginning: What its folder holds when it begins.
    """

    number: int
    overrides: list[str]
    folder: Path
    summary: dict[str, Any] | None = None  # as summary.json has it
    error: str | None = None
    interrupted: bool = False
    engine: int = 0
    beginning: Beginning = Beginning.NEW

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        """A job as `row` wrote it."""
        return cls(
            written["job"],
            written["overrides"],
            Path(written["folder"]),
            written["summary"],
            written["error"],
            interrupted=written["status"] == "interrupted",
            engine=written.get("engine") or 0,
        )

    @property
    def status(self) -> str:
        """`finished`, `failed` or `interrupted`."""
        if self.interrupted:
            return "interrupted"
        return "failed" if self.error is not None else "finished"


def finished_before(number: int, overrides: Sequence[str], folder: Path) -> Job | None:
    """The job that was finished in this folder, or in one that had to be named after it, if it was asked for the same."""
    for candidate in sorted({folder, *folder.parent.glob(f"{folder.name}_*")}):
        summary, manifest = written(candidate / SUMMARY, Summary), written(candidate / MANIFEST, Manifest)
        if summary.get("status") == "finished" and _asked_the_same(manifest, overrides):
            return Job(number, list(overrides), candidate, summary, engine=_engine(candidate))
    return None


def begun_before(overrides: Sequence[str], folder: Path) -> Path | None:
    """The folder in which this job was begun and not finished: the newest, if several had to be named after each other."""
    for candidate in sorted({folder, *folder.parent.glob(f"{folder.name}_*")}, reverse=True):
        manifest = written(candidate / MANIFEST, Manifest)
        if manifest.get("status") != STARTING and _asked_the_same(manifest, overrides):
            return candidate
    return None


def _asked_the_same(manifest: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Whether a run was asked for by these overrides; `runs_dir` says where runs are, not what they are."""
    before, now = (
        sorted(o for o in asked if not o.startswith(RUNS_DIR))
        for asked in (manifest.get("overrides") or (), overrides)
    )
    return before == now


def _engine(folder: Path) -> int:
    """Which of its sweep's engines served a finished job."""
    try:
        rows = written_sweep(folder.parent).get("jobs") or []
    except RunError:  # which is said where the sweep is taken up
        return 0
    found: dict[str, Any] = next((row for row in rows if Path(row["folder"]).name == folder.name), {})
    return int(found.get("engine") or 0)


class JobRow(TypedDict):
    """A job in a sweep's `summary.json`, see `row`."""

    job: int
    overrides: list[str]
    folder: str
    status: str
    error: str | None
    engine: int | None
    summary: dict[str, Any] | None


class WrittenSweep(TypedDict, total=False):
    """What is read back of a sweep's `summary.json`."""

    status: str
    time_s: float
    loads: int
    sittings: list[SweepAttempt]
    jobs: list[JobRow]


def written_sweep(folder: Path) -> dict[str, Any]:
    """What a sweep's `summary.json` holds; nothing where there is none.

    Raises:
        RunError: It cannot be read.
    """
    if not (folder / SUMMARY).exists():
        return {}
    found = read_object(folder / SUMMARY, WrittenSweep)
    if not all(JobRow.__required_keys__ <= job.keys() for job in found.get("jobs") or []):
        raise RunError(f"{folder / SUMMARY} is not a summary of a sweep; {REMEDY}")
    return found


def written(path: Path, shape: object) -> dict[str, Any]:
    """Returns the JSON object in a file of a run, empty if it cannot be read."""
    try:
        return read_object(path, shape)
    except RunError:
        return {}


def row(job: Job) -> dict[str, Any]:
    """A job as the sweep's `summary.json` has it."""
    return {
        "job": job.number,
        "overrides": job.overrides,
        "folder": str(job.folder),
        "status": job.status,
        "error": job.error,
        "engine": job.engine,
        "summary": redaction.clean(job.summary),
    }
