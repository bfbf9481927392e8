"""The runs and sweeps below a folder, for the terminal and for other programs."""

import os
import sys
import textwrap
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmbench.errors import RunError
from llmbench.report.escaping import short
from llmbench.report.trackers import ARTIFACTS
from llmbench.results.attempts import moment
from llmbench.results.manifest import JOURNAL, MANIFEST, RUNNING, STARTING, SUMMARY, Manifest
from llmbench.results.summary import Summary
from llmbench.system import decoding, files
from llmbench.system.number_format import count, number, percent, seconds
from llmbench.system.text import printable

T = TypeVar("T")
ON_TERMINAL = ("started", "score", "time", "tokens/s")
"""Columns; model, settings and folder stand below each run."""
IN_LINES = ("started", "model", "score", "time", "tokens/s", "settings", "folder")
NUMBERS = ("time", "tokens/s")
ENDLESS = 100_000
"""Columns where there is no terminal."""
INDENT = "  "
DEPTH = 4
"""Folders below the given one in which runs are looked for: runs/multi/DATE/0 is the third."""


SAID_ELSEWHERE = ("hydra.", "resume=", "runs_dir=", "model=", "benchmark=", "suite=")
"""Overrides that other columns show, or that change no result."""

BELOW = "\ue000"
"""Stands in the table for the lines below a run; no printable text has it."""

LONG, MOST = 40, 4
"""Characters of a setting, and settings of a run, that a terminal shows; elsewhere all are printed whole."""

SORTS = ("date", "score", "time", "tokens")
STATUSES = ("finished", "running", "starting", "interrupted", "failed", "unreadable")


@dataclass(frozen=True, slots=True)
class ListedScore:
    """A benchmark's accuracy from 0 to 1, and of how many results."""

    accuracy: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A run as the list shows it; what was not measured, or cannot be read, is None.

    Attributes:
        folder: The run's.
        started: As the manifest has it.
        status: `finished`, `running`, `starting`, `interrupted`, `failed`; `unreadable` with the reason in `trouble`.
        time_s: From the command to the summary.
        tokens_per_s: Output tokens of all benchmarks for each second of generating.
        overrides: What was typed.
        settings: Those of them that not all listed runs share.
    """

    folder: str
    started: str | None
    model: str | None
    status: str
    scores: dict[str, ListedScore] = field(default_factory=dict)
    time_s: float | None = None
    tokens_per_s: float | None = None
    overrides: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def score(self) -> float | None:
        """The mean accuracy of its benchmarks."""
        known = [s.accuracy for s in self.scores.values() if s.accuracy is not None]
        return sum(known) / len(known) if known else None


def whole_number(text: str) -> int:
    """A number of runs to show, as typed."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is refused: it must be a whole number from 1")
    return int(text)


def in_order(run: Listed, by: str) -> tuple[bool, float]:
    """What is unknown comes last."""
    value = {"score": run.score, "time": run.time_s, "tokens": run.tokens_per_s}.get(by)
    if by == "date":
        return False, 0.0  # as they are
    return value is None, 0.0 if value is None else value if by == "time" else -value


def list_runs(*folders: str | Path) -> list[Listed]:
    """The runs below the folders, newest first.

    Raises:
        RunError: A folder is not there.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise RunError(
                f"There is no folder {folder}; runs are written to runs/ unless runs_dir says otherwise."
            )
    read = [_read(path) for folder in folders for path in _folders(Path(folder), DEPTH)]
    counts = Counter(override for run in read for override in set(run.overrides))
    shared = {o for o, count in counts.items() if count == len(read)}
    told = {o for o in counts.keys() - shared if not o.lstrip("+").startswith(SAID_ELSEWHERE)}
    listed = [replace(run, settings=tuple(o for o in run.overrides if o in told)) for run in read]
    return sorted(listed, key=lambda run: (moment(run.started), run.folder), reverse=True)


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """Folders with a run's files; what is inside one is not looked at, nor copies of them in MLflow's store."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    if any(entry.name == MANIFEST for entry in entries):
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name != ARTIFACTS:
                yield from _folders(folder / entry.name, depth - 1)


