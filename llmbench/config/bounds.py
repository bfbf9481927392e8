"""Bounds of settings, and how a value outside of them is refused."""

from dataclasses import fields
from typing import TYPE_CHECKING, get_args

from llmbench.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check(condition: object, name: str, value: object, expected: str) -> None:
    """Refuses a setting's value unless the condition holds.

    Raises:
        ConfigError: Names the setting, the value and what it must be.
    """
    if not condition:
        shown = "nothing" if value is None else f"{name}={value}"
        raise ConfigError(f"{shown} is refused: {name} must be {expected}.")


def check_least(where: str, settings: "DataclassInstance", least: int, *names: str) -> None:
    """Refuses settings of these names that are less than `least`; None passes where a setting may be open.

    Raises:
        ConfigError: Names the setting, the value and what it must be.
    """
    nullables = {setting.name for setting in fields(settings) if type(None) in get_args(setting.type)}
    for name in names:
        value, nullable = getattr(settings, name), name in nullables
        wanted = f"a whole number from {least}{', or null' if nullable else ''}"
        check((value is None and nullable) or value >= least, f"{where}{name}", value, wanted)
