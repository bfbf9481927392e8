"""A comparison as a page at the terminal, at most 100 columns wide. What comes from files is escaped; questions never stand here."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from llmbench.report.compare.records import (
    BenchmarkComparison,
    Comparison,
    Quantity,
    RunComparison,
    RunHead,
)
from llmbench.results.paired_tests import ALPHA, POWER, Method
from llmbench.results.settings import Setting
from llmbench.system.number_format import (
    NONE,
    count,
    interval,
    joules,
    memory,
    number,
    percent,
    points,
    seconds,
)
from llmbench.system.text import printable

WIDTH = 100
NAMED = 60
"""So many ids are listed in each direction; `--json` has all."""
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FORMS: Mapping[str, Callable[[float | None], str]] = {
    "bytes": memory,
    "share": partial(percent, digits=0),
    "s": seconds,
    "J": joules,
}
TITLES = {
    "time_s.total": "time to score",
    "time_s.load": "load",
    "time_s.generate": "generate",
    "memory.peak_gpu_bytes": "peak GPU memory",
    "memory.peak_rss_bytes": "peak memory (RSS)",
    "gpu.utilization_mean": "GPU utilisation",
    "gpu.energy_j": "energy",
    "cost": "cost",
    "time_s": "time",
    "throughput.samples_per_s": "samples per second",
    "throughput.output_tokens_per_s": "output tokens per second",
    "latency_s.mean": "latency, mean",
    "latency_s.p95": "latency, p95",
    "tokens.output": "output tokens",
}


class ShownComparison(Comparison):
    """A comparison that shows itself in Python and in a notebook as its page."""

    __slots__ = ()

    def __repr__(self) -> str:
        page = io.StringIO()
        show(self, page)
        return "\n".join(map(str.rstrip, page.getvalue().splitlines())).rstrip()


def show(comparison: Comparison, out: TextIO) -> None:
    """Prints the page; to a text in memory without control characters, whatever FORCE_COLOR says."""
    plain = False if isinstance(out, io.StringIO) else None
    console = Console(file=out, highlight=False, force_jupyter=False, force_terminal=plain)
    console.width = min(WIDTH, console.width) if out.isatty() else WIDTH
    _say(console, f"A  {_head(comparison.baseline)}  (the baseline)")
    for place, run in enumerate(comparison.runs):
        _say(console, f"{_label(place)}  {_head(run.run)}")
    for place, run in enumerate(comparison.runs):
        _show_run(console, _label(place), run)
    _say_multiplicity(console, comparison)


def _label(place: int) -> str:
    """B, C, … of the run at a place behind the baseline; numbers where the alphabet ends."""
    return LABELS[place + 1] if place + 1 < len(LABELS) else str(place + 2)


def _head(run: RunHead) -> str:
    comparable = "" if run.comparable else ", not comparable with published scores"
    return f"{run.folder}: {run.model}, profile {run.profile}, {run.status}{comparable}"


def _say(console: Console, text: str, indent: int = 0) -> None:
    console.print(Padding(escape(printable(text)), (0, 0, 0, indent), expand=False))


def _show_run(console: Console, label: str, run: RunComparison) -> None:
    for benchmark in run.benchmarks:
        console.print()
        _show_benchmark(console, label, benchmark)
    console.print()
    console.print(f"[bold]{label} and A: whole runs[/]")
    for note in run.notes:
        _say(console, f"! {note}", 2)
    console.print(_quantity_table(label, run.quantities))
    console.print()
    _show_settings(console, label, run.settings)


def _show_benchmark(console: Console, label: str, comparison: BenchmarkComparison) -> None:
    answers = f", {comparison.answers} answers each" if comparison.answers != comparison.questions else ""
    title = f"{comparison.benchmark}: {label} and A on {count(comparison.questions, 'question')}{answers}"
    console.print(f"[bold]{escape(printable(title))}[/]")
    for note in comparison.notes:
        _say(console, f"! {note}", 2)
    table = _table("", "accuracy", "95% interval", "standard error", "answered")
    for name, side in (("A", comparison.baseline), (label, comparison.run)):
        error = NONE if side.stderr is None else f"{100 * side.stderr:.1f} points"
        table.add_row(name, percent(side.accuracy), interval(side.ci95), error, percent(side.answered))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()
    for line in statistics(label, "A", comparison):
        _say(console, line, 2)
    _show_questions(console, f"{label} better than A", [flip.sample_id for flip in comparison.better])
    _show_questions(console, f"{label} worse than A", [flip.sample_id for flip in comparison.worse])
    if (judges := comparison.judges) is not None:
        _say(console, judges.sentence(), 2)
        verdicts = [f"{each.sample_id} ({each.baseline} → {each.run})" for each in judges.differing]
        _show_questions(console, f"Verdicts that differ, A → {label}", verdicts)
    console.print()
    console.print(_quantity_table(label, comparison.quantities))


def statistics(label: str, other: str, comparison: BenchmarkComparison) -> Iterator[str]:
    """The difference, its test and what follows, a sentence or two each."""
    difference, ends, test = (
        comparison.difference.difference,
        comparison.difference.ci95,
        comparison.significance,
    )
    said = ", one question alone, so no interval"
    if ends is not None:
        said = f", 95% interval [{points(ends[0])}, {points(ends[1])}] (bootstrap over questions, paired)"
    yield f"{label} - {other}: {points(difference)} points{said}."
    name = "McNemar's exact test"
    if test.method is not Method.MCNEMAR:
        name = "Permutation test (sign flips of the questions' mean differences, as answers are repeated or graded in parts)"
    counts = f"{test.only_second} better in {label}, {test.only_first} better in {other}, {test.discordant} of {comparison.questions} discordant"
    yield f"{name}: p = {p_value(test.p_value)} ({counts})."
    found = f"Not distinguishable from chance at the {percent(ALPHA, 0)} level, which does not mean equal."
    if comparison.distinguishable:
        side = label if difference > 0 else other
        found = f"Distinguishable from chance at the {percent(ALPHA, 0)} level, in favour of {side}."
    yield f"{found} {_detectable(comparison)}"
    if ends is not None and (ends[0] > 0 or ends[1] < 0) != comparison.distinguishable:
        yield "Interval and test disagree on whether 0 is ruled out, as they may near the edge; the test decides."


def _detectable(comparison: BenchmarkComparison) -> str:
    if comparison.smallest_detectable is not None:
        return (
            f"Smallest detectable effect: a true difference of {100 * comparison.smallest_detectable:.1f} points is found "
            f"with {percent(POWER, 0)} probability by so many questions."
        )
    return f"So few questions find no difference with {percent(POWER, 0)} probability, however large it is."


def _show_questions(console: Console, title: str, questions: Sequence[str]) -> None:
    more = f" … and {len(questions) - NAMED} more (--json lists all)" if len(questions) > NAMED else ""
    _say(console, f"{title} ({len(questions)}): {', '.join(questions[:NAMED]) or 'none'}{more}", 2)


def _quantity_table(label: str, quantities: Sequence[Quantity]) -> Padding:
    table = _table("", "A", label, f"{label} / A")
    for quantity in quantities:
        ratio = "-" if quantity.ratio is None else f"{quantity.ratio:.2f}"
        form = FORMS.get(quantity.unit, number)
        cells = (form(value) for value in (quantity.baseline, quantity.run))
        table.add_row(TITLES.get(quantity.name, quantity.name), *cells, ratio)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _show_settings(console: Console, label: str, settings: Sequence[Setting] | None) -> None:
    if settings is None:
        _say(console, "Settings: not compared, a config.yaml is missing.")
        return
    if not settings:
        _say(console, "Settings: none differs.")
        return
    _say(console, f"Settings that differ ({len(settings)}), A → {label}:")
    for setting in settings:
        _say(console, f"{setting.name}: {setting.baseline} → {setting.run}", 2)


def _say_multiplicity(console: Console, comparison: Comparison) -> None:
    tests = sum(len(run.benchmarks) for run in comparison.runs)
    if tests > 1:
        console.print()
        _say(
            console,
            f"{tests} tests stand on this page, each at the {percent(ALPHA, 0)} level and not adjusted for their number; "
            f"a p value below {ALPHA / tests:.2g} holds for all of them together (Bonferroni).",
        )


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def p_value(value: float) -> str:
    """A p value to three decimals, or to two digits where those would be zeros."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"  # noqa: PLR2004 - below it three decimals are zeros
