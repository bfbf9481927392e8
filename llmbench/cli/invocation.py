"""One call of the command line: what was typed, and what came of it."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from llmbench.cli import job, resume, sweep
from llmbench.cli.caller import Caller
from llmbench.cli.compose import typed
from llmbench.cli.hydra_job import publish_finished, run_hydra_job
from llmbench.cli.job import Job, JobRow, SweepAttempt, SweepSummary, begin_attempt, finished_before
from llmbench.cli.launcher import SweepPoint, overrides_of
from llmbench.config.schema import Config
from llmbench.errors import ConfigError, RunError
from llmbench.results.attempts import iso
from llmbench.results.manifest import BEGUN, REPORT, RUNNING, SUMMARY, Manifest, read_record, write_object
from llmbench.system import clock, decoding, files, redaction, shell, stdio
from llmbench.system.console import Terminal
from llmbench.system.lock import FolderLock

if TYPE_CHECKING:
    from llmbench.run.engine_pool import EnginePool
    from llmbench.run.new_process import Unfinished


log = logging.getLogger(__name__)


@dataclass
class Invocation:
    """One call of the program: the jobs it ran, in the order in which they ran, and the engine that they share.

    It is the task that Hydra calls for each job, and that its launcher tells of the jobs to come. Pickled for another process it is a
    `remote` one there, which runs one job and returns its row.
    """

    arguments: Sequence[str] = ()  # as typed
    ends: bool = False  # the process ends with this call
    jobs: list[Job] = field(default_factory=list)
    asked: list[Sequence[str]] = field(default_factory=list)  # the overrides of a sweep's jobs
    sittings: list[SweepAttempt] = field(default_factory=list)  # of a sweep; the last is this call
    multirun: bool = False
    sweep_folder: Path | None = None
    directory: Path = Path()  # where the command was typed
    failure: BaseException | None = None  # of a single run; kept from Hydra, which would print its own lines
    began: float = field(default_factory=clock.began)
    resources: ExitStack = field(default_factory=ExitStack)  # what is closed at the very end
    printed: set[str] = field(default_factory=set)  # trouble that was said
    left: "Unfinished | None" = None  # by the process that this one replaces
    remote: bool = False  # runs a job of a sweep that another process writes and prints
    caller: Caller | None = None  # the program that called, None for a command line
    engines: "EnginePool | None" = None  # a program's own, which closes it; otherwise see `pool`

    def __call__(self, cfg: DictConfig) -> JobRow | None:
        """Runs one job of Hydra's; returns its row where another process waits for it."""
        if not self.remote:
            run_hydra_job(cfg, self)
            return None
        os.chdir(self.directory)
        with suppress(Exception, KeyboardInterrupt), self.resources:  # the row says what went wrong
            run_hydra_job(cfg, self)
        return self.jobs[-1].row()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles what a job needs in another process."""
        return partial(Invocation, list(self.arguments), directory=self.directory, remote=True), ()

    def load_previous_state(self, folder: Path, config: Config | None, matched: int) -> None:
        """Checks that the folder of `resume` holds this sweep, and loads what was done.

        Raises:
            ConfigError: It holds another one.
        """
        self.resources.enter_context(FolderLock(folder))
        if self.left is not None:
            self._remember(folder)
            self.sittings = job.written(folder / SUMMARY, SweepSummary).sittings
            return
        if config is None or config.resume is None:
            if config is not None and (folder / BEGUN).exists():
                raise RunError(
                    f"{folder} holds a sweep already; `{shell.resume_command(folder)}` resumes it, "
                    "hydra.sweep.dir=FOLDER begins another."
                )
            other = next((name for name in (SUMMARY, REPORT) if (folder / name).exists()), None)
            if other is not None and not (folder / BEGUN).exists():
                raise RunError(
                    f"{folder} holds {other} already, which a sweep would overwrite; choose another folder with hydra.sweep.dir=FOLDER."
                )
            self._remember(folder)
            self._begin_attempt(folder, [])
            return
        self.multirun, self.sweep_folder = True, folder
        path = folder / SUMMARY
        before = read_record(path, SweepSummary) if path.exists() else SweepSummary()
        finished = [row for row in before.jobs if row.status == "finished"]
        if finished and not matched:
            raise ConfigError(
                f"{folder} holds a sweep of other settings, such as {' '.join(finished[0].overrides)}; "
                "resume goes on only with those that it was begun with."
            )
        self._remember(folder)
        self._begin_attempt(folder, before.sittings)
        if not matched and not finished:
            Terminal().say(f"There is no finished job in {folder} yet; the sweep begins there.")

    def _begin_attempt(self, folder: Path, before: Sequence[SweepAttempt]) -> None:
        self.multirun, self.sweep_folder = True, folder
        self.sittings = begin_attempt(before, folder, self._began_at())
        self.note()

    def _began_at(self) -> float:
        """When this call began, in seconds since the epoch."""
        return time.time() - (time.monotonic() - self.began)

    def note(self, tell: Callable[[str], None] | None = None) -> None:
        """Writes the sweep's summary as it stands, so that kill -9 loses nothing of it; errors go to `tell`."""
        if not (self.multirun and self.sweep_folder):
            return
        ended = [
            job for job in self.jobs if job.interrupted or job.summary is not None or job.error is not None
        ]
        self.count(RUNNING)
        try:
            sweep.write(ended, self.sweep_folder, self.sittings)
        except RunError as error:  # the jobs have their own summaries; at the end it is tried again
            (tell or self.tell)(f"{error} At the end of the sweep it is tried again.")

    def report(self) -> None:
        """Writes the page of the sweep's jobs so far; a failure prints a message."""
        if self.sweep_folder is not None:
            trouble = sweep.report_sweep(self.jobs, self.sweep_folder)
            if trouble is not None:
                self.tell(f"The sweep's report could not be written: {trouble}")

    def tell(self, trouble: str) -> None:
        """Prints an error that belongs to no job, once."""
        if trouble not in self.printed:
            self.printed.add(trouble)
            stdio.print_error(trouble)

    def count(self, status: str) -> None:
        """Updates status, loads and time of this attempt."""
        if not self.sittings:  # with a launcher that takes up nothing
            self.sittings = begin_attempt([], Path(), self._began_at())
        time_s, loads = time.monotonic() - self.began, self.engines.loads if self.engines is not None else 0
        self.sittings[-1] = replace(self.sittings[-1], status=status, loads=loads, time_s=time_s)

    def _remember(self, folder: Path) -> None:
        """Writes down how the sweep was begun, so that `resume=FOLDER` needs nothing else."""
        before, now = job.written(folder / BEGUN, Manifest), self.origin()
        if any(before[name] != value for name, value in now.items()):
            started = before.started or iso(time.time())
            begun = now | {"started": started}
            write_object(folder / BEGUN, begun)

    def origin(self) -> dict[str, Any]:
        """How the command came about, for a manifest."""
        arguments = [a for a in self.arguments if not a.startswith(resume.SETTING)]
        told = [redaction.without_secrets(argument) for argument in arguments]
        files.refuse_bytes(self.directory, RunError, "The name of the working directory")
        return {"arguments": told, "directory": str(Path.cwd())}

    def pool(self) -> "EnginePool":
        """What keeps the engine from job to job; made when first asked for, so that --help need not import it."""
        if self.engines is None:
            from llmbench.engine.restarting import RestartLog
            from llmbench.run.engine_pool import EnginePool

            self.engines = self.resources.enter_context(EnginePool(process_ends=self.ends))
            # called in a run, which keeps the terminal to itself
            self.engines.then = partial(self.note, log.warning)
            if self.left is not None:
                self.engines.steps |= {key: list(steps) for key, steps in self.left.steps.items()}
                self.engines.loads = self.left.loads
                self.engines.restart_log = RestartLog.of(self.left.restart_log)
        return self.engines

    def done(self, number: int, overrides: Sequence[str], config: Config, folder: Path) -> bool:
        """Whether an earlier process or attempt finished this job of the sweep; if so, adds it to the jobs."""
        overrides = typed(overrides, self.arguments)
        job = None
        if self.left is not None:
            rows = (decoding.build(row, JobRow) for row in self.left.jobs)
            job = next((Job.read(row) for row in rows if row.job == number), None)
        elif config.resume is not None:
            job = finished_before(number, overrides, folder)
            if job is not None:
                publish_finished(job, config)
        if job is None:
            return False
        self.jobs.append(job)
        return True

    def collect(self, points: Sequence[SweepPoint], returned: Sequence[object]) -> list[str | None]:
        """Adds jobs that ran in other processes, with what the task returned there, or what kept it from that; returns the error of each."""
        found = [self._collect(*each) for each in zip(points, returned, strict=True)]
        self.jobs += found
        self.note()
        if any(point.config is not None and point.config.report for point in points):
            self.report()
        return [job.error for job in found]

    def _collect(self, point: SweepPoint, returned: object) -> Job:
        overrides = typed(overrides_of(point), self.arguments)
        before = finished_before(point.number, overrides, point.folder)
        found = before or job.ended_elsewhere(point.number, overrides, point.folder, returned)
        if isinstance(returned, JobRow):
            self.pool().loads += returned.engine or 0
        found.engine = self.loads()
        if found.error is not None:
            stdio.print_error(f"Job {found.number} ({' '.join(overrides)}) failed: {found.error}")
        return found

    def loads(self) -> int:
        """Engines loaded so far, in the attempts before too."""
        kept = sum(attempt.loads for attempt in self.sittings[:-1])
        return kept + (self.engines.loads if self.engines is not None else 0)