def _read(folder: Path) -> Listed:
    name = os.path.relpath(folder)
    try:
        manifest = _record(folder / MANIFEST, Manifest)
        killed = not os.path.lexists(folder / SUMMARY) and (folder / JOURNAL).is_file()
        if killed or manifest.status == STARTING:  # then there is no summary yet
            status = STARTING if manifest.status == STARTING else RUNNING
            return Listed(name, manifest.started, None, status, overrides=tuple(manifest.overrides))
        summary = _record(folder / SUMMARY, Summary)
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no JSON as llmbench writes it"
        where = getattr(error, "filename", None)
        told = f"{Path(str(where)).name}: {reason}" if where else str(reason)
        return Listed(name, None, None, "unreadable", trouble=told)
    return Listed(
        folder=name,
        started=manifest.started,
        model=summary.model,
        status=summary.status,
        scores={key: ListedScore(found.accuracy, found.n) for key, found in summary.benchmarks.items()},
        time_s=summary.time_s.total,
        tokens_per_s=summary.tokens_per_s,
        overrides=tuple(manifest.overrides),
    )


def _record(path: Path, kind: type[T]) -> T:
    return decoding.decode(files.read(path, files.JSON_BYTES), kind)


def print_runs(runs: Sequence[Listed], total: int) -> None:
    """Prints the table of runs, and how many of how many it shows.

    On a terminal a run's model, settings and folder have lines of their own, which break between words; elsewhere each run is one
    line that is as long as it must be.
    """
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    columns, between = (ON_TERMINAL, "\n") if console.is_terminal else (IN_LINES, ", ")
    if not console.is_terminal:
        console.width = ENDLESS
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", no_wrap=True)
    for run in runs:
        cells = _cells(run, between)
        table.add_row(*(cells[heading] for heading in columns))
        if console.is_terminal:
            table.add_row(BELOW)
    with console.capture() as captured:
        console.print(table)
    below = iter(runs)
    for line in captured.get().splitlines():
        text = _below(next(below), console.width) if line.strip() == BELOW else line.rstrip()
        console.out(text, highlight=False)
    shown = f"{len(runs)} of {total} runs" if len(runs) != total else count(total, "run")
    shared = _shared(runs)
    console.print(escape(f"{shown}{'; the same for all: ' + ' '.join(shared) if shared else ''}"))


def _below(run: Listed, width: int) -> str:
    """The lines below a run's row: its model and settings, and its folder, which is written whole, to be copied."""
    said = f"{printable(run.model or '')} {_settings(run, MOST, LONG)}"
    lines = textwrap.wrap(said.strip(), width - len(INDENT), break_on_hyphens=False)
    return textwrap.indent("\n".join([*lines, printable(run.folder)]), INDENT)


def _settings(run: Listed, most: int = ENDLESS, longest: int = ENDLESS) -> str:
    shown = [short(o, longest) for o in run.settings[:most]]
    more = [f"and {len(run.settings) - most} more"] if len(run.settings) > most else []
    return printable(" ".join([*shown, *more, *([run.trouble] if run.trouble else [])]))


def _cells(run: Listed, between: str) -> dict[str, str]:
    """The cells of a run's row, with `between` between the scores of its benchmarks."""
    scores = [f"{escape(printable(name))} {percent(s.accuracy)} of {s.n}" for name, s in run.scores.items()]
    status = [] if run.status == "finished" else [f"[yellow]{escape(printable(run.status))}[/]"]
    return {
        "started": escape(printable((run.started or "-")[:16].replace("T", " "))),
        "model": escape(printable(run.model or "-")),
        "score": between.join([*status, *scores]) or "-",
        "time": seconds(run.time_s),
        "tokens/s": number(run.tokens_per_s),
        "settings": escape(_settings(run)),
        "folder": escape(printable(run.folder)),
    }


def _shared(runs: Sequence[Listed]) -> list[str]:
    """What was typed for all of them."""
    if len(runs) < 2:  # noqa: PLR2004 - one shares with nobody
        return []
    return [printable(o) for o in runs[0].overrides if all(o in run.overrides for run in runs)]
