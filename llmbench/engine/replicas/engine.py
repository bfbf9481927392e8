"""The engine that shares requests between replicas.

Requests wait here, in the order in which they came, the longest expected first. Whichever replica has a place free gets the next one; none has
more than it can soon work on. What was running when a replica died is asked again on others; what was running at two deaths is asked alone, after
the others, by the replica that died last (`RestartingEngine`), so that one request cannot end all replicas.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.replicas import agreement, sums
from llmbench.engine.replicas.cluster import Cluster, ProcessGoneError
from llmbench.engine.replicas.queue import SharedQueue
from llmbench.engine.replicas.replica import Replica
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Took, Workload
from llmbench.errors import EngineDiedError, EngineError, LlmbenchError, OutOfMemoryError
from llmbench.records import Completion, Request
from llmbench.system.number_format import count
from llmbench.system.processes import process_space
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.nvml import RemoteGpu
from llmbench.telemetry.records import EngineState

log = logging.getLogger(__name__)

WAIT_S = 0.05
"""How long a step waits for an answer of any replica."""
DEATHS, MOST_DEATHS = 2, 4
"""A request that was running at so many deaths is asked alone, after the others; and one of a replica that does not come back is given up."""
SHORTAGES = 2
"""Times that memory runs out while requests run before a setting is lowered for all; once may be somebody else's doing."""


