"""What a sweep writes and prints: its summary, closing table and page."""

from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmbench.cli.job import Job, SweepAttempt, SweepSummary, written
from llmbench.errors import LlmbenchError, RunError
from llmbench.report.server_words import server_of
from llmbench.report.terminal_table import width_of
from llmbench.results.manifest import (
    JOURNAL,
    MANIFEST,
    REPORT,
    SUMMARY,
    write_object,
)
from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.system.console import Terminal
from llmbench.system.number_format import count, number, percent, seconds
from llmbench.system.text import one_line


def write(
    jobs: Iterable[Job],
    folder: Path,
    sittings: Sequence[SweepAttempt],
    ablation: Sequence[object] = (),
) -> None:
    """Writes the sweep's `summary.json`, as a whole.

    Raises:
        RunError: It cannot be written.
    """
    jobs = sorted(jobs, key=lambda job: job.number)
    summary = SweepSummary(
        status=sittings[-1].status,
        time_s=sum(attempt.time_s or 0.0 for attempt in sittings),
        loads=sum(attempt.loads for attempt in sittings),
        sittings=list(sittings),
        groups=_groups(jobs),
        jobs=[job.row() for job in jobs],
        ablation=list(ablation) or None,
    )
    write_object(folder / SUMMARY, summary.as_dict())


def status_of(jobs: Sequence[Job], asked: int) -> str:
    """What became of a sweep whose jobs end here, of so many that were asked for."""
    statuses = {job.status for job in jobs}
    if "interrupted" in statuses or len(jobs) < asked:
        return "interrupted"
    return "failed" if "failed" in statuses else "finished"


def finish(
    jobs: Iterable[Job], folder: Path, sittings: Sequence[SweepAttempt], *, asked: Sequence[Sequence[str]]
) -> None:
    """Prints the table and writes the sweep's `summary.json`.

    Raises:
        RunError: It cannot be written.
    """
    from llmbench.cli import ablation, ablation_table

    jobs = sorted(jobs, key=lambda job: job.number)
    terminal = Terminal()
    points = ablation.points(jobs)
    measured = ablation.rows(points)
    loads = sum(attempt.loads for attempt in sittings)
    write(jobs, folder, sittings, measured)
    terminal.out.print()
    terminal.out.print(closing_table(jobs, terminal.out))
    for error in dict.fromkeys(job.error for job in jobs if job.error is not None):
        numbers = [str(job.number) for job in jobs if job.error == error]
        terminal.say(f"job{'s' if len(numbers) > 1 else ''} {', '.join(numbers)} failed: {error}")
    if measured:
        ablation_table.show(points, measured, terminal)
    elif points:
        terminal.say(ablation.no_table(points))
    for sentence in _of_budgets(jobs):
        terminal.say(sentence)
    terminal.say(f"{_closing(jobs, len(asked), loads)}; written to {folder}")


def _of_budgets(jobs: Sequence[Job]) -> list[str]:
    """What a sweep over thinking budgets found; nothing of another sweep."""
    budgets = {o.partition("=")[2] for job in jobs for o in job.overrides if o.startswith(f"{BUDGET}=")}
    if len(budgets) < 2:  # noqa: PLR2004 - nothing to compare
        return []
    from llmbench.report.run_entry import RunEntry
    from llmbench.report.thinking_sweep import sentences

    try:
        return sentences([RunEntry.read(job.folder) for job in jobs if job.status == "finished"])
    except RunError as error:
        return [f"Which budget is enough is not known: {error}"]


def _closing(jobs: Sequence[Job], expected: int, loads: int) -> str:
    statuses = [job.status for job in jobs]
    counts = {status: statuses.count(status) for status in ("finished", "failed", "interrupted")}
    counts["not begun"] = max(0, expected - len(jobs))
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    total = len(jobs) + counts["not begun"]
    parts = [f"{count(total, 'job')}: {said}"]
    if loads and _loaded_here(jobs):
        parts.append("one engine load" if loads == 1 else f"{loads} engine loads")
    shared = _shared(jobs)
    if shared:
        parts.append(f"the same for all: {' '.join(shared)}")
    return "; ".join(parts)


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    """The numbers of the jobs that each engine served."""
    groups: dict[int, list[int]] = {}
    for job in jobs:
        # of an unfinished job its folder decides
        summary = job.summary if job.summary is not None else written(job.folder / SUMMARY, Summary)
        if summary.engine is not None:
            groups.setdefault(job.engine, []).append(job.number)
    return list(groups.values())


