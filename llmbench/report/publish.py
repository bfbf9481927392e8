"""What comes after a run has ended: its page, and of a finished one exports and trackers; also what an earlier process left out of that.

A run that is finished is never asked anything again, so what its folder lacks is made up when it is resumed.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from llmbench.config.schema import EXPORTS, Config, Tracker
from llmbench.errors import RunError
from llmbench.records import Score
from llmbench.report import trackers
from llmbench.results.manifest import MANIFEST, REPORT, SUMMARY, Manifest, read_record, write_object
from llmbench.system.console import Terminal

log = logging.getLogger(__name__)


def write_page(folder: Path, scores: Mapping[tuple[str, str, int], Score], *, terminal: Terminal) -> None:
    """Writes the page of a run that has ended, with the scores by now; a failure prints a message and never fails the run."""
    from llmbench.report.write import material_of, write_report

    try:
        material = material_of(folder)
        results = [replace(result, score=scores.get(result.key, result.score)) for result in material.results]
        write_report(replace(material, results=results), folder / REPORT)
    except Exception as error:
        log.exception("the report could not be written")
        terminal.notice(
            f"The report could not be written ({error}); `python -m llmbench.report {folder}` tries again."
        )


def publish(config: Config, folder: Path, terminal: Terminal) -> None:
    """Writes exports and reports to trackers; a failure prints a message and never fails the run."""
    _export(config.export, folder, terminal)
    _track(config, folder, terminal)


def write_missing_outputs(config: Config, folder: Path, terminal: Terminal) -> None:
    """Writes the outputs that a finished run lacks, or that are older than its results.

    A tracker gets the run if the manifest says that it has not got it; manifests of before that was kept say nothing.

    Raises:
        RunError: The folder cannot be read or written.
    """
    if config.report and _is_stale(folder, REPORT):
        from llmbench.report.write import write_one

        write_one(folder)
    _export([name for name in config.export if _is_stale(folder, EXPORTS[name])], folder, terminal)
    tracked = read_record(folder / MANIFEST, Manifest).tracked
    if tracked is not None and config.tracker.name not in tracked:
        _track(config, folder, terminal)


def _is_stale(folder: Path, name: str) -> bool:
    """Whether a file of a run, or all that a folder of it holds, is missing or older than what the run found."""
    path = folder / name
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    times = [file.stat().st_mtime_ns for file in files if file.is_file()]
    return max(times, default=0) < (folder / SUMMARY).stat().st_mtime_ns


def _export(names: Sequence[str], folder: Path, terminal: Terminal) -> None:
    if names:
        from llmbench.report.export import export_run

        try:
            export_run(folder, names)
        except (RunError, OSError) as error:
            terminal.notice(f"export: {error} `python -m llmbench.export {folder}` tries again.")


def _track(config: Config, folder: Path, terminal: Terminal) -> None:
    if config.tracker is Tracker.none or not trackers.track(config, folder, terminal):
        return
    try:
        manifest = read_record(folder / MANIFEST, Manifest)
        manifest.tracked = [*(manifest.tracked or ()), config.tracker.name]
        write_object(folder / MANIFEST, manifest)
    except RunError as error:  # at worst the tracker gets the run once more
        log.warning("%s", error)
