"""A job, single or of a sweep: what it was asked and what it left, and what a sweep wrote of its jobs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from llmbench.errors import RunError
from llmbench.results.attempts import KILLED, iso, last_sign
from llmbench.results.manifest import (
    JOURNAL,
    MANIFEST,
    RUNNING,
    STARTING,
    SUMMARY,
    TRACE,
    FileRecord,
    Manifest,
    read_record,
)
from llmbench.results.summary import Summary
from llmbench.run.options import Beginning
from llmbench.system import redaction
from llmbench.telemetry.engine_report import ServerIdentity

T = TypeVar("T")
RUNS_DIR = "runs_dir="


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a sweep's `summary.json`; `engine` is which of its engines served the job, from 1."""

    job: int
    overrides: list[str]
    folder: str
    status: str
    error: str | None
    summary: Summary | None
    engine: int | None = None


@dataclass(frozen=True, slots=True)
class SweepAttempt:
    """One call of the program that worked on a sweep, as `Attempt` is of a run; while it runs, `time_s` goes to what was written last."""

    started: str
    began: float
    status: str = RUNNING
    loads: int = 0
    time_s: float | None = None


def begin_attempt(before: Sequence[SweepAttempt], folder: Path, began: float) -> list[SweepAttempt]:
    """The attempts with a new one; one that was killed gets its end from the last thing that it or a job of it wrote."""
    ended = list(before)
    if ended and ended[-1].status == RUNNING:
        signs = [folder / SUMMARY, *folder.rglob(JOURNAL), *folder.rglob(TRACE)]
        ended[-1] = replace(ended[-1], status=KILLED, time_s=last_sign(signs, ended[-1].began))
    return [*ended, SweepAttempt(iso(began), began)]


@dataclass(slots=True, eq=False)
class SweepSummary(FileRecord):
    """A sweep's `summary.json`.

    Attributes:
        time_s: Of all attempts together, as `loads`, the engines that they loaded.
        groups: The numbers of the jobs that each engine served.
        ablation: The rows of `cli.ablation`, for programs that read the file.
    """

    status: str = RUNNING
    time_s: float | None = None
    loads: int = 0
    sittings: list[SweepAttempt] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)
    ablation: list[Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns plain data under the names of the file, without secrets in the jobs' summaries."""
        found = super(SweepSummary, self).as_dict()
        return found | {"jobs": [row | {"summary": redaction.clean(row["summary"])} for row in found["jobs"]]}


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
    summary: Summary | None = None
    error: str | None = None
    interrupted: bool = False
    engine: int = 0
    beginning: Beginning = Beginning.NEW

    @classmethod
    def read(cls, row: JobRow) -> Self:
        """A job as `row` wrote it."""
        return cls(
            row.job,
            row.overrides,
            Path(row.folder),
            row.summary,
            row.error,
            interrupted=row.status == "interrupted",
            engine=row.engine or 0,
        )

    def row(self) -> JobRow:
        """The job as the sweep's `summary.json` has it."""
        return JobRow(
            self.number, self.overrides, str(self.folder), self.status, self.error, self.summary, self.engine
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
        if summary.status == "finished" and _asked_the_same(manifest, overrides):
            return Job(number, list(overrides), candidate, summary, engine=_engine(candidate))
    return None


def ended_elsewhere(number: int, overrides: Sequence[str], folder: Path, returned: object) -> Job:
    """The job that another process ran.

    Args:
        number: The job's.
        overrides: Its settings.
        folder: Where it ran, which counts where no row was returned.
        returned: Its row; the interrupt that ended the sweep before there was one; anything else where the process died.
    """
    if isinstance(returned, JobRow):
        return replace(Job.read(returned), number=number, overrides=list(overrides))
    found = begun_before(overrides, folder) or folder
    summary = written(found / SUMMARY, Summary)
    if isinstance(returned, KeyboardInterrupt) and summary.error is None:
        return Job(number, list(overrides), found, interrupted=True)
    error = summary.error or "Its process died; what it printed may say why."
    return Job(number, list(overrides), found, error=error)


def begun_before(overrides: Sequence[str], folder: Path) -> Path | None:
    """The folder in which this job was begun and not finished: the newest, if several had to be named after each other."""
    for candidate in sorted({folder, *folder.parent.glob(f"{folder.name}_*")}, reverse=True):
        manifest = written(candidate / MANIFEST, Manifest)
        if manifest.status != STARTING and _asked_the_same(manifest, overrides):
            return candidate
    return None


def finished_on(folder: Path, address: str | None) -> ServerIdentity | None:
    """The server of a finished run; in a sweep's folder, of the first finished job that asked this address, or any where it is None."""
    own = written(folder / MANIFEST, Manifest)
    if own.status == "finished":
        return own.server
    shown = redaction.without_secrets((address or "").rstrip("/"))
    jobs = (written(path, Manifest) for path in sorted(folder.glob(f"*/{MANIFEST}")))
    servers = (job.server for job in jobs if job.status == "finished" and job.server is not None)
    return next((server for server in servers if address is None or server.address == shown), None)


def _asked_the_same(manifest: Manifest, overrides: Sequence[str]) -> bool:
    """Whether a run was asked for by these overrides; `runs_dir` says where runs are, not what they are."""
    before, now = (
        sorted(o for o in asked if not o.startswith(RUNS_DIR)) for asked in (manifest.overrides, overrides)
    )
    return before == now


def _engine(folder: Path) -> int:
    """Which of its sweep's engines served a finished job."""
    # a summary that cannot be read is reported where the sweep is resumed
    jobs = written(folder.parent / SUMMARY, SweepSummary).jobs
    return next((row.engine for row in jobs if Path(row.folder).name == folder.name), None) or 0


def written(path: Path, kind: type[T]) -> T:
    """Returns the record that a file of a run holds, an empty one if it cannot be read."""
    try:
        return read_record(path, kind)
    except RunError:
        return kind()
