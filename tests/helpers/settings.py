"""Settings composed with less work: Hydra takes a third of a second for a command line, and most tests use the same few files."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra

from llmbench.cli import compose as composing
from llmbench.config.paths import config_folder
from llmbench.config.schema import Config

if TYPE_CHECKING:
    from hydra._internal.config_repository import IConfigRepository
    from hydra.core.default_element import ResultDefault
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
_read: "dict[str, ConfigResult | None]" = {}
_merged: "dict[str, DictConfig]" = {}


@contextmanager
def files_read_once() -> Iterator[None]:
    """Inside, Hydra reads and merges our own files of settings once; what is typed it applies each time.

    With a folder of a test's own (`--config-dir`) it reads everything each time.
    """
    get_mode, read, merge = (
        Hydra.get_mode,
        ConfigRepository.load_config,
        ConfigLoaderImpl._compose_config_from_defaults_list,
    )

    def read_once(self: ConfigRepository, config_path: str) -> "ConfigResult | None":
        if not _own(self):
            return read(self, config_path)
        if config_path not in _read:
            _read[config_path] = read(self, config_path)
        return deepcopy(_read[config_path])

    def merge_once(
        self: ConfigLoaderImpl, defaults: "list[ResultDefault]", repo: "IConfigRepository"
    ) -> "DictConfig":
        if not _own(repo):
            return merge(self, defaults, repo)
        key = repr(defaults)
        if key not in _merged:
            _merged[key] = merge(self, defaults, repo)
        return deepcopy(_merged[key])

    def mode(self: Hydra, config_name: str | None, overrides: list[str]) -> object:
        """None, as our configuration says, where nothing that is typed could say otherwise: finding it out composes once more."""
        decides = any(re.match(r"hydra[./=]|[+~]|(sweep|ablation)=", override) for override in overrides)
        own = {path.provider for path in self.config_loader.get_search_path().get_path()} == OWN_PROVIDERS
        return get_mode(self, config_name, overrides) if decides or not own else None

    with (
        patch.object(Hydra, "get_mode", mode),
        patch.object(ConfigRepository, "load_config", read_once),
        patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_once),
    ):
        yield


def _own(repo: "IConfigRepository") -> bool:
    return OWN.issuperset(source.full_path() for source in repo.get_sources())
