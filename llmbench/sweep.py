"""What a multirun says and writes at its end: a line for each of its jobs, failed ones too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson
from rich.table import Table

from llmbench.summary import Summary, as_dict
from llmbench.terminal import Terminal


class Job(Protocol):
    """One point of the sweep."""

    overrides: list[str]
    folder: Path
    summary: Summary | None
    error: str | None


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
    failed = sum(job.error is not None for job in jobs)
    terminal.say(f"{len(jobs)} jobs, {failed} failed, written to {folder}")


def _row(number: int, job: Job) -> dict[str, Any]:
    status = "failed" if job.error else (job.summary.status if job.summary else "finished")
    return {
        "job": number,
        "overrides": job.overrides,
        "folder": str(job.folder),
        "status": status,
        "error": job.error,
        "summary": as_dict(job.summary) if job.summary else None,
    }


def _table(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "settings", "benchmark"):
        table.add_column(heading)
    for heading in ("accuracy", "latency", "samples/s", "tokens/s", "generate", "total"):
        table.add_column(heading, justify="right")
    for number, job in enumerate(jobs):
        if job.error is not None or job.summary is None:
            table.add_row(
                str(number), " ".join(job.overrides), f"[red]failed[/]: {job.error}" if job.error else "-"
            )
            continue
        for name, found in job.summary.benchmarks.items():
            table.add_row(
                str(number),
                " ".join(job.overrides),
                name,
                "-" if found.accuracy is None else f"{100 * found.accuracy:.1f} %",
                _short(found.latency_s.mean, " s"),
                _short(found.throughput.samples_per_s),
                _short(found.throughput.output_tokens_per_s),
                _short(job.summary.time_s.generate, " s"),
                _short(job.summary.time_s.total, " s"),
            )
    return table


def _short(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.4g}{unit}"
