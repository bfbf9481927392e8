"""A multirun: the launcher that keeps one engine for many jobs, and what is said and written when they are done."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypedDict, cast

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from rich.markup import escape
from rich.table import Table

from llmbench.cli.resume import RUNS_DIR
from llmbench.cli.sweep_attempts import SweepSitting
from llmbench.config.schema import Config
from llmbench.config.validation import from_hydra
from llmbench.errors import ConfigError, LlmbenchError, RunError
from llmbench.report.write import write_many
from llmbench.results.manifest import (
    JOURNAL,
    MANIFEST,
    MEND,
    REPORT,
    STARTING,
    SUMMARY,
    Manifest,
    read_object,
    write_object,
)
from llmbench.results.summary import Summary
from llmbench.system import files, redaction
from llmbench.system.console import Terminal
from llmbench.system.number_format import count, number, percent, seconds
from llmbench.system.text import one_line

PLUGIN = "hydra_plugins.llmbench.OneEngineLauncher"
"""The launcher's name for Hydra, which takes plugins from below `hydra_plugins` only; there need be no such folder."""


@dataclass
class Job:
    """One job of the program and what became of it.

    Attributes:
        number: Its place in the order in which the jobs were asked for, from 0.
        engine: Which of the engines loaded so far stood when it ended, from 1; 0: none.
        begun: Its folder holds its beginning: of this call of the program (`now`), or of one `before`; or what is left of one
            that was `killed` before it had begun.
    """

    number: int
    overrides: list[str]
    folder: Path
    summary: dict[str, Any] | None = None  # as summary.json has it
    error: str | None = None
    interrupted: bool = False
    engine: int = 0
    begun: Literal["now", "before", "killed"] | None = None

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


class Task(Protocol):
    """What this launcher runs: a Hydra task that wants to know what comes."""

    def __call__(self, cfg: DictConfig) -> None:
        """Runs one job."""

    def expect(self, jobs: Sequence[Sequence[str]]) -> None:
        """These jobs more are asked for, told by their overrides."""

    def plan(self, configs: Sequence[Config]) -> None:
        """These jobs come next and share an engine."""

    def done(self, number: int, overrides: Sequence[str], config: Config, folder: Path) -> bool:
        """Whether this job need not run, because it was done before."""

    def take_up(self, folder: Path, config: Config | None, matched: int) -> None:
        """So many of the jobs were done before; with `resume`, looks whether the folder holds the same sweep."""


@dataclass(frozen=True, slots=True)
class Point:
    """A job that is composed but has not run; `config` is None where the settings are refused."""

    number: int
    composed: DictConfig
    config: Config | None


class OneEngineLauncher(Launcher):
    """Runs jobs here, one after another, those that share an engine together; results keep the order of the jobs."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra gives every launcher."""
        self.hydra_context, self.config = hydra_context, config
        # conf/config.yaml names this launcher, and only cli runs that
        self.task = cast("Task", task_function)
        path = self._sweepers_file()
        if path.is_symlink() or (path.exists() and not path.is_file()):  # the sweeper would write into it
            raise RunError(f"{path} is a link or no file; remove it, or choose another folder.")

    def _sweepers_file(self) -> Path:
        return Path(str(self.config.hydra.sweep.dir)) / "multirun.yaml"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs a sweeper's jobs; a job that fails says so in its result and stops none of the others."""
        setup_globals()
        self._configure_log()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        self.task.expect(job_overrides)
        points = [self._compose(number, o) for number, o in enumerate(job_overrides, initial_job_idx)]
        self._hide_secrets()
        done: dict[int, JobReturn] = {}
        left = []
        for point, own in zip(points, job_overrides, strict=True):
            if self._done(point):
                done[point.number] = JobReturn(overrides=list(own), status=JobStatus.COMPLETED)
            else:
                left.append(point)
        if points and initial_job_idx == 0:
            folder = Path(str(self.config.hydra.sweep.dir)).absolute()
            self.task.take_up(folder, next((p.config for p in points if p.config), None), len(done))
        for group in by_engine(left):
            self.task.plan([point.config for point in group if point.config is not None])
            for point in group:
                done[point.number] = self._run(point)
        return [done[point.number] for point in points]

    def _hide_secrets(self) -> None:
        """Takes tokens and passwords out of what the sweeper has written of the settings."""
        path = self._sweepers_file()
        with suppress(OSError):
            written = files.read(path).decode()
            files.replace(path, [redaction.without_secrets(written).encode()])

    def _done(self, point: Point) -> bool:
        if point.config is None:
            return False
        hydra = point.composed.hydra
        own = cast("list[str]", OmegaConf.to_container(hydra.overrides.task, resolve=False))
        folder = Path(str(hydra.sweep.dir)).absolute() / str(hydra.sweep.subdir)
        return self.task.done(point.number, own, point.config, folder)

    def _compose(self, number: int, overrides: Sequence[str]) -> Point:
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        return Point(number, composed, _settings(composed))

    def _run(self, point: Point) -> JobReturn:
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


def by_engine(points: Iterable[Point]) -> list[list[Point]]:
    """The points grouped by the engine they need, in the order in which each is first needed.

    One whose settings are refused needs none and stays with the point before it.
    """
    from llmbench.run.engine_pool import engine_key

    groups: dict[str, list[Point]] = {}
    key = ""
    for point in points:
        key = key if point.config is None else engine_key(point.config)
        groups.setdefault(key, []).append(point)
    return list(groups.values())


def _settings(composed: DictConfig) -> Config | None:
    """The job's settings, to see which engine it needs; what is wrong with them the job itself says in its turn."""
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
    sittings: list[SweepSitting]
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
        raise RunError(f"{folder / SUMMARY} is no summary of a sweep; {MEND}")
    return found


