"""Reads the samples of a benchmark, chooses those of this run, and checks that each can be asked and written down."""

import re
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import orjson

from llmbench.benchmarks.base import Benchmark, unique
from llmbench.benchmarks.dataset import DataSource, Row, Rows, read_rows, written
from llmbench.benchmarks.generic.base import GenericBenchmark
from llmbench.config.custom import as_typed
from llmbench.config.schema import Config
from llmbench.errors import ConfigError, DataError, RowError
from llmbench.records import Sample
from llmbench.results.manifest import Selection
from llmbench.run import prompts, selection
from llmbench.system.text import one_line

BAD_ROW = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
"""What code that expects other rows fails with."""
SHOWN = 80
"""Characters of an id that a sentence shows."""


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The samples of one benchmark.

    Attributes:
        source: Where they came from.
        available: All that there are to choose from; options such as a window of dates leave some of the rows out.
        chosen: Those that this run asks, in the data's order; `selection` says how they were chosen.
        questions: The texts of the chosen ones, as `Benchmark.question` gives them.
    """

    benchmark: Benchmark
    source: DataSource
    available: Sequence[Sample]
    chosen: Sequence[Sample]
    questions: Sequence[str]
    selection: Selection


def read_samples(config: Config, name: str, benchmark: Benchmark, asked: Sequence[str] = ()) -> SampleSet:
    """Reads the samples of a benchmark: from its data set, or from its generator where the settings name no data.

    The questions that an earlier part of the run `asked` are chosen again where they are all there.

    Raises:
        DataError: The data cannot be read, or a chosen sample cannot be asked or written down.
        ConfigError: An option is refused.
    """
    try:
        return _read_samples(config, name, benchmark, asked)
    except (ConfigError, DataError) as error:
        own = config.custom.data is not None and name == config.custom.benchmark
        if not (own or isinstance(benchmark, GenericBenchmark)):
            raise
        if isinstance(error, RowError):
            raise RowError(error.place, as_typed(error.what, name, own=own)) from error
        raise type(error)(as_typed(str(error), name, own=own)) from error


def _read_samples(config: Config, name: str, benchmark: Benchmark, asked: Sequence[str]) -> SampleSet:
    settings = config.benchmarks[name]
    begun, rows = time.monotonic(), None
    if settings.data_files is None and settings.hub_id is None:
        rows = benchmark.generate(settings.options, config.seed)
    if rows is not None:
        digest, seconds = prompts.text_hash(repr(rows)), time.monotonic() - begun
        source = DataSource("generated", settings.split, None, digest, len(rows), None, seconds)
    else:
        files, configs = benchmark.hub_files(settings.options), benchmark.hub_configs(settings.options)
        rows, source = read_rows(name, settings, benchmark.columns, files, configs)
    samples = _load(config, name, benchmark, rows, source.source)
    subjects: list[str | None] = []
    if selection.is_stratified(config, name, len(samples)):
        subjects = [_subject(config, name, benchmark, sample, source.source) for sample in samples]
    chosen, how = selection.again(samples, asked) or selection.choose(config, name, samples, subjects)
    questions = [_question(config, name, benchmark, sample, source.source) for sample in chosen]
    source = replace(source, notes=tuple(benchmark.data_notes(samples)))
    return SampleSet(benchmark, source, samples, chosen, questions, how)


def _load(config: Config, name: str, benchmark: Benchmark, rows: Sequence[Row], source: str) -> list[Sample]:
    """Returns the samples of rows; a mistake in a row or in a user's module becomes a sentence."""
    settings = config.benchmarks[name]
    try:
        options = settings.options
        if isinstance(benchmark, GenericBenchmark) and not settings.fewshot:
            options = {option: value for option, value in options.items() if option != "worked"}
        loaded = unique(benchmark.load(rows, options, config.seed), name)
        # a user's benchmark may pass on what the row holds: numbers and truth values become text as JSON writes them
        return [
            replace(each, target=written(each.target)) if isinstance(each.target, int | float) else each
            for each in loaded
        ]
    except RowError as error:  # whose place is in it, counted as in the file
        if settings.sealed:
            raise RowError(error.place, "the row does not fit; fix it.") from None  # the log has causes
        raise
    except DataError as error:
        message = " ".join(str(error).split()).rstrip(".")  # an id of the data's may hold line breaks
        raise DataError(f"{_as_editors_count(message, Rows.of(rows), source)}.") from error
    except ConfigError:  # of its options
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(error, BAD_ROW) and not _is_own(benchmark):
            raise
        raise DataError(
            f"{name}: the rows of {source} are not as {_where(benchmark, error)} expects them ({_reason(config, name, error)}); "
            "check the file and the module."
        ) from error


def _as_editors_count(message: str, rows: Rows, source: str) -> str:
    """Returns a benchmark's message, which names a row as `enumerate` counts, with the row's line in the file, or its place counted from 1."""
    word = "line" if rows.lines else "row"

    def placed(match: re.Match[str]) -> str:
        index = int(match[2])
        if index >= len(rows):
            return match[0]
        return f"{word.capitalize() if match[1] == 'R' else word} {rows.number(index)}"

    found = re.sub(r"\b([Rr])ow (\d{1,9})\b", placed, message, count=1)
    return f"{found} ({source}{'' if rows.lines else '; rows are counted from 1'})"


@contextmanager
def _said_of(failing: str, config: Config, name: str, benchmark: Benchmark) -> Iterator[None]:
    """Inside, a mistake in a row or in a user's module becomes a sentence that begins with `failing`."""
    try:
        yield
    except (Exception, SystemExit) as error:
        own = _is_own(benchmark)
        if not isinstance(error, BAD_ROW) and not own:
            raise
        where = f" in {_where(benchmark, error)}" if own else ""
        raise DataError(
            f"{name}: {failing}{where} ({_reason(config, name, error)}); {'fix the module or the row' if own else 'fix its row'}."
        ) from error


def _subject(config: Config, name: str, benchmark: Benchmark, sample: Sample, source: str) -> str | None:
    with _said_of(
        f"the subject of question {sample.id[:SHOWN]!r} of {source} cannot be told", config, name, benchmark
    ):
        found = benchmark.subject(sample)
        if not isinstance(found, str | None):
            raise TypeError(f"the subject is a {type(found).__name__}, not text")
    return found


def _question(config: Config, name: str, benchmark: Benchmark, sample: Sample, source: str) -> str:
    """Returns a sample's question; refuses one that cannot be asked or written down."""
    with _said_of(
        f"question {sample.id[:SHOWN]!r} of {source} cannot be asked or written down", config, name, benchmark
    ):
        question = benchmark.question(sample)
        if not isinstance(question, str):
            raise TypeError(f"the question is a {type(question).__name__}, not text")
        orjson.dumps([sample.id, question, sample.target, benchmark.stored_fields(sample)])
    return question


def _is_own(benchmark: Benchmark) -> bool:
    """Whether a benchmark is a user's, whose mistakes may raise anything."""
    return not benchmark.module.__name__.startswith("llmbench.")


def _where(benchmark: Benchmark, error: BaseException) -> str:
    """The benchmark's module, and of a user's the file and line where an error came from."""
    file = vars(benchmark.module).get("__file__")
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if file and _is_own(benchmark) and frame.filename == file
    ]
    return f"{file}, line {lines[-1]}," if lines else benchmark.module.__name__


def _reason(config: Config, name: str, error: BaseException) -> str:
    """What went wrong; of a sealed benchmark its kind alone, since the message may hold a question."""
    return type(error).__name__ if config.benchmarks[name].sealed else one_line(error)
