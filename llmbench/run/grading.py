"""Grading in worker processes, each answer under a hard limit of time and memory.

The first workers start before torch or vllm is imported: spawned, one thread each, SIGINT blocked, so that Ctrl-C reaches only the
run itself. They import what grading needs while the model loads, and end with llmbench, however that ends.
"""

import importlib
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from llmbench.benchmarks.base import Benchmark, score
from llmbench.benchmarks.importing import import_benchmark, module_of
from llmbench.errors import GradingError
from llmbench.records import FinishReason, Outcome, Sample, Score
from llmbench.system.processes import Spawning, blocked_sigint, end_with_parent, environment
from llmbench.system.signals import deferred

log = logging.getLogger(__name__)

MEMORY_BYTES = 4 << 30
"""Address space of a worker."""
OUT_OF_MEMORY = 86
"""The exit status of a worker that could get no more."""
MOST_DEATHS = 2
"""Workers that one text may kill."""
MOST_BREAKS = 3
"""Times in a row that the workers are all started again."""
SLACK_S = 60.0
"""Beyond a text's limit: a worker may have to start, and pebble gives up a lock after this time."""
LOOK_S = 1.0
MOST_WORKERS = 16
"""That run programs; each may take as much memory as a program's limit."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Ticket = TypeVar("Ticket")


def _prepare(modules: Sequence[str]) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for name in modules:
        importlib.import_module(module_of(name))


def _warm_up() -> None:
    """Does nothing: it is there to make a worker start."""


def grade(path: str, sample: Sample, text: str, finish_reason: FinishReason) -> Score:
    """Grades one text with the benchmark of a module, in a worker; what goes wrong becomes an outcome.

    A worker that runs out of memory ends, as others do that the kernel ends for it: what it still holds may be the reason.
    """
    return _guarded(lambda benchmark: score(benchmark, sample, text, finish_reason), path)


def find_stated(path: str, sample: Sample, text: str, _finish_reason: FinishReason) -> Score:
    """Looks for a stated answer in a text that was cut, in a worker; nothing is compared: only `answer` says something.

    Without an answer the outcome is NO_ANSWER; TIMEOUT or ERROR mean that nobody knows.
    """

    def find(benchmark: Benchmark) -> Score:
        answer = benchmark.extract(sample, text, complete=False)
        return Score(0.0, answer, Outcome.NO_ANSWER if answer is None else Outcome.WRONG)

    return _guarded(find, path)


def checked_score(score: Score) -> Score:
    """Returns a score that can be counted; what a user's benchmark gives may be anything."""
    is_score = isinstance(score, Score) and isinstance(score.outcome, Outcome)
    known = is_score and isinstance(score.answer, str | None) and isinstance(score.value, int | float)
    if not (known and 0 <= score.value <= 1):
        return Score(0.0, None, Outcome.ERROR, f"grading failed: {score!r:.200} cannot be counted")
    return score


def _guarded(task: Callable[[Benchmark], Score], path: str) -> Score:
    benchmark = import_benchmark(path.rpartition(".")[2], path)
    try:
        return checked_score(task(benchmark))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except SystemExit as error:
        return Score(0.0, None, Outcome.ERROR, f"grading ended the program (SystemExit: {error})")


Task = Callable[[str, Sample, str, FinishReason], Score]
"""What a worker does with a text; a function of this module, or one that can be imported."""


@dataclass(eq=False, slots=True)
class _Job(Generic[Ticket]):
    """A text that is being graded, and in how many workers that it killed."""

    ticket: Ticket
    arguments: tuple[str, Sample, str, FinishReason]
    limit_s: float
    task: Task
    future: Any = None  # pebble's
    deaths: int = 0


