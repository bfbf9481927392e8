"""The launcher of sweeps: jobs that can share an engine run one after the other. `remote_launcher` has the one for other processes."""

import copy
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from llmbench.config.schema import Config
from llmbench.config.validation import from_hydra
from llmbench.errors import ConfigError, RunError
from llmbench.system import files, redaction

if TYPE_CHECKING:
    from llmbench.cli.invocation import Invocation

PLUGIN = "hydra_plugins.llmbench.OneEngineLauncher"
"""The launcher's name for Hydra, which takes plugins from below `hydra_plugins` only; there need be no such folder."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A job that is composed but has not run; `config` is None where the settings are refused."""

    number: int
    overrides: list[str]
    composed: DictConfig
    config: Config | None

    @property
    def folder(self) -> Path:
        """Where the job runs."""
        sweep = self.composed.hydra.sweep
        return Path(str(sweep.dir)).absolute() / str(sweep.subdir)


class OneEngineLauncher(Launcher):
    """Composes the jobs of a sweep and runs those that were not done before, one after another, those that share an engine together."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Stores what Hydra gives every launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.task = cast("Invocation", task_function)  # only cli runs conf/config.yaml
        path = self._sweepers_file()
        if path.is_symlink() or (path.exists() and not path.is_file()):  # the sweeper would write into it
            raise RunError(f"{path} is a link or no file; remove it, or choose another folder.")

    def _sweepers_file(self) -> Path:
        return Path(str(self.config.hydra.sweep.dir)) / "multirun.yaml"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs a sweeper's jobs, with results in their order; a job that fails says so in its result and stops none of the others."""
        setup_globals()
        self._configure_log()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        self.task.asked += job_overrides
        points = [self._compose(number, o) for number, o in enumerate(job_overrides, initial_job_idx)]
        self._hide_secrets()
        done: dict[int, JobReturn] = {}
        left = []
        for point in points:
            if self._done(point):
                done[point.number] = JobReturn(overrides=point.overrides, status=JobStatus.COMPLETED)
            else:
                left.append(point)
        if points and initial_job_idx == 0:
            folder = Path(str(self.config.hydra.sweep.dir)).absolute()
            self.task.load_previous_state(
                folder, next((p.config for p in points if p.config), None), len(done)
            )
        done |= self.run_points(left)
        return [done[point.number] for point in points]

    def run_points(self, points: Sequence[SweepPoint]) -> dict[int, JobReturn]:
        """Runs jobs, grouped by their engine; returns what became of each, by its number."""
        done = {}
        for group in by_engine(points):
            self.task.pool().plan([point.config for point in group if point.config is not None])
            for point in group:
                done[point.number] = self.run_here(point)
        return done

    def _hide_secrets(self) -> None:
        """Takes tokens and passwords out of what the sweeper has written of the settings."""
        path = self._sweepers_file()
        with suppress(OSError):
            written = files.read(path).decode()
            files.replace(path, [redaction.without_secrets(written).encode()])

    def _done(self, point: SweepPoint) -> bool:
        if point.config is None:
            return False
        return self.task.done(point.number, overrides_of(point), point.config, point.folder)

    def _compose(self, number: int, overrides: Sequence[str]) -> SweepPoint:
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        return SweepPoint(number, list(overrides), composed, _settings(composed))

    def run_here(self, point: SweepPoint) -> JobReturn:
        """Runs a job in this process."""
        try:
            return run_job(
                task_function=self.task,
                config=point.composed,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
                hydra_context=self.hydra_context,
            )
        finally:
            self._configure_log()  # the job has set up its own

    def _configure_log(self) -> None:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)


def register_launcher() -> None:
    """Makes the launcher known to Hydra as `hydra/launcher=llmbench`; harmless when repeated."""
    ConfigStore.instance().store(group="hydra/launcher", name="llmbench", node={"_target_": PLUGIN})
    plugins = Plugins.instance()
    plugins.register(OneEngineLauncher)  # by the name it has here, for `--info plugins`
    plugins.class_name_to_class[PLUGIN] = OneEngineLauncher


def overrides_of(point: SweepPoint) -> list[str]:
    """A job's settings as Hydra was given them, without those of Hydra itself."""
    return cast("list[str]", OmegaConf.to_container(point.composed.hydra.overrides.task, resolve=False))


def by_engine(points: Iterable[SweepPoint]) -> list[list[SweepPoint]]:
    """The points grouped by the engine they need, in the order in which each is first needed.

    One whose settings are refused needs none and stays with the point before it.
    """
    from llmbench.run.engine_pool import engine_key

    groups: dict[str, list[SweepPoint]] = {}
    key = ""
    for point in points:
        key = key if point.config is None else engine_key(point.config)
        groups.setdefault(key, []).append(point)
    return list(groups.values())


def _settings(composed: DictConfig) -> Config | None:
    """The job's settings, to see which engine it needs, or None; the job itself reports what is wrong with them."""
    hydra_config = HydraConfig.instance()
    before = hydra_config.cfg
    hydra_config.set_config(composed)  # for `${hydra:…}` among the settings
    own = copy.deepcopy(composed)
    try:
        with read_write(own), open_dict(own):
            del own["hydra"]
        return from_hydra(own)
    except ConfigError:
        return None
    finally:
        hydra_config.cfg = before
