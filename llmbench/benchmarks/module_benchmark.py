"""Benchmarks written as a module of functions, as all were before `Benchmark` was a class."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.dataset import Row
from llmbench.records import Result, Sample, Score

Options = Mapping[str, Any]


class Functions(Protocol):
    """The functions of such a module; from `generate` on they are optional. To grade, `extract` and `equal` are enough.

    Beside them it has COLUMNS and PRELOAD, and may have LIMIT_S and SANDBOXED. `few_shot_example` was `worked` in 0.1.0.
    """

    load: Callable[[Sequence[Row], Options, int], list[Sample]]
    render: Callable[[Sample], str]
    few_shot_example: Callable[[Sample], str]
    extract: Callable[..., str | None]
    equal: Callable[[Sample, str], bool]
    stored: Callable[[Sample], dict[str, Any]]
    generate: Callable[[Options, int], list[Row]]
    fit: Callable[[Sample, Callable[[Sample], bool]], Sample]
    judge: Callable[[Sample, str], Score]
    files: Callable[[Options], Sequence[str]]
    details: Callable[[Sequence[Result]], dict[str, Any]]
    finish: Callable[[Path, Sequence[Result], str, Options], tuple[dict[str, Score], list[str]]]


class ModuleBenchmark(Benchmark):
    """A module's functions under the names of `Benchmark`'s methods."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._functions = module, cast("Functions", module)
        self.columns = getattr(module, "COLUMNS", self.columns)
        self.preload = getattr(module, "PRELOAD", self.preload)
        self.grading_limit_s = getattr(module, "LIMIT_S", self.grading_limit_s)
        self.runs_code = getattr(module, "SANDBOXED", self.runs_code)
        self.scored_later = self._has("finish")

    @staticmethod
    def takes(module: ModuleType) -> bool:
        """Returns whether a module has the functions that grading needs."""
        return all(callable(getattr(module, name, None)) for name in ("extract", "equal"))

    @property
    def module(self) -> ModuleType:
        """The module."""
        return self._module

    def _has(self, name: str) -> bool:
        return hasattr(self._module, name)

    def load(self, rows: Sequence[Row], options: Options, seed: int) -> list[Sample]:
        """Calls `load`."""
        return self._functions.load(rows, options, seed)

    def question(self, sample: Sample) -> str:
        """Calls `render`."""
        return self._functions.render(sample)

    def worked_example(self, sample: Sample) -> str:
        """Calls `few_shot_example`, else `worked`, if there is one."""
        name = "few_shot_example" if self._has("few_shot_example") else "worked"
        if not self._has(name):
            return super().worked_example(sample)
        example: str = getattr(self._module, name)(sample)
        return example

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """Calls `extract`."""
        return self._functions.extract(sample, text, complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Calls `equal`."""
        return self._functions.equal(sample, answer)

    def grade(self, sample: Sample, answer: str) -> Score:
        """Calls `judge`, else `equal`."""
        return self._functions.judge(sample, answer) if self._has("judge") else super().grade(sample, answer)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """Calls `stored`."""
        return self._functions.stored(sample)

    def generate(self, options: Options, seed: int) -> list[Row] | None:
        """Calls `generate`, if there is one."""
        return self._functions.generate(options, seed) if self._has("generate") else None

    def hub_files(self, options: Options) -> Sequence[str]:
        """Calls `files`, if there is one."""
        return self._functions.files(options) if self._has("files") else ()

    def shorten(self, sample: Sample, fits: Callable[[Sample], bool]) -> Sample:
        """Calls `fit`, if there is one."""
        return self._functions.fit(sample, fits) if self._has("fit") else sample

    def details(self, results: Sequence[Result]) -> dict[str, Any] | None:
        """Calls `details`, if there is one."""
        return self._functions.details(results) if self._has("details") else None

    def finish(
        self, folder: Path, results: Sequence[Result], model: str, options: Options
    ) -> tuple[dict[str, Score], list[str]]:
        """Calls `finish`, if there is one."""
        return self._functions.finish(folder, results, model, options) if self._has("finish") else ({}, [])
