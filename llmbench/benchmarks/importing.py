"""From the name of a module to the benchmark in it."""

import importlib
from types import ModuleType

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.module_benchmark import ModuleBenchmark
from llmbench.errors import ConfigError
from llmbench.system.text import one_line, suggest


def import_benchmark(name: str, path: str) -> Benchmark:
    """Returns the benchmark of a module: of the class that is named, else its object `benchmark`, else one of its class, else its functions as one.

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
        made = _benchmark_of(module, setting, path.partition(":")[2])
        _check_attributes(made, setting)
        _made_of[path] = module, made
    return _made_of[path][1]


_made_of: dict[str, tuple[ModuleType, Benchmark]] = {}
"""The benchmarks of this process, by path, with the module as it was imported then."""


def module_of(path: str) -> str:
    """Returns the module of a benchmark's path, which may name a class in it too."""
    return path.partition(":")[0]


def _benchmark_of(module: ModuleType, setting: str, name: str) -> Benchmark:
    if name:
        return _made(setting, _named(module, setting, name))
    chosen = vars(module).get("benchmark")
    if isinstance(chosen, Benchmark):
        return chosen
    classes = _classes(module)
    if len(classes) > 1:
        names = [each.__name__ for each in classes]
        raise ConfigError(
            f"{setting} has the benchmarks {', '.join(names)}; choose one with {setting}:{names[0]}."
        )
    if classes:
        return _made(setting, classes[0])
    if not ModuleBenchmark.takes(module):
        raise ConfigError(
            f"{setting} is not a benchmark: it has no extract and equal, and no class derived from "
            f"{Benchmark.__module__}.{Benchmark.__name__}."
        )
    return ModuleBenchmark(module)


def _named(module: ModuleType, setting: str, name: str) -> type[Benchmark]:
    known = {key: value for key, value in vars(module).items() if isinstance(value, type)}
    found = {key: value for key, value in known.items() if issubclass(value, Benchmark)}
    if name not in found:
        raise ConfigError(f"{setting}: {module.__name__} has no benchmark {name!r}{suggest(name, found)}")
    return found[name]


def _classes(module: ModuleType) -> list[type[Benchmark]]:
    """Returns the benchmarks that the module or its package defines, but not those that others of them derive from."""
    found = [
        value
        for value in dict.fromkeys(v for v in vars(module).values() if isinstance(v, type))
        if issubclass(value, Benchmark) and f"{value.__module__}.".startswith(f"{module.__name__}.")
    ]
    return [
        each for each in found if not any(other is not each and issubclass(other, each) for other in found)
    ]


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


def _check_attributes(benchmark: Benchmark, setting: str) -> None:
    """Refuses attributes of another type than the class `Benchmark` has."""
    limit = benchmark.grading_limit_s
    is_limit = isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0
    checks = {
        "columns": (_are_names(benchmark.columns), 'a tuple of names, such as ("question", "answer")'),
        "preload": (_are_names(benchmark.preload), 'a tuple of names, such as ("sympy",)'),
        "grading_limit_s": (is_limit, "a number of seconds, such as 20.0"),
    }
    for name, (is_right, kind) in checks.items():
        if not is_right:
            raise ConfigError(
                f"{setting}: {type(benchmark).__name__}.{name} is {getattr(benchmark, name)!r}, which is not {kind}; fix the module."
            )


def _are_names(value: object) -> bool:
    return isinstance(value, tuple | list | set | frozenset) and all(isinstance(name, str) for name in value)
