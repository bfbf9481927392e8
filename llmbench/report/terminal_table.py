"""The closing table of a run at the terminal."""

import logging
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from llmbench.report import benchmark_details
from llmbench.report.server_words import NOT_KNOWN, retries_and_waits, served, server_of
from llmbench.results import attempts, cache_use
from llmbench.results.manifest import STRATIFIED
from llmbench.results.pass_at_k import RepeatStatistics
from llmbench.results.summary import BenchmarkSummary, Summary, TimeSplit
from llmbench.system.console import Terminal
from llmbench.system.number_format import interval, joules, memory, number, percent, seconds

log = logging.getLogger(__name__)

ANY_WIDTH = 10_000
Column = tuple[str, Callable[[BenchmarkSummary], str]]


def print_table(terminal: Terminal, summary: Summary, folder: str) -> None:
    """Prints the warnings, the closing table and where the run was written."""
    for warning in summary.warnings:
        terminal.say(warning, mark="[bold yellow]![/] ")
    terminal.out.print(_table(summary.benchmarks, terminal.out))
    for name, found in summary.benchmarks.items():
        for sentence in _sentences(found):
            terminal.say(f"{name}: {sentence}")
    cached = cache_use.sentence(summary.cache)
    if cached is not None:
        terminal.say(cached)
    server = server_of(summary.engine)
    if server is not None:
        terminal.say(f"{served(server)}. {NOT_KNOWN} {retries_and_waits(server)}".rstrip())
    closing = _closing(summary)
    log.info("%s", ", ".join(closing))
    terminal.out.print(escape(_folded(closing, terminal.out.width)), soft_wrap=True)
    terminal.out.print(escape(f"written to {folder}"), soft_wrap=True)


def _sentences(summary: BenchmarkSummary) -> Iterator[str]:
    """What is said of a benchmark below the table."""
    if summary.stopping is not None:
        yield " ".join(summary.stopping.sentences())
    if summary.likelihood is not None:
        yield summary.likelihood.sentence()
    if details := benchmark_details.line(summary.details):
        yield f"{details}."
    if summary.repeated is not None:
        yield _repeats(summary.repeated)
    if summary.thinking is not None:
        yield summary.thinking.sentence(summary.n)
    if summary.judge is not None:
        yield summary.judge.sentence()
    if summary.selection == STRATIFIED:
        yield "its questions were drawn from each subject in proportion to its size."


def _table(benchmarks: Mapping[str, BenchmarkSummary], console: Console) -> Table:
    """The closing table; a narrow terminal gets fewer of its columns, none of them cut."""
    columns: list[Column] = [
        ("n", lambda f: str(f.n) if f.n == f.expected else f"{f.n}/{f.expected}"),
        ("accuracy", lambda f: percent(f.accuracy)),
        ("95% interval", lambda f: interval(f.ci95)),
        ("no answer", lambda f: percent(f.rates.no_answer if f.rates else None)),
        ("elicited", lambda f: percent(f.rates.elicited if f.rates and f.likelihood is None else None)),
        ("latency", lambda f: seconds(f.latency_s.mean)),
        ("tokens/s", lambda f: number(f.throughput.output_tokens_per_s or None)),
        ("time", lambda f: seconds(f.time_s)),
        ("samples/s", lambda f: number(f.throughput.samples_per_s)),
    ]
    while True:
        table = _filled(columns, benchmarks)
        if len(columns) == 1 or width_of(table, console) <= console.width:
            return table
        columns.pop()


def width_of(table: Table, console: Console) -> int:
    """Columns that a table takes where nothing is cut."""
    return Measurement.get(console, console.options.update(max_width=ANY_WIDTH), table).maximum


def _filled(columns: Sequence[Column], benchmarks: Mapping[str, BenchmarkSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("benchmark", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, found in benchmarks.items():
        table.add_row(escape(name), *(show(found) for _, show in columns))
    return table


def _repeats(repeated: RepeatStatistics) -> str:
    parts = [f"{name} {percent(e.value)} {interval(e.ci95)}" for name, e in repeated.named().items()]
    split = repeated.variance
    if split is not None:
        parts.append(
            f"standard error {percent(split.question_stderr)} from the questions, {percent(split.sampling_stderr)} from sampling"
        )
    return ", ".join(parts)


def _folded(parts: Sequence[str], width: int) -> str:
    """The parts with commas between them; lines end after a part, so that no number is torn from its unit."""
    whole = ", ".join(part.replace(" ", "\xa0") for part in parts)
    return textwrap.fill(whole, width, break_on_hyphens=False, break_long_words=False).replace("\xa0", " ")


SHORT_S = 0.05
"""A part of a run that took less is not named."""


def _parts(split: TimeSplit, *, loads: bool) -> list[tuple[str, float]]:
    """What the time went into, one after the other; the last is what is left of the total. `prepare` goes on beside them."""
    named = [
        ("import", split.import_),
        ("data", split.data),
        ("tokenizer", split.tokenizer),
        *([("load", split.load)] if loads else []),
        ("generate", split.generate),
        ("grade the last", split.grade_tail),
    ]
    known = [(name, value) for name, value in named if value is not None]
    rest = (split.total or 0.0) - sum(value for _, value in known)
    return [(name, value) for name, value in [*known, ("other", rest)] if value >= SHORT_S]


def _closing(summary: Summary) -> list[str]:
    split, engine = summary.time_s, summary.engine
    parts = [f"time to score {seconds(split.total)}"]
    if len(summary.sittings) > 1:
        parts = [f"{attempts.sentence(summary.sittings)}; of the last"]
    server = server_of(engine)
    parts += [f"{name} {seconds(value)}" for name, value in _parts(split, loads=server is None)]
    if summary.cost is not None:
        parts.append(f"cost {number(summary.cost)}")
    if summary.judge_cost is not None:
        parts.append(f"the judge's cost {number(summary.judge_cost)}")
    if server is not None:
        return parts
    if summary.memory.peak_gpu_bytes is not None:
        parts.append(f"GPU memory {memory(summary.memory.peak_gpu_bytes)}")
    elif summary.memory.peak_rss_bytes is not None:
        parts.append(f"memory {memory(summary.memory.peak_rss_bytes)}")
    if summary.gpu.utilization_mean is not None:
        parts.append(f"GPU {percent(summary.gpu.utilization_mean, 0)}")
    if summary.gpu.energy_j is not None:
        parts.append(joules(summary.gpu.energy_j))
    if engine is not None:
        several = f"{len(engine.replicas)} x" if engine.replicas else None
        words = [several, engine.name, engine.version, f"on {engine.device}" if engine.device else None]
        words.append(engine.quantization or engine.dtype)
        parts.append(" ".join(word for word in words if word))
    return parts
