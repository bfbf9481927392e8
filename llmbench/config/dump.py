"""The settings as YAML, as config.yaml holds them."""

from dataclasses import asdict
from enum import Enum
from typing import Any

import yaml

from llmbench.config.schema import Config
from llmbench.system import redaction


def as_yaml(config: Config) -> str:
    """The settings as config.yaml has them, `***` for secrets."""
    return str(yaml.safe_dump(redaction.clean(as_yaml_data(config)), sort_keys=False, allow_unicode=True))


def as_yaml_data(config: Config) -> Any:  # noqa: ANN401 - nested plain data
    """The settings as plain lists, mappings and scalars, enums by name."""
    return _plain(asdict(config))


def _plain(value: Any) -> Any:  # noqa: ANN401 - nested plain data
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
