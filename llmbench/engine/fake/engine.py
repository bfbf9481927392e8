"""The engine: see the package."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.fake.misbehaviour import JUDGES, Misbehaviour
from llmbench.engine.fake.tokenizer import WordTokenizer
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.errors import EngineDiedError, EngineError
from llmbench.records import JUDGE_SUFFIX, Choice, Completion, FinishReason, Request, ScoredChoice, Timing
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import EngineState

STEP_S = 0.001
Reply = Callable[[Request], str]


def nonsense(request: Request) -> str:
    """An answer in a form that every benchmark reads, decided by the request's sample alone."""
    number = int(
        hashlib.sha256(f"{request.benchmark}/{request.sample_id}/{request.repeat}".encode()).hexdigest()[:8],
        16,
    )
    return f"Let me think. The final answer is \\boxed{{{'ABCD'[number % 4] if request.benchmark == 'gpqa' else number % 20}}}"


Likelihood = Callable[[Request], Sequence[float]]


def guesses(request: Request) -> list[float]:
    """Log-likelihoods of a request's choices, decided by the request's sample and their letters alone: -1 to -2 for each token."""

    def of(choice: Choice) -> float:
        digest = hashlib.sha256(f"{request.benchmark}/{request.sample_id}/{choice.name}".encode()).digest()
        return -len(choice.ids) * (1 + int.from_bytes(digest[:2]) / 65536)

    return [of(choice) for choice in request.choices]


@dataclass(slots=True)
class _Running:
    request: Request
    words: deque[int]
    queued: int
    scheduled: int
    output: list[int]
    text: str = ""


