"""trace.jsonl: every sample a line, written as the run goes."""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from llmbench.errors import RunError
from llmbench.system import decoding, files
from llmbench.telemetry.records import TelemetrySample

log = logging.getLogger(__name__)

KEEP = 4096
"""Samples that are read of a trace at most."""
FLUSH_S = 1.0
"""Samples are held back for so long."""


class Trace:
    """Writes samples to a file, which may have those of an earlier process; where it takes nothing, the trace ends there."""

    def __init__(self, path: Path) -> None:
        self._path, self._ended = path, False
        self._pending: list[bytes] = []
        self._flush_at = 0.0

    def add(self, sample: TelemetrySample) -> None:
        """Takes a sample."""
        if self._ended:
            return
        self._pending.append(
            orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
        )
        if time.monotonic() >= self._flush_at:
            self.flush()

    def flush(self) -> None:
        """Hands what is pending to the file system."""
        if not self._pending:
            return
        self._flush_at = time.monotonic() + FLUSH_S
        lines, self._pending = b"".join(self._pending), []
        try:
            with os.fdopen(files.opened_to_add(self._path), "a+b") as file:
                # whoever wrote it last may have torn its last line
                file.write(b"\n" + lines if files.torn(file.fileno()) else lines)
        except OSError as error:
            log.warning("%s cannot be written (%s); it ends here.", self._path, error.strerror)
            self._ended = True


def read_trace(path: Path, keep: int = KEEP) -> list[TelemetrySample]:
    """The samples of a file, at most `keep` of them at even distances; lines that a killed process tore are left out.

    After a resumed run `t` begins anew within the file.

    Raises:
        RunError: It cannot be read.
    """
    kept: list[TelemetrySample] = []
    stride = 1
    try:
        for number, sample in enumerate(_samples(path)):
            if number % stride == 0:
                kept.append(sample)
            if len(kept) > keep:
                del kept[1::2]
                stride *= 2
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).") from error
    return kept


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
