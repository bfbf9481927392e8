"""The command line: Hydra composes the settings, llmbench runs them, and every failure is one sentence.

Exit status: 0 done, 1 failed, 130 interrupted by Ctrl-C, 143 ended by SIGTERM.
"""

import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from llmbench.cli import arguments, explain, resume, sweep, sweep_attempts
from llmbench.cli.sweep import Job, begun_before, finished_before
from llmbench.cli.sweep_attempts import SweepSitting
from llmbench.config.paths import config_folder
from llmbench.config.schema import Config
from llmbench.config.validation import from_hydra
from llmbench.engine import checkpoint_settings
from llmbench.engine.faults_ import Faults
from llmbench.errors import ConfigError, Interrupted, LlmbenchError, OnlyErrorsError, RunError
from llmbench.results.attempts import RUNNING, iso
from llmbench.results.manifest import BEGUN, JOURNAL, MANIFEST, MEND, REPORT, SUMMARY, Manifest, write_object
from llmbench.results.run_folder import in_the_way
from llmbench.results.summary import as_dict
from llmbench.run.oom_recovery import VARIABLE, StartAgain, Unfinished, start_again, taken_up
from llmbench.system import clock, files, redaction, shell, stdio, text
from llmbench.system.console import Terminal
from llmbench.system.interrupts import SIGNALLED, as_interrupts
from llmbench.system.lock import FolderLock
from llmbench.system.stdio import Unfailing, unfailing
from llmbench.system.text import suggest

if TYPE_CHECKING:
    from llmbench.run.engine_pool import EnginePool

log = logging.getLogger(__name__)


