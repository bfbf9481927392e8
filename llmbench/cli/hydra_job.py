"""One job as Hydra gives it: where it runs, whether it goes on with an earlier one, and what it leaves."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from llmbench.cli import explain
from llmbench.cli.compose import check_suite, typed
from llmbench.cli.job import Job, begun_before
from llmbench.config.paths import config_folder
from llmbench.config.schema import Config
from llmbench.config.validation import from_hydra
from llmbench.errors import ConfigError, DataError, EngineError, ModelError
from llmbench.results.attempts import iso
from llmbench.results.manifest import MANIFEST, REPORT
from llmbench.results.run_folder import conflicting_file, is_starting, remove_refused
from llmbench.run.options import Beginning, RunOptions
from llmbench.system import clock, redaction, stdio, text
from llmbench.system.console import Terminal
from llmbench.system.lock import FolderLock

if TYPE_CHECKING:
    from llmbench.cli.invocation import Invocation

log = logging.getLogger(__name__)

REFUSALS = (ConfigError, DataError, ModelError)
"""Of a single run, which a user mends and types again; the jobs of a sweep keep their folders, as its summary names them."""


def run_hydra_job(cfg: DictConfig, invocation: "Invocation") -> None:
    """Runs one job of Hydra's; raises its error, so that Hydra counts the job as failed."""
    hydra_config = HydraConfig.get()
    overrides = typed(hydra_config.overrides.task, invocation.arguments)
    chosen_folder = any(o.startswith(("hydra.run.dir=", "hydra.sweep")) for o in hydra_config.overrides.hydra)
    folder = Path(hydra_config.runtime.output_dir)
    job, held = Job(0, overrides, folder), ExitStack()
    invocation.multirun = str(hydra_config.mode).endswith("MULTIRUN")
    if invocation.multirun:
        job.number = hydra_config.job.num
        invocation.sweep_folder = Path(hydra_config.sweep.dir).absolute()
        if invocation.jobs:
            clock.restart()
        if not invocation.remote:
            Terminal().say(heading(job, invocation.asked))
    invocation.jobs.append(job)
    config: Config | None = None
    claimed = False
    try:
        explain.refuse_additions(overrides, config_folder())
        check_suite(hydra_config.runtime.choices.get("suite"))
        config = from_hydra(cfg)
        named = any(override.lstrip("+").startswith("benchmark=") for override in overrides)
        # Imported here so that --help, --cfg and mistyped settings answer at once.
        from llmbench.cli import run_job

        claimed = _place(job, config, invocation, held, chosen=chosen_folder or invocation.multirun)
        job.summary = run_job.run_job(
            config,
            job.folder,
            RunOptions(
                overrides=overrides,
                origin=_origin(invocation),
                beginning=job.beginning,
                replaceable=invocation.ends,
                pool=invocation.pool(),
            ),
            named=named,
            caller=invocation.caller,
            printed=invocation.printed,
        )
    except KeyboardInterrupt:
        job.interrupted = True
        raise
    except Exception as error:
        job.error = redaction.without_secrets(text.sentence_of(error))
        if not invocation.multirun:
            invocation.failure = error
            return
        _print_failure(job, invocation)
        raise  # Hydra and its sweepers count the job as failed and go on with the next
    finally:
        held.close()
        if claimed and _leaves_nothing(invocation.failure, job.folder):
            remove_refused(job.folder)
        job.engine = invocation.loads()
        _note(config, invocation)
        with suppress(OSError):
            folder.rmdir()  # only where nothing was written, as by show_prompts


def _leaves_nothing(failure: BaseException | None, folder: Path) -> bool:
    """Whether a single run ended before it began: it was refused, or a server that it needs, such as the judge's, is not there."""
    never_began = isinstance(failure, EngineError) and is_starting(folder / MANIFEST)
    return isinstance(failure, REFUSALS) or never_began


def _note(config: Config | None, invocation: "Invocation") -> None:
    """Writes what a sweep has of its jobs so far."""
    if invocation.multirun and not invocation.remote:
        invocation.note()
        # one without settings, since they were refused, wants the page that the others have
        folder = invocation.sweep_folder
        if config.report if config is not None else folder is not None and (folder / REPORT).exists():
            invocation.report()


def _print_failure(job: Job, invocation: "Invocation") -> None:
    """Prints why a job of a sweep failed; the reason of an earlier one is not printed again."""
    which = "The job" if invocation.remote else f"Job {job.number}"  # whose launcher counts anew
    before = next(other for other in invocation.jobs if other.error == job.error)
    if before is job:
        stdio.print_error(f"{which} ({' '.join(job.overrides)}) failed: {job.error}")
    else:
        stdio.print_error(f"{which} failed as job {before.number} did.")


def heading(job: Job, asked: Sequence[Sequence[str]]) -> str:
    """The line above what a job of a sweep prints: which of how many it is, and what is its own among the settings."""
    shared = set.intersection(*map(set, asked)) if len(asked) > 1 else set[str]()
    own = [override for override in job.overrides if override not in shared] or job.overrides
    place = f" ({job.number + 1} of {len(asked)})" if asked else ""
    return f"\nJob {job.number}{place}: {' '.join(own)}".rstrip(": ")


def publish_finished(job: Job, config: Config) -> None:
    """Publishes what an earlier process left out of a finished job; a failure prints a message."""
    from llmbench.report.publish import publish

    terminal = Terminal()
    try:
        with FolderLock(job.folder):
            publish(job.folder, config, terminal)
    except Exception as error:
        log.exception("job %d could not be completed", job.number)
        terminal.notice(text.sentence_of(error))


def _place(job: Job, config: Config, invocation: "Invocation", held: ExitStack, *, chosen: bool) -> bool:
    """Finds the job's folder, and what was begun in it; returns whether all that a run writes there is this job's."""
    from llmbench.cli import run_job

    # a remote job may be the second attempt at itself: Slurm starts jobs again that it had ended for others
    left, resumes = invocation.left, config.resume is not None or invocation.remote
    before = begun_before(job.overrides, job.folder) if resumes and invocation.multirun else None
    if left is not None and left.number == job.number:
        invocation.pool()  # which takes over what was lowered
        job.folder, job.beginning, invocation.left = Path(left.folder), Beginning.CONTINUED, None
        clock.restart(left.began)
    elif config.show_prompts:
        pass
    elif before is not None or (
        resumes and not invocation.multirun and conflicting_file(job.folder) is not None
    ):
        job.folder, job.beginning = before or job.folder, Beginning.RESUMED
    else:
        origin = {"started": iso(clock.started()), "overrides": job.overrides, **_origin(invocation)}
        may_move = not chosen or (resumes and invocation.multirun)
        job.folder, killed = run_job.claim(
            job.folder, origin, held, may_move=may_move, again=resumes or chosen
        )
        job.beginning = Beginning.KILLED_AT_START if killed else Beginning.NEW
        return not killed
    return False


def _origin(invocation: "Invocation") -> dict[str, Any]:
    """How a job came about, for its manifest."""
    return invocation.origin() | {"sweep": str(invocation.sweep_folder) if invocation.multirun else None}
