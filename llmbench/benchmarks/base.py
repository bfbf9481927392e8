"""What a benchmark's module offers, and how a text becomes a score.

A module holds plain functions; `Module` names them. Only `equal` may be slow: it runs in a grading worker.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from llmbench.benchmarks.dataset import Row
from llmbench.errors import ConfigError, DataError
from llmbench.records import FinishReason, Outcome, Sample, Score
from llmbench.system.text import suggest


class Module(Protocol):
    """A benchmark's module.

    It may also have: `generate(options, seed)`, rows made on the spot; `fit(sample, fits)`, the sample with a shorter prompt
    where `fits` says that it is too long; `judge(sample, answer)`, a whole Score where right and wrong are not all there is,
    asked instead of `equal`; `LIMIT_S`, the seconds that grading one answer may take; `SANDBOXED = True`, where grading runs what
    the model wrote; `files(options)`, the JSON files on the hub that hold the rows; `details(results)`, what the summary says beside
    the accuracy; `finish(folder, results, model, options)`, which gives scores found later, by question, and sentences.
    """

    COLUMNS: tuple[str, ...]
    """Field names that every row must have."""
    PRELOAD: tuple[str, ...]
    """Modules that grading needs and that take long to import; workers import them while the model loads."""

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples of rows, in the rows' order."""

    def render(self, sample: Sample) -> str:
        """The question as the user puts it, without the instruction that the YAML adds."""

    def few_shot_example(self, sample: Sample) -> str:
        """An answer as it should look, for few-shot examples."""

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The answer in a text; `complete` says that the text ended by itself, so that its end may count as the answer."""

    def equal(self, sample: Sample, answer: str) -> bool:
        """Whether an extracted answer is right."""

    def stored(self, sample: Sample) -> dict[str, Any]:
        """The fields that grading needs besides the target; they go into the journal."""


def import_module(name: str, path: str) -> Module:
    """The module of a benchmark.

    Raises:
        ConfigError: There is no such module.
    """
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"benchmarks.{name}.module={path} cannot be imported: {error}; PYTHONPATH names the folders of modules of your own."
        ) from error
    if not all(callable(getattr(module, name_, None)) for name_ in ("extract", "equal")):
        raise ConfigError(f"benchmarks.{name}.module={path} is not a benchmark: it has no extract and equal.")
    if not hasattr(module, "few_shot_example") and hasattr(module, "worked"):
        vars(module)["few_shot_example"] = module.worked  # the name in modules written for 0.1.0
    return cast("Module", module)


def score(module: Module, sample: Sample, text: str, finish_reason: FinishReason) -> Score:
    """Extracts, compares and names the outcome.

    In a text that the token limit cut off only a stated answer counts. A text that a stop string ended is taken as it
    stands, its last sentence included: that is what `early_stopping=cut` means.
    """
    answer = module.extract(sample, text, complete=finish_reason is not FinishReason.LENGTH)
    if answer is None:
        truncated = finish_reason is FinishReason.LENGTH
        return Score(0.0, None, Outcome.TRUNCATED if truncated else Outcome.NO_ANSWER)
    judge = getattr(module, "judge", None)
    if judge is not None:
        return cast("Score", judge(sample, answer))
    right = module.equal(sample, answer)
    return Score(float(right), answer, Outcome.CORRECT if right else Outcome.WRONG)


def unique(samples: Sequence[Sample], name: str) -> list[Sample]:
    """The samples themselves.

    Raises:
        DataError: Two have the same id.
    """
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(f"{name}: two questions have the id {sample.id!r}; ids must be unique.")
        seen.add(sample.id)
    return list(samples)


def check_options(name: str, options: Mapping[str, Any], checks: Mapping[str, Callable[[Any], bool]]) -> None:
    """Refuses options that a benchmark does not have, or values its check does not take.

    Raises:
        ConfigError: Names the option.
    """
    for key, value in options.items():
        if key not in checks:
            raise ConfigError(f"benchmarks.{name}.options has no {key!r}{suggest(key, checks)}")
        if not checks[key](value):
            raise ConfigError(
                f"benchmarks.{name}.options.{key}={value} is refused; see conf/benchmark/{name}.yaml."
            )
