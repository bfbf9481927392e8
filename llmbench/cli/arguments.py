"""What was typed, before Hydra reads it: paths and texts get the quotes that Hydra needs, and usual mistakes the line to type instead."""

import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from llmbench.cli import custom_data, explain
from llmbench.cli.resume import PATH_SETTINGS
from llmbench.config.custom import CustomSettings
from llmbench.config.engine import EngineConfig
from llmbench.config.schema import BenchmarkConfig, ModelConfig, SamplingConfig
from llmbench.errors import ConfigError
from llmbench.system import redaction
from llmbench.system.shell import quoted

TEXT_SETTINGS = re.compile(
    r"(custom\.(question|answer|choices|subject|name)|benchmarks\.\w+\.(instruction|cue)|(benchmarks\.\w+\.)?system_prompt)=(?P<value>.+)",
    re.DOTALL,
)
"""Settings that hold texts for people, or templates."""
NEVER_EMPTY = re.compile(
    r"hydra\.(run|sweep)\.dir|model\.(path|hub_id|name|chat_template|lora)|runs_dir|benchmarks\.\w+\.(data_files|hub_id)|custom\.\w+|resume|model|benchmark"
)
"""Settings that mean something else, or nothing, when they are empty."""
PLAIN = re.compile(r"[\w/.:+%@-]+", re.ASCII)
"""What Hydra reads without quotes; its grammar: https://hydra.cc/docs/advanced/override_grammar/basic/."""
NO_NAME = re.compile(r"(benchmark|suite|model|engine|profile)=([-+.\d_e]+|true|false|null)", re.IGNORECASE)
"""The choice of a number, a truth value or nothing where files have names."""
SHORT = {
    **{field.name: f"custom.{field.name}" for field in fields(CustomSettings)},
    **{field.name: f"engine.{field.name}" for field in fields(EngineConfig)},
    **{field.name: f"model.{field.name}" for field in fields(ModelConfig)},
    **{field.name: f"benchmarks.NAME.{field.name}" for field in fields(BenchmarkConfig)},
    **{field.name: f"sampling.{field.name}" for field in fields(SamplingConfig)},
}
"""Settings by the last part of their names; of several the one that is meant most often."""


def read(arguments: Sequence[str], conf: Path) -> list[str]:
    """The arguments as Hydra can read them.

    Raises:
        ConfigError: One is a usual mistake; the message is the line to type.
    """
    top = set(explain.known_keys("", conf))
    for argument in arguments:
        _refuse_flag(argument, arguments, top)
        _refuse_mistake(argument, arguments, top)
    sweeps = any(argument in ("-m", "--multirun") for argument in arguments)
    return [_with_quotes(argument, sweeps=sweeps) for argument in custom_data.read(arguments)]


def taken_out(typed: Sequence[str], names: Container[str]) -> tuple[dict[str, str], list[str]]:
    """A command's own settings, by these names, with their values; and the settings of a run beside them.

    Raises:
        ConfigError: One is typed twice.
    """
    refuse_doubled(typed)
    own = {key: value for key, _, value in (word.partition("=") for word in typed) if key in names}
    return own, [word for word in typed if word.partition("=")[0] not in names]


def whole_number(name: str, value: str | None, most: int) -> int | None:
    """A command's own setting as a number; None where it was not typed.

    Raises:
        ConfigError: It is not a whole number from 1 to `most`.
    """
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= most):
        raise ConfigError(f"{name}={value} is refused: {name} must be a whole number from 1 to {most}.")
    return int(value)


def refuse_doubled(typed: Sequence[str]) -> None:
    """Refuses a setting that was typed with two values: Hydra would take the last value and say nothing.

    Raises:
        ConfigError: Names the setting and both of its values.
    """
    first: dict[str, str] = {}
    for argument in typed:
        key, has_value, _ = argument.lstrip("+").partition("=")
        if not has_value or key.startswith(("-", "~")):
            continue
        before = first.setdefault(key, argument)
        if before.lstrip("+") != argument.lstrip("+"):
            both = f"{key} is given twice, as {before} and as {argument}; give it once."
            raise ConfigError(redaction.without_secrets(both))


