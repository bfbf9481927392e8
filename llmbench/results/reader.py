"""Runs read back from their folders."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from llmbench.errors import RunError
from llmbench.records import Result
from llmbench.results import cost, journal, rows
from llmbench.results.manifest import (
    BEGUN,
    JOURNAL,
    MANIFEST,
    REGRADED_JOURNAL,
    REGRADED_SUMMARY,
    RUNNING,
    SUMMARY,
    Manifest,
    content_of,
    read_record,
)
from llmbench.results.metrics import summarise
from llmbench.results.serialization import SEALED, from_row
from llmbench.results.settings import read_settings
from llmbench.results.summary import BenchmarkSummary, Summary, answered_by
from llmbench.system.number_format import NONE, interval, percent
from llmbench.system.text import printable

if TYPE_CHECKING:
    import pandas as pd


HEADINGS = ("benchmark", "n", "accuracy", "95% interval", "answered")


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A finished or unfinished run, read back; it shows itself as a table of its scores."""

    folder: Path
    summary: Summary
    manifest: Manifest
    results: list[Result]
    sealed: frozenset[str] = frozenset()
    """Benchmarks whose questions must not stand in plain text."""
    notes: tuple[str, ...] = ()
    """What is wrong with the files, a sentence each: a line that was torn, results that are missing."""

    def __repr__(self) -> str:
        lines = [HEADINGS, *map(_score_row, self.summary.benchmarks.items())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in lines
        ]
        return "\n".join([self._heading(), *(table if self.summary.benchmarks else [])])

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        cells = [[escape(cell) for cell in _score_row(each)] for each in self.summary.benchmarks.items()]
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
        headings = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
        return f"<table><caption>{escape(self._heading())}</caption><tr>{headings}</tr>{body}</table>"

    def _heading(self) -> str:
        summary = self.summary
        return printable(f"Run {self.folder}: {summary.model}, profile {summary.profile}, {summary.status}")

    def to_pandas(self) -> "pd.DataFrame":
        """The results as a DataFrame, one row for each answer.

        Columns: `benchmark`, `id` (the question's), `repeat`, `outcome`, `value` (the score, 0 to 1), `answer`, `target`, `explanation`,
        `elicited`, `finish_reason`, `stop_string`, `error`, `prompt_tokens`, `output_tokens`, `thinking_tokens`, `cached_tokens`, times in seconds
        (`queued` and `finished` on the machine's monotonic clock, `queue_s`, `prefill_s`, `ttft_s`, `decode_s`, `e2e_s`, `inter_token_s`),
        `from_cache`, `judge` and `verdict`, `prompt_hash`, `sealed`, `prompt`, `text`, and `fields.NAME` for what the questions have of their own, such as a level
        or a subject. Of a sealed benchmark, such as gpqa, texts, answers and fields are missing.
        """
        return rows.frame(self.results, self.sealed)


def _score_row(named: tuple[str, BenchmarkSummary]) -> tuple[str, ...]:
    """The cells of a benchmark; `answered` is the share of texts in which an answer was found, and judged where a judge is asked."""
    name, found = named
    n = str(found.n) if found.n == found.expected else f"{found.n}/{found.expected}"
    rates = found.rates
    answered = NONE if rates is None else percent(1 - rates.no_answer - rates.error - rates.unjudged)
    return printable(name), n, percent(found.accuracy), interval(found.ci95), answered


def read_journal(
    folder: Path, sealed: set[str] | None = None, notes: list[str] | None = None, *, name: str = JOURNAL
) -> Iterator[Result]:
    """The results of a run, in the order they came; a torn last line is left out.

    Args:
        folder: The run's.
        sealed: Gets the names of the benchmarks whose lines are sealed.
        notes: Gets a sentence where the last line was torn.
        name: The journal's.

    Raises:
        RunError: There is no journal, or a line other than the last cannot be read.
    """
    path = folder / name
    found = journal.parse(content_of(path), lambda row: (from_row(row), SEALED in row))
    if found.damage is not None and not found.damage.torn:
        raise RunError(
            f"{found.damage.sentence(path)}; `python -m llmbench resume={folder}` asks for what was lost again."
        )
    if found.damage is not None and notes is not None:
        notes.append(found.damage.sentence(path))
    seen: set[tuple[str, str, int]] = set()
    for result, hidden in found.items:
        if sealed is not None and hidden:
            sealed.add(result.benchmark)
        if result.key not in seen:  # a result counts once
            seen.add(result.key)
            yield result