@dataclass
class Invocation:
    """One call of the program: the jobs it ran, in the order in which they ran, and the engine that they share.

    It is the task that Hydra calls for each job, and `sweep.Task` for the launcher.
    """

    arguments: Sequence[str] = ()  # as typed
    ends: bool = False  # the process ends with this call
    jobs: list[Job] = field(default_factory=list)
    asked: list[Sequence[str]] = field(default_factory=list)  # the overrides of a sweep's jobs
    sittings: list[SweepSitting] = field(default_factory=list)  # of a sweep; the last is this call
    multirun: bool = False
    sweep_folder: Path | None = None
    directory: Path = Path()  # where the command was typed
    failure: BaseException | None = None  # of a single run; kept from Hydra, which would print its own lines
    began: float = field(default_factory=clock.began)
    resources: ExitStack = field(default_factory=ExitStack)  # what is closed at the very end
    told: set[str] = field(default_factory=set)  # trouble that was said
    left: "Unfinished | None" = None  # by a process that ran out of memory
    _pool: "EnginePool | None" = None

    def __call__(self, cfg: DictConfig) -> None:
        """Runs one job of Hydra's."""
        _run_job(cfg, self)

    def expect(self, jobs: Sequence[Sequence[str]]) -> None:
        """These jobs more are asked for."""
        self.asked += jobs

    def take_up(self, folder: Path, config: Config | None, matched: int) -> None:
        """Looks whether the folder of `resume` holds this sweep, and says where there is none.

        Raises:
            ConfigError: It holds another one.
        """
        self.resources.enter_context(FolderLock(folder))
        if self.left is not None:
            self._remember(folder)
            self.sittings = sweep_attempts.read(sweep.written(folder / SUMMARY, sweep.WrittenSweep))
            return
        if config is None or config.resume is None:
            if config is not None and (folder / BEGUN).exists():
                raise RunError(
                    f"{folder} holds a sweep already; `{shell.command(folder)}` goes on with it, "
                    "hydra.sweep.dir=FOLDER begins another."
                )
            other = next((name for name in (SUMMARY, REPORT) if (folder / name).exists()), None)
            if other is not None and not (folder / BEGUN).exists():
                raise RunError(
                    f"{folder} holds {other} already, which a sweep would overwrite; choose another folder with hydra.sweep.dir=FOLDER."
                )
            self._remember(folder)
            self._sit_down(folder, [])
            return
        self.multirun, self.sweep_folder = True, folder
        before = self._written_before(folder)
        finished = [row for row in before.get("jobs") or [] if row["status"] == "finished"]
        if finished and not matched:
            raise ConfigError(
                f"{folder} holds a sweep of other settings, such as {' '.join(finished[0]['overrides'])}; "
                "resume goes on only with those that it was begun with."
            )
        self._remember(folder)
        self._sit_down(folder, sweep_attempts.read(before))
        if not matched and not finished:
            Terminal().say(f"There is no finished job in {folder} yet; the sweep begins there.")

    @staticmethod
    def _written_before(folder: Path) -> dict[str, Any]:
        """What the sweep's summary holds; without one that can be read its jobs tell what was done."""
        try:
            return sweep.written_sweep(folder)
        except RunError as error:
            if not (folder / BEGUN).is_file():
                raise  # somebody else's file
            what = str(error).removesuffix(f"; {MEND}").rstrip(".")
            Terminal().notice(
                f"{what}; it is made again from the jobs, without how long the earlier sittings took."
            )
            return {}

    def _sit_down(self, folder: Path, before: Sequence[SweepSitting]) -> None:
        self.multirun, self.sweep_folder = True, folder
        self.sittings = sweep_attempts.begin(before, folder, self._began_at())
        self.note()

    def _began_at(self) -> float:
        """When this call began, in seconds since the epoch."""
        return time.time() - (time.monotonic() - self.began)

    def note(self, tell: Callable[[str], None] | None = None) -> None:
        """Writes the sweep's summary as it stands, so that kill -9 takes nothing along that is in it; `tell` is told of trouble."""
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

    def tell(self, trouble: str) -> None:
        """Says once what went wrong beside the jobs."""
        if trouble not in self.told:
            self.told.add(trouble)
            stdio.complain(trouble)

    def count(self, status: str) -> None:
        """What this sitting has come to."""
        if not self.sittings:  # with a launcher that takes up nothing
            self.sittings = sweep_attempts.begin([], Path(), self._began_at())
        time_s, loads = time.monotonic() - self.began, self._pool.loads if self._pool is not None else 0
        self.sittings[-1] = replace(self.sittings[-1], status=status, loads=loads, time_s=time_s)

    def _remember(self, folder: Path) -> None:
        """Writes down how the sweep was begun, so that `resume=FOLDER` needs nothing else."""
        before, now = sweep.written(folder / BEGUN, Manifest), self.origin()
        if any(before.get(name) != value for name, value in now.items()):
            started = before.get("started") or iso(time.time())
            begun = now | {"started": started}
            write_object(folder / BEGUN, begun)

    def origin(self) -> dict[str, Any]:
        """How the command came about, for a manifest."""
        arguments = [a for a in self.arguments if not a.startswith(resume.SETTING)]
        told = [redaction.without_secrets(argument) for argument in arguments]
        files.refuse_bytes(self.directory, RunError, "The name of the working directory")
        return {"arguments": told, "directory": str(Path.cwd())}

    def plan(self, configs: Sequence[Config]) -> None:
        """These jobs come next and share an engine."""
        self.pool().plan(configs)

    def pool(self) -> "EnginePool":
        """What keeps the engine from job to job; made when first asked for, so that --help need not import it."""
        if self._pool is None:
            from llmbench.run.engine_pool import EnginePool

            self._pool = self.resources.enter_context(EnginePool(process_ends=self.ends))
            self._pool.then = partial(self.note, log.warning)  # in a run, which keeps the terminal to itself
            if self.left is not None:
                self._pool.steps |= {key: list(steps) for key, steps in self.left.steps.items()}
                self._pool.loads = self.left.loads
                self._pool.faults = Faults.of(self.left.faults)
        return self._pool

    def done(self, number: int, overrides: Sequence[str], config: Config, folder: Path) -> bool:
        """Whether a job of the sweep was done by a process before or, with `resume`, in a sitting before; it counts then."""
        overrides = typed(overrides, self.arguments)
        job = None
        if self.left is not None:
            job = next((Job.read(row) for row in self.left.jobs if row["job"] == number), None)
        elif config.resume is not None:
            job = finished_before(number, overrides, folder)
            if job is not None:
                _make_up(job, config)
        if job is None:
            return False
        self.jobs.append(job)
        return True

    def loads(self) -> int:
        """Engines loaded so far, in the sittings before too."""
        kept = sum(sitting.loads for sitting in self.sittings[:-1])
        return kept + (self._pool.loads if self._pool is not None else 0)


