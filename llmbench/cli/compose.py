"""What is done to a command line before Hydra composes it, and `compose`, which gives checked settings to a program."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from llmbench.cli import arguments, custom_data, explain, launcher
from llmbench.cli.job import finished_on
from llmbench.cli.resume import STARTS_A_SWEEP
from llmbench.config import custom
from llmbench.config.choices import Scoring
from llmbench.config.paths import config_folder
from llmbench.config.schema import Config
from llmbench.config.validation import from_hydra
from llmbench.engine import checkpoint_settings
from llmbench.errors import ConfigError, LlmbenchError
from llmbench.system import files, redaction, text
from llmbench.system.text import suggest

if TYPE_CHECKING:
    from llmbench.config.engine import EngineConfig

COMPOSING = threading.RLock()
"""Held while Hydra composes: what it knows is the process's."""


def register() -> None:
    """Makes the schema, the launcher and the resolvers known to Hydra; harmless when repeated."""
    ConfigStore.instance().store(name="llmbench_schema", node=Config)
    launcher.register_launcher()
    OmegaConf.register_new_resolver("llmbench.names", custom.joined_names, replace=True)
    OmegaConf.register_new_resolver("llmbench.custom", custom.resolved, replace=True)
    OmegaConf.register_new_resolver("llmbench.folder", _folder, replace=True)
    OmegaConf.register_new_resolver("llmbench.either", _either, replace=True)
    OmegaConf.register_new_resolver(
        "llmbench.chat", lambda scoring: scoring != Scoring.loglikelihood, replace=True
    )
    OmegaConf.register_new_resolver("llmbench.served", _served, replace=True)
    OmegaConf.register_new_resolver("llmbench.checkpoint", checkpoint_settings.name_of, replace=True)


def _either(one: object, other: object) -> object:
    """The one, or the other where it is null or empty; 0 is a value."""
    return other if one is None or one == "" else one


def _folder(model: str, adapter: str | None) -> str:
    """A model's part of the name of a run's folder."""
    added = f"+{checkpoint_settings.name_of(adapter, None)}" if adapter else ""
    return re.sub(r"[/\s]+", "-", f"{model}{added}")


def _served(engine: DictConfig, resume: str | None) -> str:
    """The name of the model that a server serves; Hydra gives its own form of the engine's settings.

    Where the settings do not say it, and a finished run is resumed or a sweep with one, its manifest does: the server may be gone.
    """
    from llmbench.engine.endpoint.address import without_login
    from llmbench.engine.endpoint.settings import served_name

    if resume is not None and engine.served_model is None:
        address = None if engine.base_url is None else without_login(engine.base_url)[0]
        before = finished_on(Path(resume), address)
        if before is not None:
            return before.model
    return served_name(cast("EngineConfig", OmegaConf.to_object(engine)))


def check_files(arguments: Sequence[str]) -> None:
    """Refuses chosen YAML files that cannot be read, which may be a user's (`--config-dir`), before Hydra reads them."""
    joined = "\n".join(arguments)
    folders = [
        config_folder(),
        *map(Path, re.findall(r"^(?:--config-dir|-cd)[=\n](.+)", joined, re.MULTILINE)),
    ]
    chosen = re.findall(r"^\+*([\w/]+)=(.+)", joined, re.MULTILINE)
    groups = [(folder / group, value) for folder in folders for group, value in chosen]
    for path in (
        folder / f"{name}.yaml"
        for folder, value in groups
        if folder.is_dir()  # any other setting's value may be a text, which is not a file's name
        for name in re.findall(r"[\w/-]+", value)
    ):
        try:
            if path.is_file():
                files.load_yaml(files.read(path, files.YAML_BYTES))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read ({text.reason_of(error)}); fix the file.") from error


FREE_FORM = re.compile(
    r"(engine\.(?:args|speculative|extra_body|headers_env|price)|judge\.(?:extra_body|price)|model\.chat_template_kwargs|benchmarks\.\w+\.options)[.=]"
)
"""Settings whose keys are not ours to know; Hydra adds keys only where an override begins with `++`."""


SWEEP = re.compile(r"\+?(sweep|ablation)=(.*)")
"""The choice of a sweep of conf/sweep/ or conf/ablation/; Hydra wants a `+` before a group that config.yaml does not list."""


MULTIRUN = ("-m", "--multirun")


def typed(overrides: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Hydra's overrides as they were typed among the arguments, without what `for_hydra` added, `***` for secrets.

    `resume` is left out: it says where a sweep is, not what its jobs are.
    """
    implied = checkpoint_settings.implied(arguments)
    if list(arguments) != custom_data.with_benchmark(arguments):
        implied.add("benchmark")
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
    hand or data of one's own implies comes at the end.
    """
    prefixes = ((FREE_FORM, "++"), (SWEEP, "+"))
    return [
        next((prefix + a for pattern, prefix in prefixes if pattern.match(a) and a[0] != "+"), a)
        for a in custom_data.with_benchmark(checkpoint_settings.with_checkpoint(arguments))
    ]


def check_sweep(arguments: Sequence[str]) -> None:
    """Refuses several sweeps without brackets, and one that does not exist, before Hydra stumbles over the commas that came with it."""
    for kind, chosen in (match.groups() for match in map(SWEEP.fullmatch, arguments) if match):
        names = explain.options(config_folder(), kind)
        for name in re.findall(r"[^][, ]+", chosen):
            if name not in names:
                raise ConfigError(f"There is no {kind} called {name!r}{suggest(name, names)}")
        if "," in chosen and chosen[0] != "[":
            raise ConfigError(
                f"{kind}={chosen} is refused: choose one {kind}, or the product of several with '{kind}=[{chosen}]'."
            )


ELSEWHERE = re.compile(r"hydra/launcher=(?!(llmbench|basic)$)")
"""The choice of a launcher that runs jobs in other processes."""
MANY_OR_NONE = re.compile(rf"{STARTS_A_SWEEP.pattern}|(--cfg|-c)\b")
"""What asks for a sweep, or only for its settings."""


def check_launcher(arguments: Sequence[str]) -> None:
    """Refuses a launcher beside a single run, which Hydra would begin on this machine."""
    chosen = next(filter(ELSEWHERE.match, arguments), None)
    if chosen is not None and not any(map(MANY_OR_NONE.match, arguments)):
        raise ConfigError(f"{chosen} is for the jobs of a sweep; add -m, also where there is one job.")


@contextmanager
def own_hydra() -> Iterator[None]:
    """Sets the calling program's Hydra aside, since there is one per process, and restores it at the end."""
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
            COMPOSING,
            own_hydra(),
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


def check_suite(chosen: str | None) -> None:
    """Refuses a suite that does not exist; Hydra takes a misspelt name of an optional group for no choice."""
    names = explain.options(config_folder(), "suite")
    if chosen is not None and chosen not in names:
        raise ConfigError(f"There is no suite called {chosen!r}{suggest(chosen, names)}")
