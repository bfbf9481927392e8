"""An engine that looks for an answer before it asks for one, for as long as requests run.

Where every answer is known there need be no engine: `remembered` stands for the one that gave them.
"""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from llmbench.cache.answers import Answers, answers_file
from llmbench.cache.kept import Kept, completion
from llmbench.cache.keys import Keys, keys_for
from llmbench.cache.known import Known, beforehand
from llmbench.config import Config
from llmbench.engine.base import Engine, EngineReport, Notice
from llmbench.errors import CacheError
from llmbench.models import Checkpoint
from llmbench.pool import EnginePool
from llmbench.records import Completion, FinishReason, Request, well_formed
from llmbench.tokenizers import Tokenizer
from llmbench.watch import Watch

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Hits that a step gives at most, so that signals are heeded and the engine goes on between them."""
WITHOUT = "The run goes on without the response cache."
OTHER = (
    "The engine that was loaded for what the response cache lacks is another than the one that gave the answers before: "
    "{count} completions of this run are of that one."
)


@dataclass(frozen=True, slots=True)
class Basis:
    """What keys are made of, but for what an engine says of itself."""

    config: Config
    checkpoint: Checkpoint | None
    pool: EnginePool

    def beforehand(self) -> bytes:
        """All that is known of the engine before it is loaded.

        Raises:
            CacheError: The weights have no fingerprint.
        """
        pool = self.pool
        return beforehand(self.config, self.checkpoint, pool.since, pool.environment)

    def keys(self, engine: Engine, tokenizer: Tokenizer) -> Keys:
        """The keys of a loaded engine.

        Raises:
            CacheError: The weights have no fingerprint.
        """
        return keys_for(self.config, engine.report(), self.checkpoint, tokenizer, self.pool.since)


class CachedEngine:
    """Of an engine what asking needs: `submit`, `step` and `abort`. Trouble with the cache costs a sentence, and then the cache."""

    def __init__(  # noqa: PLR0913, PLR0917 - two of them stand for an engine, and a key is made of the others
        self,
        engine: Engine | Known,
        answers: Answers,
        keys: Keys,
        basis: Basis,
        tokenizer: Tokenizer,
        notice: Notice,
    ) -> None:
        """Takes an engine that is ready for requests, or what is known of one, and the open store, which it closes."""
        self._engine = None if isinstance(engine, Known) else engine
        self._known = engine if isinstance(engine, Known) else None
        self._keys, self._basis, self._tokenizer, self._notice = keys, basis, tokenizer, notice
        self.watch = Watch()  # of the engine's steps, but not of what the cache does
        self._answers: Answers | None = answers
        self._found: deque[tuple[Request, Completion]] = deque()
        self._missed: list[tuple[Request, bool]] = []  # waits for an engine to be loaded
        self._asked: dict[str, bytes] = {}  # keys by the ids of requests that the engine has
        self._given = 0

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request with the engine unless its answer is known."""
        key = self._keys.of(request) if self._answers is not None else None
        found = self._look_up(request, key) if key is not None else None
        if found is not None:
            self._found.append((request, found))
            return
        if self._engine is None:
            self._missed.append((request, first))
            return
        if key is not None:
            self._asked[request.id] = key
        self._engine.submit(request, first=first)

    def _look_up(self, request: Request, key: bytes) -> Completion | None:
        kept = None
        with self._trouble():
            kept = self._answers.get(key) if self._answers is not None else None
        return self._completion(request, kept)

    def peek(self, request: Request) -> Completion | None:
        """What a request would be given from the cache; nothing is counted.

        Raises:
            CacheError: The store cannot be read.
        """
        key = self._keys.of(request)
        kept = self._answers.peek(key) if self._answers is not None and key is not None else None
        return self._completion(request, kept)

    def _completion(self, request: Request, kept: Kept | None) -> Completion | None:
        if kept is None:
            return None
        ids = kept.output_ids
        if self._keys.words is not None:
            ids = self._keys.words.encode(kept.words or "", special=False)
        return completion(kept, request.id, len(request.prompt_ids), ids)

    @property
    def unfinished(self) -> int:
        """Requests that were submitted and have not come back."""
        return len(self._found) + len(self._missed) + (self._engine.unfinished if self._engine else 0)

    @property
    def wants_engine(self) -> bool:
        """Whether something was asked that only an engine can answer, and none is loaded."""
        return bool(self._missed)

    def step(self) -> list[Completion]:
        """What was found, and what the engine finished meanwhile, which is kept.

        Raises:
            EngineError: The engine died.
        """
        made = self.watch.step(self._engine) if self._engine and self._engine.unfinished else []
        with self._trouble():
            for finished in made:
                self._keep(finished)
            if self._answers is not None:
                self._answers.flush_if_due()
        found = [self._found.popleft()[1] for _ in range(min(AT_ONCE, len(self._found)))]
        self._given += len(found)
        return found + made

    def _keep(self, finished: Completion) -> None:
        """Keeps a completion that came to its end."""
        key = self._asked.pop(finished.request_id, None)
        failed = finished.finish_reason is FinishReason.ABORT or finished.error is not None
        if self._answers is None or key is None or failed:
            return
        words = self._keys.words
        self._answers.put(
            key, Kept.of(finished, None if words is None else well_formed(words.decode(finished.output_ids)))
        )

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""
        waiting = [request for request, _ in (*self._found, *self._missed)]
        dropped = [Completion.aborted(request, None) for request in waiting]
        self._found.clear()
        self._missed.clear()
        self._asked.clear()
        return dropped + (self._engine.abort() if self._engine else [])

    def renewed(self, engine: Engine) -> Self:
        """Itself with another engine: in place of one that died, whose requests will be submitted again, or the first one."""
        first, self._engine = self._engine is None, engine
        if first:
            self._begin(engine)
            return self
        self._found.clear()
        self._asked.clear()
        return self

    def _begin(self, engine: Engine) -> None:
        """Gives what waited to the engine, under the keys that it has now that it is loaded."""
        same = False
        with self._trouble():
            keys = self._basis.keys(engine, self._tokenizer)
            same, self._keys = keys.setup == self._keys.setup, keys
        if not same:
            self._notice(OTHER.format(count=self._given + len(self._found)))
        self.remember()
        waiting, self._missed = self._missed, []
        for request, first in waiting:
            self.submit(request, first=first)

    def remember(self) -> None:
        """Keeps what the loaded engine turned out to be, for runs to come."""
        with self._trouble():
            if self._answers is not None and self._engine is not None:
                known = Known.of(self._keys.setup, self._engine.report())
                self._answers.keep_engine(self._basis.beforehand(), known.pack())

    @property
    def uncached(self) -> Engine | None:
        """The engine itself, for requests that are to show that it works; None where none is loaded."""
        return self._engine

    def running(self) -> list[str]:
        """The engine's."""
        return self._engine.running() if self._engine else []

    def state(self) -> dict[str, float | int | None]:
        """The engine's; requests that wait for one to be loaded are queued."""
        told = self._engine.state() if self._engine else {}
        return {**told, "queued": (told.get("queued") or 0) + len(self._missed)}

    def report(self) -> EngineReport:
        """The engine's, or what is known of it."""
        if self._engine is not None:
            return self._engine.report()
        assert self._known is not None  # noqa: S101 - one of the two was given
        return self._known.report()

    def generated_tokens(self) -> int | None:
        """Output tokens that the engine generated so far; hits are not among them."""
        return self._engine.generated_tokens() if self._engine else 0

    def close(self) -> None:
        """Writes what is not written yet; the engine stays open."""
        with self._trouble():
            answers, self._answers = self._answers, None
            if answers is not None:
                answers.close()

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Gives the cache up at the first trouble with it."""
        try:
            yield
        except CacheError as error:
            answers, self._answers = self._answers, None
            if answers is not None:
                answers.give_up()
            self._notice(f"{error} {WITHOUT}")


@contextmanager
def beside(
    engine: Engine, basis: Basis, tokenizer: Tokenizer, notice: Notice
) -> Iterator[Engine | CachedEngine]:
    """The engine with the cache beside it, where the settings ask for it and it can be had; else the engine.

    Args:
        engine: Loaded, and ready for the run's requests.
        basis: What it was loaded from, and how.
        tokenizer: The run's.
        notice: Told why there is no cache.
    """
    cached = None
    if basis.config.cache:
        try:
            keys = basis.keys(engine, tokenizer)
            answers = Answers(answers_file(), basis.config.cache_max_bytes)
            cached = CachedEngine(engine, answers, keys, basis, tokenizer, notice)
            cached.remember()
        except CacheError as error:
            notice(f"{error} {WITHOUT}")
    try:
        yield cached or engine
    finally:
        if cached is not None:
            cached.close()


def remembered(basis: Basis) -> tuple[Answers, Known] | None:
    """The open store and what it knows of the engine for these settings; None where it knows nothing, or cannot be used."""
    answers = None
    try:
        known = basis.beforehand()
        answers = Answers(answers_file(), basis.config.cache_max_bytes)
        found = Known.unpack(answers.engine(known))
    except CacheError as error:
        log.debug("what the response cache knows is of no use: %s", error)  # `beside` says it to the user
        found = None
    if answers is not None and found is not None:
        return answers, found
    if answers is not None:
        answers.give_up()
    return None
