"""The engine: see the package."""

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from llmbench.config.schema import Config
from llmbench.engine.base import Notice
from llmbench.engine.fake.faults import Death, Hang, TooLittle
from llmbench.engine.fake.tokenizer import WordTokenizer
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Took, Workload
from llmbench.errors import ConfigError, EngineDiedError, EngineError, Shortage
from llmbench.records import Completion, EngineReport, FinishReason, Request, Timing
from llmbench.system.text import suggest

STEP_S = 0.001


Reply = Callable[[Request], str]


def nonsense(request: Request) -> str:
    """An answer in a form that every benchmark reads, decided by the request's sample alone."""
    number = int(
        hashlib.sha256(f"{request.benchmark}/{request.sample_id}/{request.repeat}".encode()).hexdigest()[:8],
        16,
    )
    return f"Let me think. The final answer is \\boxed{{{'ABCD'[number % 4] if request.benchmark == 'gpqa' else number % 20}}}"


@dataclass(slots=True)
class _Running:
    request: Request
    words: deque[int]
    queued: int
    scheduled: int
    output: list[int]
    text: str = ""


class FakeEngine:
    """The engine. `refuse` names requests that come back as errors, `break_after` ends it for good after that many completions."""

    def __init__(  # noqa: PLR0913 - each is a way to fail
        self,
        batch_size: int | None = None,
        reply: Reply = nonsense,
        *,
        refuse: frozenset[str] = frozenset(),
        break_after: int | None = None,
        step_s: float = 0.0,
        too_little: TooLittle | None = None,
        die: Death | None = None,
        hang: Hang | None = None,
        utilization: float = 1.0,
        places: int | None = None,
    ) -> None:
        """Takes how to answer and how to fail.

        `step_s` are real seconds a step, for watching the display. The scheduler runs at most `places` of the requests of a
        batch, as with a KV cache that is too small; the others wait.
        """
        self._asked_batch, self._reply = batch_size, reply
        self._tokenizer = WordTokenizer()
        self._batch_size = self.capacity = 0
        self._loads = 0
        self._refuse, self._break_after, self._pause_s = refuse, break_after, step_s
        self._too_little, self._utilization = too_little, utilization
        self._die, self._hang = die or Death(), hang or Hang()
        self._places = places
        self._queued: deque[Request] = deque()
        self._waiting: deque[_Running] = deque()
        self._running: list[_Running] = []
        self._steps = self._finished = self._tokens = 0
        self.peak_running = 0

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """The engine as `engine=fake` asks for it, with what `engine.args` holds.

        Raises:
            ConfigError: `engine.args` holds something else.
        """
        known = ("step_s", "refuse", "break_after", "die", "hang", "too_little", "places")
        for key in config.engine.args:
            if key not in known:
                raise ConfigError(f"engine.args has no {key!r} for engine=fake{suggest(key, known)}")
        options = dict(config.engine.args)
        for key, kind in (("step_s", (int, float)), ("break_after", (int, type(None))), ("places", int)):
            if not isinstance(options.get(key, 0), kind):
                raise ConfigError(f"engine.args.{key}={options[key]} is refused: it must be a number.")
        options["refuse"] = frozenset(options.get("refuse", ()))
        for name, fault in (("die", Death), ("hang", Hang)):
            if name in options:
                wanted = dict(options[name])
                options[name] = fault(frozenset(wanted.pop("on", ())), **wanted)
        if "too_little" in options:
            wanted = dict(options["too_little"])
            bounds = {name: wanted.pop(name, None) for name in ("requests", "utilization", "after")}
            options["too_little"] = TooLittle(Shortage(**wanted), **bounds)
            options["utilization"] = config.model.gpu_memory_utilization
        return cls(None, **options)

    def prepare(self) -> None:
        """Nothing to import."""

    def preferred_batch_size(self, workload: Workload) -> int:
        """What is asked for, else as many as there are, up to 256."""
        return self._asked_batch or max(workload.batch_size, min(workload.at_once, 256), 1)

    def load(self, workload: Workload, notice: Notice) -> None:  # noqa: ARG002
        """Nothing to load."""
        self.capacity = self.preferred_batch_size(workload)
        if self._too_little:
            self._too_little.check(self.capacity, self._utilization, None)

    def serves(self, workload: Workload) -> bool:
        """Whether it holds as many at once."""
        return self.preferred_batch_size(workload) <= self.capacity

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool) -> None:
        """Takes over the run's tokenizer, whose words its answers are cut into."""
        if not isinstance(tokenizer, WordTokenizer):
            raise ConfigError("engine=fake needs its own tokenizer.")
        self._tokenizer, self._batch_size = tokenizer, self.preferred_batch_size(workload)
        self._loads = int(loaded)
        self._steps = self._finished = self._tokens = 0

    def learn(self, took: Took) -> None:
        """Nothing to learn."""

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

    def generated_tokens(self) -> int:
        """Words given so far."""
        return self._tokens

    def step(self) -> list[Completion]:
        """One word for every running request."""
        if self._too_little:
            self._too_little.check(self._batch_size, self._utilization, self._finished)
        if self._break_after is not None and self._finished >= self._break_after:
            raise EngineError(
                f"The fake engine broke after {self._finished} completions, as engine.args.break_after asks."
            )
        refused = self._admit()
        requests, running = [state.request for state in self._running], tuple(self.running())
        if self._die.due(requests, self._finished):
            died = "The fake engine died, as engine.args.die asks."
            raise EngineDiedError(died, needs_new_process=self._die.needs_new_process, running=running)
        if self._hang.due(requests, self._finished):
            raise EngineDiedError(self._hang.killed.get(), running=running)
        self.peak_running = max(self.peak_running, len(self._running))
        self._steps += 1
        if self._pause_s:
            time.sleep(self._pause_s)
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
            if request.id in self._refuse:
                refused.append(Completion.aborted(request, "refused, as engine.args.refuse asks"))
                continue
            words = deque(self._tokenizer.encode(self._reply(request), special=False))
            self._waiting.append(_Running(request, words, self._steps, self._steps, []))
        places = self._batch_size if self._places is None else max(1, self._places)
        while self._waiting and len(self._running) < places:
            self._waiting[0].scheduled = self._steps
            self._running.append(self._waiting.popleft())
        return refused

    def _advance(self, state: _Running) -> Completion | None:
        sampling = state.request.sampling
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

    def running(self) -> list[str]:
        """The requests that its scheduler runs."""
        return [state.request.id for state in self._running]

    def kill(self, reason: str) -> bool:
        """Ends a step that hangs, where `hang` has it apart."""
        if self._hang.apart:
            self._hang.killed.put(reason)
        return self._hang.apart

    def abort(self) -> list[Completion]:
        """Drops everything unfinished."""
        given = [state.request for state in (*self._running, *self._waiting)]
        requests = [*given, *self._queued]
        for kept in (self._running, self._waiting, self._queued):
            kept.clear()
        return [Completion.aborted(request, None) for request in requests]

    def state(self) -> dict[str, float | int | None]:
        """Requests that its scheduler runs and holds back, those that it was not given, and words given."""
        return {
            "running": len(self._running),
            "waiting": len(self._waiting),
            "queued": len(self._queued),
            "generated_tokens": self._tokens,
        }

    def report(self) -> EngineReport:
        """Its name; there is nothing to measure."""
        return EngineReport(name="fake", batch_size=self._batch_size, loads=self._loads)
