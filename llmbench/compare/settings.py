"""The settings of a run, read back from its config.yaml, and those in which two runs differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llmbench.errors import RunError
from llmbench.store import CONFIG


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, by its dotted name, that differs; None also where a run's config.yaml does not have it."""

    name: str
    baseline: Any
    run: Any


def read_config(folder: Path) -> dict[str, Any] | None:
    """The settings as config.yaml holds them; None where there is no such file.

    Raises:
        RunError: The file is not YAML, or no mapping.
    """
    path = folder / CONFIG
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path} cannot be read ({reason}); take it from a backup, or run again.") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds no settings; take it from a backup, or run again.")
    return content


def benchmark_settings(config: Mapping[str, Any] | None, benchmark: str) -> Mapping[str, Any]:
    """The settings of one benchmark; empty where they are not known."""
    benchmarks = (config or {}).get("benchmarks")
    found = benchmarks.get(benchmark) if isinstance(benchmarks, dict) else None
    return found if isinstance(found, dict) else {}


def differing(baseline: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[Setting, ...]:
    """What differs, by name. Of benchmarks that only one run has nothing is listed; that they differ is said elsewhere."""
    first, second = dict(flat(baseline)), dict(flat(run))
    both = set(baseline.get("benchmarks") or ()) & set(run.get("benchmarks") or ())
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return tuple(
        Setting(name, first.get(name), second.get(name)) for name in sorted(names) if _shared(name, both)
    )


def _shared(name: str, benchmarks: set[str]) -> bool:
    group, _, rest = name.partition(".")
    return group != "benchmarks" or any(rest.startswith(f"{benchmark}.") for benchmark in benchmarks)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
