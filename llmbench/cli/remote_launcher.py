"""Sweeps whose jobs run in other processes, by another of Hydra's launchers: Slurm's, Ray's and the like.

The jobs are composed, checked and counted here as in any sweep, and read back from their folders when they have ended; a launcher that
is not llmbench's would leave the sweep without summary, table, page and `resume`. The other launcher pickles the task, which is
`Invocation`; that makes another one of itself in the other process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGINT
from typing import Any

import psutil
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig

from llmbench.cli.launcher import PLUGIN, OneEngineLauncher, SweepPoint
from llmbench.errors import Interrupted, RunError
from llmbench.results.manifest import MANIFEST
from llmbench.system import shell, stdio
from llmbench.system.console import Terminal
from llmbench.system.number_format import count
from llmbench.system.text import one_line

HERE = (PLUGIN, "hydra._internal.core_plugins.basic_launcher.BasicLauncher")
"""The launchers that run jobs in this process, by their names in Hydra's registry."""
GRACE_S = 5.0
"""After Ctrl-C, which reaches all processes of a terminal, the jobs have so long to end; then they get SIGTERM."""


class RemoteLauncher(OneEngineLauncher):
    """Has another launcher run the jobs."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - of any launcher
        self._settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Makes the other launcher, and gives it what Hydra gives every launcher."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self._launcher: Launcher = get_class(config.hydra.launcher["_target_"])(**self._settings)
        self._launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def run_points(self, points: Sequence[SweepPoint]) -> dict[int, JobReturn]:
        """Runs jobs elsewhere, all but those whose settings are refused."""
        done = {point.number: self.run_here(point) for point in points if point.config is None}
        left = [point for point in points if point.config is not None]
        if not left:
            return done
        results: Sequence[object] = [None] * len(left)
        children = set(psutil.Process().children())
        submitted = SubmittedJobs(self._launcher)
        Terminal().notice(
            f"hydra/launcher={self._name} runs {count(len(left), 'job')}, each in a process of its own; {submitted.printed}."
        )
        try:
            returned = self._launcher.launch([_placed(point) for point in left], left[0].number)
            results = [one._return_value for one in returned]  # noqa: SLF001 - the property raises a job's error
        except KeyboardInterrupt as error:
            _end(set(psutil.Process().children()) - children, error)
            submitted.say_they_go_on()
            begun = [point for point in left if _begun(point)]
            self._collect(begun, [error] * len(begun))
            raise
        except Exception as error:  # of a launcher, about a job that died; the others run on
            submitted.wait()
            if not any(map(_begun, left)):
                why = f"{one_line(error).rstrip('.?')}; {submitted.printed}"
                raise RunError(f"hydra/launcher={self._name} ran no job: {why}.") from error
        return done | self._collect(left, results)

    @property
    def _name(self) -> str:
        return str(self.config.hydra.runtime.choices["hydra/launcher"])

    def _collect(self, points: Sequence[SweepPoint], results: Sequence[object]) -> dict[int, JobReturn]:
        done = {}
        for point, error in zip(points, self.task.collect(points, results), strict=True):
            done[point.number] = JobReturn(overrides=point.overrides, status=JobStatus.COMPLETED)
            if error is not None:
                done[point.number].status = JobStatus.FAILED
                done[point.number].return_value = RunError(error)
        return done


def _begun(point: SweepPoint) -> bool:
    return (point.folder / MANIFEST).is_file()


def _placed(point: SweepPoint) -> list[str]:
    """A job's overrides for the other launcher, with its folder: that launcher counts anew, and its working directory may be another."""
    sweep = point.composed.hydra.sweep
    return [
        *point.overrides,
        f"hydra.sweep.dir={shell.quoted(str(Path(str(sweep.dir)).absolute()))}",
        f"hydra.sweep.subdir={shell.quoted(str(sweep.subdir))}",
    ]


def _end(processes: set[psutil.Process], error: KeyboardInterrupt) -> None:
    """Ends jobs that run on this machine, in order."""
    from_terminal = not isinstance(error, Interrupted) or error.signal_number == SIGINT
    _, alive = psutil.wait_procs(processes, timeout=GRACE_S if from_terminal else 0)
    for process in alive:
        process.terminate()
    psutil.wait_procs(alive, timeout=GRACE_S)


class SubmittedJobs:
    """What submitit, which hydra-submitit-launcher uses, has submitted since this was made; nothing for other launchers."""

    def __init__(self, launcher: Launcher) -> None:
        settings = getattr(launcher, "params", {})
        self._pattern: str | None = settings.get("submitit_folder")  # with %j for a job's number
        self._slurm = getattr(launcher, "_EXECUTOR", None) == "slurm"
        self.folder = None if self._pattern is None else Path(self._pattern).parent
        if self.folder is not None:  # for this user only: it holds the settings as they are, passwords too
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._before = self._all()
        self.printed = f"what they print is in {self.folder or 'the logs of that launcher'}"

    def _all(self) -> set[str]:
        if self.folder is None or not self.folder.is_dir():
            return set()
        return {path.name for path in self.folder.iterdir() if path.name[0].isdigit() and path.is_dir()}

    def wait(self) -> None:
        """Waits until they have ended."""
        new = sorted(self._all() - self._before)
        if not self._slurm:  # a job's number is then its process's
            for job in new:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(int(job)).wait()
            return
        import submitit

        for job in new:
            submitit.SlurmJob(folder=str(self._pattern), job_id=job).wait()

    def say_they_go_on(self) -> None:
        """Says how to end them, since they outlive this process at Slurm."""
        numbers = sorted({job.partition("_")[0] for job in self._all() - self._before})
        if numbers and self._slurm:
            stdio.print_error(
                f"The jobs at Slurm go on; `scancel {' '.join(numbers)}` ends them. "
                "Once they have ended, resuming the sweep collects what they left."
            )


@contextmanager
def collecting() -> Iterator[None]:
    """Has Hydra make a `RemoteLauncher` for every launcher that runs jobs in other processes, while the context lasts."""
    registry = Plugins.instance().class_name_to_class
    theirs = {
        name: found for name, found in registry.items() if issubclass(found, Launcher) and name not in HERE
    }
    registry.update(dict.fromkeys(theirs, RemoteLauncher))
    try:
        yield
    finally:
        registry.update(theirs)
