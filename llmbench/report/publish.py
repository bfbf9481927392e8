"""What a run that has ended is published as: its page, and of a finished one exports and an entry in a tracker."""

import logging
from collections.abc import Sequence
from pathlib import Path

import orjson

from llmbench.config.groups import EXPORTS, OutputSettings
from llmbench.errors import RunError
from llmbench.report import trackers
from llmbench.results.manifest import (
    MANIFEST,
    REPORT,
    SUMMARY,
    Manifest,
    content_of,
    read_record,
    write_object,
)
from llmbench.results.summary import Summary
from llmbench.system.console import Terminal

log = logging.getLogger(__name__)


def publish(folder: Path, settings: OutputSettings, terminal: Terminal, *, regraded: bool = False) -> None:
    """Publishes what a run's folder holds, as its settings say; a failure prints a message and never fails the run.

    What is newer than the run's summary stays, so that a run that was finished by another process gets only what that left
    out. A tracker gets the run if the manifest says that it has not got it; those of before that was kept say nothing.
    A run that was graded again (`regraded`) gets another page: exports and trackers keep its first scores.
    """
    if regraded:
        if settings.report:
            _write_page(folder, terminal, regraded=True)
        return
    try:
        summary, manifest = read_record(folder / SUMMARY, Summary), read_record(folder / MANIFEST, Manifest)
    except RunError as error:
        terminal.notice(str(error))
        return
    if settings.report and _is_stale(folder, REPORT):
        _write_page(folder, terminal)
    if summary.status != "finished":
        return
    _export(folder, [name for name in settings.export if _is_stale(folder, EXPORTS[name])], terminal)
    if manifest.tracked is not None and settings.tracker.name not in manifest.tracked:
        _track(folder, settings, terminal)


def _is_stale(folder: Path, name: str) -> bool:
    """Whether a file of a run, or all that a folder of it holds, is missing or older than what the run found."""
    path = folder / name
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    times = [file.stat().st_mtime_ns for file in files if file.is_file()]
    return max(times, default=0) < (folder / SUMMARY).stat().st_mtime_ns


def _write_page(folder: Path, terminal: Terminal, *, regraded: bool = False) -> None:
    try:
        from llmbench.report.write import write_one

        write_one(folder, regraded=regraded)
    except Exception as error:
        log.exception("the report could not be written")
        terminal.notice(
            f"The report could not be written ({error}); `python -m llmbench.report {folder}` tries again."
        )


def _export(folder: Path, names: Sequence[str], terminal: Terminal) -> None:
    if names:
        from llmbench.report.export import export_run

        try:
            export_run(folder, names)
        except (RunError, OSError) as error:
            terminal.notice(f"export: {error} `python -m llmbench.export {folder}` tries again.")


def _track(folder: Path, settings: OutputSettings, terminal: Terminal) -> None:
    if not trackers.track(settings, folder, terminal):
        return
    try:
        tracked = read_record(folder / MANIFEST, Manifest).tracked
        written = orjson.loads(content_of(folder / MANIFEST))  # with names that other versions know
        write_object(folder / MANIFEST, written | {"tracked": [*(tracked or ()), settings.tracker.name]})
    except RunError as error:  # at worst the tracker gets the run once more
        log.warning("%s", error)
