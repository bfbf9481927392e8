"""The loop that joins engine, graders and journal: while the engine generates, what came back is graded and written."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from llmbench.config.schema import Config
from llmbench.engine.base import Engine
from llmbench.engine.tokenizer import Tokenizer
from llmbench.errors import Interrupted
from llmbench.records import (
    CONTINUATION_SUFFIX,
    JUDGE_SUFFIX,
    Completion,
    FinishReason,
    Outcome,
    Request,
    Result,
    Score,
)
from llmbench.results import likelihood
from llmbench.run import elicitation, grading, prompts, thinking_budget
from llmbench.run.elicitation import Exchange, ended_by_itself, without_secrets
from llmbench.run.grading import Grader
from llmbench.run.judging import Judging
from llmbench.run.progress import Progress
from llmbench.run.request_plan import Questions
from llmbench.run.request_queue import RequestQueue, groups_of
from llmbench.run.run_record import RunRecord
from llmbench.system import redaction
from llmbench.system.signals import Stop
from llmbench.telemetry.records import EngineState

IDLE_S = 0.005
"""How long to wait for graders when the engine has nothing left to do."""
GATHER_S = 5.0
"""How long a run that was asked to end waits for the texts that are being graded."""


@dataclass(slots=True)
class EvaluationLoop:
    """Feeds the engine, has what it returns graded, and keeps the results. It knows no engine but by the protocol.

    Attributes:
        generate_s: Seconds of generating, once it has run.
        grade_tail_s: Seconds of grading after it.
        ungraded: Texts that were given up when the run was asked to end.
        judge: Asked for verdicts; None: `engine` is.
    """

    questions: Questions
    tokenizer: Tokenizer
    engine: Engine
    grader: Grader[Exchange]
    record: RunRecord
    progress: Progress
    stop: Stop
    judge: Engine | None = None
    generate_s: float = 0.0
    grade_tail_s: float = 0.0
    ungraded: int = 0
    _later_requests: int = 0  # of benchmarks whose turn has not come
    # those without a result, by the id of the request
    _exchanges: dict[str, Exchange] = field(default_factory=dict)
    _in_flight: int = 0  # requests that the engine has
    config: Config = field(init=False)
    _judging: Judging = field(init=False)
    _queue: RequestQueue = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.record.config
        submit = partial(self._submit, first=True)
        self._queue = RequestQueue(self.record.stopping)
        self._judging = Judging(self.config, self.questions.benchmarks, self.tokenizer, self.judge, submit)

    def run(self) -> None:
        """Asks all requests and returns when each has a result.

        Raises:
            Interrupted: `stop` was set; what was finished is in the journal, the rest is dropped.
            EngineError: The engine cannot go on; what was finished is in the journal.
        """
        self.stop.listening = True
        for result in self.record.results:  # of an attempt before
            self.progress.add(result)
        groups = groups_of(self.config, self.questions, self.record.results)
        try:
            for number, group in enumerate(groups, 1):
                self._later_requests = sum(map(len, groups[number:]))
                self._ask_group(group)
        finally:
            self.stop.listening = False

    def state(self) -> EngineState:
        """Returns the engine's state, with all requests that it was not given counted as queued; called from another thread."""
        state = self.engine.state()
        return replace(state, queued=(state.queued or 0) + len(self._queue) + self._later_requests)

    def _ask_group(self, requests: Sequence[Request]) -> None:
        begun = stepped = time.monotonic()
        self._queue = RequestQueue.of(requests, self.record.stopping, self.engine)
        self._feed()
        try:
            while self._exchanges and not self._queue.over:
                if self.stop.signal_number is not None:
                    self.engine.abort()
                    raise Interrupted(self.stop.signal_number)
                if self._in_flight:
                    try:
                        finished = self.engine.step()
                    finally:
                        stepped = time.monotonic()
                    for completion in finished:
                        self._receive(completion)
                else:  # workers grade, or look whether what was cut states an answer
                    time.sleep(IDLE_S)
                for completion in self._judging.step():
                    self._add(self._judging.judged(without_secrets(completion)))
                self.collect(ask=True)
                self._feed()
                self.record.save_if_due()
                if self.progress.due():
                    self._note_tokens()
                    self.progress.show()
            self._note_tokens()
        finally:
            if self._queue.over:
                self._drop()
            self._gather()
            self.generate_s += stepped - begun
            self.grade_tail_s += time.monotonic() - stepped

    def _feed(self) -> None:
        """Gives the engine the requests that are due."""
        while (request := self._queue.next(self._in_flight, len(self._exchanges))) is not None:
            self._exchanges[request.id] = Exchange(request)
            if (answer := self.record.unjudged.get(request.key)) is not None:  # of an attempt before
                self._ask_judge(answer)
            else:
                self._submit(request)

    def _drop(self) -> None:
        """Drops what waits and what the engine and the judge have, since enough was asked; what is being graded is kept."""
        self._queue.clear()
        if self._in_flight:
            self.engine.abort()
        self._in_flight = 0
        self._judging.drop()
        self._exchanges.clear()

    def _submit(self, request: Request, *, first: bool = False) -> None:
        self._in_flight += 1
        self.engine.submit(request, first=first)

    def _note_tokens(self) -> None:
        """Gives the display the output tokens so far."""
        with suppress(Exception):  # what is only shown ends no run; telemetry logs it
            self.progress.note(self.engine.state().generated_tokens)

    def _receive(self, completion: Completion) -> None:
        """Handles a completion: searches a cut text for an answer, grades a finished text, or records the failure; or takes a verdict."""
        self._in_flight -= 1
        completion = without_secrets(completion)
        if completion.request_id.endswith(JUDGE_SUFFIX):
            self._add(self._judging.judged(completion))
            return
        exchange = self._exchanges[completion.request_id.removesuffix(CONTINUATION_SUFFIX)]
        asked = self._question(exchange)
        is_first = not exchange.completions
        completion = ended_by_itself(completion, asked.end)
        if not is_first and completion.finish_reason is FinishReason.ABORT and not completion.error:
            self._grade(exchange)  # the engine cannot continue it, so it stays as it was cut
            return
        exchange.completions.append(completion)
        if completion.failed or (is_first and completion.finish_reason is FinishReason.ABORT):
            reason = completion.error or "the engine gave nothing back"
            if not is_first:
                exchange.text = self._text_so_far(exchange)  # what was written stays
            self._record(exchange, Score(0.0, None, Outcome.ERROR, reason))
            return
        if completion.choices:
            self._score(exchange, completion)
            return
        more = thinking_budget.goes_on(exchange, asked, self.config, self.tokenizer)
        if more is not None:
            self._submit(more, first=True)  # while its prefix is still in the cache
            return
        benchmark = self.config.benchmarks[asked.benchmark]
        if exchange.elicited or not elicitation.possible(self.config.early_stopping, completion, benchmark):
            self._grade(exchange)
            return
        text, reason = self._text_so_far(exchange), completion.finish_reason
        self.grader.submit(exchange, benchmark.module, asked.sample, text, reason, grading.find_stated)

    def _score(self, exchange: Exchange, completion: Completion) -> None:
        """Records which choice is the most likely; their log-likelihoods stand in the place of a text."""
        choices = completion.choices
        exchange.text = likelihood.table(choices)
        self._record(exchange, likelihood.score(choices, self._question(exchange).sample.target))

    def _grade(self, exchange: Exchange) -> None:
        """Has the whole text graded by a worker."""
        exchange.text, asked = self._text_so_far(exchange), self._question(exchange)
        module = self.config.benchmarks[asked.benchmark].module
        reason = exchange.completions[-1].finish_reason
        self.grader.submit(exchange, module, asked.sample, exchange.text, reason)

    def _text_so_far(self, exchange: Exchange) -> str:
        asked = self._question(exchange)
        return elicitation.written(asked, exchange.completions, exchange.cues, self.tokenizer)

    def _question(self, exchange: Exchange) -> prompts.Asked:
        return self.questions.asked[exchange.request.benchmark, exchange.request.sample_id]

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

        Where they found none the engine is asked for it, with `ask`; without, the question stays open. So does an answer that a judge
        has to grade, which is kept.
        """
        for exchange, score in self.grader.finished():
            if score.outcome is Outcome.UNJUDGED:
                if self._queue.over:
                    continue
                answer = self._result(exchange, score)
                self.record.keep_unjudged(answer)
                if ask:
                    self._ask_judge(answer)
            elif exchange.text is not None:
                self._record(exchange, score)
            elif ask or score.outcome is not Outcome.NO_ANSWER:
                self._after_search(exchange, score)

    def _after_search(self, exchange: Exchange, score: Score) -> None:
        """Asks for the answer that a cut text lacks, and grades a text that has one."""
        if score.outcome is Outcome.NO_ANSWER:
            request = exchange.request
            benchmark = self.config.benchmarks[request.benchmark]
            words = elicitation.cue(self._text_so_far(exchange), exchange.completions[-1], benchmark)
            exchange.elicited = True
            stop, most = tuple(benchmark.cue_stop), benchmark.cue_tokens
            sampling = replace(request.sampling, max_tokens=most, stop=stop)
            more = exchange.go_on(words, sampling, self.tokenizer)
            self._submit(more, first=True)  # while its prefix is still in the cache
        elif score.outcome is Outcome.WRONG:
            self._grade(exchange)
        else:  # a text that cannot be searched cannot be graded
            exchange.text = self._text_so_far(exchange)
            self._record(exchange, score)

    def _ask_judge(self, answer: Result) -> None:
        """Asks for the verdict on an answer."""
        sample = self.questions.asked[answer.benchmark, answer.sample_id].sample
        if (failed := self._judging.ask(answer, sample)) is not None:
            self._add(self._judging.judged(failed))

    def _record(self, exchange: Exchange, score: Score) -> None:
        self._add(self._result(exchange, score))

    def _result(self, exchange: Exchange, score: Score) -> Result:
        request, asked = exchange.request, self._question(exchange)
        return Result(
            benchmark=request.benchmark,
            sample_id=request.sample_id,
            repeat=request.repeat,
            target=asked.sample.target,
            prompt=redaction.without_values(asked.text),
            prompt_hash=prompts.prompt_hash(request),
            text=exchange.text or "",
            completions=tuple(exchange.completions),
            score=score,
            elicited=exchange.has_cued_answer,
            fields=self.questions.benchmarks[request.benchmark].stored_fields(asked.sample),
            thinking=thinking_budget.thinking_of(exchange, asked, self.config, self.tokenizer),
        )

    def _add(self, result: Result) -> None:
        self.record.add(result)
        self.progress.add(result)
        self._exchanges.pop("/".join(map(str, result.key)), None)  # of what was dropped there is none
