"""The settings as YAML, as config.yaml holds them."""

from typing import Any

import msgspec
import yaml

from llmbench.config.schema import Config
from llmbench.system import redaction


def as_yaml(config: Config) -> str:
    """The settings as config.yaml has them, `***` for secrets."""
    return str(yaml.safe_dump(redaction.clean(as_yaml_data(config)), sort_keys=False, allow_unicode=True))


def as_yaml_data(config: Config) -> Any:  # noqa: ANN401 - nested plain data
    """The settings as plain lists, mappings and scalars, enums by their values, which are their names."""
    return msgspec.to_builtins(config, str_keys=True)
