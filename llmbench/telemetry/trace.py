"""trace.jsonl: every sample a line, written as the run goes. In memory only some of them stay, evenly spread."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from llmbench.errors import RunError
from llmbench.system import decoding, files
from llmbench.telemetry.records import TelemetrySample

log = logging.getLogger(__name__)

KEEP = 4096
"""Samples that stay in memory at most: about seven minutes of ten a second; of a longer run every second one, fourth, …"""


class Thinned:
    """The samples of a run of any length, at most `keep` of them, at even distances."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep, self._stride, self._seen = keep, 1, 0
        self.samples: list[TelemetrySample] = []

    def add(self, sample: TelemetrySample) -> None:
        """Keeps the sample if its turn has come."""
        if self._seen % self._stride == 0:
            self.samples.append(sample)
        self._seen += 1
        if len(self.samples) > self._keep:
            del self.samples[1::2]
            self._stride *= 2


class Trace:
    """Keeps samples thinly, and writes all of them to a file once there is one."""

    def __init__(self) -> None:
        self._thinned = Thinned()
        self._path: Path | None = None
        self._pending: list[bytes] = []

    def add(self, sample: TelemetrySample) -> None:
        """Takes a sample, for the file too."""
        self._thinned.add(sample)
        if self._path is not None:
            self._pending.append(_line(sample))

    def samples(self) -> list[TelemetrySample]:
        """Those kept."""
        return list(self._thinned.samples)

    def write(self, path: Path) -> None:
        """Begins a file, or goes on with it, with the samples kept so far; the same file again is brought up to date.

        Raises:
            RunError: It cannot be written.
        """
        if path != self._path:
            self.flush()
            self._pending = [_line(sample) for sample in self._thinned.samples]
        try:
            self._append(path)
        except OSError as error:
            raise RunError(f"{path} cannot be written ({error.strerror}).") from error
        self._path = path

    def flush(self) -> None:
        """Hands what is pending to the file system; where the file takes nothing, nothing more is written to it."""
        if self._path is None or not self._pending:
            return
        try:
            self._append(self._path)
        except OSError as error:
            log.warning("%s cannot be written (%s); it ends here.", self._path, error)
            self._path = None

    def _append(self, path: Path) -> None:
        lines, self._pending = b"".join(self._pending), []
        with os.fdopen(
            files.opened_to_add(path), "a+b"
        ) as file:  # whoever wrote it last may have torn its last line
            file.write(b"\n" + lines if files.torn(file.fileno()) else lines)


def _line(sample: TelemetrySample) -> bytes:
    return orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE)


def read_trace(path: Path, keep: int = KEEP) -> list[TelemetrySample]:
    """The samples of a file, at most `keep` of them at even distances; lines that a killed process tore are left out.

    After a resumed run `t` begins anew within the file.

    Raises:
        RunError: It cannot be read.
    """
    thinned = Thinned(keep)
    try:
        for sample in _samples(path):
            thinned.add(sample)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).") from error
    return thinned.samples


def _samples(path: Path) -> Iterator[TelemetrySample]:
    with files.opened(path) as file:
        for line in file:
            try:
                yield _sample(line)
            except (ValueError, TypeError):
                log.debug("%s holds a line that is not a sample", path)


def _sample(line: bytes) -> TelemetrySample:
    """A line as it was written; before `queued` was there, `waiting` meant that, and `running` all that were in the engine."""
    sample = decoding.decode(line, TelemetrySample)
    if sample.engine is None or b'"queued"' in line:
        return sample
    return replace(sample, engine=replace(sample.engine, waiting=None, queued=sample.engine.waiting))
