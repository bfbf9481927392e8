"""What a multirun says and writes at its end: a line for each of its jobs, failed and interrupted ones too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson
from rich.markup import escape
from rich.table import Table

from llmbench.summary import Summary, as_dict
from llmbench.terminal import Terminal


class Job(Protocol):
    """One point of the sweep."""

    overrides: list[str]
    folder: Path
    summary: Summary | None
    error: str | None
    interrupted: bool


def finish(jobs: Sequence[Job], folder: Path) -> None:
    """Prints the table and writes the sweep's `summary.json`."""
    terminal = Terminal()
    rows = [_row(number, job) for number, job in enumerate(jobs)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_bytes(
        orjson.dumps({"jobs": rows}, option=orjson.OPT_INDENT_2, default=str) + b"\n"
    )
    terminal.out.print()
    terminal.out.print(_table(jobs))
    for number, job in enumerate(jobs):
        if job.error is not None:
            terminal.say(f"job {number} failed: {job.error}")
    counts = [
        (status, sum(row["status"] == status for row in rows))
        for status in ("finished", "failed", "interrupted")
    ]
    said = ", ".join(f"{count} {status}" for status, count in counts if count)
    shared = _shared(jobs)
    terminal.say(
        f"{len(jobs)} jobs: {said}{'; the same for all: ' + ' '.join(shared) if shared else ''}; written to {folder}"
    )


def _status(job: Job) -> str:
    if job.interrupted:
        return "interrupted"
    return "failed" if job.error is not None else "finished"


def _row(number: int, job: Job) -> dict[str, Any]:
    return {
        "job": number,
        "overrides": job.overrides,
        "folder": str(job.folder),
        "status": _status(job),
        "error": job.error,
        "summary": as_dict(job.summary) if job.summary else None,
    }


def _shared(jobs: Sequence[Job]) -> list[str]:
    """What was typed for every job alike."""
    return [o for o in jobs[0].overrides if len(jobs) > 1 and all(o in job.overrides for job in jobs)]


def _table(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "settings", "benchmark"):
        table.add_column(heading, overflow="fold")
    for heading in ("accuracy", "latency", "tokens/s", "generate", "total"):
        table.add_column(heading, justify="right", no_wrap=True)
    shared = _shared(jobs)
    for number, job in enumerate(jobs):
        settings = escape(" ".join(o for o in job.overrides if o not in shared))
        if job.summary is None:
            table.add_row(str(number), settings, f"[red]{_status(job)}[/]")
            continue
        for place, (name, found) in enumerate(job.summary.benchmarks.items()):
            table.add_row(
                str(number) if place == 0 else "",
                settings if place == 0 else "",
                name,
                "-" if found.accuracy is None else f"{100 * found.accuracy:.1f} %",
                _short(found.latency_s.mean, " s"),
                _short(found.throughput.output_tokens_per_s),
                _short(job.summary.time_s.generate, " s"),
                _short(job.summary.time_s.total, " s"),
            )
    return table


def _short(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.4g}{unit}"
