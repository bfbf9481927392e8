"""An engine that looks for an answer before it asks for one, for as long as requests run."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from llmbench.cache.answers import Answers, answers_file
from llmbench.cache.kept import Kept, completion
from llmbench.cache.keys import Keys, keys_for
from llmbench.config import Config
from llmbench.engine.base import Engine, EngineReport, Notice
from llmbench.errors import CacheError
from llmbench.models import Checkpoint
from llmbench.pool import EnginePool
from llmbench.records import Completion, FinishReason, Request, well_formed
from llmbench.tokenizers import Tokenizer
from llmbench.watch import Watch

AT_ONCE = 64
"""Hits that a step gives at most, so that signals are heeded and the engine goes on between them."""
WITHOUT = "The run goes on without the response cache."


@dataclass(frozen=True, slots=True)
class Basis:
    """What keys are made of, but for what an engine says of itself."""

    config: Config
    checkpoint: Checkpoint | None
    pool: EnginePool

    def keys(self, engine: Engine, tokenizer: Tokenizer) -> Keys:
        """The keys of a loaded engine.

        Raises:
            CacheError: The weights have no fingerprint.
        """
        return keys_for(self.config, engine.report(), self.checkpoint, tokenizer, self.pool.since)


class CachedEngine:
    """Of an engine what asking needs: `submit`, `step` and `abort`. Trouble with the cache costs a sentence, and then the cache."""

    def __init__(self, engine: Engine, answers: Answers, keys: Keys, notice: Notice) -> None:
        """Takes an engine that is ready for requests and the open store, which it closes."""
        self._engine, self._keys, self._notice = engine, keys, notice
        self.watch = Watch()  # of the engine's steps, but not of what the cache does
        self._answers: Answers | None = answers
        self._found: deque[tuple[Request, Completion]] = deque()
        self._asked: dict[str, bytes] = {}  # keys by the ids of requests that the engine has

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request with the engine unless its answer is known."""
        key = self._keys.of(request) if self._answers is not None else None
        found = self._look_up(request, key) if key is not None else None
        if found is not None:
            self._found.append((request, found))
            return
        if key is not None:
            self._asked[request.id] = key
        self._engine.submit(request, first=first)

    def _look_up(self, request: Request, key: bytes) -> Completion | None:
        kept = None
        with self._trouble():
            kept = self._answers.get(key) if self._answers is not None else None
        if kept is None:
            return None
        ids = kept.output_ids
        if self._keys.words is not None:
            ids = self._keys.words.encode(kept.words or "", special=False)
        return completion(kept, request.id, len(request.prompt_ids), ids)

    @property
    def unfinished(self) -> int:
        """Requests that were submitted and have not come back."""
        return len(self._found) + self._engine.unfinished

    def step(self) -> list[Completion]:
        """What was found, and what the engine finished meanwhile, which is kept."""
        made = self.watch.step(self._engine) if self._engine.unfinished else []
        with self._trouble():
            for finished in made:
                self._keep(finished)
            if self._answers is not None:
                self._answers.flush_if_due()
        found = [self._found.popleft()[1] for _ in range(min(AT_ONCE, len(self._found)))]
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
        dropped = [Completion.aborted(request, None) for request, _ in self._found]
        self._found.clear()
        self._asked.clear()
        return dropped + self._engine.abort()

    def renewed(self, engine: Engine) -> Self:
        """Itself with another engine in place of one that died, whose requests will be submitted again."""
        self._engine = engine
        self._found.clear()
        self._asked.clear()
        return self

    @property
    def uncached(self) -> Engine:
        """The engine itself, for requests that are to show that it works."""
        return self._engine

    def running(self) -> list[str]:
        """The engine's."""
        return self._engine.running()

    def state(self) -> dict[str, float | int | None]:
        """The engine's."""
        return self._engine.state()

    def report(self) -> EngineReport:
        """The engine's."""
        return self._engine.report()

    def generated_tokens(self) -> int | None:
        """Output tokens that the engine generated so far; hits are not among them."""
        return self._engine.generated_tokens()

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
            cached = CachedEngine(engine, answers, keys, notice)
        except CacheError as error:
            notice(f"{error} {WITHOUT}")
    try:
        yield cached or engine
    finally:
        if cached is not None:
            cached.close()
