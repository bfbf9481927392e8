"""From the name of a module to the benchmark in it."""

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from llmbench.benchmarks.base import Benchmark
from llmbench.errors import ConfigError
from llmbench.system.text import one_line, suggest


def import_benchmark(name: str, path: str) -> Benchmark:
    """Returns the benchmark of a module: of the class that is named, else of its only one, else its functions as one.

    In a process it is the same each time, so that `finish` may use what `load` learned.

    Args:
        name: The benchmark's name in the settings, for messages.
        path: The module, such as `llmbench.benchmarks.gsm8k`, or MODULE:CLASS.

    Raises:
        ConfigError: There is no such module, or it is not a benchmark.
    """
    setting = f"benchmarks.{name}.module={path}"
    try:
        module = importlib.import_module(module_of(path))
    except ModuleNotFoundError as error:
        own = str(error.name).startswith("llmbench.")
        hint = (
            "docs/upgrading.md says where llmbench's modules are now"
            if own
            else "PYTHONPATH names the folders of modules of your own"
        )
        raise ConfigError(f"{setting} cannot be imported: {error}; {hint}.") from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ConfigError(f"{setting} cannot be imported: {one_line(error)}; fix the module.") from error
    if _made_of.get(path, (None, None))[0] is not module:
        _made_of[path] = module, _benchmark_of(module, setting, path.partition(":")[2])
    return _made_of[path][1]


_made_of: dict[str, tuple[ModuleType, Benchmark]] = {}
"""The benchmarks of this process, by path, with the module as it was imported then."""


def module_of(path: str) -> str:
    """Returns the module of a benchmark's path, which may name a class in it too."""
    return path.partition(":")[0]


def _benchmark_of(module: ModuleType, setting: str, name: str) -> Benchmark:
    members = {key: value for key, value in vars(module).items() if isinstance(value, type)}
    found = {key: value for key, value in members.items() if issubclass(value, Benchmark)}
    if name and name not in found:
        raise ConfigError(f"{setting}: {module.__name__} has no benchmark {name!r}{suggest(name, found)}")
    classes = [found[name]] if name else _own(module, found.values())
    if len(classes) > 1:
        names = [each.__name__ for each in classes]
        raise ConfigError(
            f"{setting} has the benchmarks {', '.join(names)}; choose one with {setting}:{names[0]}."
        )
    if classes:
        return _made(setting, classes[0])
    if not all(callable(getattr(module, name, None)) for name in ("extract", "equal")):
        raise ConfigError(
            f"{setting} is not a benchmark: it has no extract and equal, and no class derived from "
            f"{Benchmark.__module__}.{Benchmark.__name__}."
        )
    return ModuleBenchmark(module)


def _own(module: ModuleType, classes: Iterable[type[Benchmark]]) -> list[type[Benchmark]]:
    """Returns those that the module or its package defines, but not those that others of them derive from."""
    own = [each for each in dict.fromkeys(classes) if f"{each.__module__}.".startswith(f"{module.__name__}.")]
    return [each for each in own if not any(other is not each and issubclass(other, each) for other in own)]


def _made(setting: str, kind: type[Benchmark]) -> Benchmark:
    if missing := sorted(kind.__abstractmethods__):
        raise ConfigError(
            f"{setting} is not a benchmark: its class {kind.__name__} has no {', '.join(missing)}."
        )
    try:
        return kind()
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{setting}: {kind.__name__}() fails ({one_line(error)}); a benchmark is made without arguments."
        ) from error


MEMBERS = (
    ("columns", "COLUMNS"),
    ("preload", "PRELOAD"),
    ("grading_limit_s", "LIMIT_S"),
    ("runs_code", "SANDBOXED"),
    ("load", "load"),
    ("question", "render"),
    ("worked_example", "worked"),
    ("worked_example", "few_shot_example"),
    ("extract", "extract"),
    ("is_equal", "equal"),
    ("grade", "judge"),
    ("stored_fields", "stored"),
    ("generate", "generate"),
    ("hub_files", "files"),
    ("shorten", "fit"),
    ("details", "details"),
    ("finish", "finish"),
)
"""What `Benchmark` calls a module's functions and constants."""


class ModuleBenchmark(Benchmark):
    """A module of functions, as all benchmarks were before `Benchmark` was a class; to grade, `extract` and `equal` are enough."""

    load: Any = None  # abstract in `Benchmark`: these four are the module's
    question: Any = None
    extract: Any = None
    is_equal: Any = None

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        for name, own in MEMBERS:
            if hasattr(module, own):
                setattr(self, name, getattr(module, own))
        self.scored_later = hasattr(module, "finish")

    @property
    def module(self) -> ModuleType:
        """The module."""
        return self._module
