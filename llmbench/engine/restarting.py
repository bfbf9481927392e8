"""An engine that replaces another when it dies, and finds the request that kills it.

Requests that were in flight are asked again, first those that only waited, then those that the engine worked on, apart from the
rest (`FatalRequestSearch`). A request that killed the engine twice while it was alone comes back as an error.
Where only a new process could go on, the death is in the `RestartLog` before `step` raises its `EngineDiedError`.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sized
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, Self

from llmbench.engine.base import Engine, Notice
from llmbench.engine.fatal_search import FatalRequestSearch
from llmbench.errors import EngineDiedError, EngineError, clear_traceback
from llmbench.records import CONTINUATION_SUFFIX, Completion, FinishReason, Request
from llmbench.telemetry.engine_report import EngineReport, Restart
from llmbench.telemetry.records import EngineState

PROBE = "probe"
"""The id of a request that was answered before and shows that an engine works."""


@dataclass(slots=True)
class RestartLog:
    """The deaths of a run's engines, in the order they happened, and what is known of the request that kills them: all that a new process needs."""

    restarts: list[Restart] = field(default_factory=list)
    search: FatalRequestSearch = field(default_factory=lambda: FatalRequestSearch(bound=0))

    def as_data(self) -> dict[str, Any]:
        """Returns the log as plain data, for a new process."""
        return {
            "restarts": [asdict(restart) for restart in self.restarts],
            "fatal_search": self.search.as_data(),
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Returns the log of which `as_data` made this."""
        restarts = [Restart(**row) for row in data.get("restarts", ())]
        return cls(restarts, FatalRequestSearch.of(0, data.get("fatal_search", {})))

    def begin(self, bound: int, answered: Collection[str]) -> None:
        """Gets ready for the engines of this process: as many as `bound` deaths in a row are followed by another one, and what is `answered` is over."""
        self.search = FatalRequestSearch.of(bound, self.search.as_data(), answered)


class EngineSource(Protocol):
    """Where engines come from, one at a time."""

    def open(self) -> Engine:
        """Returns another engine, ready for requests; raises `EngineError` where it cannot start, `EngineDiedError` where it died of that."""

    def discard(self) -> None:
        """Closes the engine that was opened last, dead or alive; trouble with that is logged."""


class RestartingEngine:
    """The engine that stands now, and those after it."""

    def __init__(  # noqa: PLR0913 - what it replaces, how, and who hears of it
        self,
        engine: Engine,
        source: EngineSource,
        log: RestartLog,
        notice: Notice,
        *,
        finished: Sized = (),
        probe: tuple[int, Request] | None = None,
        take_step: Callable[[Engine], list[Completion]] = lambda engine: engine.step(),
    ) -> None:
        """Takes an engine that is ready for requests.

        Args:
            engine: Opened by `source`.
            source: Opens the next ones.
            log: Gets each death; its search says how many engines may die in a row.
            notice: Shows the user a sentence for each death.
            finished: The run's results, which are counted where a death is recorded.
            probe: A request that an earlier process had answered, and the tokens of its answer.
            take_step: Takes a step of the engine that stands.
        """
        self._engine: Engine | None = engine
        self._source, self._log, self._notice = source, log, notice
        self._search = log.search
        self._finished = finished
        self._probe, self._take_step = probe, take_step
        self._requests: dict[str, Request] = {}  # not answered yet
        self._probing = False
        self._death: tuple[EngineDiedError, int] | None = None  # not recorded yet, and how many requests ran
        self._report = engine.report()
        self._loads_before = 0  # of dead engines
        self._tokens_before = 0.0  # of dead engines
        self.replaced_s = 0.0
        """Seconds that dead engines and the loading of new ones took."""

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; the engine gets it with the next step."""
        self._requests[request.id] = request
        self._search.add([request.id], first=first)

    def step(self) -> list[Completion]:
        """Takes a step, or handles a death.

        Raises:
            EngineDiedError: The engine died, and only a new process could go on, or no engine is to follow.
            EngineError: Engines die one after another.
        """
        if self._engine is None and not self._search.left:
            return []
        if self._death is not None:
            self._record_death(*self._death)
            return []
        try:
            engine = self._engine or self._open()
            self._feed(engine)
            finished = self._take_step(engine)
        except EngineDiedError as error:
            begun = time.monotonic()
            fatal = self._take_back(error)
            self.replaced_s += time.monotonic() - begun
            return fatal
        return [completion for completion in finished if self._note(completion)]

    @property
    def dead(self) -> bool:
        """Whether its engine died and no other was opened yet."""
        return self._engine is None

    @property
    def unfinished(self) -> int:
        """Requests without an answer."""
        return len(self._requests)

    def recover(self) -> None:
        """Records a death and opens another engine at once, also where it has nothing to ask; raises `EngineError` where none follows."""
        if self._death is not None:
            self._record_death(*self._death)
        if self._engine is None:
            self._open()

    def give_back(self, keep: Callable[[str], bool]) -> list[Request]:
        """Returns the requests that no engine has, but those to keep: somebody else asks them."""
        return [self._requests.pop(name) for name in self._search.release(keep)]

    def give_back_all(self) -> list[Request]:
        """Returns all requests without an answer, those too that the engine has: it is not asked any more."""
        back = list(self._requests.values())
        self._requests.clear()
        self._search.drop()
        return back

    def _open(self) -> Engine:
        begun = time.monotonic()
        try:
            self._engine = self._source.open()
        finally:
            self.replaced_s += time.monotonic() - begun
        self._report = replace(self._report, loads=1)  # where it dies without a word
        return self._engine

    def _feed(self, engine: Engine) -> None:
        """Submits what comes next; a new engine that must not fail is first asked what was answered before."""
        probe = self._probe if self._search.needs_probe else None
        if probe is None:
            for name in self._search.next():
                request = self._requests[name]
                engine.submit(request, first=name.endswith(CONTINUATION_SUFFIX))
        elif not self._probing:
            engine.submit(replace(probe[1], id=PROBE))
            self._probing = True

    def _note(self, completion: Completion) -> bool:
        """Returns whether it answers a request, and not just the probe."""
        aborted = completion.finish_reason is FinishReason.ABORT
        if not aborted:
            self._search.works()
        if self._probing and completion.request_id == PROBE:
            self._probing = False
            self._probe = None if aborted else self._probe  # one that is refused shows nothing
            return False
        request = self._requests.pop(completion.request_id)
        self._search.answered(request.id)
        if not aborted and (self._probe is None or completion.output_tokens < self._probe[0]):
            self._probe = completion.output_tokens, request
        return True

    def _take_back(self, error: EngineDiedError) -> list[Completion]:
        """Takes the dead engine's requests back, with what it still says of itself; returns those known to kill it as errors."""
        running = {PROBE, *self._requests} & set(error.running)
        if self._engine is not None:
            with suppress(Exception):
                self._tokens_before += self._engine.state().generated_tokens or 0
            with suppress(Exception):
                self._report = self._engine.report()
            self._loads_before += self._report.loads
            self._report = replace(self._report, loads=0)
        self._engine, self._probing = None, False
        fatal = [self._requests.pop(name) for name in self._search.died(running)]
        if not self._search.bound:
            raise error
        self._source.discard()
        clear_traceback(error)  # its frames hold half a model
        self._death = error, len(running)
        reason = f"the engine died each time that it was asked nothing but this: {str(error).rstrip('.')}"
        return [Completion.aborted(request, reason) for request in fatal]

    def _record_death(self, error: EngineDiedError, running: int) -> None:
        """Records a death after which something is left to ask; raises where no engine follows in this process."""
        self._death = None
        if self._search.spent:
            raise EngineError(
                f"{error} Engines died {self._search.consecutive_deaths} times in a row without an answer between, more often than "
                f"engine_restarts={self._search.bound} allows; what was finished is kept."
            ) from error
        restart = Restart(str(error), running, len(self._finished), error.needs_new_process)
        self._log.restarts.append(restart)
        self._notice(restart.sentence())
        if error.needs_new_process:
            raise error

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""
        if self._engine is not None:
            self._engine.abort()
        return [Completion.aborted(request, None) for request in self.give_back_all()]

    def state(self) -> EngineState:
        """Returns the engine's, with all requests that it was not given counted as queued; without one only those are known."""
        engine, held = self._engine, self._search.held
        state = engine.state() if engine is not None else EngineState(generated_tokens=0)
        tokens = state.generated_tokens
        return replace(
            state,
            queued=(state.queued or 0) + held,
            generated_tokens=None if tokens is None else tokens + self._tokens_before,
        )

    def report(self) -> EngineReport:
        """Returns the report of the engine that stands, or of the last that stood; `loads` counts all."""
        report = self._report if self._engine is None else self._engine.report()
        return replace(report, loads=self._loads_before + report.loads)

    def close(self, *, process_ends: bool = False) -> None:
        """Closes the engine that stands."""
        if self._engine is not None:
            self._engine.close(process_ends=process_ends)
