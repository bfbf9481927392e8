"""`tracker=mlflow|wandb`: a finished run's settings, figures and files in an experiment tracker.

A missing package is refused before anything is loaded. What fails at the end is one warning: the run's folder has it all.
Values of environment variables that look like secrets are taken out of everything that is handed on.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from llmbench.config.choices import Tracker
from llmbench.config.groups import OutputSettings
from llmbench.errors import ConfigError
from llmbench.results.manifest import CONFIG, JOURNAL, MANIFEST, SUMMARY, read_record
from llmbench.results.settings import flat, read_config
from llmbench.results.summary import Summary
from llmbench.system.console import Terminal
from llmbench.system.decoding import finite
from llmbench.system.hardware import distribution
from llmbench.system.redaction import HIDDEN, clean, known, without_secrets
from llmbench.system.text import one_line

log = logging.getLogger(__name__)

PROJECT = "llmbench"
ARTIFACTS = "mlartifacts"
"""Where MLflow's local store keeps files, beside the runs."""
FILES = (CONFIG, MANIFEST, SUMMARY, JOURNAL, "report.html")
"""What is handed on of a run's folder, where it is there."""
NOT_SETTINGS = re.compile(r"benchmarks\.[^.]+\.(profiles|reference|checked)\b")
"""Tables that settings are picked from."""
FIGURES = ("time_s", "memory", "gpu", "cost", "engine", "benchmarks")
RETRIES = "3"
"""Of a server that does not answer, unless the user says otherwise: MLflow's own seven take four minutes, the GPU waiting."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """What is handed on of a run."""

    name: str
    group: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    files: list[Path]


def check(settings: OutputSettings) -> None:
    """Refuses a tracker whose package is missing.

    Raises:
        ConfigError: Says what to install.
    """
    if settings.tracker is Tracker.wandb and distribution("wandb") is None:
        raise ConfigError(
            "tracker=wandb needs the package wandb: `pip install wandb`, or leave tracker=none."
        )
    if settings.tracker is not Tracker.mlflow:
        return
    if distribution("mlflow") is None and distribution("mlflow-skinny") is None:
        raise ConfigError(
            "tracker=mlflow needs the package mlflow: `pip install mlflow-skinny sqlalchemy alembic`, or leave tracker=none."
        )
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    if local and (distribution("sqlalchemy") is None or distribution("alembic") is None):
        raise ConfigError(
            "tracker=mlflow keeps a local store with the packages sqlalchemy and alembic: `pip install sqlalchemy alembic`, "
            "or set MLFLOW_TRACKING_URI."
        )


def track(settings: OutputSettings, folder: Path, terminal: Terminal) -> bool:
    """Logs a finished run, unless `tracker=none`; says where, or in one sentence why not. Returns whether it is logged."""
    if settings.tracker is Tracker.none:
        return False
    try:
        with _tracked(folder) as tracked:
            send = _mlflow if settings.tracker is Tracker.mlflow else _wandb
            terminal.notice(send(tracked, settings, folder))
    except Exception as error:
        log.warning("the tracker failed", exc_info=True)
        terminal.notice(
            f"tracker={settings.tracker.name} failed ({without_secrets(one_line(error))}); the run is whole in its folder."
        )
        return False
    return True


@contextmanager
def _tracked(folder: Path) -> Iterator[Tracked]:
    settings = read_config(folder) or {}
    summary = read_record(folder / SUMMARY, Summary)
    job = re.fullmatch(r"\d+(_\d+)?", folder.name)
    group = folder.absolute().parent.name if job else None
    with tempfile.TemporaryDirectory(prefix="llmbench-") as copies:
        own = [path for path in (folder / name for name in FILES) if path.is_file() and not path.is_symlink()]
        files = [_copy(path, Path(copies)) for path in own]
        name = f"{group}/{folder.name}" if group else folder.name
        yield Tracked(name, group, params_of(settings), metrics_of(summary), files)


def _copy(path: Path, into: Path) -> Path:
    content, found = path.read_bytes(), into / path.name
    for secret in known():
        content = content.replace(secret.encode("utf-8", "surrogateescape"), HIDDEN.encode())
    found.write_bytes(content)
    return found


def params_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings by dotted name, as text: lists as JSON, without the tables that others are picked from."""
    return {
        name: without_secrets(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())
        for name, value in flat(clean(settings))
        if not NOT_SETTINGS.match(name)
    }


