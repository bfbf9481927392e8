"""The engine: requests wait here for a place among those in flight; a thread with an event loop of its own speaks with the server."""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.endpoint import server as servers
from llmbench.engine.endpoint.cost import Cost
from llmbench.engine.endpoint.exchange import Exchanges
from llmbench.engine.endpoint.health import Health
from llmbench.engine.endpoint.metrics import ServerMetrics
from llmbench.engine.messages import is_chat
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.workload import Workload
from llmbench.errors import EngineDiedError, EngineError, StoppedError
from llmbench.records import Completion, Request
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import EngineState

if TYPE_CHECKING:
    from openai import AsyncOpenAI

IN_FLIGHT = 64
"""Requests at once, where `batch_size` does not say."""
STEP_S = 0.05
"""How long a step waits for an answer."""
CONNECT_S = 10.0
END_S = 5.0
"""For tasks and thread to end."""
CHATTY = ("httpx", "httpx2", "openai")
"""Loggers that would write a line for each request."""


class EndpointEngine(ModelEngine):
    """Asks a server that speaks OpenAI's API."""

    def __init__(self, config: Config, step_s: float = STEP_S) -> None:
        """Takes the settings; a step waits so long for an answer."""
        self._config, self._step_s = config, step_s
        self.capacity = self._batch_size = 0
        self._lock = threading.Lock()  # over all that follows
        self._queued: deque[tuple[Request, float | None]] = deque()
        self._tasks: dict[str, tuple[Request, asyncio.Task[None]]] = {}
        self._place_wait_s = 0.0
        self._cost, self._loads = Cost(config.engine), 0
        self._failure: EngineError | None = None
        self._finished: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: AsyncOpenAI | None = None
        self._server: servers.Server | None = None
        self._exchanges: Exchanges | None = None
        self._metrics = ServerMetrics()

    def prepare(self) -> None:
        """Imports the client."""
        import openai  # noqa: F401 - so that it is there

        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)

    def preferred_batch_size(self, workload: Workload) -> int:
        """Returns what is asked for, else as many as there are, up to 64."""
        return workload.batch_size or max(1, min(workload.at_once or IN_FLIGHT, IN_FLIGHT))

    def load(self, workload: Workload, notice: Notice) -> None:
        """Looks whether the server answers, and whether it serves the model that was asked for.

        Raises:
            EngineError: It does not answer.
            ConfigError: It serves another model.
        """
        found = servers.look(self._config.engine)
        servers.check_identity(self._config, found)
        kind = f"vLLM {found.version or ''}".strip() if found.vllm else "a server of OpenAI's API"
        notice(f"{found.model} is served by {kind} at {found.address.url}.")
        self._server, self.capacity = found, self.preferred_batch_size(workload)
        self._client = self._connect(found)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="llmbench-endpoint", daemon=True)
        self._thread.start()
        watch = self._metrics.watch(self._client, found.address.outside_api("metrics"))
        asyncio.run_coroutine_threadsafe(watch, self._loop)

    def _connect(self, server: servers.Server) -> "AsyncOpenAI":
        from httpx2 import Limits
        from openai import AsyncOpenAI, DefaultAioHttpClient, Timeout

        silence_s = self._config.engine_wait_s
        timeout = Timeout(silence_s, connect=CONNECT_S if silence_s is None else min(CONNECT_S, silence_s))
        # The client's usual pool looks at each connection for each request: 10 ms with 768 of them. 0: no limit but the batch size.
        http_client = DefaultAioHttpClient(limits=Limits(max_connections=0), timeout=timeout)
        return AsyncOpenAI(**server.address.options(), timeout=timeout, http_client=http_client)

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool, notice: Notice) -> None:
        """Starts a run: its batch size holds, and counters stand at zero."""
        if self._server is None or self._client is None:
            raise RuntimeError("the engine is not loaded")
        hub = tokenizer if isinstance(tokenizer, HubTokenizer) and not is_chat(self._config.engine) else None
        visible = hub.visible if hub is not None and hub.marks_thinking else None
        self._loads, self._batch_size = int(loaded), self.preferred_batch_size(workload)
        self._place_wait_s, self._cost = 0.0, Cost(self._config.engine, workload.spent)
        health = Health(self._config.engine, self._server, notice)
        health.answered = time.monotonic() if workload.answered else 0.0
        report = self._server.report("chat" if is_chat(self._config.engine) else "completions")
        self._exchanges = Exchanges(self._config, self._client, health, self._cost.breaks, report, visible)

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request until there is a place for it."""
        with self._lock:
            full = len(self._tasks) + len(self._queued) >= self._batch_size
            entry = request, time.monotonic() if full else None
            if first:
                self._queued.appendleft(entry)
            else:
                self._queued.append(entry)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._fill)

    def step(self) -> list[Completion]:
        """Waits a moment and returns what was answered.

        Raises:
            EngineError: The server refuses.
            StoppedError: The server is gone, or the run could cost too much.
        """
        found: list[Completion] = []
        try:
            found.append(self._finished.get(timeout=self._step_s))  # type: ignore[arg-type]
            while True:
                found.append(self._finished.get_nowait())  # type: ignore[arg-type]
        except queue.Empty:
            pass
        finished = [completion for completion in found if completion is not None]
        with self._lock:
            failure = self._failure
        if failure is not None and not finished:
            raise failure
        return finished

    def _fill(self) -> None:
        """Asks what waits, as far as there are places; runs in the loop's thread."""
        with self._lock:
            while self._queued and len(self._tasks) < self._batch_size and self._failure is None:
                request, since = self._queued[0]
                if not self._cost.admits(request):
                    if not self._tasks:
                        most, spent = self._config.engine.max_cost, self._cost.before + self._cost.spent
                        said = f"The next request could cost more than engine.max_cost={most:g} allows (spent so far: {spent:.4g})"
                        self._fail(StoppedError(f"{said}; what was finished is kept."))
                    return
                self._queued.popleft()
                self._place_wait_s += 0.0 if since is None else time.monotonic() - since
                self._tasks[request.id] = request, asyncio.ensure_future(self._ask(request))

    def _fail(self, error: EngineError) -> None:
        self._failure = self._failure or error
        self._finished.put(None)  # a step that waits looks

    async def _ask(self, request: Request) -> None:
        """Asks one request and hands its completion over; runs in the loop's thread."""
        exchanges, completion, failure = self._exchanges, None, None
        if exchanges is None:
            raise RuntimeError("no run has begun")
        try:
            completion = await exchanges.ask(request)
        except EngineError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a fault of our own: no request may vanish
            failure = EngineError(f"A request failed within llmbench ({type(error).__name__}: {error}).")
            failure.__cause__ = error
        with self._lock:
            self._tasks.pop(request.id, None)
            self._cost.ends(request, completion)
            if failure is not None:
                self._fail(failure)
        if completion is not None:
            self._finished.put(completion)
        self._fill()

    def abort(self) -> list[Completion]:
        """Drops everything unfinished; connections are closed, which ends the requests at the server too."""
        with self._lock:
            asked = [request for request, _ in self._tasks.values()]
            waiting = [request for request, _ in self._queued]
            self._queued.clear()
        self._cancel()
        while not self._finished.empty():  # answers that nobody took: later requests may have the same ids
            self._finished.get_nowait()
        return [Completion.aborted(request, None) for request in (*asked, *waiting)]

    def _cancel(self) -> None:
        if self._loop is not None:
            with suppress(TimeoutError):  # what hangs is closed with the engine
                asyncio.run_coroutine_threadsafe(self._cancel_tasks(), self._loop).result(END_S)

    async def _cancel_tasks(self) -> None:
        with self._lock:
            tasks = [task for _, task in self._tasks.values()]
            self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def kill(self, reason: str) -> bool:
        """Has the next step end with an error; no step hangs, since none waits for the server."""
        with self._lock:
            self._fail(EngineDiedError(reason, running=tuple(self._tasks)))
        return True

    def state(self) -> EngineState:
        """Returns what is in flight, by the server's metrics where it has them; what waits for a place or its next try is queued."""
        exchanges = self._exchanges
        pausing = exchanges.pausing if exchanges is not None else 0
        own = EngineState(
            running=max(0, len(self._tasks) - pausing),
            queued=len(self._queued) + pausing,
            generated_tokens=exchanges.tokens if exchanges is not None else 0,
        )
        return self._metrics.over(own)

    def report(self) -> EngineReport:
        """Returns what the server said of itself, and what asking it took."""
        found, exchanges = self._server, self._exchanges
        if found is None or exchanges is None:
            raise RuntimeError("no run has begun")
        return EngineReport(
            name="endpoint",
            version=found.version,
            batch_size=self._batch_size,
            loads=self._loads,
            server=replace(exchanges.report, place_wait_s=self._place_wait_s, cost=self._cost.known),
        )

    def close(self, *, process_ends: bool = False) -> None:  # noqa: ARG002 - connections are closed in any case
        """Ends what is in flight, and the thread."""
        loop, thread, client = self._loop, self._thread, self._client
        self._loop = self._thread = self._client = None
        if loop is None or thread is None:
            return

        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await loop.shutdown_asyncgens()  # streams that were left half read
            if client is not None:
                await client.close()

        try:
            with suppress(TimeoutError):  # the thread is a daemon
                asyncio.run_coroutine_threadsafe(end(), loop).result(END_S)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(END_S)
            if not thread.is_alive():
                loop.close()
