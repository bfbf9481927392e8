"""Grading in worker processes, each answer under a hard limit of time and memory.

The workers start before torch or vllm is imported: spawned, one thread each, SIGINT blocked, so that Ctrl-C reaches only the
run itself. They import what grading needs while the model loads. A worker that hangs or dies takes one answer with it.
"""

import importlib
import logging
import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from llmbench.benchmarks.base import import_module, score
from llmbench.processes import blocked_sigint
from llmbench.records import FinishReason, Outcome, Sample, Score

log = logging.getLogger(__name__)

LIMIT_S = 20.0
"""Seconds one answer may take; equivalence of ordinary answers takes milliseconds."""
MEMORY_BYTES = 4 << 30
"""Address space of a worker."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Ticket = TypeVar("Ticket")


def _prepare(modules: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for name in modules:
        importlib.import_module(name)


def _warm_up() -> None:
    """Does nothing: it is there to make a worker start."""


def grade(path: str, sample: Sample, text: str, finish_reason: FinishReason) -> Score:
    """Grades one text with the benchmark's module; what goes wrong becomes an outcome."""
    module = import_module(path.rpartition(".")[2], path)
    try:
        return score(module, sample, text, finish_reason)
    except MemoryError:
        return Score(0.0, None, Outcome.ERROR, "grading ran out of memory")
    except RecursionError:
        return Score(0.0, None, Outcome.ERROR, "grading recursed too deeply")


class Grader(Generic[Ticket]):
    """A pool of grading workers. What was submitted comes back from `finished` with its ticket, in any order."""

    def __init__(
        self, modules: Sequence[str] = (), workers: int | None = None, limit_s: float = LIMIT_S
    ) -> None:
        """Names the modules that workers import beforehand."""
        self._workers = workers or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._modules, self._limit_s = tuple(modules), limit_s
        self._open: list[tuple[Ticket, Any]] = []

    def __enter__(self) -> Self:
        """Starts the workers and returns at once."""
        context = multiprocessing.get_context("spawn")
        with blocked_sigint(), _one_thread():
            self._pool = ProcessPool(
                self._workers, initializer=_prepare, initargs=(self._modules,), context=context
            )
            self._warm = [self._pool.schedule(_warm_up) for _ in range(self._workers)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the workers; after an error without waiting for what is open."""
        self.close(at_once=kind is not None)

    def close(self, *, at_once: bool) -> None:
        """Ends the workers, when they are done or at once."""
        if at_once:
            self._pool.stop()
        else:
            self._pool.close()
        self._pool.join(timeout=5)

    @property
    def usable(self) -> bool:
        """Whether the workers can take another run's texts: they live, and nothing of the last run is open."""
        return bool(self._pool.active) and not self._open

    def submit(self, ticket: Ticket, path: str, sample: Sample, text: str, reason: FinishReason) -> None:
        """Queues a text for grading."""
        limit_s = getattr(importlib.import_module(path), "LIMIT_S", self._limit_s)
        future = self._pool.schedule(grade, args=(path, sample, text, reason), timeout=limit_s)
        self._open.append((ticket, future))

    @property
    def unfinished(self) -> int:
        """Texts that were submitted and have not come back."""
        return len(self._open)

    def finished(self, *, wait: bool = False) -> Iterator[tuple[Ticket, Score]]:
        """What is graded by now, or, with `wait`, everything submitted."""
        for ticket, future in list(self._open):
            if wait or future.done():
                score = _outcome(future)
                self._open.remove((ticket, future))  # before it is given away: the taker may raise
                yield ticket, score


def _outcome(future: Any) -> Score:  # noqa: ANN401 - pebble's future
    try:
        return future.result()  # type: ignore[no-any-return]
    except FutureTimeoutError:
        return Score(0.0, None, Outcome.TIMEOUT, "grading ran past its limit")
    except (ProcessExpired, CancelledError) as error:
        return Score(0.0, None, Outcome.ERROR, f"the grading worker died: {error}")
    except Exception as error:
        log.warning("grading failed", exc_info=error)
        return Score(0.0, None, Outcome.ERROR, f"grading failed: {type(error).__name__}: {error}")


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