def metrics_of(summary: Summary) -> dict[str, float]:
    """The figures of a summary by path, benchmarks first by their names; what was not measured is left out."""
    found: dict[str, Any] = {}
    whole = summary.as_dict()
    for name, value in flat({part: whole[part] for part in FIGURES}, separator="/"):
        name = name.removeprefix("benchmarks/")  # noqa: PLW2901 - the same name, shorter
        if name.endswith(("/ci95", "/bounds")) and value is not None:
            found |= {f"{name}_low": value[0], f"{name}_high": value[1]}
        else:
            found[name] = value
    return {
        re.sub(r"[^\w\-. :/]", "_", name): float(value)
        for name, value in found.items()
        if finite(value) is not None
    }


def _mlflow(tracked: Tracked, settings: OutputSettings, folder: Path) -> str:
    """Logs to MLFLOW_TRACKING_URI, or to a local store beside the runs: SQLite, since MLflow gave up its folders of files."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
    if not uri:
        store = Path(settings.runs_dir).absolute()
        store.mkdir(parents=True, exist_ok=True)
        uri, artifacts = f"sqlite:///{store / 'mlflow.db'}", (store / ARTIFACTS).as_uri()
    client = MlflowClient(tracking_uri=uri)
    project = settings.tracker_project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
    experiment = client.get_experiment_by_name(project)
    number = experiment.experiment_id if experiment else client.create_experiment(project, artifacts)
    tags = {"llmbench.folder": str(folder.absolute())} | ({"sweep": tracked.group} if tracked.group else {})
    info = client.create_run(number, tags=tags, run_name=tracked.name).info
    run = info.run_id
    try:
        params = [Param(name, value) for name, value in tracked.params.items()]
        metrics = [Metric(name, value, info.start_time, 0) for name, value in tracked.metrics.items()]
        client.log_batch(run, metrics=metrics, params=params)
        for path in tracked.files:
            client.log_artifact(run, str(path))
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)
    return without_secrets(f"MLflow: run {run} in experiment {project}, {uri}.")


def _wandb(tracked: Tracked, settings: OutputSettings, folder: Path) -> str:
    """Logs as WANDB_MODE and its kin say; offline where nobody is logged in, since nobody could answer a prompt."""
    import wandb

    asked = os.environ.get("WANDB_MODE")
    offline = asked == "offline" or not (asked or _logged_in())
    project = settings.tracker_project or os.environ.get("WANDB_PROJECT") or PROJECT
    run = wandb.init(
        project=project,
        name=tracked.name,
        group=tracked.group or os.environ.get("WANDB_RUN_GROUP"),
        config=dict(tracked.params),
        dir=None if os.environ.get("WANDB_DIR") else str(folder.absolute()),
        mode="offline" if offline else None,
        reinit="create_new",
        settings=wandb.Settings(
            console="off", disable_code=True, disable_git=True, x_disable_meta=True, x_disable_stats=True
        ),
    )
    code = 1
    try:
        run.log(tracked.metrics)
        run.summary.update(tracked.metrics)
        artifact = wandb.Artifact(f"run-{run.id}", type="run")
        for path in tracked.files:
            artifact.add_file(str(path))
        run.log_artifact(artifact)
        code = 0
    finally:
        run.finish(exit_code=code)
    if offline:
        return f"W&B: written offline to {run.dir.removesuffix('/files')}; `wandb sync` uploads it."
    return f"W&B: run {run.id} in project {project}{f', {run.url}' if run.url else ''}."


def _logged_in() -> bool:
    """Whether wandb finds a key without asking."""
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    import netrc
    from urllib.parse import urlsplit

    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
