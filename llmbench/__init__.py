"""llmbench: how good a language model is, how fast it answers, and how far to trust the number.

import llmbench
run = llmbench.evaluate("gsm8k", model="smollm2", limit=40)    # -> Run, which shows its scores; run.to_pandas()
llmbench.compare_runs(run, other)      # whether the difference is one
llmbench.grade("math", row, text)      # a row under the hub's field names -> Score
llmbench.load_run("runs/…")            # -> Run: summary, manifest, results
"""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmbench._version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from llmbench.cli.session import Session
    from llmbench.config.schema import BenchmarkConfig
    from llmbench.records import Score
    from llmbench.report.compare.records import Comparison
    from llmbench.results.reader import Run

logging.getLogger(__name__).addHandler(logging.NullHandler())  # a program that wants the log adds its own
__all__ = ["Run", "Session", "__version__", "compare_runs", "evaluate", "grade", "load_run"]


if not TYPE_CHECKING:  # with it a type checker would take any name for one of these

    def __getattr__(name: str) -> type:
        """The classes, imported when they are first asked for."""
        if name == "Session":
            from llmbench.cli.session import Session

            return Session
        if name == "Run":
            from llmbench.results.reader import Run

            return Run
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """The names that an editor or a notebook offers."""
        return sorted({*globals(), *__all__})


def evaluate(
    benchmark: str | Sequence[str] | None = None,
    *,
    folder: Any = None,  # noqa: ANN401 - named types would keep mypy from `**{"sampling.temperature": 0.7}`
    config_dir: Any = None,  # noqa: ANN401
    quiet: Any = False,  # noqa: ANN401
    **settings: Any,  # noqa: ANN401
) -> "Run":
    """Evaluates a model, as `python -m llmbench` with these settings does, and returns the run.

        llmbench.evaluate("gsm8k", model="smollm2", limit=40, **{"sampling.temperature": 0.7})
        llmbench.evaluate(["aime", "math"], model="qwen14b", sampling={"temperature": 0.7})
        llmbench.evaluate(resume="runs/…")

    Args:
        benchmark: A name from `conf/benchmark`, or a list of names; None with `suite` or `resume`.
        folder: Where the run is written, a path; by default a new folder in `runs_dir`, which is `runs`.
        config_dir: A folder with YAML files of your own, as `--config-dir` on the command line.
        quiet: Print nothing. Otherwise the progress, notices and the table of scores go to the standard error.
        settings: Any setting of the command line. A name with dots is given as `**{"sampling.temperature": 0.7}` or as
            `sampling={"temperature": 0.7}`. A string where a group is chosen, as in `engine="fake"`, chooses; a dict sets what is
            below. Values are numbers, strings, True, False, None, paths, or lists and dicts of them. A string stands for itself:
            nothing in it is read as a list or an interpolation. A path as `model`, or a string with a `/`, is a checkpoint of your own
            (`model.path`, or `model.hub_id` where there is no such folder).

    Returns:
        The run, read from its folder, which holds what the command line writes there, `report.html` with it (`report=False`: without).

    Raises:
        ConfigError: A setting that does not exist, with the nearest name, or a value that is refused.
        LlmbenchError: Whatever else a user can fix. Where something was finished, a note at the error says how to resume.
        KeyboardInterrupt: Ctrl-C; the run ends in order, and its folder holds what was finished.
    """
    from llmbench.cli.session import Session

    with Session() as session:
        return session.evaluate(benchmark, folder=folder, config_dir=config_dir, quiet=quiet, **settings)


def compare_runs(
    baseline: "Run | str | PathLike[str]",
    run: "Run | str | PathLike[str]",
    *others: "Run | str | PathLike[str]",
    allow_different: bool = False,
) -> "Comparison":
    """Compares runs with the first, question by question, as `python -m llmbench.compare` does.

    Args:
        baseline: The run that the others are compared with, or its folder.
        run: A run to compare.
        others: More of them.
        allow_different: Compare the questions in common even where the runs were not asked the same.

    Returns:
        The comparison, which shows itself as the command's page; `.runs[0].benchmarks[0].difference` and so on have the numbers.

    Raises:
        RunError: A folder holds no run; two runs have no question in common; or, without `allow_different`, they were
            asked different questions.
        TypeError: One is neither a run nor a path.
    """
    from llmbench.report.compare.comparison import compare_runs as compare
    from llmbench.report.compare.terminal_page import ShownComparison

    folders = [_folder(each) for each in (baseline, run, *others)]
    compared = compare(folders[0], folders[1], *folders[2:], allow_different=allow_different)
    return ShownComparison(compared.baseline, compared.runs)


def _folder(run: "Run | str | PathLike[str]") -> str:
    from llmbench.results.reader import Run

    # `pathlib` would not name the path as it was given
    return str(run.folder) if isinstance(run, Run) else os.path.expanduser(run)  # noqa: PTH111


def grade(
    benchmark: str,
    sample: Mapping[str, Any],
    text: str,
    finish_reason: str = "stop",
    **settings: Any,  # noqa: ANN401 - settings are of many types
) -> "Score":
    """Grades one text as a run would, in this process and without the limits that workers have.

        llmbench.grade("math", row, text)
        llmbench.grade("custom", row, text, custom={"question": "q", "answer": "a", "grade": "number"})

    Args:
        benchmark: A name from `conf/benchmark`, such as `math`.
        sample: A row of its data set, under the hub's field names. For `gpqa` the choices count in the order that seed 0
            gives them, unless the row has them under `choices` with the right letter under `answer`.
        text: What the model wrote.
        finish_reason: `stop`, `length` or `stop_string`; in a text cut by `length` only stated answers count.
        settings: Settings that grading depends on, as `evaluate` takes them: `custom` for a row of your own.

    Raises:
        ConfigError: There is no such benchmark, or a setting is refused.
        ValueError: There is no such finish reason.
        DataError: The row has no gold answer.
        KeyError: The row lacks a field.
        TypeError: The row is not a mapping, or the text is not a str.
    """
    from llmbench.benchmarks.base import score
    from llmbench.benchmarks.importing import import_benchmark
    from llmbench.cli.python_settings import as_arguments, flattened
    from llmbench.records import FinishReason

    if not isinstance(sample, Mapping) or not isinstance(text, str):
        raise TypeError(
            f"llmbench.grade takes a row of the data as a mapping and the model's text, not a {type(sample).__name__} and a {type(text).__name__}"
        )
    config = _benchmark(benchmark, *as_arguments(flattened(settings)))
    chosen = import_benchmark(benchmark, config.module)
    (loaded,) = chosen.load([sample], config.options, 0)
    if finish_reason not in list(FinishReason):
        raise ValueError(f"finish_reason={finish_reason!r} is none of {', '.join(FinishReason)}")
    return score(chosen, loaded, text, FinishReason(finish_reason))


@lru_cache
def _benchmark(name: str, *arguments: str) -> "BenchmarkConfig":
    from llmbench.cli.compose import compose

    (found,) = compose(
        [f"benchmark={name}", *arguments]
    ).benchmarks.values()  # one's own data has a name of its own
    return found


def load_run(path: "str | PathLike[str]") -> "Run":
    """A run read back from its folder.

    Raises:
        RunError: The folder holds no run, or a file of it cannot be read.
        TypeError: It is not a path.
    """
    from llmbench.results.reader import load_run as load

    return load(os.path.expanduser(path))  # noqa: PTH111 - a message names the path as it was given
