"""The settings of a run, read back from its config.yaml, and those in which two runs differ."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmbench.config.schema import RETIRED, Config
from llmbench.errors import RunError
from llmbench.results.manifest import CONFIG, REMEDY
from llmbench.system import decoding, files


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, by its dotted name, that differs; None also where a run's config.yaml does not have it."""

    name: str
    baseline: Any
    run: Any


NEUTRAL: tuple[Any, ...] = (None, [], {}, False, 0, 0.0, "generate", "letter")
"""Values at which a setting that the other run does not have, since its llmbench was older or newer, changes nothing."""

LATER = (
    "judge.", "stop_when.min_questions", "stop_when.level", "engine.remember_kv_cache", "engine.weights_copy", "engine.weights_copies_max_bytes",
)  # fmt: skip
"""How settings begin that older runs do not have, and whose defaults change no answer."""

WITHOUT_EFFECT = re.compile(r"resume|benchmarks\.[^.]+\.checked")
"""Settings that change no answer."""

ALIKE: Mapping[str, tuple[Any, ...]] = {"engine.replicas": (None, 1), "fewshot": (None, 0)}
"""Values of a setting that mean the same. How many worked examples a benchmark has is in `benchmarks.NAME.fewshot`."""


def read_config(folder: Path) -> dict[str, Any] | None:
    """The settings as config.yaml holds them; None where there is no such file.

    Raises:
        RunError: The file is not YAML, no mapping, or holds something else than settings.
    """
    path = folder / CONFIG
    try:
        content = files.load_yaml(files.read(path, files.YAML_BYTES))
        if not isinstance(content, dict):
            raise RunError(f"{path} holds no settings; {REMEDY}")
        decoding.build(content, Config)
        content = {name: value for name, value in content.items() if name not in RETIRED}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path} cannot be read ({reason}); {REMEDY}") from error
    return content


def read_settings(folder: Path) -> Config | None:
    """The same as typed settings: what the file does not say has its default.

    Raises:
        RunError: As `read_config`.
    """
    content = read_config(folder)
    return None if content is None else decoding.build(content, Config)


def benchmark_settings(config: Mapping[str, Any] | None, benchmark: str) -> Mapping[str, Any]:
    """The settings of one benchmark; empty where they are not known."""
    benchmarks = (config or {}).get("benchmarks")
    found = benchmarks.get(benchmark) if isinstance(benchmarks, dict) else None
    return found if isinstance(found, dict) else {}


def differing(baseline: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[Setting, ...]:
    """What differs, by name. Of benchmarks that only one run has nothing is listed; that they differ is said elsewhere."""
    first, second = dict(flat(baseline)), dict(flat(run))
    both = set(baseline.get("benchmarks") or ()) & set(run.get("benchmarks") or ())
    found = [Setting(name, first.get(name), second.get(name)) for name in sorted({**first, **second})]
    drafts = any((settings.get("engine") or {}).get("speculative") for settings in (baseline, run))
    return tuple(
        setting
        for setting in found
        if setting.baseline != setting.run
        and not WITHOUT_EFFECT.fullmatch(setting.name)
        and not all(value in ALIKE.get(setting.name, ()) for value in (setting.baseline, setting.run))
        and (drafts or not setting.name.startswith("engine.speculative_"))
        and _shared(setting.name, both)
        and not (setting.name.startswith(LATER) and not (setting.name in first and setting.name in second))
        and not (setting.name not in first and setting.run in NEUTRAL)
        and not (setting.name not in second and setting.baseline in NEUTRAL)
    )


def _shared(name: str, benchmarks: set[str]) -> bool:
    group, _, rest = name.partition(".")
    return group != "benchmarks" or any(rest.startswith(f"{benchmark}.") for benchmark in benchmarks)


def flat(tree: Mapping[str, Any], prefix: str = "", separator: str = ".") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by their dotted names."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}{separator}", separator)
        else:
            yield f"{prefix}{key}", value
