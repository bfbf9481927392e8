"""An engine that looks for an answer before it asks for one, for as long as requests run."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmbench.engine.base import Engine, Notice
from llmbench.engine.cache.keys import Keys
from llmbench.engine.cache.store import Answers, CachedAnswer, answers_file
from llmbench.errors import CacheError
from llmbench.records import Completion, FinishReason, Request, well_formed
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import EngineState

AT_ONCE = 64
"""Hits that a step gives at most, so that signals are heeded and the engine goes on between them."""
WITHOUT = "The run goes on without the response cache."


class CachedEngine:
    """An engine with the response cache before it; trouble with the cache costs a sentence, and then the cache."""

    def __init__(self, engine: Engine, answers: Answers, keys: Keys, notice: Notice) -> None:
        """Takes an engine that is ready for requests; closing this one closes both."""
        self._engine, self._keys, self._notice = engine, keys, notice
        self._answers: Answers | None = answers
        self._found: deque[tuple[Request, Completion]] = deque()
        self._asked: dict[str, bytes | None] = {}  # keys by the ids of requests that the engine has

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request with the engine unless its answer is known."""
        key = self._keys.of(request) if self._answers is not None else None
        found = self._look_up(request, key) if key is not None else None
        if found is not None:
            self._found.append((request, found))
            return
        self._asked[request.id] = key
        self._engine.submit(request, first=first)

    def _look_up(self, request: Request, key: bytes) -> Completion | None:
        kept = None
        with self._trouble():
            kept = self._answers.get(key) if self._answers is not None else None
        if kept is None:
            return None
        ids = kept.completion.output_ids
        if self._keys.words is not None:
            ids = self._keys.words.encode(kept.words or "", special=False)
        return kept.given_to(request, ids)

    def step(self) -> list[Completion]:
        """Returns what was found, and what the engine finished meanwhile, which is kept."""
        made = self._engine.step() if self._asked else []
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
        tokenizer = self._keys.words
        words = None if tokenizer is None else well_formed(tokenizer.decode(finished.output_ids))
        self._answers.put(key, CachedAnswer.of(finished, words))

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""
        dropped = [Completion.aborted(request, None) for request, _ in self._found]
        self._found.clear()
        self._asked.clear()
        return dropped + self._engine.abort()

    def state(self) -> EngineState:
        """Returns the engine's."""
        return self._engine.state()

    def report(self) -> EngineReport:
        """Returns the engine's."""
        return self._engine.report()

    def close(self, *, process_ends: bool = False) -> None:
        """Writes what is not written yet, and closes the engine."""
        self.close_answers()
        self._engine.close(process_ends=process_ends)

    def close_answers(self) -> None:
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
def with_cache(engine: Engine, keys: Callable[[], Keys], max_bytes: int, notice: Notice) -> Iterator[Engine]:
    """Puts the cache before an engine for as long as the context lasts; without the cache where it cannot be had."""
    try:
        made, answers = keys(), Answers(answers_file(), max_bytes)
    except CacheError as error:
        notice(f"{error} {WITHOUT}")
        yield engine
        return
    cached = CachedEngine(engine, answers, made, notice)
    try:
        yield cached
    finally:
        cached.close_answers()
