"""The store of answers: one SQLite file that any number of processes read and write at once.

Keys are hashes, and prompts are not kept at all. Writing is whole or not at all, whenever the process dies. Answers are
written a second's worth at a time; when the file passes its bound, those go that were not used for longest.
"""

import base64
import binascii
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec

from llmbench.engine.bundled_model import cache_folder
from llmbench.errors import CacheError
from llmbench.records import Completion, Request, ScoredChoice
from llmbench.system import files

FILE = "answers.sqlite"
SCHEMA = 1
BUSY_S = 2.0
"""How long another process's lock is waited for; it is held for milliseconds."""
FLUSH_S, FLUSH_ENTRIES = 1.0, 256
"""Answers are written after so long, or when there are so many."""
EVICT_S, EVICT_ENTRIES, EVICT_TO = 0.5, 64, 0.9
"""Entries are dropped in small transactions, for so long at a time, until so much of the bound is taken."""
WAL_BYTES = 16 << 20
FULL = 1
"""Of SQLite's `auto_vacuum`: what is dropped makes the file smaller."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS answers_used ON answers (used)",
    "CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, amount INTEGER NOT NULL)",
    f"PRAGMA user_version = {SCHEMA}",
)


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer as it is kept: a completion without what depends on its run, and `words` in place of ids that mean nothing later.

    Deflated and in base64, so that no text stands there as it is.
    """

    completion: Completion
    words: str | None = None

    @classmethod
    def of(cls, completion: Completion, words: str | None = None) -> Self:
        """From what an engine gave."""
        ids = completion.output_ids if words is None else ()
        kept = replace(
            completion, request_id="", output_ids=ids, cached_tokens=0, timing=None, from_cache=True
        )
        return cls(kept, words)

    def pack(self) -> bytes:
        """As it is stored."""
        return base64.b64encode(zlib.compress(msgspec.json.encode(self), 1))

    @classmethod
    def unpack(cls, value: bytes) -> Self | None:
        """From what was stored; None where it is damaged."""
        try:
            return msgspec.json.decode(zlib.decompress(base64.b64decode(value)), type=cls)
        except (binascii.Error, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def given_to(self, request: Request, output_ids: tuple[int, ...]) -> Completion:
        """The completion of a request of this run; the engine's count of the prompt counts where it has no tokens here."""
        kept = self.completion
        known = len(request.prompt_ids) if not request.choices else 0
        scored = zip(request.choices, kept.choices, strict=True)
        return replace(
            kept,
            request_id=request.id,
            output_ids=output_ids,
            prompt_tokens=known or kept.prompt_tokens,
            choices=tuple(ScoredChoice.of(choice, before.loglikelihood) for choice, before in scored),
        )


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much there is: entries, bytes of the file with its log, and what was given back since it was last emptied."""

    entries: int
    file_bytes: int
    hits: int
    output_tokens: int


def answers_file() -> Path:
    """Where answers are kept.

    Raises:
        CacheError: There is no home folder.
    """
    try:
        return cache_folder() / FILE
    except RuntimeError as error:
        raise CacheError(
            "There is no home folder for the response cache; set LLMBENCH_CACHE to a folder."
        ) from error


class Answers:
    """The open store. Every method raises CacheError where it cannot be used, after `BUSY_S` at most."""

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        """Opens the file, or makes it; `max_bytes` bounds what is kept."""
        self.path, self._max_bytes = path, max_bytes
        self._written: dict[bytes, bytes] = {}
        self._used: dict[bytes, int] = {}
        self._hits = self._tokens = 0
        self._flushed = time.monotonic()
        with self._trouble():
            path.parent.mkdir(parents=True, exist_ok=True)
            for file in _files(path):
                files.refuse_special(file)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            with self._trouble():
                self._set_up()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_up(self) -> None:
        known = self._number("PRAGMA user_version")
        if known not in (0, SCHEMA):
            raise CacheError(
                f"The response cache {self.path} is another version's (form {known}, not {SCHEMA}); "
                "`python -m llmbench.cache --clear` empties it."
            )
        if self._number("PRAGMA auto_vacuum") != FULL:  # to set it waits for whoever writes
            self._db.execute("PRAGMA auto_vacuum = FULL")
        # readers and a writer side by side; of two processes that make the file at once one is refused, and has the other's mode
        with suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        self._db.execute("PRAGMA synchronous = NORMAL")  # whole after a crash; the last second may be missing
        self._db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        if not known:
            with self._transaction():
                for statement in _TABLES:
                    self._db.execute(statement)

    def get(self, key: bytes) -> CachedAnswer | None:
        """The answer under a key, counted as a hit; None where there is none, or it is damaged."""
        value = self._written.get(key)
        if value is None:
            with self._trouble():
                row = self._db.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
            value = row[0] if row else None
        kept = CachedAnswer.unpack(value) if isinstance(value, bytes) else None
        if kept is not None:
            self._used[key] = time.time_ns()
            self._hits += 1
            self._tokens += kept.completion.output_tokens
        return kept

    def put(self, key: bytes, answer: CachedAnswer) -> None:
        """Keeps an answer, in place of one that is there; written with the next `flush`."""
        self._written[key] = answer.pack()
        self._used[key] = time.time_ns()
        if len(self._written) >= FLUSH_ENTRIES:
            self.flush()

    def flush_if_due(self) -> None:
        """Writes what there is to write, now and then."""
        if (self._written or self._used) and time.monotonic() - self._flushed >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Writes what there is to write, and drops what is too much."""
        rows = [(key, value, self._used[key]) for key, value in self._written.items()]
        used = [(moment, key) for key, moment in self._used.items() if key not in self._written]
        counted = [("hits", self._hits), ("output_tokens", self._tokens)]
        with self._trouble():
            if rows or used:
                with self._transaction():
                    self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
                    self._db.executemany("UPDATE answers SET used = ? WHERE key = ?", used)
                    self._db.executemany(
                        "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET amount = amount + excluded.amount",
                        counted,
                    )
                self._written, self._used = {}, {}
                self._hits = self._tokens = 0
            self._bound()
        self._flushed = time.monotonic()

    def _bound(self) -> None:
        """Drops what was not used for longest until the bound holds."""
        if self._max_bytes is None or self._size() <= self._max_bytes:
            return
        until = time.monotonic() + EVICT_S
        while self._size() > EVICT_TO * self._max_bytes and time.monotonic() < until:
            with self._transaction():
                self._db.execute(
                    "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used LIMIT ?)",
                    (EVICT_ENTRIES,),
                )

    def _size(self) -> int:
        return self._number("PRAGMA page_count") * self._number("PRAGMA page_size")

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Any failure of the file or of SQLite as one sentence."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CacheError(
                f"The response cache {self.path} cannot be used ({reason}); if that stays, remove the file."
            ) from error

    def statistics(self) -> Statistics:
        """How much there is."""
        with self._trouble():
            totals: dict[str, Any] = dict(self._db.execute("SELECT name, amount FROM totals"))
            entries = self._number("SELECT count(*) FROM answers")
            size = sum(file.stat().st_size for file in _files(self.path) if file.exists())
        return Statistics(entries, size, int(totals.get("hits", 0)), int(totals.get("output_tokens", 0)))

    def clear(self) -> None:
        """Drops everything and makes the file small; other processes may go on using it."""
        with self._trouble():
            with self._transaction():
                self._db.execute("DELETE FROM answers")
                self._db.execute("DELETE FROM totals")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Writes what there is to write and closes the file."""
        try:
            self.flush()
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Closes the file as it is."""
        with suppress(sqlite3.Error):
            self._db.close()


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))]
