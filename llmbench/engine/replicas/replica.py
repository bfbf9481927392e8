"""One replica from a run's beginning to its end: the process that it has now, and those that replaced dead ones."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmbench.engine.base import Engine
from llmbench.engine.replicas.agreement import RemoteSettings
from llmbench.engine.replicas.remote import RemoteEngine
from llmbench.engine.restarting import RestartingEngine, RestartLog
from llmbench.engine.workload import Workload
from llmbench.errors import EngineError, Shortage
from llmbench.records import Completion, Request
from llmbench.system.stdio import silent
from llmbench.telemetry.engine_report import ReplicaReport
from llmbench.telemetry.nvml import RemoteGpu

if TYPE_CHECKING:
    from llmbench.engine.replicas.worker import Facts

AHEAD = 8
"""One in so many of the batch is given to a replica beyond it, so that no place idles while the next reply travels."""


class Replica:
    """A replica, which starts another process when its own has died. It is the source of the engines for its `RestartingEngine`.

    Attributes:
        number: From 1.
        batch_size: Requests that it works on at once, in this run.
        remote: The process that stands now, or the last that did.
        gpus: What is known of its GPUs.
        deaths: Why its processes died in this run.
        lost: Why it did not come back; None as long as it works.
        shortages: What memory was short for, each time that it ran out while requests ran.
    """

    def __init__(self, number: int, settings: RemoteSettings, cores: Sequence[int]) -> None:
        """Begins to start the process."""
        self.number, self._settings, self._cores = number, settings, cores
        self.gpus = tuple(RemoteGpu() for _ in range(settings.gpus))
        self.remote = RemoteEngine(settings, cores, self.gpus)
        self.deaths: list[str] = []
        self.lost: str | None = None
        self.shortages: list[Shortage] = []
        self._facts: Facts | None = None  # this and the next: of the process before
        self._load_s: float | None = None
        self._restarting: RestartingEngine | None = None
        self._share: Workload | None = None
        self._watch_gpus = False
        self.batch_size = self._requests = self._output_tokens = 0

    def begin(self, share: Workload, *, loaded: bool, watch_gpus: bool) -> None:
        """Begins a run: counters stand at zero. A process that died since the last run is replaced."""
        self._share, self._watch_gpus = share, watch_gpus
        self.deaths, self.lost, self.shortages = [], None, []
        self._requests = self._output_tokens = 0
        if not loaded:
            self.remote.look_whether_it_lives()
        if self.remote.failure is not None:
            self.open()
        else:
            self.remote.begin(share, loaded=loaded, watch_gpus=watch_gpus)

    def ready(self, restarts: int) -> None:
        """Takes requests from now on; so many deaths in a row without an answer between are followed by another process."""
        self.batch_size = self.remote.report().batch_size or 1
        restart_log = RestartLog()
        restart_log.begin(restarts, ())
        self._restarting = RestartingEngine(self.remote, self, restart_log, silent)

    @property
    def engine(self) -> RestartingEngine:
        """What requests are given to."""
        if self._restarting is None:
            raise RuntimeError("no run has begun")
        return self._restarting

    def places(self, *, ahead: bool) -> int:
        """How many more requests it should have now; `ahead`, unless these are the last, some more than it can work on at once."""
        if self.lost is not None or not self.remote.ready:
            return 0
        more = max(1, self.batch_size // AHEAD) if ahead else 0
        return self.batch_size + more - self.engine.unfinished

    def step(self) -> list[Completion]:
        """Takes what it has finished; raises `EngineError` where it does not come back."""
        finished = self.engine.step()
        self._requests += len(finished)
        self._output_tokens += sum(completion.output_tokens for completion in finished)
        return finished

    def note_death(self) -> None:
        """Counts a death of its process."""
        self.deaths.append(str(self.remote.failure))
        if self.remote.shortage is not None:
            self.shortages.append(self.remote.shortage)

    def on_death(self, keep: Callable[[str], bool]) -> list[Request]:
        """Handles a death: another process is started. Returns the requests that others are to ask, but not those to `keep`."""
        back = self.engine.give_back(keep)
        try:
            self.engine.recover()
        except EngineError as error:
            return [*back, *self.give_up(str(error))]
        return back

    def give_up(self, reason: str) -> list[Request]:
        """Asks nothing of it any more; returns what it had."""
        self.lost = reason
        self.remote.close()
        return self.engine.give_back_all()

    def open(self) -> Engine:
        """Begins to start another process in place of a dead one; it takes requests at once and answers when it is loaded."""
        if self._share is None:
            raise RuntimeError("no run has begun")
        before = self.remote
        self._facts, self._load_s = before.facts or self._facts, before.load_s or self._load_s
        self.remote = RemoteEngine(self._settings, self._cores, self.gpus, before.report())
        self.remote.describe(like=self._facts)
        self.remote.prepare()
        self.remote.load(self._share)
        self.remote.begin(self._share, loaded=True, watch_gpus=self._watch_gpus)
        return self.remote

    def discard(self) -> None:
        """Ends the dead process, and what may be left of it."""
        self.remote.close()

    def report(self) -> ReplicaReport:
        """What it was and did in this run."""
        facts = self.remote.facts or self._facts
        gpus = facts.gpus if facts is not None else ()
        return ReplicaReport(
            host=facts.place.host if facts is not None else None,
            gpus=[gpu.name for gpu in gpus],
            gpu_bytes=[gpu.total_bytes for gpu in gpus],
            driver=next((gpu.driver for gpu in gpus), None),
            versions=dict(facts.versions) if facts is not None else {},
            load_s=self.remote.load_s or self._load_s,
            requests=self._requests,
            output_tokens=self._output_tokens,
            deaths=list(self.deaths),
            lost=self.lost,
        )
