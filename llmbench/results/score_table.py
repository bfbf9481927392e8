"""The scores of a run as a few lines of text or HTML: how a `Run` shows itself in Python and in a notebook."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.system.number_format import NONE, interval, percent
from llmbench.system.text import printable

HEADINGS = ("benchmark", "n", "accuracy", "95% interval", "answered")


def as_text(folder: Path, summary: Summary) -> str:
    """A line on the run, and a table with a line for each benchmark."""
    lines = [HEADINGS, *_rows(summary)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    return "\n".join([_heading(folder, summary), *(table if summary.benchmarks else [])])


def as_html(folder: Path, summary: Summary) -> str:
    """The same as a table of a notebook."""
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in _rows(summary)
    )
    headings = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    return f"<table><caption>{escape(_heading(folder, summary))}</caption><tr>{headings}</tr>{body}</table>"


def _heading(folder: Path, summary: Summary) -> str:
    return printable(f"Run {folder}: {summary.model}, profile {summary.profile}, {summary.status}")


def _rows(summary: Summary) -> Iterator[tuple[str, ...]]:
    for name, found in summary.benchmarks.items():
        n = str(found.n) if found.n == found.expected else f"{found.n}/{found.expected}"
        yield printable(name), n, percent(found.accuracy), interval(found.ci95), _answered(found)


def _answered(summary: BenchmarkSummary) -> str:
    """The share of texts in which an answer was found, and judged where a judge is asked, as `compare` has it."""
    rates = summary.rates
    return NONE if rates is None else percent(1 - rates.no_answer - rates.error - rates.unjudged)