class FakeEngine(ModelEngine):
    """The engine."""

    def __init__(
        self,
        batch_size: int | None = None,
        reply: Reply = nonsense,
        misbehaviour: Misbehaviour | None = None,
        likelihood: Likelihood = guesses,
    ) -> None:
        """Takes how to answer and how to fail."""
        self._asked_batch, self._reply, self._likelihood = batch_size, reply, likelihood
        self._misbehaviour = misbehaviour or Misbehaviour()
        self._tokenizer: Tokenizer = WordTokenizer()
        self._batch_size = self.capacity = 0
        self._loads = 0
        self._queued: deque[Request] = deque()
        self._waiting: deque[_Running] = deque()
        self._running: list[_Running] = []
        self._steps = self._finished = self._tokens = 0
        self.peak_running = 0

    def preferred_batch_size(self, workload: Workload) -> int:
        """What is asked for, else as many as there are, up to 256."""
        return self._asked_batch or max(workload.batch_size, min(workload.at_once, 256), 1)

    def load(self, workload: Workload, notice: Notice) -> None:  # noqa: ARG002
        """Nothing to load."""
        self.capacity = self.preferred_batch_size(workload)
        self._misbehaviour.check_memory(self.capacity, None)

    def serves(self, workload: Workload) -> bool:
        """Whether it holds as many at once."""
        return self.preferred_batch_size(workload) <= self.capacity

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool, notice: Notice) -> None:  # noqa: ARG002 - nothing happens to it unasked
        """Takes over the run's tokenizer, whose words its answers are cut into."""
        self._tokenizer, self._batch_size = tokenizer, self.preferred_batch_size(workload)
        self._loads = int(loaded)
        self._steps = self._finished = self._tokens = 0

    def close(self, *, process_ends: bool = False) -> None:
        """Nothing to free."""

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request."""
        if first:
            self._queued.appendleft(request)
        else:
            self._queued.append(request)

    @property
    def unfinished(self) -> int:
        """Queued, waiting and running requests."""
        return len(self._queued) + len(self._waiting) + len(self._running)

    def step(self) -> list[Completion]:
        """One word for every running request."""
        faults = self._misbehaviour
        faults.check_memory(self._batch_size, self._finished)
        if faults.break_after is not None and self._finished >= faults.break_after:
            raise EngineError(
                f"The fake engine broke after {self._finished} completions, as engine.args.break_after asks."
            )
        refused = self._admit()
        requests, running = (
            [state.request for state in self._running],
            tuple(state.request.id for state in self._running),
        )
        if faults.die.due(requests, self._finished):
            died = "The fake engine died, as engine.args.die asks."
            raise EngineDiedError(died, needs_new_process=faults.die.needs_new_process, running=running)
        if faults.hang.due(requests, self._finished):
            raise EngineDiedError(faults.hang.killed.get(), running=running)
        self.peak_running = max(self.peak_running, len(self._running))
        self._steps += 1
        if faults.step_s:
            time.sleep(faults.step_s)
        finished = [completion for state in self._running if (completion := self._advance(state))]
        done = {completion.request_id for completion in finished}
        self._running = [state for state in self._running if state.request.id not in done]
        self._finished += len(finished) + len(refused)
        return refused + finished

    def _admit(self) -> list[Completion]:
        """Gives the scheduler what is next, up to the batch size, and runs what it has places for."""
        refused = []
        while self._queued and len(self._waiting) + len(self._running) < self._batch_size:
            request = self._queued.popleft()
            if request.id in self._misbehaviour.refuse:
                refused.append(Completion.aborted(request, "refused, as engine.args.refuse asks"))
                continue
            reply = "" if request.choices else self._text(request)
            words = deque(self._tokenizer.encode(reply, special=False))
            self._waiting.append(_Running(request, words, self._steps, self._steps, []))
        places = self._misbehaviour.places
        places = self._batch_size if places is None else max(1, places)
        while self._waiting and len(self._running) < places:
            self._waiting[0].scheduled = self._steps
            self._running.append(self._waiting.popleft())
        return refused

    def _text(self, request: Request) -> str:
        """The reply: of a judge, or to a question."""
        prompt = ""
        with suppress(IndexError):  # in a replica's process the run's words have no numbers
            prompt = self._tokenizer.decode(request.prompt_ids)
        if request.id.endswith(JUDGE_SUFFIX):
            return JUDGES[self._misbehaviour.judge](prompt)
        return self._misbehaviour.thinks.text(request, prompt, self._reply(request))

    def _advance(self, state: _Running) -> Completion | None:
        sampling = state.request.sampling
        if state.request.choices:
            return self._scored(state)
        if state.words:
            word = state.words.popleft()
            state.output.append(word)
            state.text += self._tokenizer.decode([word])
            self._tokens += 1
        found = next((s for s in sampling.stop if s in state.text), None)
        if found is not None:
            return self._complete(state, FinishReason.STOP_STRING, state.text.split(found, 1)[0], found)
        if not state.words:
            return self._complete(state, FinishReason.STOP, state.text, None)
        if len(state.output) >= sampling.max_tokens:
            return self._complete(state, FinishReason.LENGTH, state.text, None)
        return None

    def _complete(self, state: _Running, reason: FinishReason, text: str, stop: str | None) -> Completion:
        queued, finished = state.queued * STEP_S, self._steps * STEP_S
        count = len(state.output)
        first = (state.scheduled + 1) * STEP_S
        timing = Timing.of(queued, state.scheduled * STEP_S, first, finished, count)
        output = tuple(state.output)
        prompt = len(state.request.prompt_ids)
        return Completion(state.request.id, text, output, count, prompt, 0, reason, stop, timing)

    def _scored(self, state: _Running) -> Completion:
        """The choices with their log-likelihoods; each is read behind the whole prompt."""
        done, request = self._complete(state, FinishReason.SCORED, "", None), state.request
        scored = map(ScoredChoice.of, request.choices, self._likelihood(request))
        read = sum(len(request.prompt_ids) + len(choice.ids) for choice in request.choices)
        return replace(done, prompt_tokens=read, choices=tuple(scored))

    def kill(self, reason: str) -> bool:
        """Ends a step that hangs, where `hang` has it apart."""
        hang = self._misbehaviour.hang
        if hang.apart:
            hang.killed.put(reason)
        return hang.apart

    def abort(self) -> list[Completion]:
        """Drops everything unfinished."""
        given = [state.request for state in (*self._running, *self._waiting)]
        requests = [*given, *self._queued]
        for kept in (self._running, self._waiting, self._queued):
            kept.clear()
        return [Completion.aborted(request, None) for request in requests]

    def state(self) -> EngineState:
        """Requests that its scheduler runs and holds back, those that it was not given, and words given."""
        return EngineState(
            running=len(self._running),
            waiting=len(self._waiting),
            queued=len(self._queued),
            generated_tokens=self._tokens,
        )

    def report(self) -> EngineReport:
        """Its name; there is nothing to measure."""
        return EngineReport(name="fake", batch_size=self._batch_size, loads=self._loads)