class Grader(Generic[Ticket]):
    """A pool of grading workers. What was submitted comes back from `finished` with its ticket, in any order.

    A text whose worker dies or runs out of memory is graded once more, in another; one that takes longer than its limit is not,
    for it would again. Where the pool breaks as a whole it is made anew, and what was open is graded there.
    """

    def __init__(self, modules: Sequence[str] = (), workers: int | None = None) -> None:
        self._workers = workers or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._modules = tuple(modules)
        self._open: list[_Job[Ticket]] = []
        self._warm: list[Any] = []  # pebble's futures of workers that start
        self._breaks = 0  # of the pool, since the last grade
        self._heard = time.monotonic()

    def __enter__(self) -> Self:
        self._start()
        return self

    def _start(self) -> None:
        context = Spawning()
        with deferred(), blocked_sigint(), environment(ONE_THREAD):
            self._pool = ProcessPool(
                self._workers, initializer=_prepare, initargs=(self._modules,), context=context
            )
            self._warm = [self._pool.schedule(_warm_up) for _ in range(self._workers)]
        self._heard = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        """Ends the workers; after an error without waiting for what is open."""
        self.close(at_once=kind is not None)

    def close(self, *, at_once: bool) -> None:
        """Ends the workers, when they are done or at once; those that are still starting are not waited for where nothing is open."""
        starting = not self._open and not all(future.done() for future in self._warm)
        if at_once or starting or not self._pool.active:
            self._pool.stop()
        else:
            self._pool.close()
        self._pool.join(timeout=5)

    @property
    def usable(self) -> bool:
        """Whether the workers can take another run's texts: they live, and nothing of the last run is open."""
        return bool(self._pool.active) and not self._open

    def submit(  # noqa: PLR0913, PLR0917 - a ticket, and what `grade` takes
        self,
        ticket: Ticket,
        path: str,
        sample: Sample,
        text: str,
        reason: FinishReason,
        task: Task = grade,
    ) -> None:
        """Queues a text for grading, or for `find_stated`."""
        limit_s = import_benchmark(path.rpartition(".")[2], path).grading_limit_s
        job = _Job(ticket, (path, sample, text, reason), limit_s, task)
        if not self._open:
            self._heard = time.monotonic()
        self._open.append(job)
        self._schedule(job)

    def _schedule(self, job: _Job[Ticket]) -> None:
        try:
            job.future = self._pool.schedule(job.task, args=job.arguments, timeout=job.limit_s)
        except RuntimeError as error:  # the pool is broken; `finished` makes a new one
            job.future = Future()
            job.future.set_exception(BrokenProcessPool(str(error)))

    @property
    def unfinished(self) -> int:
        """Texts that were submitted and have not come back."""
        return len(self._open)

    def drop(self) -> int:
        """Gives up what is open and kills the workers, for they may be deep in a text; returns how many texts that were."""
        count = len(self._open)
        self._open.clear()
        self.close(at_once=True)
        return count

    def finished(self, *, wait: bool = False) -> Iterator[tuple[Ticket, Score]]:
        """What is graded by now, or, with `wait`, everything submitted.

        Raises:
            GradingError: The workers die, however often they are started.
        """
        while True:
            self._renew_if_broken()
            for job in [job for job in self._open if job.future.done()]:
                score = self._outcome(job)
                if score is not None:
                    self._open.remove(job)  # before it is given away: the taker may raise
                    self._breaks, self._heard = 0, time.monotonic()
                    yield job.ticket, score
            if not wait or not self._open:
                return
            wait_for([job.future for job in self._open], LOOK_S, return_when=FIRST_COMPLETED)

    def _renew_if_broken(self) -> None:
        """Makes a new pool where this one is broken: a worker died while it had nothing to do, or a text got lost with one."""
        if not self._open:
            return
        silent_s = time.monotonic() - self._heard
        lost = silent_s > SLACK_S + max(job.limit_s for job in self._open)
        if self._pool.active and not lost:
            return
        self._breaks += 1
        if self._breaks > MOST_BREAKS:
            raise GradingError(
                f"The grading workers died {self._breaks} times in a row; see whether the machine is short of memory. "
                "What was graded is kept."
            )
        log.warning("the grading workers are started again: %s", "one was lost" if lost else "they died")
        self._pool.stop()
        self._pool.join(timeout=5)
        self._start()
        for job in self._open:
            if not (job.future.done() and job.future.exception() is None):  # else its score is there
                self._schedule(job)

    def _outcome(self, job: _Job[Ticket]) -> Score | None:
        """The score; None where it is graded again."""
        try:
            return job.future.result()  # type: ignore[no-any-return]
        except FutureTimeoutError:
            return Score(0.0, None, Outcome.TIMEOUT, "grading ran past its limit")
        except BrokenProcessPool:
            return None  # with the next look there is a new pool
        except (ProcessExpired, CancelledError) as error:
            job.deaths += 1
            memory = isinstance(error, ProcessExpired) and error.exitcode == OUT_OF_MEMORY
            what = "ran out of memory" if memory else f"died ({error})"
            if job.deaths >= MOST_DEATHS:
                reason = f"the text was graded twice, and the worker that tried again {what}"
                return Score(0.0, None, Outcome.ERROR, reason)
            log.warning("a grading worker %s; its text is graded again", what)
            self._schedule(job)
            return None
        except Exception as error:
            log.warning("grading failed", exc_info=error)
            return Score(0.0, None, Outcome.ERROR, f"grading failed: {type(error).__name__}: {error}")


class GraderPool:
    """Holds one set of grading workers, which outlive a run: the jobs of a sweep share them where they can."""

    def __init__(self) -> None:
        self._grader: Grader[Any] | None = None
        self._modules: frozenset[str] = frozenset()
        self._runs = "bwrap", False

    def get(self, modules: Iterable[str], sandbox: str = "bwrap", *, runs_code: bool = False) -> Grader[Any]:
        """Returns workers that have imported these modules and use this sandbox; those of the job before, if they have.

        Where they run programs there is one for each core, behind everything else that wants it.
        """
        wanted, grader = frozenset(modules), self._grader
        kept = (sandbox, runs_code) == self._runs and wanted <= self._modules
        if grader is None or not (kept and grader.usable):
            self.close()
            workers = max(1, min(MOST_WORKERS, os.cpu_count() or 1)) if runs_code else None
            self._grader = grader = Grader(sorted(wanted), workers)
            self._modules, self._runs = wanted, (sandbox, runs_code)
            grader.__enter__()
        return grader

    def close(self, *, at_once: bool = False) -> None:
        """Ends the workers: when they are done, or at once."""
        grader, self._grader = self._grader, None
        if grader is not None:
            grader.close(at_once=at_once or bool(grader.unfinished))