def _loaded_here(jobs: Sequence[Job]) -> bool:
    """Whether some job loads its model, and does not ask a server that has it."""
    engines = [job.summary.engine for job in jobs if job.summary is not None]
    return not engines or any(server_of(engine) is None for engine in engines)


def _shared(jobs: Sequence[Job]) -> list[str]:
    """What was typed for every job alike."""
    return [o for o in jobs[0].overrides if len(jobs) > 1 and all(o in job.overrides for job in jobs)]


BUDGET = "sampling.thinking_budget"
SETTINGS_WIDTH = 24
"""Room for the longest of `+sweep=quantization`, on terminals of 100 columns; Rich breaks words where there is less."""


LEFT_OUT = ("load", "generate", "latency", "cost", "total", "tokens/s")
"""Columns that a narrow terminal goes without, the first first; `summary.json` has them all."""


BENCHMARK_COLUMNS: dict[str, Callable[[BenchmarkSummary], str]] = {
    "accuracy": lambda found: percent(found.accuracy),
    "latency": lambda found: seconds(found.latency_s.mean),
    "tokens/s": lambda found: number(found.throughput.output_tokens_per_s),
}


def _job_columns(jobs: Sequence[Job]) -> dict[str, Callable[[Summary], str]]:
    """The columns about whole jobs; what no job has is left out."""
    columns: dict[str, Callable[[Summary], str]] = {
        "load": lambda summary: seconds(summary.time_s.load) if summary.time_s.load else "",
        "generate": lambda summary: seconds(summary.time_s.generate),
        "total": lambda summary: seconds(summary.time_s.total),
        "cost": lambda summary: number(summary.cost),
    }
    if not _loaded_here(jobs):
        del columns["load"]
    if all(job.summary is None or job.summary.cost is None for job in jobs):
        del columns["cost"]
    return columns


def closing_table(jobs: Sequence[Job], console: Console) -> Table:
    """The closing table; a narrow terminal gets fewer of its columns, none of them cut."""
    left_out: set[str] = set()
    for name in LEFT_OUT:
        if width_of(_filled(jobs, left_out, settings=False), console) <= console.width:
            break
        left_out.add(name)
    return _filled(jobs, left_out)


def _filled(jobs: Sequence[Job], left_out: Container[str], *, settings: bool = True) -> Table:
    """The table without those columns; `settings=False`: what they say is left out too, as it folds into any width."""
    of_jobs = {name: show for name, show in _job_columns(jobs).items() if name not in left_out}
    of_benchmarks = {name: show for name, show in BENCHMARK_COLUMNS.items() if name not in left_out}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", no_wrap=True)
    # a thinking budget has a long name, whose value would be torn off
    budgets = [len(o) for job in jobs for o in job.overrides if o.startswith(f"{BUDGET}=")]
    table.add_column("settings", overflow="fold", min_width=max(SETTINGS_WIDTH, *budgets, 0))
    table.add_column("benchmark", no_wrap=True)
    for heading in (*of_benchmarks, *of_jobs):
        table.add_column(heading, justify="right", no_wrap=True)
    shared = _shared(jobs)
    for job in jobs:
        own = [o.removeprefix("+ablation/") for o in job.overrides if o not in shared] if settings else []
        typed = escape(" ".join(own))
        if job.summary is None:
            # finished without figures: prompts were shown
            colour = "default" if job.status == "finished" else "red"
            table.add_row(str(job.number), typed, f"[{colour}]{job.status}[/]")
            continue
        of_the_job = [show(job.summary) for show in of_jobs.values()]
        for place, (name, found) in enumerate(job.summary.benchmarks.items()):
            table.add_row(
                str(job.number) if place == 0 else "",
                typed if place == 0 else "",
                name,
                *(show(found) for show in of_benchmarks.values()),
                *(of_the_job if place == 0 else ()),
            )
    return table


def report_sweep(jobs: Iterable[Job], folder: Path) -> str | None:
    """The page of a sweep's jobs so far; an error never ends the sweep, and is returned as a message."""
    jobs = sorted(jobs, key=lambda job: job.number)
    failed = {
        f"job {job.number} ({' '.join(job.overrides)})": job.error for job in jobs if job.error is not None
    }
    runs = [
        job.folder for job in jobs if (job.folder / MANIFEST).is_file() and (job.folder / JOURNAL).is_file()
    ]
    from llmbench.report.write import write_many  # with all charts: --help and mistyped settings need none

    try:
        if runs:
            write_many(runs, folder / REPORT, failed=failed)
    except Exception as error:  # noqa: BLE001 - whatever a folder holds; no log is open between two jobs
        return str(error) if isinstance(error, LlmbenchError) else f"{one_line(error)}."
    return None
