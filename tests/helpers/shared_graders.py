"""Grading workers that go from one run to the next, since starting them takes longer than most tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from llmbench.run.grading import Grader
from llmbench.sandbox.start import VARIABLE

if TYPE_CHECKING:
    from pebble import ProcessPool

BENCHMARKS = {
    f"llmbench.benchmarks.{name}"
    for name in (
        *("arithmetic", "aime", "bbh", "math", "gsm8k", "gpqa", "simpleqa", "hle"),
        *(f"generic:{kind}" for kind in ("JudgedAnswer", "MathAnswer", "MultipleChoice", "NumberAnswer")),
    )
}
"""Whose answers are graded the same in any worker: they neither read the environment nor run programs."""


@contextmanager
def shared_graders() -> Iterator[None]:
    """Inside, runs of this process that grade nothing but `BENCHMARKS` use the same workers one after the other."""
    idle: dict[tuple[int, str | None], ProcessPool] = {}
    start, close = Grader._start, Grader.close

    def is_shared(grader: Grader[object]) -> bool:
        return bool(grader._modules) and BENCHMARKS.issuperset(grader._modules)

    def take_or_start(grader: Grader[object]) -> None:
        pool = idle.pop((grader._workers, os.environ.get(VARIABLE)), None) if is_shared(grader) else None
        if pool is not None and pool.active:
            grader._pool = pool
        else:
            start(grader)

    def give_back(grader: Grader[object], *, at_once: bool) -> None:
        key = grader._workers, os.environ.get(VARIABLE)
        if is_shared(grader) and grader.usable and not at_once and key not in idle:
            idle[key] = grader._pool
        else:
            close(grader, at_once=at_once)

    with patch.object(Grader, "_start", take_or_start), patch.object(Grader, "close", give_back):
        yield
    for pool in idle.values():
        pool.stop()
        pool.join()
