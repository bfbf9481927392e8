"""The loop that joins engine, graders and journal: while the engine generates, what came back is graded and written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from llmbench.config.schema import Config, Schedule
from llmbench.engine.base import Engine
from llmbench.engine.cache.engine import CachedEngine
from llmbench.engine.restarting import FatalRequestSearch
from llmbench.engine.tokenizer import Tokenizer
from llmbench.errors import EngineDiedError, EngineError, Interrupted
from llmbench.records import BEGINNING, Completion, FinishReason, Outcome, Request, Result, Score
from llmbench.results.run_folder import RunFolder
from llmbench.run import elicitation, grading, prompts
from llmbench.run.grading import Grader
from llmbench.run.progress import Progress
from llmbench.run.request_plan import Questions
from llmbench.system import redaction
from llmbench.system.signals import Stop

IDLE_S = 0.005
"""How long to wait for graders when the engine has nothing left to do."""
GATHER_S = 5.0
"""How long a run that was asked to end waits for the texts that are being graded."""
CONTROL = "control"
"""The id of a request that was answered before and shows that an engine works."""


@dataclass(slots=True)
class Exchange:
    """A request and what came back for it so far: a completion, and perhaps the continuation."""

    request: Request
    completions: list[Completion] = field(default_factory=list)
    written: elicitation.Written | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """How an engine that died is replaced.

    Attributes:
        on_engine_death: Closes the dead engine and records the restart, given how many requests ran;
            raises what the run cannot survive.
        close: Closes it where nothing is left to ask.
        load: Gives a new one, ready to be asked.
    """

    on_engine_death: Callable[[EngineDiedError, int], None]
    close: Callable[[], None]
    load: Callable[[], Engine]


@dataclass(slots=True)
class EvaluationLoop:
    """Feeds the engine and collects results: `results`, seconds of generating, and seconds of grading after it."""

    config: Config
    questions: Questions
    tokenizer: Tokenizer
    engine: CachedEngine
    grader: Grader[Exchange]
    store: RunFolder
    progress: Progress
    stop: Stop
    results: list[Result]
    fatal_search: FatalRequestSearch = field(default_factory=lambda: FatalRequestSearch(bound=0))
    replacement: Replacement | None = None
    generate_s: float = 0.0
    grade_tail_s: float = 0.0
    dead: bool = False  # the engine; it is closed
    ungraded: int = 0  # texts that were given up when the run was asked to end
    _later: int = 0  # requests of benchmarks whose turn has not come
    _exchanges: dict[str, Exchange] = field(default_factory=dict)
    _replacement_s: float = 0.0
    _tokens_before: int = 0  # of engines that died
    _tokens: int | None = None

    def run(self) -> None:
        """Asks all requests and returns when each has a result.

        Raises:
            Interrupted: `stop` was set; what was finished is in the journal, the rest is dropped.
            EngineError: The engine died and cannot be renewed; what was finished is in the journal.
        """
        self.stop.listening = True
        for result in self.results:  # of an attempt before
            self.progress.add(result)
        groups = self._groups()
        self._exchanges |= {request.id: Exchange(request) for group in groups for request in group}
        try:
            for number, group in enumerate(groups, 1):
                self._later = sum(map(len, groups[number:]))
                self._ask(group)
        finally:
            self.stop.listening = False

    def state(self) -> dict[str, float | int | None]:
        """The engine's figures, with all requests that it was not given counted as queued; called from another thread."""
        told = {} if self.dead else self.engine.state()
        return {**told, "queued": (told.get("queued") or 0) + self.fatal_search.held + self._later}

    def _groups(self) -> list[Sequence[Request]]:
        """All requests that have no result yet at once, or one benchmark after another."""
        done = {result.key for result in self.results}
        requests = [request for request in self.questions.requests if request.key not in done]
        if self.config.schedule is Schedule.together:
            return [requests]
        return [[r for r in requests if r.benchmark == name] for name in self.questions.benchmarks]

    def _ask(self, requests: Sequence[Request]) -> None:
        self.fatal_search.add(request.id for request in requests)
        begun = last = time.monotonic()
        self._replacement_s = 0.0
        try:
            while self.fatal_search.left or self.grader.unfinished:
                self._check_stop()
                if self.fatal_search.left:
                    self._step()
                    last = time.monotonic()
                else:
                    time.sleep(IDLE_S)
                self.collect(ask=True)
                self.store.sync_if_due()
                if self.progress.due():
                    self.progress.show(self._generated())
            self.progress.note(self._generated())
        finally:
            self._gather()
            self.generate_s += last - begun - self._replacement_s
            self.grade_tail_s += time.monotonic() - last

    def _check_stop(self) -> None:
        if self.stop.signal_number is not None:
            if not self.dead:
                self.engine.abort()
            raise Interrupted(self.stop.signal_number)

    def _generated(self) -> int | None:
        """Output tokens of all engines so far."""
        if not self.dead:
            tokens = self.engine.generated_tokens()
            self._tokens = None if tokens is None else tokens + self._tokens_before
        return self._tokens

    def _step(self) -> None:
        """Submits requests and collects finished ones; requests of an engine that died are asked again."""
        try:
            self._submit()
            if not self.engine.unfinished:  # workers look whether what was cut states an answer
                time.sleep(IDLE_S)
                return
            for completion in self.engine.step():
                self._receive(completion)
        except EngineDiedError as error:
            begun = time.monotonic()
            self._on_engine_death(error)
            self._replacement_s += time.monotonic() - begun

    def _submit(self) -> None:
        """Submits what comes next; a new engine that must not fail is first asked what was answered before."""
        if self.dead:
            self._renew()
        control = self._control() if self.fatal_search.needs_probe else None
        if control is None:
            for name in self.fatal_search.next():
                self.engine.submit(self._exchanges[name].request)
        elif not self.engine.unfinished:
            self.engine.uncached.submit(control)

    def _control(self) -> Request | None:
        """The request with the shortest answer so far."""
        requests = {r.key: r for r in self.questions.requests}
        pairs = [(requests.get(r.key), r.completions) for r in self.results]
        pairs += [
            (e.request, tuple(e.completions)) for e in self._exchanges.values()
        ]  # some are being graded
        answered = [
            (completions[0].output_tokens, request)
            for request, completions in pairs
            if request and completions and completions[0].finish_reason is not FinishReason.ABORT
        ]
        if not answered:
            return None
        return replace(min(answered, key=lambda pair: pair[0])[1], id=CONTROL)

    def _on_engine_death(self, error: EngineDiedError) -> None:
        """Takes back the requests of a dead engine; a request known to kill it is recorded as an error."""
        running = set() if self.dead else {n.removesuffix(elicitation.MARK) for n in self.engine.running()}
        self.dead, self._tokens_before = True, self._tokens or 0
        for name in self.fatal_search.asked:
            self._exchanges[name] = Exchange(self._exchanges[name].request)
        fatal_requests = self.fatal_search.died(running)
        if self.replacement is None or not self.fatal_search.bound:
            raise error
        if self.fatal_search.spent:
            raise EngineError(
                f"{error} Engines died {self.fatal_search.consecutive_deaths} times in a row without an answer between, more often than "
                f"engine_restarts={self.fatal_search.bound} allows; what was finished is kept."
            ) from error
        for name in fatal_requests:
            exchange = self._exchanges[name]
            reason = f"the engine died each time that it was asked nothing but this: {str(error).rstrip('.')}"
            exchange.completions.append(Completion.aborted(exchange.request, reason))
            self._record(exchange, Score(0.0, None, Outcome.ERROR, reason))
        if self.fatal_search.left:
            self.replacement.on_engine_death(error, len(running))
        else:
            self.replacement.close()

    def _renew(self) -> None:
        """Loads a new engine after a death; while it loads, the first Ctrl-C ends the run at once."""
        assert self.replacement is not None  # noqa: S101 - else the death was the end
        begun = time.monotonic()
        self.stop.listening = False
        try:
            self.engine.renew(self.replacement.load())
        finally:
            self.stop.listening = True
            self._replacement_s += time.monotonic() - begun
        self.dead = False

    def _receive(self, completion: Completion) -> None:
        """Handles a completion: searches a cut text for an answer, grades a finished text, or records the failure."""
        if completion.finish_reason is not FinishReason.ABORT:
            self.fatal_search.works()
        if completion.request_id == CONTROL:
            return
        exchange = self._exchanges[completion.request_id.removesuffix(elicitation.MARK)]
        request = exchange.request
        first = not exchange.completions
        completion = _ended_by_itself(completion)
        if completion.error:
            completion = replace(completion, error=redaction.without_secrets(completion.error))
        exchange.completions.append(completion)
        if first and completion.finish_reason is FinishReason.ABORT:
            reason = completion.error or "the engine gave nothing back"
            self.fatal_search.answered(request.id)
            self._record(exchange, Score(0.0, None, Outcome.ERROR, reason))
            return
        benchmark = self.config.benchmarks[request.benchmark]
        if not (first and elicitation.possible(self.config.early_stopping, completion, benchmark)):
            self._grade(exchange)
            return
        asked = self.questions.asked[request.benchmark, request.sample_id]
        text, reason = elicitation.opened(asked) + completion.text, completion.finish_reason
        self.grader.submit(exchange, benchmark.module, asked.sample, text, reason, grading.find_stated)

    def _grade(self, exchange: Exchange) -> None:
        """Has the whole text graded by a worker."""
        request, written = exchange.request, self._close(exchange)
        module = self.config.benchmarks[request.benchmark].module
        sample = self.questions.asked[request.benchmark, request.sample_id].sample
        self.grader.submit(exchange, module, sample, written.text, written.finish_reason)

    def _close(self, exchange: Exchange) -> elicitation.Written:
        """Joins the exchange's texts, since nothing more is asked of the engine for it."""
        request = exchange.request
        benchmark = self.config.benchmarks[request.benchmark]
        asked = self.questions.asked[request.benchmark, request.sample_id]
        self.fatal_search.answered(request.id)
        exchange.written = elicitation.written(asked, exchange.completions, benchmark, self.tokenizer)
        return exchange.written

    def _gather(self) -> None:
        """Records the answers still being graded; a run that was asked to end waits only a few seconds for them."""
        ends: float | None = None
        while self.grader.unfinished:
            self.collect()
            if self.stop.signal_number is not None:
                ends = time.monotonic() + GATHER_S if ends is None else ends
                if time.monotonic() > ends:
                    self.ungraded = self.grader.drop()
            time.sleep(IDLE_S)

    def collect(self, *, ask: bool = False) -> None:
        """Records what the workers have graded, and has texts graded in which they found an answer.

        Where they found none the engine is asked for it, with `ask`; without, the question stays open.
        """
        for exchange, score in self.grader.finished():
            if exchange.written is not None:
                self._record(exchange, score)
            elif self._exchanges.get(exchange.request.id) is not exchange:
                continue  # the engine died since, and is asked again
            elif ask or score.outcome is not Outcome.NO_ANSWER:
                self._searched(exchange, score)

    def _searched(self, exchange: Exchange, score: Score) -> None:
        """Asks for the answer that a cut text lacks, and grades a text that has one."""
        if score.outcome is Outcome.NO_ANSWER:
            (completion,) = exchange.completions
            request = exchange.request
            asked = self.questions.asked[request.benchmark, request.sample_id]
            benchmark = self.config.benchmarks[request.benchmark]
            more = elicitation.continuation(request, asked, completion, benchmark, self.tokenizer)
            self.engine.submit(more, first=True)  # while its prefix is still in the cache
        elif score.outcome is Outcome.WRONG:
            self._grade(exchange)
        else:  # a text that cannot be searched cannot be graded
            self._close(exchange)
            self._record(exchange, score)

    def _record(self, exchange: Exchange, score: Score) -> None:
        request = exchange.request
        asked = self.questions.asked[request.benchmark, request.sample_id]
        result = Result(
            benchmark=request.benchmark,
            sample_id=request.sample_id,
            repeat=request.repeat,
            target=asked.sample.target,
            prompt=redaction.without_values(asked.text),
            prompt_hash=prompts.prompt_hash(request.prompt_ids),
            text=exchange.written.text if exchange.written else "",
            completions=tuple(exchange.completions),
            score=score,
            elicited=len(exchange.completions) > 1,
            fields=self.questions.benchmarks[request.benchmark].stored_fields(asked.sample),
        )
        self.store.append(result)
        self.results.append(without_texts(result))
        self.progress.add(result)
        del self._exchanges[request.id]


def without_texts(result: Result) -> Result:
    """Returns the result without its texts, which the journal has; only their beginnings stay in memory."""
    completions = tuple(replace(c, text=c.text[:BEGINNING], output_ids=()) for c in result.completions)
    return replace(result, prompt="", text="", completions=completions)


def _ended_by_itself(completion: Completion) -> Completion:
    """A base model that goes on with the next question has ended its answer."""
    if completion.stop_string != prompts.END_OF_ANSWER:
        return completion
    return replace(completion, finish_reason=FinishReason.STOP, stop_string=None)
