"""Reports as files: of one run, of several, of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from llmbench.errors import RunError
from llmbench.report.comparison_page import report_of_many
from llmbench.report.run_entry import RunEntry
from llmbench.report.run_page import report
from llmbench.results.manifest import JOURNAL, REGRADED_REPORT, REPORT, TRACE, write_whole
from llmbench.results.reader import load_run
from llmbench.system.text import natural
from llmbench.telemetry.trace import read_trace

MOST_SAMPLES = 1500
"""Looks at the machine that a report draws."""


def write_one(
    folder: str | Path, to: str | Path | None = None, *, show_sealed: bool = False, regraded: bool = False
) -> Path:
    """Writes the report of a run from its folder, by default into it.

    Args:
        folder: The run's.
        to: The file to write.
        show_sealed: Show the questions of benchmarks whose authors ask that they are not shown.
        regraded: As `llmbench.regrade` graded it, by default into a page of its own.

    Raises:
        RunError: The folder holds no run, or the file cannot be written.
    """
    folder = Path(folder)
    target = Path(to) if to is not None else folder / (REGRADED_REPORT if regraded else REPORT)
    entry = RunEntry.read(folder, show_sealed=show_sealed, regraded=regraded)
    trace = read_trace(folder / TRACE, MOST_SAMPLES) if (folder / TRACE).is_file() else []
    write_whole(target, report(entry, trace, load_run(folder) if regraded else None))
    return target


def write_many(
    folders: Sequence[str | Path],
    to: str | Path,
    *,
    show_sealed: bool = False,
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Writes the page of several runs: their table, plots of speed against score, and the questions that flipped.

    Args:
        folders: Of the runs; those that differ in one setting are compared, others with the first.
        to: The file to write.
        show_sealed: As for `write_one`.
        failed: Runs of which there is no folder to read, by name, with the reason.

    Raises:
        RunError: A folder holds no run, or the file cannot be written.
    """
    entries = [RunEntry.read(folder, show_sealed=show_sealed) for folder in folders]
    write_whole(Path(to), report_of_many(entries, failed or {}, Path(to).absolute().parent))
    return Path(to)


def runs_below(folder: Path) -> list[Path]:
    """The folder itself where it holds a run; the runs of a sweep where it holds one, in the order of the jobs.

    Raises:
        RunError: It holds neither.
    """
    if (folder / JOURNAL).is_file():
        return [folder]
    found = [path.parent for path in folder.glob(f"*/{JOURNAL}") if path.is_file()]
    if not found:
        raise RunError(f"{folder} holds neither a run nor a sweep.")
    return sorted(found, key=lambda run: natural(run.name))