def register() -> None:
    """Makes the schema, the launcher and the resolvers known to Hydra; harmless when repeated."""
    ConfigStore.instance().store(name="llmbench_schema", node=Config)
    sweep.register_launcher()
    OmegaConf.register_new_resolver("llmbench.names", "-".join, replace=True)
    OmegaConf.register_new_resolver(
        "llmbench.folder", lambda name: re.sub(r"[/\s]+", "-", str(name)), replace=True
    )
    OmegaConf.register_new_resolver("llmbench.either", lambda one, other: one or other, replace=True)
    OmegaConf.register_new_resolver("llmbench.checkpoint", checkpoint_settings.name_of, replace=True)


def _check_files(arguments: Sequence[str]) -> None:
    """Looks through the YAML files that are chosen, which may be a user's (`--config-dir`), before Hydra makes something of them."""
    joined = "\n".join(arguments)
    folders = [
        config_folder(),
        *map(Path, re.findall(r"^(?:--config-dir|-cd)[=\n](.+)", joined, re.MULTILINE)),
    ]
    chosen = re.findall(r"^\+*([\w/]+)=(.+)", joined, re.MULTILINE)
    names = [f"{group}/{name}.yaml" for group, value in chosen for name in re.findall(r"[\w/-]+", value)]
    for path in (folder / name for folder in folders for name in names):
        try:
            if path.is_file():
                files.load_yaml(files.read(path, files.YAML_BYTES))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read ({text.reason_of(error)}); fix the file.") from error


FREE_FORM = re.compile(
    r"(engine\.args|engine\.speculative|model\.chat_template_kwargs|benchmarks\.\w+\.options)[.=]"
)
"""Settings whose keys are not ours to know; Hydra adds keys only where an override begins with `++`."""


SWEEP = re.compile(r"\+?(sweep|ablation)=(.*)")
"""The choice of a sweep of conf/sweep/ or conf/ablation/; Hydra wants a `+` before a group that config.yaml does not list."""

MULTIRUN = ("-m", "--multirun")


class _WithoutHydrasLine(Unfailing):
    """A stderr that leaves out the line Hydra prints about the first failed job of a sweep; llmbench has said more."""

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides") else super().write(text)


