"""Hydra's compositions, remembered: it composes each command line once to see whether it is a sweep, then again, and each job of a
sweep twice, a quarter of a second each."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig

MOST = 200


@contextmanager
def shared_compositions() -> Iterator[None]:
    """Inside, the same overrides of llmbench's own configuration are composed once in this process."""
    composed: dict[object, DictConfig] = {}
    compose, get_mode = ConfigLoaderImpl._load_configuration_impl, Hydra.get_mode

    def remembered(
        loader: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        **options: Any,  # noqa: ANN401 - Hydra's
    ) -> DictConfig:
        providers = {path.provider for path in loader.config_search_path.get_path()}
        if providers != {"hydra", "main", "schema"} or any("searchpath" in text for text in overrides):
            return compose(loader, config_name, overrides, **options)  # files that may change
        key = (config_name, *overrides, *options.items(), str(loader.config_search_path))
        if key not in composed:
            composed[key] = compose(loader, config_name, overrides, **options)
            while len(composed) > MOST:
                del composed[next(iter(composed))]
        config = deepcopy(composed[key])
        config.hydra.runtime.cwd = str(Path.cwd())
        return config

    def mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> object:
        """None, as llmbench's configuration says, where nothing on the command line could say otherwise."""
        plain = not any(text.startswith(("hydra.mode", "hydra=", "+", "~")) for text in overrides)
        own = {path.provider for path in hydra.config_loader.get_search_path().get_path()} == {
            "hydra",
            "main",
            "schema",
        }
        return None if plain and own else get_mode(hydra, config_name, overrides)

    with (
        patch.object(ConfigLoaderImpl, "_load_configuration_impl", remembered),
        patch.object(Hydra, "get_mode", mode),
    ):
        yield
