"""Settings composed with less work: Hydra takes a third of a second for a command line, and most tests use the same few files."""

import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING
from unittest.mock import patch

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides, create_defaults_list
from hydra._internal.hydra import Hydra

from llmbench.cli import compose as composing
from llmbench.config.paths import config_folder
from llmbench.config.schema import Config

if TYPE_CHECKING:
    from hydra._internal.config_repository import IConfigRepository
    from hydra.core.default_element import ResultDefault
    from hydra.core.override_parser.types import Override
    from hydra.plugins.config_source import ConfigResult
    from omegaconf import DictConfig


def compose(overrides: Sequence[str] = ()) -> Config:
    """What `llmbench.cli.compose.compose` gives for these overrides; a copy of the test's own."""
    if "engine=endpoint" in overrides:  # which asks a server
        return composing.compose(overrides)
    return deepcopy(_composed(tuple(overrides)))


@cache
def _composed(overrides: tuple[str, ...]) -> Config:
    return composing.compose(overrides)


OWN = {"pkg://hydra.conf", "structured://", f"file://{config_folder()}"}
"""Where settings lie that no test changes."""
OWN_PROVIDERS = {"hydra", "main", "schema"}
DECIDES = r"hydra(?!\.(run|sweep)\.)[./=]|[+~]|(sweep|ablation)="
"""Begins an override that may say whether there is one run or several."""
_get_mode, _read_file, _merge_files = (
    Hydra.get_mode,
    ConfigRepository.load_config,
    ConfigLoaderImpl._compose_config_from_defaults_list,
)
_read: dict[str, bytes] = {}
_chosen: dict[object, DefaultsList] = {}
_merged: dict[str, bytes] = {}
"""Pickled, since unpickling takes a sixth of the time of a deep copy."""


@contextmanager
def files_read_once() -> Iterator[None]:
    """Inside, Hydra reads, chooses and merges our own files of settings once; what is typed it applies each time.

    With a folder of a test's own (`--config-dir`) it reads everything each time.
    """
    with (
        patch.object(Hydra, "get_mode", _mode),
        patch.object(ConfigRepository, "load_config", _read_once),
        patch.object(CachingConfigRepository, "__init__", _share_sources),
        patch.object(config_loader_impl, "create_defaults_list", _choose_once),
        patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", _merge_once),
    ):
        yield


def _own(repo: "IConfigRepository") -> bool:
    return OWN.issuperset(source.full_path() for source in repo.get_sources())


def _mode(self: Hydra, config_name: str | None, overrides: list[str]) -> object:
    """None, as our configuration says, where nothing that is typed could say otherwise: finding it out composes once more."""
    decides = any(re.match(DECIDES, override) for override in overrides)
    own = {path.provider for path in self.config_loader.get_search_path().get_path()} == OWN_PROVIDERS
    return _get_mode(self, config_name, overrides) if decides or not own else None


def _read_once(self: ConfigRepository, config_path: str) -> "ConfigResult | None":
    if not _own(self):
        return _read_file(self, config_path)
    if config_path not in _read:
        _read[config_path] = pickle.dumps(_read_file(self, config_path))
    found: ConfigResult | None = pickle.loads(_read[config_path])  # noqa: S301 - our own
    return found


def _share_sources(self: CachingConfigRepository, delegate: "IConfigRepository") -> None:
    """Copies the repository alone; Hydra copies its sources too, which nobody changes, and with them its whole store."""
    self.delegate = copy(delegate)
    self.cache = {}


def _choose_once(
    repo: "IConfigRepository", config_name: str | None, overrides_list: "list[Override]", **options: bool
) -> DefaultsList:
    """The files that are chosen; only overrides of groups choose any."""
    if not _own(repo):
        return create_defaults_list(repo, config_name, overrides_list, **options)
    choices = [override for override in overrides_list if repo.group_exists(override.key_or_group)]
    key = config_name, *options.items(), *(choice.input_line for choice in choices)
    if key not in _chosen:
        _chosen[key] = create_defaults_list(repo, config_name, choices, **options)
    return replace(_chosen[key], config_overrides=Overrides(repo, overrides_list).config_overrides)


def _merge_once(
    self: ConfigLoaderImpl, defaults: "list[ResultDefault]", repo: "IConfigRepository"
) -> "DictConfig":
    if not _own(repo):
        return _merge_files(self, defaults, repo)
    key = repr(defaults)
    if key not in _merged:
        _merged[key] = pickle.dumps(_merge_files(self, defaults, repo))
    found: DictConfig = pickle.loads(_merged[key])  # noqa: S301 - our own
    return found