def _with_quotes(argument: str, *, sweeps: bool) -> str:
    """A path or a text in the quotes that Hydra wants, a path with `~` expanded; what has quotes, and other settings, as they are."""
    plain, key = argument.lstrip("+"), argument.partition("=")[0]
    is_path = PATH_SETTINGS.fullmatch(plain)
    match = is_path or TEXT_SETTINGS.fullmatch(plain)
    if NO_NAME.fullmatch(plain):
        return f"{key}='{plain.partition('=')[2]}'"  # a name for Hydra too, which it will not find
    if match is None:
        return argument
    value = match["value"]
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    if is_quoted or value.lower() in custom_data.NULL or "${" in value or (sweeps and "," in value):
        return argument
    if key.endswith("custom.choices") and value[0] == "[" and value[-1] == "]":
        parts = ",".join(quoted(part.strip()) for part in value[1:-1].split(","))
        return argument if re.search(r"['\"]", value) else f"{key}=[{parts}]"
    if is_path and value[0] in "[{":  # several, which Hydra reads
        return argument
    if is_path:
        value = os.path.expanduser(value)  # noqa: PTH111 - Path would drop a final slash
    stands = PLAIN.fullmatch(value) and (is_path or key.endswith("system_prompt"))
    return f"{key}={value if stands else quoted(value)}"


def _refuse_flag(argument: str, arguments: Sequence[str], top: Container[str]) -> None:
    """`--limit 20` is written `limit=20`; `top` are the settings and groups without a dot."""
    flag, has_value, value = argument.partition("=")
    name = flag.removeprefix("--")
    if name == flag or not (name in top or name in SHORT):
        return
    behind = "" if has_value else [*arguments[arguments.index(argument) + 1 :], ""][0]
    value = value or ("" if behind.startswith("-") or "=" in behind else behind)
    full = name if name in top else _full(name, arguments)
    raise ConfigError(f"Settings are written NAME=VALUE, without dashes: type {full}={value or 'VALUE'}.")


def _refuse_mistake(argument: str, arguments: Sequence[str], top: Container[str]) -> None:
    """A setting that has a better answer than Hydra's."""
    key, has_value, value = argument.partition("=")
    key, value = key.lstrip("+~"), value.strip("'\"")
    if not has_value:
        return
    if not value and NEVER_EMPTY.fullmatch(key):
        raise ConfigError(
            f"{key}= is empty, as with a variable that is not set; type {key}=VALUE, or leave it out."
        )
    if key == "benchmarks":
        raise ConfigError(
            f"benchmarks holds the settings of the chosen benchmarks; type benchmark={value} to choose one."
        )
    if argument[0] == "+" and key in (*explain.ONE_OF, "benchmark"):  # Hydra would keep the default too
        raise ConfigError(f"{key} is chosen already; type {key}={value}, without a +.")
    if key in explain.ONE_OF and value[:1] == "[":  # Hydra would let the last win and say nothing
        several = "; type 'benchmark=[NAME,NAME]' for several benchmarks" if key == "suite" else ""
        raise ConfigError(f"{argument} is refused: a run has one {key}, {key}=NAME{several}.")
    if key == "model" and re.search(r"^[~./]|/", value):
        raise ConfigError(
            f"model= chooses one of conf/model; for a checkpoint of your own type {checkpoint_setting(value)}={value}."
        )
    if key == "benchmark" and re.search(r"\.(csv|jsonl?|parquet)['\"]?$", value, re.IGNORECASE):
        raise ConfigError(
            f"benchmark= chooses one of conf/benchmark; for data of your own type custom.data={value}."
        )
    if re.match(r"benchmark\.", key):
        part = key.removeprefix("benchmark.")
        right = _full(part, arguments) if part in SHORT else f"benchmarks.{part}"
        raise ConfigError(f"{key}={value} would change nothing; type {right}={value}.")
    if key in SHORT and key not in top:
        raise ConfigError(f"{key} is part of a longer name; type {_full(key, arguments)}={value}.")


def checkpoint_setting(value: str) -> str:
    """The setting that a checkpoint given by hand belongs to: its folder or its name on the hub."""
    return "model.path" if re.match(r"[~./]", value) or Path(value).is_dir() else "model.hub_id"


def _full(name: str, arguments: Sequence[str]) -> str:
    """The full key of a setting that was typed by its last part; a benchmark's with the name of the one that was chosen."""
    chosen = next((a.partition("=")[2] for a in arguments if a.startswith("benchmark=")), "NAME")
    chosen = re.split(r"[\[\],]", chosen.strip("[]'\""))[0]
    return SHORT[name].replace("NAME", chosen or "NAME")


def stops_with_backslashes(benchmarks: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences about stop strings that hold a backslash and an n, where a line break was meant."""
    return [
        f"benchmarks.{name}.stop holds {string!r}, a backslash and a letter and no line break; "
        "for line breaks put $ before the shell's quotes: $'benchmarks." + name + '.stop=["\\n\\n"]\'.'
        for name, stop in benchmarks.items()
        for string in stop
        if "\\n" in string or "\\t" in string
    ]
