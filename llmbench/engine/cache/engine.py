"""An engine that looks for an answer before it asks for one, for as long as requests run."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmbench.engine.base import Engine, Notice
from llmbench.engine.cache.entry import CachedAnswer, completion
from llmbench.engine.cache.keys import Keys
from llmbench.engine.cache.store import Answers, answers_file
from llmbench.engine.watching import Watch
from llmbench.errors import CacheError
from llmbench.records import Completion, EngineReport, FinishReason, Request, well_formed

AT_ONCE = 64
"""Hits that a step gives at most, so that signals are heeded and the engine goes on between them."""
WITHOUT = "The run goes on without the response cache."


class CachedEngine:
    """Of an engine what asking needs, with the response cache where there is one; trouble with it costs a sentence, and then the cache."""

    def __init__(self, engine: Engine, watch: Watch, notice: Notice) -> None:
        """Takes an engine that is ready for requests, and what watches its steps, but not what the cache does."""
        self._engine, self._watch, self._notice = engine, watch, notice
        self._answers: Answers | None = None
        self._keys = Keys(b"")
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
        made = self._watch.step(self._engine) if self._engine.unfinished else []
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
            key,
            CachedAnswer.of(
                finished, None if words is None else well_formed(words.decode(finished.output_ids))
            ),
        )

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""
        dropped = [Completion.aborted(request, None) for request, _ in self._found]
        self._found.clear()
        self._asked.clear()
        return dropped + self._engine.abort()

    def renew(self, engine: Engine) -> None:
        """Takes another engine in place of one that died, whose requests will be submitted again."""
        self._engine = engine
        self._found.clear()
        self._asked.clear()

    def use(self, keys: Keys, max_bytes: int) -> None:
        """Looks answers up from now on.

        Raises:
            CacheError: The store cannot be used.
        """
        self._keys, self._answers = keys, Answers(answers_file(), max_bytes)

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
def with_cache(
    engine: Engine, keys: Callable[[], Keys] | None, max_bytes: int, watch: Watch, notice: Notice
) -> Iterator[CachedEngine]:
    """The engine with the cache beside it, where it is asked for and can be had."""
    cached = CachedEngine(engine, watch, notice)
    if keys is not None:
        try:
            cached.use(keys(), max_bytes)
        except CacheError as error:
            notice(f"{error} {WITHOUT}")
    try:
        yield cached
    finally:
        cached.close()
