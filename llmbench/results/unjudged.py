"""unjudged.jsonl: answers that wait for a judge's verdict, in the lines of the journal, which gets each when it has one.

So a run that is killed between answer and verdict asks for the verdict alone when it is resumed. A finished run has no such file.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from llmbench.errors import RunError
from llmbench.records import Result
from llmbench.results import journal
from llmbench.results.manifest import UNJUDGED, cannot_write
from llmbench.results.serialization import from_row, line_of
from llmbench.system import files

Key = tuple[str, str, int]
"""Benchmark, question and repeat of a result."""


class UnjudgedAnswers:
    """The file in a run's folder; it is made with the first answer."""

    def __init__(self, folder: Path, sealed: Collection[str]) -> None:
        """Takes where it is, and the benchmarks whose questions must not stand in plain text."""
        self._path, self._sealed = folder / UNJUDGED, sealed
        self._end: journal.Appender | None = None

    def read(self, done: Collection[Key]) -> dict[Key, Result]:
        """Returns the answers that still wait, by their keys, without those that are `done`; what cannot be read is asked again.

        Raises:
            RunError: The file cannot be read or written.
        """
        if not self._path.exists():
            return {}
        try:
            found = journal.parse(files.read(self._path), from_row).items
            waiting = {result.key: result for result in found if result.key not in done}
            files.replace(self._path, map(self._line, waiting.values()))
        except OSError as error:
            raise RunError(
                f"{self._path} cannot be read ({error.strerror}); remove it to have its answers asked again."
            ) from error
        return waiting

    def add(self, result: Result) -> None:
        """Adds an answer: with the file system when this returns.

        Raises:
            RunError: It cannot be written.
        """
        try:
            self._end = self._end or journal.Appender(self._path)
            self._end.append(self._line(result))
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def end(self, waiting: Collection[Key]) -> None:
        """Removes the file where no answer is waiting. If that fails, `read` leaves out its answers, which have results by then."""
        if waiting:
            return
        with suppress(OSError):
            self.close()
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; what the disk does not take is asked again."""
        end, self._end = self._end, None
        if end is not None:
            end.close()

    def _line(self, result: Result) -> bytes:
        return line_of(result, sealed=result.benchmark in self._sealed)
