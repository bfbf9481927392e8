"""Settings as Python values, turned into the arguments of a command line.

Strings stand for themselves: what Hydra's grammar would read as a number, a list or null is quoted, and `${` is no interpolation.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from llmbench.cli.arguments import checkpoint_setting
from llmbench.cli.explain import known_keys
from llmbench.cli.resume import PATH_SETTINGS
from llmbench.config.paths import config_folder
from llmbench.errors import ConfigError
from llmbench.system.shell import quoted

KEY = re.compile(r"[A-Za-z_][\w/.-]*", re.ASCII)
"""A setting's name, or a group's."""
NO_TEXTS = ("null", "true", "false", "nan", "inf")
"""Words that are no texts to Hydra, in small letters or in capitals."""
BARE = re.compile(r"[A-Za-z_/][\w/.-]*", re.ASCII)
"""Texts that need no quotes, but for those words."""
KEY_CHARACTER = re.compile(r"[\w/.+$%*@?|-]", re.ASCII)
"""What a key within a value may hold as it stands; Hydra knows no quotes there, but backslashes before some others."""
ESCAPED_IN_KEY = "\\()[]{}:=, \t"
COMMAND_ONLY = {
    "sweep": "sweep=NAME", "ablation": "ablation=NAME", "show_prompts": "benchmark=NAME show_prompts=2",
    "hydra.mode": "-m benchmark=NAME",
}  # fmt: skip
"""Settings for which there is no run to return, and what is typed instead."""


def flattened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by their full names: a dict below the name of a group holds settings of that group.

    Raises:
        ConfigError: A key is not a name, one is given twice, or one is for the command line alone.
    """
    found: dict[str, Any] = {}
    for key, value in _flat("", settings):
        if key in found:
            raise ConfigError(f"{key} is given twice, as {found[key]!r} and as {value!r}; give it once.")
        if key in COMMAND_ONLY:
            raise ConfigError(
                f"{key} is for the command line, as llmbench.evaluate makes one run: type `python -m llmbench {COMMAND_ONLY[key]}`."
            )
        found[key] = value
    return found


def as_arguments(settings: Mapping[str, Any]) -> list[str]:
    """The arguments that stand for settings under their full names on the command line.

    Raises:
        ConfigError: A value cannot be a setting's.
    """
    return [_argument(key, value) for key, value in settings.items()]


def _flat(prefix: str, settings: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The settings under their full names; what no setting of ours is below stays a dict."""
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if not isinstance(name, str) or not KEY.fullmatch(name):
            raise ConfigError(f"{key!r} is not a setting's name, such as limit or sampling.temperature.")
        if isinstance(value, Mapping) and _is_group(key):
            yield from _flat(f"{key}.", value)
        else:
            yield key, value


def _is_group(key: str) -> bool:
    """Whether settings of the schema stand below this name; of what is free, such as engine.args, llmbench knows no keys."""
    known = (known_keys(f"{key}.{name}", config_folder()) for name in ("", "NAME."))  # below it, or a name's
    return key in ("hydra", "hydra.run") or any(known)


def _argument(key: str, value: object) -> str:
    if key == "model" and (
        isinstance(value, os.PathLike) or (isinstance(value, str) and re.search(r"^[~.]|/", value))
    ):
        key, value = (
            checkpoint_setting(str(value)) if isinstance(value, str) else "model.path",
            os.fspath(value),
        )
    if isinstance(value, str) and PATH_SETTINGS.fullmatch(f"{key}={value}"):
        value = os.path.expanduser(value)  # noqa: PTH111 - Path would drop a final slash
    return f"{key}={written(value, key)}"


def written(value: object, key: str = "value") -> str:
    """A value in the grammar of Hydra's overrides (https://hydra.cc/docs/advanced/override_grammar/basic/).

    Args:
        value: None, a truth value, a number, a text, a path, or a list or a dict of them.
        key: The setting's name, for the message.

    Raises:
        ConfigError: It is of another type, or a dict's key cannot be written.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, os.PathLike):
        value = os.fspath(Path(value).expanduser())
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        number = float(value)
        return repr(number) if math.isfinite(number) else str(number)
    if isinstance(value, Mapping):
        pairs = (f"{_key(name, key)}: {written(part, key)}" for name, part in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(written(part, key) for part in value) + "]"
    raise ConfigError(
        f"{key} is refused: a value of type {type(value).__name__} cannot be a setting; give a number, a string, True, False, "
        "None, a path, or a list or dict of them."
    )


def _text(value: str) -> str:
    """A text that stands for itself, for Hydra and then for OmegaConf, which would fill in `${…}`."""
    if BARE.fullmatch(value) and value.lower() not in NO_TEXTS:
        return value
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return quoted(literal) if not re.fullmatch(r"[\w/.-]+", literal, re.ASCII) else f"'{literal}'"


def _key(name: object, key: str) -> str:
    """A key of a dict, with backslashes where Hydra needs them."""
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise ConfigError(f"{key} is refused: the key {name!r} is not a name.")
    shown = "".join(f"\\{c}" if c in ESCAPED_IN_KEY else c for c in str(name))
    readable = all(c in ESCAPED_IN_KEY or KEY_CHARACTER.fullmatch(c) for c in str(name))
    if not readable or str(name).lower() in NO_TEXTS:
        raise ConfigError(f"{key} is refused: Hydra cannot read the key {name!r}; use letters, digits and _.")
    return shown