def typed(overrides: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Hydra's overrides as they were typed among the arguments, without what `for_hydra` added, `***` for secrets.

    `resume` is left out: it says where a sweep is, not what its jobs are.
    """
    implied = checkpoint_settings.implied(arguments)
    told = [
        _typed(override, arguments)
        for override in overrides
        if not override.startswith("resume=") and override.partition("=")[0] not in implied
    ]
    return [redaction.without_secrets(override) for override in told]


def _typed(override: str, arguments: Sequence[str]) -> str:
    plain = override.lstrip("+")
    added = FREE_FORM.match(plain) or (SWEEP.match(plain) and plain in arguments)
    return plain if added and override not in arguments else override


def for_hydra(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra takes them.

    A `+` stands before the choice of a sweep and `++` before keys outside the schema on purpose; what a checkpoint given by
    hand implies comes at the end.
    """
    prefixes = ((FREE_FORM, "++"), (SWEEP, "+"))
    return [
        next((prefix + a for pattern, prefix in prefixes if pattern.match(a) and a[0] != "+"), a)
        for a in checkpoint_settings.with_checkpoint(arguments)
    ]


def _check_sweep(arguments: Sequence[str]) -> None:
    """Names a sweep that does not exist, before Hydra wonders at the commas that came with it."""
    for kind, chosen in (match.groups() for match in map(SWEEP.fullmatch, arguments) if match):
        names = explain.options(config_folder(), kind)
        listed = re.fullmatch(r"\[(.*)\]", chosen)
        for name in (part.strip() for part in (listed[1] if listed else chosen).split(",")):
            if name not in names:
                raise ConfigError(f"There is no {kind} called {name!r}{suggest(name, names)}")
        if "," in chosen and not listed:
            raise ConfigError(
                f"{kind}={chosen} is refused: choose one {kind}, or the product of several with '{kind}=[{chosen}]'."
            )


_COMPOSING, _RUNNING = threading.RLock(), threading.Lock()
"""Held while Hydra composes, and while it runs jobs: what it knows is the process's."""


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Puts the Hydra of a program that calls this aside, since there is one a process, and back at the end."""
    shared = GlobalHydra.instance()
    theirs, shared.hydra = shared.hydra, None
    try:
        yield
    finally:  # Hydra itself may have put a copy in the place of the one that was there
        GlobalHydra.instance().hydra = theirs


def compose(overrides: Sequence[str] = ()) -> Config:
    """The settings that a command line with these overrides would give; for use as a library.

    Raises:
        ConfigError: An override is refused; the message is the command line's.
    """
    given = arguments.read(overrides, config_folder())
    try:
        with (
            _COMPOSING,
            _own_hydra(),
            hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_folder())),
        ):
            register()
            composed = hydra.compose("config", overrides=for_hydra(given))
    except LlmbenchError:
        raise
    except (
        Exception
    ) as error:  # of Hydra, OmegaConf, YAML and their parsers, about what was typed: their kinds are many
        raise ConfigError(explain.explain_composition(error, config_folder())) from error
    explain.refuse_additions(given, config_folder())
    return from_hydra(composed)


def _working_directory() -> Path:
    """Where the command was typed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise RunError("The working directory was deleted; change into one that exists.") from error


def _text(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments, which must be text; what they resume may have a name that is none."""
    for argument in arguments:
        files.refuse_bytes(argument, ConfigError, "The command line")
    return arguments


def main(typed_arguments: Sequence[str] | None = None, *, ends: bool = False) -> int:
    """Runs the command line and returns the exit status; with `ends` the process is about to end."""
    if not ends:  # a program's call: what it did before is no part of the run
        clock.restart()
    with redirect_stdout(unfailing(sys.stdout)), redirect_stderr(unfailing(sys.stderr)), as_interrupts():
        invocation = Invocation(list(sys.argv[1:] if typed_arguments is None else typed_arguments), ends=ends)
        try:
            return _main(invocation)
        except KeyboardInterrupt as error:  # before the first job or after the last
            return _interrupted(error, invocation)


def _main(invocation: Invocation) -> int:
    try:
        invocation.left = taken_up()
    except (OSError, ValueError, TypeError, KeyError) as error:
        stdio.complain(
            f"What an earlier process left to this one ({VARIABLE}) cannot be read: {error}; unset {VARIABLE}."
        )
        return 1
    try:
        here = invocation.directory = _working_directory()
        resume.refuse_interpolation(str(here), f"The working directory {here}")
        given = resume.expand(_text(invocation.arguments))
        invocation.arguments = arguments.read(_text(given), config_folder())
    except (LlmbenchError, OSError) as error:
        stdio.complain(
            str(error) if isinstance(error, LlmbenchError) else f"resume: {error}; check its path."
        )
        return 1
    # Hydra raises instead of printing, so that we can say it in one sentence
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        status = _status(invocation)
    except StartAgain as again:
        return _start_again(again, invocation)
    try:
        with invocation.resources:
            if invocation.multirun and invocation.jobs and invocation.sweep_folder:
                invocation.count(sweep.status_of(invocation.jobs, len(invocation.asked)))
                sweep.finish(
                    invocation.jobs, invocation.sweep_folder, invocation.sittings, asked=invocation.asked
                )
    except KeyboardInterrupt as error:
        status = _interrupted(error, invocation)
    except Exception as error:  # noqa: BLE001 - as in _status
        status = 1
        stdio.complain(_sentence(error, invocation))
    return status


def _start_again(again: StartAgain, invocation: Invocation) -> int:
    """Goes on in a new process; comes back only where that cannot be."""
    job, pool = invocation.jobs[-1], invocation.pool()
    multirun = invocation.multirun and invocation.sweep_folder is not None
    left = Unfinished(
        folder=str(job.folder.absolute()),
        number=job.number,
        began=clock.began(),
        loads=pool.loads,
        steps=pool.steps,
        jobs=[sweep.row(other) for other in invocation.jobs[:-1]],
        faults=asdict(pool.faults),
    )
    folder = shell.quoted(str(invocation.sweep_folder if multirun else left.folder))
    resumed = any(a.startswith(resume.SETTING) for a in invocation.arguments)
    where = f"resume={folder}" if multirun or resumed else f"hydra.run.dir={folder}"
    try:
        with invocation.resources:
            pass
        os.chdir(invocation.directory)
        start_again(left, [where])
    except (LlmbenchError, OSError) as error:
        stdio.complain(f"{again.error} A new process could not be started: {error}")
        return 1


def _status(invocation: Invocation) -> int:
    """Runs all jobs, says what went wrong and returns the exit status."""
    try:
        _run_hydra(invocation)
    except KeyboardInterrupt as error:
        return _interrupted(error, invocation)
    except SystemExit as leaving:  # as after --help, or what Hydra's argument parser refuses
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last stop before the user: no traceback reaches the terminal
        if not (invocation.multirun and any(job.error for job in invocation.jobs)):  # otherwise it was said
            refused = isinstance(error, ConfigError | OnlyErrorsError)  # and would be again
            sentence = _sentence(error, invocation)
            said = "" if refused or "resume=" in sentence else _goes_on(invocation, results=True)
            stdio.complain(sentence + said)
        return 1
    return 1 if any(job.error for job in invocation.jobs) else 0


def _sentence(error: Exception, invocation: Invocation) -> str:
    """What the user is told of an error."""
    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return explain.explain_composition(error, config_folder())
    if isinstance(error, LlmbenchError):
        return str(error)
    # Hydra makes the run's folder before anything of ours runs
    if isinstance(error, OSError) and not invocation.jobs:
        return (
            f"The run's folder {error.filename or ''} cannot be made ({error.strerror}); "
            "choose another with hydra.run.dir=FOLDER."
        )
    if not invocation.jobs:  # nothing but the settings was looked at
        return explain.explain_composition(error, config_folder())
    return text.unexpected(error, invocation.jobs[-1].folder)


def _run_hydra(invocation: Invocation) -> None:
    if not _RUNNING.acquire(blocking=False):
        raise ConfigError(
            "Another thread of this process is running llmbench; run one after the other, or in processes of their own."
        )
    try:
        with _own_hydra():
            _run_jobs(invocation)
    finally:
        _RUNNING.release()


def _run_jobs(invocation: Invocation) -> None:
    with _COMPOSING:
        register()
    _check_sweep(invocation.arguments)
    _check_files(invocation.arguments)
    task = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(invocation)
    argv = sys.argv
    flags = [a for a in invocation.arguments if a in MULTIRUN]  # Hydra takes them only before the settings
    rest = [a for a in invocation.arguments if a not in MULTIRUN]
    sys.argv = [argv[0], *flags, *for_hydra(rest)]
    try:
        with redirect_stderr(cast("TextIO", _WithoutHydrasLine(sys.stderr))):
            task()
    finally:
        sys.argv = argv
    if invocation.failure is not None:
        raise invocation.failure


def _run_job(cfg: DictConfig, invocation: Invocation) -> None:
    """One job of Hydra's; raises what went wrong, so that Hydra counts the job as failed."""
    hydra_config = HydraConfig.get()
    overrides = typed(hydra_config.overrides.task, invocation.arguments)
    chosen_folder = any(o.startswith(("hydra.run.dir=", "hydra.sweep")) for o in hydra_config.overrides.hydra)
    job, held = Job(0, overrides, Path(hydra_config.runtime.output_dir)), ExitStack()
    invocation.multirun = str(hydra_config.mode).endswith("MULTIRUN")
    if invocation.multirun:
        job.number = hydra_config.job.num
        invocation.sweep_folder = Path(hydra_config.sweep.dir).absolute()
        if invocation.jobs:
            clock.restart()
    invocation.jobs.append(job)
    config: Config | None = None
    try:
        explain.refuse_additions(overrides, config_folder())
        _check_suite(hydra_config.runtime.choices.get("suite"))
        config = from_hydra(cfg)
        named = any(override.lstrip("+").startswith("benchmark=") for override in overrides)
        # Imported here so that --help, --cfg and mistyped settings answer at once.
        from llmbench.cli import run_job

        _place(job, config, invocation, held, chosen=chosen_folder or invocation.multirun)
        found = run_job.run_job(
            config,
            job.folder,
            overrides,
            named=named,
            pool=invocation.pool(),
            goes_on=job.begun in ("now", "before"),
            resumes=job.begun == "before",
            again=job.begun == "killed",
            restarts=invocation.ends,
            origin=_origin(invocation),
        )
        job.summary = as_dict(found) if found is not None else None
    except KeyboardInterrupt:
        job.interrupted = True
        raise
    except Exception as error:
        job.error = redaction.without_secrets(text.told(error))
        if not invocation.multirun:
            invocation.failure = error
            return
        stdio.complain(f"Job {job.number} ({' '.join(overrides)}) failed: {job.error}")
        raise  # Hydra and its sweepers count the job as failed and go on with the next
    finally:
        held.close()
        job.engine = invocation.loads()
        if invocation.multirun:
            invocation.note()
            _report_sweep(invocation, config)
        with suppress(OSError):
            Path(
                hydra_config.runtime.output_dir
            ).rmdir()  # only where nothing was written, as by show_prompts


def _make_up(job: Job, config: Config) -> None:
    """Writes what the process before left out of a job that was finished; what fails there costs a sentence."""
    from llmbench.report import publish

    terminal = Terminal()
    try:
        with FolderLock(job.folder):
            publish.make_up(config, job.folder, terminal)
    except Exception as error:
        log.exception("job %d could not be completed", job.number)
        terminal.notice(text.told(error))


def _place(job: Job, config: Config, invocation: Invocation, held: ExitStack, *, chosen: bool) -> None:
    """Finds the job's folder, and what was begun in it."""
    from llmbench.cli import run_job

    left, resumes = invocation.left, config.resume is not None
    before = begun_before(job.overrides, job.folder) if resumes and invocation.multirun else None
    if left is not None and left.number == job.number:
        invocation.pool()  # which takes over what was lowered
        job.folder, job.begun, invocation.left = Path(left.folder), "now", None
        clock.restart(left.began)
    elif config.show_prompts:
        pass
    elif before is not None or (resumes and not invocation.multirun and in_the_way(job.folder) is not None):
        job.folder, job.begun = before or job.folder, "before"
    else:
        told = {"started": iso(clock.started()), "overrides": job.overrides, **_origin(invocation)}
        may_move = not chosen or (resumes and invocation.multirun)
        job.folder, killed = run_job.claim(job.folder, told, held, may_move=may_move, again=resumes or chosen)
        job.begun = "killed" if killed else None


def _origin(invocation: Invocation) -> dict[str, Any]:
    """How a job came about, for its manifest."""
    return invocation.origin() | {"sweep": str(invocation.sweep_folder) if invocation.multirun else None}


def _report_sweep(invocation: Invocation, config: Config | None) -> None:
    """The page of the sweep's jobs so far, where the job wants one; one that cannot be made costs a sentence.

    A job without settings, since they were refused, wants the page that the others have.
    """
    from llmbench.cli.sweep import report_sweep

    folder = invocation.sweep_folder
    if folder is not None and (config.report if config is not None else (folder / REPORT).exists()):
        trouble = report_sweep(sorted(invocation.jobs, key=lambda job: job.number), folder)
        if trouble is not None:
            invocation.tell(f"The sweep's report could not be written: {trouble}")


def _check_suite(chosen: str | None) -> None:
    """Hydra takes a misspelt name of an optional group for no choice at all."""
    names = explain.options(config_folder(), "suite")
    if chosen is not None and chosen not in names:
        raise ConfigError(f"There is no suite called {chosen!r}{suggest(chosen, names)}")


def _interrupted(error: KeyboardInterrupt, invocation: Invocation) -> int:
    """Says what is left of an interrupted run; returns the exit status."""
    folder = invocation.jobs[-1].folder if invocation.jobs else None
    kept = f"; what was finished is in {folder}" if folder is not None and folder.exists() else ""
    stdio.complain(f"Interrupted{kept}.{_goes_on(invocation)}")
    number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
    return SIGNALLED + int(number)


def _goes_on(invocation: Invocation, *, results: bool = False) -> str:
    """How to go on with what did not finish, where it had begun; `results`: only where a single run has some already."""
    if invocation.multirun and invocation.sweep_folder is not None:
        folder, begun = invocation.sweep_folder, invocation.sweep_folder / BEGUN
    elif invocation.jobs:
        folder, begun = invocation.jobs[-1].folder, invocation.jobs[-1].folder / MANIFEST
    else:
        return ""
    journal = folder / JOURNAL
    if results and not (journal.is_file() and journal.stat().st_size):
        return ""
    return f" `{shell.command(folder)}` goes on with it." if begun.is_file() else ""
