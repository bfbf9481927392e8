"""The loop that joins engine, graders and journal: while the engine generates, what came back is graded and written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llmbench import elicitation, prompts
from llmbench.cache.engine import CachedEngine
from llmbench.config import Config, Schedule
from llmbench.engine.base import Engine
from llmbench.errors import Interrupted
from llmbench.grading import Grader
from llmbench.progress import Progress
from llmbench.questions import Questions
from llmbench.records import Completion, FinishReason, Outcome, Request, Result, Score
from llmbench.store import Store
from llmbench.tokenizers import Tokenizer

IDLE_S = 0.005
"""How long to wait for graders when the engine has nothing left to do."""


@dataclass(slots=True)
class Stop:
    """Set by a signal handler while requests run; asked between the engine's steps."""

    signal_number: int | None = None
    listening: bool = False


@dataclass(slots=True)
class Exchange:
    """A request and what came back for it so far: a completion, and perhaps the continuation."""

    request: Request
    completions: list[Completion] = field(default_factory=list)
    written: elicitation.Written | None = None


@dataclass(slots=True)
class Asking:
    """Everything the loop touches, and what it has got: `results`, and seconds of generating and of grading after it."""

    config: Config
    questions: Questions
    tokenizer: Tokenizer
    engine: Engine | CachedEngine
    grader: Grader[Exchange]
    store: Store
    progress: Progress
    stop: Stop
    results: list[Result]
    generate_s: float = 0.0
    grade_tail_s: float = 0.0
    _exchanges: dict[str, Exchange] = field(default_factory=dict)

    def run(self) -> None:
        """Asks everything.

        Raises:
            Interrupted: `stop` was set; what was finished is in the journal, the rest is dropped.
            EngineError: The engine died; what was finished is in the journal.
        """
        self.stop.listening = True
        for result in self.results:  # of a sitting before
            self.progress.add(result)
        try:
            for group in self._groups():
                self._ask(group)
        finally:
            self.stop.listening = False

    def _groups(self) -> list[Sequence[Request]]:
        """All requests that have no result yet at once, or one benchmark after another."""
        done = {(r.benchmark, r.sample_id, r.repeat) for r in self.results}
        requests = [r for r in self.questions.requests if (r.benchmark, r.sample_id, r.repeat) not in done]
        if self.config.schedule is Schedule.together:
            return [requests]
        return [[r for r in requests if r.benchmark == name] for name in self.questions.modules]

    def _ask(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._exchanges[request.id] = Exchange(request)
            self.engine.submit(request)
        begun = last = time.monotonic()
        try:
            while self.engine.unfinished or self.grader.unfinished:
                self._check_stop()
                if self.engine.unfinished:
                    for completion in self.engine.step():
                        self._receive(completion)
                    last = time.monotonic()
                else:
                    time.sleep(IDLE_S)
                self._collect()
                if self.progress.due():
                    self.progress.show(self.engine.generated_tokens())
            self.progress.note(self.engine.generated_tokens())
        finally:
            self._collect(wait=True)
            self.generate_s += last - begun
            self.grade_tail_s += time.monotonic() - last

    def _check_stop(self) -> None:
        if self.stop.signal_number is not None:
            self.engine.abort()
            raise Interrupted(self.stop.signal_number)

    def _receive(self, completion: Completion) -> None:
        """Takes a completion: asks for the answer that is missing, hands the text to the graders, or records the failure."""
        exchange = self._exchanges[completion.request_id.removesuffix(elicitation.MARK)]
        request = exchange.request
        benchmark = self.config.benchmarks[request.benchmark]
        module = self.questions.modules[request.benchmark]
        asked = self.questions.asked[request.benchmark, request.sample_id]
        first = not exchange.completions
        completion = _ended_by_itself(completion)
        exchange.completions.append(completion)
        if first and completion.finish_reason is FinishReason.ABORT:
            reason = completion.error or "the engine gave nothing back"
            self._record(exchange, Score(0.0, None, Outcome.ERROR, reason))
            return
        asks = first and benchmark.cue_tokens > 0
        if asks and elicitation.wanted(self.config.early_stopping, module, asked, completion):
            more = elicitation.continuation(request, asked, completion, benchmark, self.tokenizer)
            self.engine.submit(more, first=True)  # while its prefix is still in the cache
            return
        exchange.written = elicitation.written(asked, exchange.completions, benchmark, self.tokenizer)
        text, reason = exchange.written.text, exchange.written.finish_reason
        self.grader.submit(exchange, benchmark.module, asked.sample, text, reason)

    def _collect(self, *, wait: bool = False) -> None:
        """Records what the graders have finished."""
        for exchange, score in self.grader.finished(wait=wait):
            self._record(exchange, score)

    def _record(self, exchange: Exchange, score: Score) -> None:
        request = exchange.request
        asked = self.questions.asked[request.benchmark, request.sample_id]
        result = Result(
            benchmark=request.benchmark,
            sample_id=request.sample_id,
            repeat=request.repeat,
            target=asked.sample.target,
            prompt=asked.text,
            prompt_hash=prompts.prompt_hash(request.prompt_ids),
            text=exchange.written.text if exchange.written else "",
            completions=tuple(exchange.completions),
            score=score,
            elicited=len(exchange.completions) > 1,
            fields=self.questions.modules[request.benchmark].stored(asked.sample),
        )
        self.store.append(result)
        self.results.append(result)
        self.progress.add(result)


def _ended_by_itself(completion: Completion) -> Completion:
    """A base model that goes on with the next question has ended its answer."""
    if completion.stop_string != prompts.END_OF_ANSWER:
        return completion
    return replace(completion, finish_reason=FinishReason.STOP, stop_string=None)