def load_run(folder: str | os.PathLike[str]) -> Run:
    """A run read back from its folder.

    Raises:
        RunError: The folder holds no run, or a file of it cannot be read.
    """
    folder = Path(folder)
    if (folder / BEGUN).is_file():
        jobs = sorted(job.parent.name for job in folder.glob(f"*/{MANIFEST}"))
        there = f", such as {folder / jobs[0]}" if jobs else ""
        raise RunError(f"{folder} holds a sweep; its runs are in the folders below{there}.")
    killed = not os.path.lexists(folder / SUMMARY) and (folder / MANIFEST).is_file()
    summary = Summary() if killed else read_record(folder / SUMMARY, Summary)
    manifest = read_record(folder / MANIFEST, Manifest)
    sealed = set[str]()
    notes: list[str] = []
    results = _counted(summary, manifest, read_journal(folder, sealed, notes))
    if killed or (summary.status == RUNNING and not summary.benchmarks):
        interim = _interim(folder, manifest, results)
        summary = interim if killed else replace(summary, benchmarks=interim.benchmarks, cost=interim.cost)
        missing = f"holds no {SUMMARY}" if killed else f"holds a {SUMMARY} without scores"
        notes.append(
            f"{folder} {missing}: the run was killed before it wrote one, or still runs. "
            f"Scores and times of requests are those of {JOURNAL}; the run's own times and its memory are not known."
        )
    counted = sum(benchmark.n for benchmark in summary.benchmarks.values())
    if counted > len(results):
        notes.append(
            f"{folder / JOURNAL} holds {len(results)} of the {counted} results that {SUMMARY} counts."
        )
    return Run(folder, summary, manifest, results, frozenset(sealed), tuple(notes))


def _interim(folder: Path, manifest: Manifest, results: Sequence[Result]) -> Summary:
    """The summary of a run that has none: scores and rates of its results; nothing else is known.

    Raises:
        RunError: config.yaml cannot be read.
    """
    config, planned = read_settings(folder), manifest.samples
    summary = Summary(status=RUNNING, not_comparable=["the run did not finish"])
    if config is not None:
        summary.model = answered_by(config.engine.name, config.model.name, manifest.overrides)
        summary.profile = config.profile.name
        if price := config.engine.price:
            itself = not config.judge.is_served
            summary.cost = cost.of_attempts(manifest.sittings, results, price, judges=itself)
    by_benchmark: dict[str, list[Result]] = {name: [] for name in planned}
    for result in results:
        by_benchmark.setdefault(result.benchmark, []).append(result)
    for name, own in by_benchmark.items():
        repeats = 1 + max((result.repeat for result in own), default=0)
        if config is not None and name in config.benchmarks:
            repeats = config.benchmarks[name].repeats
        expected = len(planned[name]) * repeats if name in planned else len(own)
        attempts = len(manifest.sittings) or 1  # of several there is no single throughput
        summary.benchmarks[name] = summarise(
            own, expected, repeats, sittings=attempts, selection=manifest.selection.get(name)
        )
    return summary


def _counted(summary: Summary, manifest: Manifest, results: Iterable[Result]) -> list[Result]:
    """Leaves out answers that `stop_when` left out: they came first since they are short (`results/stopping`)."""
    counted = {
        name: set(manifest.samples.get(name, ())[: each.stopping.questions])
        for name, each in summary.benchmarks.items()
        if each.stopping is not None
    }
    return [r for r in results if r.benchmark not in counted or r.sample_id in counted[r.benchmark]]


def load_regraded(folder: Path) -> Run:
    """A run as `llmbench.regrade` graded it again.

    Raises:
        RunError: The folder holds no run, or one that was not graded again, or a file of it cannot be read.
    """
    run = load_run(folder)
    if not (folder / REGRADED_SUMMARY).is_file():
        raise RunError(
            f"{folder} holds no {REGRADED_SUMMARY}; `python -m llmbench.regrade {folder}` writes it."
        )
    return replace(
        run,
        summary=read_record(folder / REGRADED_SUMMARY, Summary),
        results=list(read_journal(folder, name=REGRADED_JOURNAL)),
        notes=(*run.notes, f"Graded again after the run; {SUMMARY} has its first scores."),
    )
