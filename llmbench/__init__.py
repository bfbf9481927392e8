"""llmbench: how good a language model is, how fast it answers, and how far to trust the number.

import llmbench
llmbench.grade("math", row, text)      # a row under the hub's field names -> Score
llmbench.load_run("runs/…")            # -> Run: summary, manifest, results
"""

import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmbench._version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from llmbench.config.schema import BenchmarkConfig
    from llmbench.records import Score
    from llmbench.results.reader import Run

logging.getLogger(__name__).addHandler(logging.NullHandler())  # a program that wants the log adds its own
__all__ = ["__version__", "grade", "load_run"]


def grade(benchmark: str, sample: Mapping[str, Any], text: str, finish_reason: str = "stop") -> "Score":
    """Grades one text as a run would, in this process and without the limits that workers have.

    Args:
        benchmark: A name from `conf/benchmark`, such as `math`.
        sample: A row of its data set, under the hub's field names. For `gpqa` the choices count in the order that seed 0
            gives them, unless the row has them under `choices` with the right letter under `answer`.
        text: What the model wrote.
        finish_reason: `stop`, `length` or `stop_string`; in a text cut by `length` only stated answers count.

    Raises:
        ConfigError: There is no such benchmark.
        ValueError: There is no such finish reason.
        DataError: The row has no gold answer.
        KeyError: The row lacks a field.
        TypeError: The row is not a mapping, or the text is not a str.
    """
    from llmbench.benchmarks.base import score
    from llmbench.benchmarks.importing import import_benchmark
    from llmbench.records import FinishReason

    if not isinstance(sample, Mapping) or not isinstance(text, str):
        raise TypeError(
            f"llmbench.grade takes a row of the data as a mapping and the model's text, not a {type(sample).__name__} and a {type(text).__name__}"
        )
    config = _benchmark(benchmark)
    chosen = import_benchmark(benchmark, config.module)
    (loaded,) = chosen.load([sample], config.options, 0)
    if finish_reason not in list(FinishReason):
        raise ValueError(f"finish_reason={finish_reason!r} is none of {', '.join(FinishReason)}")
    return score(chosen, loaded, text, FinishReason(finish_reason))


@lru_cache
def _benchmark(name: str) -> "BenchmarkConfig":
    from llmbench.cli.compose import compose

    return compose([f"benchmark={name}"]).benchmarks[name]


def load_run(path: "str | PathLike[str]") -> "Run":
    """A run read back from its folder.

    Raises:
        RunError: The folder holds no run, or a file of it cannot be read.
        TypeError: It is not a path.
    """
    from llmbench.results.reader import load_run as load

    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"llmbench.load_run takes the path of a run's folder, not a {type(path).__name__}")
    return load(os.path.expanduser(path))  # noqa: PTH111 - a message names the path as it was given
