"""llmbench as a library: evaluations one after the other that share an engine, with the settings, folders and errors of the command line."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from llmbench.cli import resume
from llmbench.cli.caller import ERR, OUT, Caller, undisturbed
from llmbench.cli.invocation import Invocation
from llmbench.cli.main import alone, goes_on, prepare, run_jobs, sentence, working_directory
from llmbench.cli.python_settings import as_arguments, flattened
from llmbench.config.custom import BENCHMARK
from llmbench.errors import (
    ConfigError,
    Interrupted,
    LlmbenchError,
    OnlyErrorsError,
    RunError,
    clear_traceback,
)
from llmbench.results.manifest import BEGUN
from llmbench.results.reader import Run, load_run
from llmbench.run.engine_pool import EnginePool
from llmbench.system import clock, files, shell, stdio

PLACE, RUNS_DIR = "hydra.run.dir", "runs_dir"
CHOICES = ("benchmark", "suite", "resume")
"""Settings one of which says what is asked."""
NO_BENCHMARK = (
    "llmbench.evaluate takes the name of a benchmark, such as 'gsm8k', or a list of names, or suite=, or resume=, "
    "or custom= with data of your own."
)
CLOSED = "This llmbench.Session was closed; begin another one."
IMPORTED_AGAIN = (
    "llmbench.evaluate was called while a process that multiprocessing started imports this script; "
    'put the call below `if __name__ == "__main__":`.'
)


class Session:
    """Keeps the engine and the grading workers from one evaluation to the next, as far as the settings allow. A context manager.

    One evaluation runs at a time; an engine that other settings need is loaded in place of the one that is held.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - settings are of many types
        """Loads nothing yet.

        Args:
            settings: What `evaluate` takes, for each call that does not say otherwise.

        Raises:
            ConfigError: A key is not the name of a setting.
        """
        self._call = {name: settings.pop(name) for name in ("quiet", "config_dir") if name in settings}
        self._settings = flattened(settings)
        self._pool: EnginePool | None = EnginePool()
        self._loads = 0
        self._busy = threading.Lock()
        if multiprocessing.parent_process() is not None:
            # at its end such a process waits for the ones it started, and runs no handlers of atexit before
            Finalize(self, self._pool.__exit__, args=(None, None, None), exitpriority=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def loads(self) -> int:
        """How often a model was loaded."""
        return self._loads if self._pool is None else self._pool.loads

    def close(self) -> None:
        """Frees the engine and ends the grading workers, after an evaluation of another thread; harmless when repeated."""
        with self._busy:
            pool, self._pool = self._pool, None
            if pool is not None:
                self._loads = pool.loads
                with _output_to_errors(), pool:
                    pass

    def evaluate(
        self,
        benchmark: str | Sequence[str] | None = None,
        *,
        folder: Any = None,  # noqa: ANN401 - see llmbench.evaluate
        config_dir: Any = None,  # noqa: ANN401
        quiet: Any = None,  # noqa: ANN401
        **settings: Any,  # noqa: ANN401
    ) -> Run:
        """Evaluates as `llmbench.evaluate` does, with the engine that is held if it can serve these settings.

        Raises:
            LlmbenchError: As `llmbench.evaluate`, and where the session is closed or another thread evaluates.
            KeyboardInterrupt: Ctrl-C; what was finished is kept.
        """
        if self._pool is None:
            raise LlmbenchError(CLOSED)
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise LlmbenchError(IMPORTED_AGAIN)
        named = {"benchmark": benchmark, PLACE: folder}
        own = flattened({name: value for name, value in named.items() if value is not None} | settings)
        asked = self._with_defaults(own)
        for name, shown in ((PLACE, "folder"), (RUNS_DIR, RUNS_DIR)):
            resume.refuse_interpolation(str(asked.get(name)), f"{shown}={asked.get(name)}")
        given = as_arguments(asked)
        config_dir = self._call.get("config_dir") if config_dir is None else config_dir
        flags = [] if config_dir is None else ["--config-dir", os.path.expanduser(config_dir)]  # noqa: PTH111
        quiet = self._call.get("quiet", False) if quiet is None else quiet
        with alone(), self._busy:
            if self._pool is None:
                raise LlmbenchError(CLOSED)
            return load_run(_evaluated([*flags, *given], self._pool, Caller.here(quiet=bool(quiet))))

    def _with_defaults(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """A call's settings with the session's; a run that is resumed has its own."""
        if own.get("resume") is not None:
            return dict(own)
        chosen = any(own.get(name) is not None for name in CHOICES) or has_own_data(own)
        others = own.get("suite") is not None or BENCHMARK not in (own.get("benchmark") or BENCHMARK)
        defaults = {
            name: value
            for name, value in self._settings.items()
            if not (chosen and name in CHOICES) and not (others and name.startswith(f"{BENCHMARK}."))
        }
        asked = defaults | dict(own)
        if all(asked.get(name) is None for name in CHOICES) and not has_own_data(asked):
            raise ConfigError(NO_BENCHMARK)
        return asked


def has_own_data(settings: Mapping[str, Any]) -> bool:
    """Returns whether settings, by their full names, choose the benchmark `custom`."""
    return any(name.startswith(f"{BENCHMARK}.") and value is not None for name, value in settings.items())


@contextmanager
def _output_to_errors() -> Iterator[None]:
    """Leads what is written to the standard output to the standard error: what an engine says of its end stands in no run's log."""
    stdio.flush()
    try:
        kept = os.dup(OUT)
        os.dup2(ERR, OUT)
    except OSError:  # one of them is closed
        yield
        return
    try:
        yield
    finally:
        stdio.flush()
        os.dup2(kept, OUT)
        os.close(kept)


def _evaluated(given: Sequence[str], pool: EnginePool, caller: Caller) -> Path:
    """Runs what these arguments ask for; returns the run's folder."""
    clock.restart()
    invocation = Invocation(given, caller=caller, engines=pool)
    with ExitStack() as restored:
        invocation.directory = working_directory()
        restored.enter_context(undisturbed())
        restored.enter_context(invocation.resources)
        try:
            _refuse_sweep(given)
            prepare(invocation)
            run_jobs(invocation)
        except LlmbenchError as error:
            if not isinstance(error, ConfigError | OnlyErrorsError):  # which would be the same again
                _note_resume(error, invocation, results=True)
            clear_traceback(error)  # a notebook keeps it, and half a model with it
            raise error.with_traceback(None) from None  # a sentence; the run's log has the rest
        except KeyboardInterrupt as error:
            _note_resume(error, invocation, results=False)
            if isinstance(error, Interrupted):
                raise error.with_traceback(None) from None
            raise
        except Exception as error:
            if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
                raise ConfigError(sentence(error, invocation)) from None
            if not invocation.jobs:  # nothing but the settings was looked at, and the folder made
                kind = RunError if isinstance(error, OSError) else ConfigError
                raise kind(sentence(error, invocation)) from error
            _note_resume(error, invocation, results=True)
            raise
    return invocation.jobs[-1].folder


def _refuse_sweep(given: Sequence[str]) -> None:
    """Refuses to resume a sweep, which is many runs."""
    for argument in given:
        if argument.startswith(resume.SETTING):
            name = shell.unquoted(argument.removeprefix(resume.SETTING))
            folder = (
                resume.last(given) if name == resume.LAST else files.expanded(name, ConfigError, "resume")
            )
            if (folder / BEGUN).is_file():
                raise ConfigError(f"{folder} holds a sweep; `{shell.resume_command(folder)}` resumes it.")


def _note_resume(error: BaseException, invocation: Invocation, *, results: bool) -> None:
    """Adds to an error where the run is and how it is resumed, if something had begun; `results`: only if it has some."""
    way_on = goes_on(invocation, results=results)
    if way_on and "resume=" not in str(error):
        error.add_note(f"What was finished is in {invocation.jobs[-1].folder}.{way_on}")
