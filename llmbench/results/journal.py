"""samples.jsonl: one line a result, each with a checksum, appended as soon as the result is known.

A line is a JSON object whose last field is `crc32`, the CRC-32 of the object without it, in hex; lines
of runs before there were checksums have none. A line that was torn by a dying process or damaged since is known by that.
"""

import errno
import os
import re
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from llmbench.system import files

SYNC_S = 1.0
"""Seconds after which lines are on the disk at the latest; the file system has them at once."""
CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"\}')
CHECKSUM_BYTES = 20
Item = TypeVar("Item")


def line_of(row: Mapping[str, Any]) -> bytes:
    """A row as a line of the journal, with its checksum and the line break."""
    body = orjson.dumps(row)
    return b'%s,"crc32":"%08x"}\n' % (body[:-1], zlib.crc32(body))


@dataclass(frozen=True, slots=True)
class Damage:
    """Lines that cannot be used.

    Attributes:
        lines: Their numbers, from 1.
        torn: They are the end of the file, as a dying process or machine leaves it.
        reason: What is wrong with the first of them.
    """

    lines: tuple[int, ...]
    torn: bool
    reason: str

    def sentence(self, journal: Path) -> str:
        """The message for the user."""
        if self.torn:
            return f"{journal} ends within a line, which is left out."
        said = ", ".join(map(str, self.lines[:5])) + (" and others" if len(self.lines) > 5 else "")  # noqa: PLR2004 - enough to find them
        one = len(self.lines) == 1
        return f"{journal}, line{'' if one else 's'} {said}, cannot be read ({self.reason})"


@dataclass(frozen=True, slots=True)
class Content(Generic[Item]):
    """What a journal holds."""

    items: list[Item]
    lines: list[bytes]
    bad: list[bytes]
    damage: Damage | None


def parse(content: bytes, read: Callable[[dict[str, Any]], Item]) -> Content[Item]:
    """The lines of a journal's content."""
    items, kept, bad = [], [], []
    wrong: dict[int, str] = {}
    lines = content.split(b"\n")
    checked = any(_checksum(line) for line in lines)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = read(_row(line, checked=checked))
        except (KeyError, TypeError, ValueError, RecursionError, zlib.error) as error:
            wrong[number] = _reason(error)
            bad.append(line)
        else:
            items.append(item)
            kept.append(line)
    torn = list(wrong) == [len(lines)]  # a dying process leaves one line without its end
    damage = Damage(tuple(wrong), torn, next(iter(wrong.values()))) if wrong else None
    return Content(items, kept, bad, damage)


def _checksum(line: bytes) -> re.Match[bytes] | None:
    return CHECKSUM.fullmatch(line, max(0, len(line) - CHECKSUM_BYTES))


def _row(line: bytes, *, checked: bool) -> dict[str, Any]:
    found = _checksum(line)
    if found is None and checked:
        raise ValueError("its checksum is missing")
    if found is not None and zlib.crc32(line[: found.start()] + b"}") != int(found[1], 16):
        raise ValueError("its checksum differs")
    row = orjson.loads(line)
    if not isinstance(row, dict):
        raise TypeError("no JSON object")
    row.pop("crc32", None)
    return row


def _reason(error: BaseException) -> str:
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


def repair(path: Path, read: Callable[[dict[str, Any]], object]) -> Damage | None:
    """Moves unusable lines of a journal into a file beside it, so that the run can be resumed.

    Lines of before there were checksums get theirs, since the new ones will have them.

    Raises:
        OSError: It cannot be read or written.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"{path.name} is a link, which is not followed", str(path))
    content = files.read(path)
    found = parse(content, read)
    kept = [line if _checksum(line) else line_of(orjson.loads(line)).rstrip(b"\n") for line in found.lines]
    if found.damage is None and kept == found.lines and (not content or content.endswith(b"\n")):
        return None
    if found.bad:
        aside = path.with_suffix(f".damaged{path.suffix}")
        before = files.read(aside) if aside.exists() and not aside.is_symlink() else b""
        files.write_new(aside, (before, b"\n".join(found.bad), b"\n"))
    files.replace(path, (line + b"\n" for line in kept))
    return found.damage


class Appender:
    """The open end of a journal."""

    def __init__(self, path: Path) -> None:
        """Opens the file, which is made where there is none.

        Raises:
            OSError: It cannot be opened, or is a link or no file.
        """
        self._path, self._file = path, files.opened_to_add(path)
        self._unsynced = False  # whether the disk may lack something
        self._last_sync = time.monotonic()

    def append(self, line: bytes) -> None:
        """Adds a line: with the file system when this returns, on the disk within `SYNC_S` of calls to `sync_if_due`.

        Raises:
            OSError: It cannot be written; the file stays without it.
        """
        size = os.fstat(self._file).st_size
        try:
            _write_all(self._file, line)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise
        self._unsynced = True

    def sync_if_due(self) -> None:
        """Brings lines to the disk that have waited for `SYNC_S`.

        Raises:
            OSError: They cannot be, or the file is no longer the one that was opened.
        """
        if not self._unsynced or time.monotonic() - self._last_sync < SYNC_S:
            return
        os.fsync(self._file)
        own, there = os.fstat(self._file), os.stat(self._path)  # noqa: PTH116 - the pair of fstat
        if (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino):
            raise OSError(errno.ESTALE, "it is another file now")
        self._unsynced, self._last_sync = False, time.monotonic()

    def close(self) -> None:
        """Brings everything to the disk and closes the file.

        Raises:
            OSError: The disk does not take it.
        """
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)


def _write_all(file: int, content: bytes) -> None:
    while content:
        written = os.write(file, content)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        content = content[written:]
