"""What a benchmark is, and how a text becomes a score."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType, ModuleType
from typing import Any

from llmbench.benchmarks.dataset import Row
from llmbench.benchmarks.rubric import Rubric
from llmbench.errors import ConfigError, DataError
from llmbench.records import FinishReason, Outcome, Result, Sample, Score
from llmbench.system.text import suggest


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """How a base model is asked, which continues a text (`chat=false`); worked examples are parted by an empty line.

    Attributes:
        before: What stands before a question.
        behind: What stands behind it, where the answer begins.
        space: What stands between that and a worked answer.
        end: Where a model's answer ends: it would go on with the next question by itself.
    """

    before: str = "Question: "
    behind: str = "\nAnswer:"
    space: str = " "
    end: str = "\n\nQuestion:"


class Benchmark(ABC):
    """A data set, how its questions are asked, and how the answers are graded.

    A benchmark derives a class from this one and writes `load`, `question`, `extract` and `is_equal`; all else has a default. `extract`,
    `is_equal` and `grade` run in worker processes, each of which makes a benchmark of its own: nothing that `load` learns is known to them
    but the sample's target and its `stored_fields`.

    Attributes:
        columns: Field names that every row must have.
        preload: Modules that grading needs and that take long to import; workers import them while the model loads.
        grading_limit_s: Seconds that grading one answer may take; ordinary answers take milliseconds.
        runs_code: Whether grading runs programs that the model wrote, so that it needs the sandbox.
        scored_later: Whether `finish` gives scores; an error with an answer then only says "not yet".
        has_choices: Whether questions have choices, whose letters are the gold answers: needed by `scoring=loglikelihood`.
        text_prompt: How a base model is asked.
        rubric: How a judge grades the answers that `extract` finds; None: `grade` does.
    """

    columns: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    grading_limit_s: float = 20.0
    runs_code: bool = False
    scored_later: bool = False
    has_choices: bool = False
    text_prompt: TextPrompt = TextPrompt()
    rubric: Rubric | None = None

    @abstractmethod
    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Returns the samples of rows, in the rows' order."""

    @abstractmethod
    def question(self, sample: Sample) -> str:
        """Returns the question as the user asks it, without the instruction that the YAML adds."""

    @abstractmethod
    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """Returns the answer in a text, or None; `complete` says that the text ended by itself, so that its end may count."""

    @abstractmethod
    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Returns whether an extracted answer is right."""

    def worked_example(self, sample: Sample) -> str:
        """Returns an answer as it should look, for few-shot prompts. By default there is none.

        Raises:
            ConfigError: The data has no solutions to show.
        """
        name = self.module.__name__.rpartition(".")[2]
        raise ConfigError(f"{name} has no solutions to show ({sample.id}); set fewshot=0.")

    def choices(self, sample: Sample) -> Sequence[str]:
        """Returns the texts of a question's choices, A, B, C and so on. By default there are none."""
        return ()

    def likelihood_prompt(self, sample: Sample, *, shows_choices: bool) -> str:
        """Returns the question as a text that an answer follows, for `scoring=loglikelihood`, with the choices or without."""
        return self.question(sample)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """Returns the fields that the journal keeps: what grading needs beside the target, and what reports group by. By default none."""
        return {}

    def subject(self, sample: Sample) -> str | None:
        """Returns what a smaller number of questions is drawn in proportion to, such as a field of study. By default None: drawn at random."""
        return None

    def grade(self, sample: Sample, answer: str) -> Score:
        """Returns the score of an extracted answer: by default 1 or 0, as `is_equal` says."""
        right = self.is_equal(sample, answer)
        return Score(float(right), answer, Outcome.CORRECT if right else Outcome.WRONG)

    def generate(self, options: Mapping[str, Any], seed: int) -> list[Row] | None:
        """Returns rows made on the spot, where the settings name no data. By default None: there is no generator."""
        return None

    def hub_files(self, options: Mapping[str, Any]) -> Sequence[str]:
        """Returns the JSON files on the hub that hold the rows. By default none: `datasets` finds them."""
        return ()

    def hub_configs(self, options: Mapping[str, Any]) -> Sequence[str]:
        """Returns the configurations on the hub that hold the rows, each of which has its own as `config`. By default none: the YAML names one."""
        return ()

    def own_examples(self, sample: Sample) -> Sequence[Sample]:
        """Returns the worked examples that a protocol has for a question; `fewshot` says how many are shown. By default none: they are drawn from the data."""
        return ()

    def shorten(self, sample: Sample, fits: Callable[[Sample], bool]) -> Sample:
        """Returns a sample whose prompt `fits` the model, called where the sample's is too long. By default the sample as it is."""
        return sample

    def data_notes(self, samples: Sequence[Sample]) -> list[str]:
        """Returns sentences about how the data was understood, which a run shows before it asks. By default none."""
        return []

    def details(self, results: Sequence[Result]) -> dict[str, Any] | None:
        """Returns what the summary says beside the accuracy. By default None."""
        return None

    def finish(
        self,
        folder: Path,
        results: Sequence[Result],
        model: str,
        options: Mapping[str, Any],
    ) -> tuple[dict[str, Score], list[str]]:
        """Does what comes after the last answer, such as writing a file into the run's folder. By default nothing.

        Returns:
            Scores by question, which replace those of the graders (see `scored_later`), and warnings for the user.
        """
        return {}, []

    @property
    def module(self) -> ModuleType:
        """The Python module that the benchmark is written in."""
        return sys.modules[type(self).__module__]


class OwnColumns(Benchmark):
    """A benchmark whose data always has the same columns, so that no options map them.

    Attributes:
        name: The benchmark's own, for messages.
        checks: The options that there are, and what their values may be.
    """

    name: str
    checks: Mapping[str, Callable[[Any], bool]] = MappingProxyType({})

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """A sample of each row.

        Raises:
            ConfigError: An option is refused.
            DataError: A row does not fit.
        """
        check_options(self.name, options, self.checks)
        return [self.sample(row, index) for index, row in enumerate(rows)]

    @abstractmethod
    def sample(self, row: Row, index: int) -> Sample:
        """Returns the sample of a row, counted from 0."""


def score(benchmark: Benchmark, sample: Sample, text: str, finish_reason: FinishReason) -> Score:
    """Extracts the answer, grades it and names the outcome; one that a judge grades has no verdict yet.

    In a text that the token limit cut off only a stated answer counts. A text that a stop string ended is taken as it
    stands, its last sentence included: that is what `early_stopping=cut` means.
    """
    answer = benchmark.extract(sample, text, complete=finish_reason is not FinishReason.LENGTH)
    if answer is None:
        truncated = finish_reason is FinishReason.LENGTH
        return Score(0.0, None, Outcome.TRUNCATED if truncated else Outcome.NO_ANSWER)
    if benchmark.rubric is not None:
        return Score(0.0, answer, Outcome.UNJUDGED, "no judge was asked")
    return benchmark.grade(sample, answer)


def accuracy_by(field: str, results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Returns accuracies by a field that results store: {"easy": {"n": 2, "accuracy": 0.5}}; without results that lack it."""
    groups: dict[str, list[float]] = {}
    for result in results:
        if result.fields.get(field):
            groups.setdefault(str(result.fields[field]), []).append(result.score.value)
    return {name: {"n": len(values), "accuracy": fmean(values)} for name, values in sorted(groups.items())}


def unique(samples: Sequence[Sample], name: str) -> list[Sample]:
    """Returns the samples themselves.

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