class ReplicatedEngine(ModelEngine):
    """Several replicas of an engine."""

    def __init__(self, config: Config, checkpoint: Checkpoint | None) -> None:
        """Takes the settings, with a number of replicas; starts nothing yet."""
        engine = config.engine
        self._replica_count, self._restarts = int(engine.replicas), config.engine_restarts
        single = replace(config, engine=replace(engine, replicas=1, ray_address=None))
        self._cores = agreement.cores_of(config, self._replica_count)
        gpus = agreement.gpus_of(config)
        self._cluster = Cluster(engine.ray_address, gpus * self._replica_count)
        leader = process_space(), os.getpid()
        self._settings = agreement.RemoteSettings(
            self._cluster, single, checkpoint, leader, gpus, config.engine_wait_s
        )
        self._replicas: list[Replica] = []
        self._queue = SharedQueue()
        self._died_with: dict[str, int] = {}  # deaths by the request that was running
        self._notice: Notice = log.info
        self._loads = 0
        self.capacity = 0

    # --- from starting to requests

    def prepare(self) -> None:
        """Starts Ray and the replicas' processes, compares them, and has them begin to import their libraries; the next question waits for that.

        Raises:
            EngineError: Ray or a process cannot be started, or hosts differ in what decides a result.
        """
        self._cluster.open()
        try:
            self._replicas = [
                Replica(number, self._settings, self._cores[number - 1] if self._cores else ())
                for number in range(1, self._replica_count + 1)
            ]
            self._in_all(lambda replica: replica.remote.describe())
            settings, facts = self._settings, self._replicas[0].remote.facts
            same_gpus = settings.config.engine.deterministic
            agreement.compare([each.remote.facts for each in self._replicas], same_gpus=same_gpus)
            agreement.compare_with_driver(facts, settings.checkpoint, settings.config.model)
            for each in self._replicas:
                each.remote.prepare()
        except BaseException:
            self.close()
            raise

    def _in_all(self, begin: Callable[[Replica], None]) -> list[str]:
        """Begins something in all processes, and waits for all; returns what they said once, or raises the first error, with the host's name."""
        said: dict[str, None] = {}
        for each in self._replicas:
            begin(each)
        for each in self._replicas:
            try:
                said |= dict.fromkeys(each.remote.wait())
            except OutOfMemoryError as error:
                shortage = replace(error.shortage, needs_new_process=False)  # that process ends
                raise OutOfMemoryError(self._on_host(each, error), shortage) from error
            except LlmbenchError as error:
                raise type(error)(self._on_host(each, error)) from error
        return list(said)

    def _on_host(self, replica: Replica, error: Exception) -> str:
        facts = replica.remote.facts
        if self._cluster.local or facts is None:
            return str(error)
        return f"On {facts.place.host}: {error}"

    def preferred_batch_size(self, workload: Workload) -> int:
        """Returns how many requests should run at once in each replica."""
        return int(self._ask("preferred_batch_size", sums.share(workload, self._replica_count)))

    def serves(self, workload: Workload) -> bool:
        """Whether each replica can take its share as it was loaded."""
        try:
            return bool(self._ask("serves", sums.share(workload, self._replica_count)))
        except EngineError:
            return False

    def _ask(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - a method's
        self._in_all(lambda _: None)  # what was begun
        for each in self._replicas:
            try:
                return each.remote.ask(name, *arguments)
            except ProcessGoneError:
                continue
        raise EngineError("No replica answers any more.")

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model in all replicas at once; raises the `EngineError` of one that cannot start."""
        part = sums.share(workload, self._replica_count)
        self.capacity = self.preferred_batch_size(workload)  # which is lowered where memory runs out now
        if self._replica_count > 1:
            notice(f"Loading {self._replica_count} replicas side by side.")
        try:
            for sentence in self._in_all(lambda replica: replica.remote.load(part)):
                notice(sentence)
        except BaseException:
            self.close()
            raise
        self.capacity = min(each.remote.capacity for each in self._replicas)

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool, notice: Notice) -> None:  # noqa: ARG002 - each replica reads its own
        """Starts a run in all replicas; those that died at the end of an earlier run are loaded again."""
        part, far = sums.share(workload, self._replica_count), not self._cluster.local
        self._queue, self._died_with = SharedQueue(), {}
        self._notice, self._loads = notice, len(self._replicas) if loaded else 0
        self._in_all(lambda replica: replica.begin(part, loaded=loaded, watch_gpus=far))
        for each in self._replicas:
            each.ready(self._restarts)

    # --- requests

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; a continuation goes to the replica that has its beginning in the prefix cache."""
        self._queue.submit(request, first=first)

    def step(self) -> list[Completion]:
        """Gives waiting requests to free places and returns what replicas have finished.

        Raises:
            EngineDiedError: Ray is gone.
            EngineError: No replica is left.
            OutOfMemoryError: Memory ran out more than once.
        """
        if not self._cluster.alive():
            raise EngineDiedError("Ray, which has the replicas, ended", needs_new_process=True)
        working = self._working()
        self._queue.share_out(working)
        calls = [call for each in working if each.remote.failure is None for call in each.remote.calls()]
        if calls:
            self._cluster.ready(calls, WAIT_S)
        else:
            time.sleep(WAIT_S / 10)
        finished = [completion for each in working for completion in self._step(each)]
        if not finished:
            self._check()
        return finished

    def _working(self) -> list[Replica]:
        return [each for each in self._replicas if each.lost is None]

    def _step(self, replica: Replica) -> list[Completion]:
        finished: list[Completion] = []
        try:
            finished = replica.step()
        except EngineError as error:  # none follows
            finished = self._on_death(replica, str(error))
        else:
            if replica.engine.dead:
                finished += self._on_death(replica)
        self._queue.remember_writers(replica, finished)
        return finished

    def _on_death(self, replica: Replica, lost: str | None = None) -> list[Completion]:
        """Has others asked what a dead replica had, while another process is loaded, unless `lost` says why none may follow.

        Returns the requests that are given up, since too many replicas died of them.
        """
        replica.note_death()
        for name in replica.remote.failure.running if replica.remote.failure is not None else ():
            self._died_with[name] = self._died_with.get(name, 0) + 1
        if lost is None:
            back = replica.on_death(lambda name: self._died_with.get(name, 0) >= DEATHS)
        else:
            back = replica.give_up(lost)
        again = [request for request in back if self._died_with.get(request.id, 0) < MOST_DEATHS]
        self._queue.give_back(again)
        self._notice(self._death(replica, len(again)))
        reason = f"{MOST_DEATHS} replicas died while they worked on it: {replica.deaths[-1].rstrip('.')}"
        return [Completion.aborted(request, reason) for request in back if request not in again]

    def _death(self, replica: Replica, again: int) -> str:
        """The sentence about a death."""
        name = f"Replica {replica.number} of {self._replica_count}"
        if replica.lost is not None:
            left = count(len(self._working()), "other")
            return f"{name} does not come back: {replica.lost.rstrip('.')}. The run goes on with {left}."
        rest = f" Others are asked its {count(again, 'request')} without an answer." if again else ""
        return f"{name} is started again: {replica.deaths[-1].rstrip('.')}.{rest}"

    def _check(self) -> None:
        """Raises where nobody is left, or memory ran out too often."""
        if not self._working():
            reasons = dict.fromkeys((each.lost or "").rstrip(".") for each in self._replicas)
            raise EngineError(f"No replica is left: {'; '.join(reasons)}.")
        shortages = [shortage for each in self._replicas for shortage in each.shortages]
        if len(shortages) >= SHORTAGES:
            raise OutOfMemoryError("Replicas ran out of memory while requests ran.", shortages[-1])

    def abort(self) -> list[Completion]:
        """Drops everything unfinished, in the replicas too."""
        dropped = [Completion.aborted(request, None) for request in self._queue.clear()]
        for each in self._working():
            dropped += each.engine.abort()
        return dropped

    def kill(self, reason: str) -> bool:
        """Kills the replicas' processes on this machine, without a word to Ray: what hangs may be Ray."""
        log.warning("%s", reason)
        for each in self._replicas:
            each.remote.kill_here()
        return True

    # --- what is known

    def state(self) -> EngineState:
        """Adds up the replicas' states, as they last were."""
        state = sums.of_states([each.engine.state() for each in self._replicas])
        return replace(state, queued=(state.queued or 0) + len(self._queue))

    def report(self) -> EngineReport:
        """Returns the first replica's report with the sums of all, and what each replica did."""
        for each in self._replicas if self._cluster.alive() else ():
            try:
                each.remote.refresh()
            except ProcessGoneError:
                log.info("replica %d does not answer; its report is that of its start", each.number)
        found = sums.of_reports([each.engine.report() for each in self._replicas])
        reloads = sum(len(each.deaths) for each in self._replicas)
        return replace(
            found, loads=self._loads + reloads, replicas=[each.report() for each in self._replicas]
        )

    @property
    def remote_gpus(self) -> Sequence[RemoteGpu]:
        """The GPUs that this machine's telemetry does not see."""
        return [] if self._cluster.local else [gpu for each in self._replicas for gpu in each.gpus]

    def learn(self, took: Took) -> None:
        """Gives one replica its share of what the run took, as a run of its own."""
        seconds = [each.remote.load_s for each in self._replicas if each.remote.load_s is not None]
        if seconds and not any(each.deaths for each in self._replicas):
            with suppress(EngineError):  # all is answered
                self._ask("learn", sums.share_of(took, len(self._replicas), max(seconds)))

    def close(self, *, process_ends: bool = False) -> None:  # noqa: ARG002 - Ray outlives no process, but would take its time
        """Ends the replicas and leaves Ray."""
        self._replicas = []
        self._cluster.close()
