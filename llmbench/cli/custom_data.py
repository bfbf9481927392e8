"""What `custom.*` on a command line means before Hydra reads it: the benchmark it chooses, and the name that tables show."""

import re
from collections.abc import Sequence

from llmbench.config.custom import BENCHMARK, benchmark_name
from llmbench.errors import ConfigError
from llmbench.system.shell import unquoted

SETTING = re.compile(r"\+{0,2}custom\.(?P<name>\w+)=(?P<value>.*)", re.DOTALL)
NULL = ("null", "none")
CHOOSES = re.compile(r"\+?(benchmark|suite)=(?P<value>.*)")


def read(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with the settings of one's own data as Hydra finds them.

    `benchmarks.NAME`, as tables and messages call the data, becomes `benchmarks.custom`.

    Raises:
        ConfigError: Other benchmarks are chosen, so that `custom.*` would change nothing.
    """
    whole = next((argument for argument in arguments if re.match(r"\+{0,2}custom=", argument)), None)
    if whole is not None:
        raise ConfigError(
            f"{whole} is refused: type each setting by itself, such as custom.data=mine.csv custom.grade=number."
        )
    values = _values(arguments)
    if not values:
        return list(arguments)
    chosen = [match["value"] for match in map(CHOOSES.match, arguments) if match]
    if chosen and not any(re.search(rf"\b{BENCHMARK}\b", value) for value in chosen):
        key, value = next(iter(values.items()))
        others = [argument for argument in arguments if CHOOSES.match(argument)]
        both = f", or type 'benchmark=[{chosen[0].strip('[]')},{BENCHMARK}]' for both"
        raise ConfigError(
            f"custom.{key}={value} would change nothing beside {', '.join(others)}; leave that out"
            f"{both if 'suite=' not in others[0] else ''}."
        )
    name = benchmark_name(values.get("data"), values.get("name"))
    return [
        re.sub(rf"^(\+*benchmarks)\.{re.escape(name)}\.", rf"\1.{BENCHMARK}.", each) for each in arguments
    ]


def with_benchmark(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `benchmark=custom` where `custom.*` chooses it by itself."""
    implied = bool(_values(arguments)) and not any(map(CHOOSES.match, arguments))
    return [*arguments, *([f"benchmark={BENCHMARK}"] if implied else [])]


def _values(arguments: Sequence[str]) -> dict[str, str]:
    """The settings `custom.*` that hold something, without quotes."""
    found = {match["name"]: unquoted(match["value"]) for match in map(SETTING.fullmatch, arguments) if match}
    return {name: value for name, value in found.items() if value.lower() not in NULL}
