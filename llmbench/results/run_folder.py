"""The folder of a run being made: its lock, manifest, journal and summary. docs/what-a-run-leaves.md says what each file holds."""

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import orjson

from llmbench.errors import RunError
from llmbench.records import Result, Score
from llmbench.results import journal
from llmbench.results.manifest import (
    ASKED_FOR,
    CONFIG,
    JOURNAL,
    LOG,
    MANIFEST,
    MEMORY_LOG,
    REPORT,
    STARTING,
    SUMMARY,
    TRACE,
    UNJUDGED,
    FileRecord,
    Manifest,
    cannot_write,
    read_record,
    replace_file,
)
from llmbench.results.serialization import from_row, line_of
from llmbench.results.summary import Summary
from llmbench.results.unjudged import UnjudgedAnswers
from llmbench.system import files, lock
from llmbench.system.lock import FolderLock
from llmbench.system.redaction import clean


class RunFolder:
    """The folder of a run being made. `sealed` names the benchmarks whose questions must not stand in plain text."""

    def __init__(
        self,
        folder: Path,
        sealed: frozenset[str] = frozenset(),
        *,
        goes_on: bool = False,
    ) -> None:
        """Creates the folder and its journal, or opens the journal that is there (`goes_on`).

        Lines of the journal that cannot be used are put into `samples.damaged.jsonl` when the run goes on; `damage` tells of them.

        Raises:
            RunError: The folder holds a run already, is another process's, or cannot be written or named.
        """
        files.refuse_bytes(folder, RunError, "The name of the run's folder")
        self.folder, self.sealed = folder, sealed
        self.unjudged = UnjudgedAnswers(folder, sealed)
        self.damage: journal.Damage | None = None
        self._lock = FolderLock(folder)
        path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.__enter__()
            if not goes_on or is_starting(folder / MANIFEST):
                refuse_taken(folder)
                path.unlink(missing_ok=True)  # of a run that was killed before it had begun: it is empty
            elif path.exists():
                self.damage = journal.repair(path, from_row)
            self._journal = journal.Appender(path)
        except RunError:
            self._lock.__exit__()
            raise
        except OSError as error:
            self._lock.__exit__()
            raise RunError(
                f"The run's folder {folder} cannot be written ({error.strerror}); choose another with hydra.run.dir=FOLDER."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Brings the journal to the disk and closes it.

        Raises:
            RunError: The last lines cannot be written; after another error that one is raised instead.
        """
        try:
            with suppress(OSError):
                self.unjudged.close()
            self._journal.close()
        except OSError as trouble:
            if kind is None:
                raise cannot_write(self.folder / JOURNAL, trouble) from trouble
        finally:
            self._lock.__exit__()

    def write_text(self, name: str, text: str) -> None:
        """Writes a file as a whole: readers see the old one or the new one."""
        replace_file(self.folder / name, (text.encode(), b"\n"))

    def read_manifest(self) -> Manifest:
        """What manifest.json holds; an empty one where there is no such file.

        Raises:
            RunError: It cannot be read.
        """
        path = self.folder / MANIFEST
        return read_record(path, Manifest) if os.path.lexists(path) else Manifest()

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes manifest.json."""
        self._write_record(MANIFEST, manifest)

    def write_summary(self, summary: Summary) -> None:
        """Writes summary.json."""
        self._write_record(SUMMARY, summary)

    def _write_record(self, name: str, record: FileRecord) -> None:
        replace_file(
            self.folder / name,
            (orjson.dumps(clean(record.as_dict()), option=orjson.OPT_INDENT_2), b"\n"),
        )

    def append(self, result: Result) -> None:
        """Adds a line to the journal: with the file system at once, on the disk within `journal.SYNC_S` seconds.

        Raises:
            RunError: The line cannot be written; those before it are kept.
        """
        line = line_of(result, sealed=result.benchmark in self.sealed)
        try:
            self._journal.append(line)
        except OSError as error:
            raise cannot_write(self.folder / JOURNAL, error) from error

    def replace_scores(self, scores: Mapping[tuple[str, str, int], Score]) -> None:
        """Puts scores that came later, as from SWE-bench's harness, into the journal, by the results' keys.

        Raises:
            RunError: The journal cannot be read or written.
        """
        if not scores:
            return
        from llmbench.results.reader import read_journal  # a command's start would wait for it

        path = self.folder / JOURNAL
        results = (replace(r, score=scores.get(r.key, r.score)) for r in read_journal(self.folder))
        lines = [line_of(result, sealed=result.benchmark in self.sealed) for result in results]
        try:
            files.replace(path, lines)
            before, self._journal = self._journal, journal.Appender(path)
            before.close()
        except OSError as error:
            raise cannot_write(path, error) from error

    def sync_if_due(self) -> None:
        """Brings the journal's lines to the disk when they have waited for a second; to be called now and then."""
        try:
            self._journal.sync_if_due()
        except OSError as error:
            raise cannot_write(self.folder / JOURNAL, error) from error


def conflicting_file(folder: Path) -> str | None:
    """Returns the name of the first file that a new run would overwrite, or None.

    A folder in which a run was killed before it had begun holds none: an empty config.yaml, an empty journal and a manifest that
    says only how the run was called do not count. The log is added to, and other names are never touched.
    """
    for name in (MANIFEST, SUMMARY, TRACE, MEMORY_LOG, REPORT, CONFIG, JOURNAL, UNJUDGED, *ASKED_FOR):
        path = folder / name
        if not os.path.lexists(path):
            continue
        if name in (CONFIG, JOURNAL) and not path.is_symlink() and path.is_file() and not path.stat().st_size:
            continue
        if name != MANIFEST or not is_starting(path):
            return name
    return None


def is_starting(path: Path) -> bool:
    """Returns whether a manifest is that of a run that has not come to write its own."""
    try:
        return read_record(path, Manifest).status == STARTING
    except RunError:
        return False


def remove_refused(folder: Path) -> None:
    """Removes what a run wrote that was refused before it asked anything, and the folder where nothing else is in it.

    A run with answers stays, and so do files under other names.
    """
    journal = folder / JOURNAL
    if journal.is_file() and journal.stat().st_size:
        return
    with suppress(OSError):
        for name in (CONFIG, MANIFEST, SUMMARY, JOURNAL, LOG, TRACE, MEMORY_LOG, REPORT, lock.FILE):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def refuse_taken(folder: Path) -> None:
    """Refuses a folder in which no run can begin.

    Raises:
        RunError: It holds a run, or a file that a run would overwrite.
    """
    name = conflicting_file(folder)
    if name == MANIFEST:
        raise RunError(
            f"{folder} holds a run already; resume={shlex.quote(str(folder))} resumes it, hydra.run.dir=FOLDER begins another."
        )
    if name is not None:
        raise RunError(
            f"{folder} holds {name} already, which a run would overwrite; choose another folder with hydra.run.dir=FOLDER."
        )