def written(path: Path, shape: object) -> dict[str, Any]:
    """What a file of a run holds; nothing where it cannot be read."""
    try:
        return read_object(path, shape)
    except RunError:
        return {}


def write(
    jobs: Iterable[Job],
    folder: Path,
    sittings: Sequence[SweepSitting],
    ablation: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes the sweep's `summary.json`, as a whole.

    Raises:
        RunError: It cannot be written.
    """
    jobs = sorted(jobs, key=lambda job: job.number)
    told = {
        "status": sittings[-1].status,
        "time_s": sum(sitting.time_s or 0.0 for sitting in sittings),
        "loads": sum(sitting.loads for sitting in sittings),
        "sittings": [asdict(sitting) for sitting in sittings],
        "groups": _groups(jobs),
        "jobs": [row(job) for job in jobs],
        "ablation": list(ablation) or None,
    }
    write_object(folder / SUMMARY, told)


def status_of(jobs: Sequence[Job], asked: int) -> str:
    """What became of a sweep whose jobs end here, of so many that were asked for."""
    statuses = {job.status for job in jobs}
    if "interrupted" in statuses or len(jobs) < asked:
        return "interrupted"
    return "failed" if "failed" in statuses else "finished"


def finish(
    jobs: Iterable[Job], folder: Path, sittings: Sequence[SweepSitting], *, asked: Sequence[Sequence[str]]
) -> None:
    """Prints the table and writes the sweep's `summary.json`.

    Raises:
        RunError: It cannot be written.
    """
    from llmbench.cli import ablation

    jobs = sorted(jobs, key=lambda job: job.number)
    terminal = Terminal()
    points = ablation.points(jobs)
    measured = ablation.rows(points, jobs, asked)
    loads = sum(sitting.loads for sitting in sittings)
    write(jobs, folder, sittings, [asdict(row) for row in measured])
    terminal.out.print()
    terminal.out.print(_table(jobs))
    for job in jobs:
        if job.error is not None:
            terminal.say(f"job {job.number} failed: {job.error}")
    if measured:
        ablation.show(points, measured, terminal)
    elif points:
        terminal.say(ablation.no_table(points))
    terminal.say(f"{_closing(jobs, len(asked), loads)}; written to {folder}")


def _closing(jobs: Sequence[Job], expected: int, loads: int) -> str:
    statuses = [job.status for job in jobs]
    counts = {status: statuses.count(status) for status in ("finished", "failed", "interrupted")}
    counts["not begun"] = max(0, expected - len(jobs))
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    total = len(jobs) + counts["not begun"]
    parts = [f"{count(total, 'job')}: {said}"]
    if loads:
        parts.append("one engine load" if loads == 1 else f"{loads} engine loads")
    shared = _shared(jobs)
    if shared:
        parts.append(f"the same for all: {' '.join(shared)}")
    return "; ".join(parts)


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    """The numbers of the jobs that each engine served."""
    groups: dict[int, list[int]] = {}
    for job in jobs:
        if _had_engine(job):
            groups.setdefault(job.engine, []).append(job.number)
    return list(groups.values())


def _had_engine(job: Job) -> bool:
    """Whether a job got as far as its engine, and needed one; of one that did not finish only its folder tells."""
    engine = (job.summary or written(job.folder / SUMMARY, Summary)).get("engine")
    return engine is not None and engine.get("loaded") is not False


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


def _shared(jobs: Sequence[Job]) -> list[str]:
    """What was typed for every job alike."""
    return [o for o in jobs[0].overrides if len(jobs) > 1 and all(o in job.overrides for job in jobs)]


SETTINGS_WIDTH = 24
"""Room for the longest of `+sweep=quantization`, on terminals of 100 columns; Rich breaks words where there is less."""


def _table(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "settings", "benchmark"):
        table.add_column(
            heading, overflow="fold", min_width=SETTINGS_WIDTH if heading == "settings" else None
        )
    for heading in ("accuracy", "latency", "tokens/s", "load", "generate", "total"):
        table.add_column(heading, justify="right", no_wrap=True)
    shared = _shared(jobs)
    for job in jobs:
        settings = escape(" ".join(o.removeprefix("+ablation/") for o in job.overrides if o not in shared))
        if job.summary is None:
            # finished without figures: prompts were shown
            colour = "default" if job.status == "finished" else "red"
            table.add_row(str(job.number), settings, f"[{colour}]{job.status}[/]")
            continue
        times = job.summary["time_s"]
        for place, (name, found) in enumerate(job.summary["benchmarks"].items()):
            of_the_job = (
                seconds(times["load"]) if times["load"] else "",
                seconds(times["generate"]),
                seconds(times["total"]),
            )
            table.add_row(
                str(job.number) if place == 0 else "",
                settings if place == 0 else "",
                name,
                percent(found["accuracy"]),
                seconds(found["latency_s"]["mean"]),
                number(found["throughput"]["output_tokens_per_s"]),
                *(of_the_job if place == 0 else ()),
            )
    return table


def report_sweep(jobs: "Sequence[Job]", folder: Path) -> str | None:
    """The page of a sweep's jobs so far; trouble with it never ends the sweep, and is told in a sentence."""
    failed = {
        f"job {job.number} ({' '.join(job.overrides)})": job.error for job in jobs if job.error is not None
    }
    runs = [
        job.folder for job in jobs if (job.folder / MANIFEST).is_file() and (job.folder / JOURNAL).is_file()
    ]
    try:
        if runs:
            write_many(runs, folder / REPORT, failed=failed)
    except Exception as error:  # noqa: BLE001 - whatever a folder holds; no log is open between two jobs
        return str(error) if isinstance(error, LlmbenchError) else f"{one_line(error)}."
    return None
