"""Which request the engine gets next: all at once, or with `stop_when` few at a time, in the order that the seed decides."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from llmbench.config.choices import Schedule
from llmbench.config.schema import Config
from llmbench.engine.base import Engine
from llmbench.records import Request, Result
from llmbench.run.request_plan import Questions
from llmbench.run.stopping import Stopping


def groups_of(config: Config, questions: Questions, results: Iterable[Result]) -> list[Sequence[Request]]:
    """Returns all requests that have no result yet at once, or one benchmark after another."""
    done = {result.key for result in results}
    requests = [request for request in questions.requests if request.key not in done]
    if config.schedule is Schedule.together:
        return [requests]
    return [[r for r in requests if r.benchmark == name] for name in questions.benchmarks]


@dataclass(slots=True)
class RequestQueue:
    """Requests of a group that the engine has not been given.

    Attributes:
        at_once: Requests that the engine can run; None: it gets all, and holds back itself what it cannot run.
        benchmarks: Of the group.
    """

    stopping: Stopping
    at_once: int | None = None
    benchmarks: frozenset[str] = frozenset()
    _waiting: deque[Request] = field(default_factory=deque)

    @classmethod
    def of(cls, requests: Sequence[Request], stopping: Stopping, engine: Engine) -> "RequestQueue":
        """Returns the queue of a group of requests."""
        names = frozenset(request.benchmark for request in requests)
        at_once = None
        if names & stopping.monitors.keys():
            report = engine.report()
            at_once = (report.batch_size or len(requests)) * max(1, len(report.replicas))
        return cls(stopping, at_once, names, deque(requests))

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def over(self) -> bool:
        """Whether all benchmarks of the group have been asked enough."""
        return bool(self.benchmarks) and all(map(self.stopping.ended, self.benchmarks))

    def next(self, running: int, unfinished: int) -> Request | None:
        """Returns the request that is due; None where the engine has enough to do, or nothing waits.

        Args:
            running: Requests that the engine has.
            unfinished: Requests without a result, those that are being graded too.
        """
        while self._waiting and self.stopping.ended(self._waiting[0].benchmark):
            self._waiting.popleft()
        if not self._waiting:
            return None
        if self.at_once is not None and (
            running >= self.at_once or unfinished >= self.stopping.in_flight(self.benchmarks)
        ):
            return None
        return self._waiting.popleft()

    def clear(self) -> None:
        """Drops what waits."""
        self._waiting.clear()
