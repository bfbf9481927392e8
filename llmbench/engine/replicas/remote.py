"""An engine in another process, as the run sees it: its step never waits."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from llmbench.engine.replicas import agreement
from llmbench.engine.replicas.cluster import ProcessGoneError
from llmbench.engine.replicas.silence import Silence
from llmbench.engine.replicas.worker import Answer, Facts, Reply, Worker, on_clock
from llmbench.engine.workload import Workload
from llmbench.errors import EngineDiedError, EngineError, LlmbenchError, OutOfMemoryError, Shortage
from llmbench.records import Completion, Request
from llmbench.system.log_capture import current_file
from llmbench.system.number_format import count
from llmbench.system.processes import kill_family
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.nvml import RemoteGpu
from llmbench.telemetry.records import EngineState, GpuSample

PERIOD_S = 0.05
"""A call comes back after so long at the latest, so that finished requests are soon followed by others."""
CALLS = 2
"""Calls under way: while the run reads one reply the engine works at the next call."""
LOOK_S = 1.0
"""Between looks at the GPUs of another host while it has nothing to do."""
REPORT_S = 10.0
PLACE_S = 120.0
"""For the cluster to find room for a process and start it."""
NOTHING_YET = EngineState(running=0, waiting=0, generated_tokens=0)


class RemoteEngine:
    """One process with an engine. It is started when it is made, and loaded step by step."""

    def __init__(
        self,
        settings: agreement.RemoteSettings,
        cores: Sequence[int],
        gpus: Sequence[RemoteGpu] = (),
        report: EngineReport | None = None,
    ) -> None:
        """Begins to start the process, wherever the cluster has room, in place of the one that made the `report`; `gpus` hear what its GPUs do."""
        self._settings, self._cluster = settings, settings.cluster
        self._handle = self._cluster.start(
            Worker,
            settings.config,
            settings.checkpoint,
            tuple(cores),
            settings.leader,
            current_file(),
            gpus=settings.gpus,
            cpus=0 if settings.gpus or settings.cluster.local else 1,
        )
        # of its start, and what takes their values
        self._steps: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self._calls: deque[Any] = deque()
        self._new: list[tuple[Request, bool]] = []
        self._silence = Silence()
        self._last = NOTHING_YET
        self._report = report or EngineReport(name=settings.config.engine.name)
        self._watch_gpus, self._called, self._closed = False, 0.0, False
        self._broken = False  # no other engine would do better
        self._offset_s = 0.0
        self.facts: Facts | None = None
        self.given: dict[str, Request] = {}  # without an answer
        self.capacity = 0
        self.failure: EngineDiedError | None = None  # why it can do no more
        self.shortage: Shortage | None = None  # where memory ran out while requests ran
        self._gpus = gpus
        self.load_s: float | None = None

    # --- its start: each begins a step, a method of the worker; `wait` or `step` sees it through

    def _begin(self, name: str, take: Callable[[Any], None], *arguments: object) -> None:
        self._silence.reset()
        self._steps.append((getattr(self._handle, name).remote(*arguments), take))

    def describe(self, *, like: Facts | None = None) -> None:
        """Asks what it is; another than the one before it is refused."""

        def take(facts: Facts) -> None:
            self.facts = facts
            if like is not None:
                agreement.compare([like, facts], same_gpus=self._settings.config.engine.deterministic)
            if facts.place.space != self._settings.leader[0]:
                asked = time.monotonic()
                there = float(self._result("monotonic_s"))
                self._offset_s = (asked + time.monotonic()) / 2 - there

        self._begin("describe", take)

    def prepare(self) -> None:
        """Has it import its libraries."""
        self._begin("prepare", lambda _: None)

    def load(self, workload: Workload) -> None:
        """Has it load the model for its share of the work."""

        def take(loaded: tuple[float, int]) -> None:
            self.load_s, self.capacity = loaded

        self._begin("load", take, workload)

    def begin(self, workload: Workload, *, loaded: bool, watch_gpus: bool) -> None:
        """Has it begin a run; requests may follow."""

        def take(begun: tuple[EngineReport, Sequence[GpuSample]]) -> None:
            self._report, samples = begun
            self._hear(samples)

        self._last, self._watch_gpus = NOTHING_YET, watch_gpus
        self._begin("begin", take, workload, loaded, watch_gpus, current_file())

    def wait(self) -> list[str]:
        """Waits for what was begun, however long it takes once the process runs; returns what was said meanwhile.

        Raises:
            LlmbenchError: What went wrong there, or the process could not be started, or is gone.
        """
        said: list[str] = []
        while self._steps:
            if self._cluster.ready(self.calls(), 1.0):
                said += self._take()
            elif self.facts is None and self._silence.elapsed_s() > PLACE_S:
                raise EngineError(self._no_place())
        return said

    def _take(self) -> tuple[str, ...]:
        """Takes the value of the first step; raises the error that it ended with."""
        call, take = self._steps.popleft()
        try:
            answer: Answer = self._cluster.result(call)
        except ProcessGoneError as error:
            raise EngineDiedError(f"A replica ended while it was started ({error}).") from error
        if answer.error is not None:
            raise answer.error
        take(answer.value)
        self._silence.reset()
        return answer.notices

    def _no_place(self) -> str:
        gpus = self._settings.gpus
        wanted = count(gpus, "free GPU") if gpus else "room"
        return f"The cluster had no {wanted} for a replica for {PLACE_S:g} s; lower engine.replicas."

    @property
    def ready(self) -> bool:
        """Whether requests can be given to it."""
        return not self._steps and self.failure is None

    # --- an engine

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; the process gets it with the next call."""
        self.given[request.id] = request
        self._new.append((request, first))

    def step(self) -> list[Completion]:
        """Takes what has come back, and asks for more.

        Raises:
            EngineDiedError: The process is gone, hangs, or its engine has died.
            EngineError: Its engine cannot go on, and neither could another.
        """
        self._raise_failure()
        finished: list[Completion] = []
        try:
            while self._steps and self._cluster.ready(self.calls(), 0):
                self._take()
            if not self._steps:
                finished = self._read_replies()
        except (ProcessGoneError, LlmbenchError) as error:
            self._fail(str(error), getattr(error, "running", ()))
        if self.failure is None:
            self._check_silence()
        if not finished:
            self._raise_failure()
        if self.ready:
            self._call()
        return finished

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise EngineError(str(self.failure)) if self._broken else self.failure

    def _read_replies(self) -> list[Completion]:
        finished: list[Completion] = []
        while self._calls and self._cluster.ready([self._calls[0]], 0):
            try:
                reply: Reply = self._cluster.result(self._calls.popleft())
            except ProcessGoneError as error:
                self._fail(f"A replica died: {error}", ())
                break
            self._silence.reset()
            finished += [
                on_clock(completion, self._offset_s)
                for completion in reply.completions
                if self.given.pop(completion.request_id, None) is not None
            ]
            self._hear(reply.gpus)
            if reply.error is not None:
                self._broken = not isinstance(reply.error, (EngineDiedError, OutOfMemoryError))
                if isinstance(reply.error, OutOfMemoryError):
                    self.shortage = replace(reply.error.shortage, needs_new_process=False)
                self._fail(str(reply.error), getattr(reply.error, "running", ()))
                break
            self._last = reply.state
        return finished

    def _hear(self, samples: Sequence[GpuSample]) -> None:
        for gpu, sample in zip(self._gpus, samples, strict=False):
            gpu.update(sample)

    def _fail(self, reason: str, running: Sequence[str]) -> None:
        """Ends the process; the next step raises the error. While it starts it works on nothing."""
        known = [name for name in self.given if name in set(running)]
        if not known and not self._steps:
            known = list(self.given)
        self.failure = EngineDiedError(reason, running=known)
        self.close()

    def _check_silence(self) -> None:
        if not self._steps and not self._calls:
            self._silence.reset()
            return
        limit_s = self._settings.silence_s if self.facts is not None else PLACE_S
        if limit_s is None or self._silence.elapsed_s() <= limit_s:
            return
        silent = f"A replica did not answer for {limit_s:g} s (engine_wait_s) and was killed"
        self._fail(self._no_place() if self.facts is None else silent, ())

    def _call(self) -> None:
        """Keeps calls under way as long as it has requests; without any it is asked for its GPUs now and then."""
        now = time.monotonic()
        looks = self._watch_gpus and not self._calls and now - self._called > LOOK_S
        while len(self._calls) < CALLS and (self.given or looks):
            new, self._new, looks, self._called = self._new, [], False, now
            self._calls.append(self._handle.advance.remote(new, PERIOD_S))

    def calls(self) -> list[Any]:
        """What is waited for, unless it has failed."""
        return [call for call, _ in self._steps][:1] or list(self._calls)[:1]

    def abort(self) -> list[Completion]:
        """Drops everything unfinished."""
        dropped = [Completion.aborted(request, None) for request in self.given.values()]
        if self._calls and self.failure is None:
            self._handle.abort.remote()
        self.given.clear()
        self._new.clear()
        self._calls.clear()
        return dropped

    def state(self) -> EngineState:
        """What it last said, with the requests that are on their way to it as queued."""
        return replace(self._last, queued=(self._last.queued or 0) + len(self._new))

    def report(self) -> EngineReport:
        """What it last said of itself."""
        return self._report

    def ask(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - a method's
        """Returns what a method of the engine there gives; raises `ProcessGoneError` where none comes in time."""
        return self._result("ask", name, *arguments)

    def _result(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - as above
        if self.failure is not None:
            raise ProcessGoneError(str(self.failure))
        return self._cluster.result(getattr(self._handle, name).remote(*arguments), REPORT_S)

    def look_whether_it_lives(self) -> None:
        """Asks it something; a process that does not answer is given up."""
        try:
            self._result("monotonic_s")
        except ProcessGoneError as error:
            self._fail(f"A replica died between two runs: {error}", ())

    def refresh(self) -> None:
        """Asks for its report anew, unless it is being loaded; raises `ProcessGoneError` where it does not answer."""
        if not self._steps:
            self._report = self.ask("report")

    def kill_here(self) -> None:
        """Kills the process if it is on this machine; from any thread."""
        if self.facts is not None and self.facts.place.space == self._settings.leader[0]:
            kill_family(self.facts.place.pid)

    def close(self, *, process_ends: bool = False) -> None:  # noqa: ARG002 - the process is another one
        """Ends the process with all that it has started; harmless when repeated."""
        if not self._closed:
            self._closed = True
            self._cluster.kill(self._handle, self.facts.place if self.facts is not None else None)
        self._calls.clear()
        self._steps.clear()
