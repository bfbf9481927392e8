"""The engine and the graders that outlive a run: the jobs of a sweep share them where they can.

One engine is held at a time. A job that needs another closes it first, so that its memory is free for the next.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.checkpoint_settings import complete
from llmbench.engine.factory import find_checkpoint, load_tokenizer, open_engine
from llmbench.engine.restarting import RestartLog
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError
from llmbench.run.grading import Grader
from llmbench.run.oom_recovery import lowered
from llmbench.run.request_plan import graders_need

if TYPE_CHECKING:
    from llmbench.results.recovery import Step

log = logging.getLogger(__name__)

MOST_WORKERS = 16
"""That run programs; each may take as much memory as a program's limit."""
LOADED_WITH = (
    "hub_id", "path", "embedded", "revision", "quantization", "dtype", "max_length", "gpu_memory_utilization",
    "attention_backend", "trust_remote_code",
)  # fmt: skip
"""The model's settings that an engine is loaded with; the others are used for each run anew."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Where models and engines come from; replaced by tests and by those who bring their own."""

    find_checkpoint: Callable[[Config], Checkpoint | None] = find_checkpoint
    load_tokenizer: Callable[[Config, Checkpoint | None], Tokenizer] = load_tokenizer
    open_engine: Callable[[Config, Checkpoint | None], ModelEngine] = open_engine


def engine_key(config: Config) -> str:
    """Equal for settings that one engine can serve one after the other."""
    model = {name: getattr(config.model, name) for name in LOADED_WITH}
    parts = repr((model, asdict(config.engine)))
    return hashlib.sha256(parts.encode()).hexdigest()


class EnginePool:
    """Holds one engine and one set of grading workers. A context manager; leaving it frees both."""

    def __init__(self, engines: Engines | None = None, *, process_ends: bool = False) -> None:
        """Holds nothing yet; `process_ends` says that the process ends with the pool, and frees what is its own."""
        self.engines = engines or Engines()
        self.loads = 0
        self.then: Callable[[], None] = lambda: None  # called after each load
        self.since = 0.0  # seconds of the epoch at which the held engine was opened: what it read of its checkpoint is as it was then
        self._process_ends = process_ends
        self._engine: ModelEngine | None = None
        self._prepared = self._loaded = False
        self._key: str | None = None
        self._planned: list[Config] = []
        self._checkpoint: Checkpoint | None = None
        self._tokenizer: tuple[Checkpoint, Tokenizer] | None = None
        self._grader: Grader[Any] | None = None
        self.steps: dict[str, list[Step]] = {}  # what was lowered, for each engine as it was asked for
        self.restart_log = RestartLog()  # of a run that goes on in a new process
        self._modules: frozenset[str] = frozenset()
        self._runs = "bwrap", False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close_engine(process_ends=self._process_ends)
        finally:
            self._close_grader(kind)

    def plan(self, configs: Sequence[Config]) -> None:
        """Says which jobs of one engine come next: it is loaded with the largest batch that they need."""
        self._planned = []
        for config in configs:
            with suppress(ConfigError):  # that job will say it itself
                self._planned.append(complete(config, self.engines.find_checkpoint)[0])

    def lowered(self, config: Config) -> Config:
        """The settings with what had to be lowered for this engine before."""
        return lowered(config, self.steps.get(engine_key(config), ()))

    def open(self, config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        """The engine for these settings, of which nothing is imported yet; the one that is held, if it can serve them."""
        key = engine_key(config)
        if self._engine is not None and (key, checkpoint) != (self._key, self._checkpoint):
            self.close_engine()
        if self._engine is None:
            self.since = time.time()
            self._engine, self._key = self.engines.open_engine(config, checkpoint), key
            self._prepared = self._loaded = False
        self._checkpoint = checkpoint
        return self._engine

    def prepare(self, config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        """The same, its libraries imported.

        Raises:
            EngineError: The engine's libraries cannot be imported.
        """
        engine = self.open(config, checkpoint)
        if not self._prepared:
            try:
                engine.prepare()
            except BaseException:
                self.close_engine()
                raise
            self._prepared = True
        return engine

    def tokenizer(self, config: Config, checkpoint: Checkpoint | None) -> Tokenizer:
        """The checkpoint's tokenizer; read once for all jobs in a row that use the same one."""
        if checkpoint is None:
            return self.engines.load_tokenizer(config, checkpoint)
        if self._tokenizer is None or self._tokenizer[0] != checkpoint:
            self._tokenizer = checkpoint, self.engines.load_tokenizer(config, checkpoint)
        return self._tokenizer[1]

    def make_room(self, config: Config, workload: Workload) -> ModelEngine:
        """The prepared engine; closed and prepared anew where it was loaded for less than this work asks for.

        Raises:
            EngineError: The engine's libraries cannot be imported.
        """
        engine = self._engine
        if engine is None:
            raise RuntimeError("nothing was prepared")
        if self._loaded and not engine.serves(workload):
            log.info("the engine was loaded for %s requests at once; it is loaded again", engine.capacity)
            self.close_engine()
            return self.prepare(config, self._checkpoint)
        return engine

    @property
    def loaded(self) -> bool:
        """Whether the engine that is held is loaded."""
        return self._loaded

    def load(self, config: Config, workload: Workload, notice: Notice) -> bool:
        """Loads the prepared engine unless it is loaded; returns whether it was loaded now.

        Raises:
            EngineError: It cannot start; nothing is held any more.
            OutOfMemoryError: Too little memory; likewise.
        """
        engine = self._engine
        if engine is None:
            raise RuntimeError("nothing was prepared")
        if self._loaded:
            return False
        key = engine_key(config)
        planned = [self.lowered(c) for c in self._planned]
        others = [bound(c) for c in planned if engine_key(c) == key and c != config]
        try:
            engine.load(merged([workload, *others]), notice)
        except BaseException:
            self._engine = None
            raise
        self._loaded = True
        self.loads += 1
        self.then()
        return True

    def close_engine(self, *, process_ends: bool = False) -> None:
        """Frees the engine."""
        engine, self._engine = self._engine, None
        self._prepared = self._loaded = False
        if engine is not None:
            engine.close(process_ends=process_ends)

    def grader(
        self, modules: Iterable[str], sandbox: str = "bwrap", *, runs_code: bool = False
    ) -> Grader[Any]:
        """Grading workers that have imported these modules and use this sandbox; those of the job before, if they have.

        Where they run programs there is one for each core, behind everything else that wants it.
        """
        wanted = frozenset(modules)
        if (sandbox, runs_code) != self._runs:
            self._close_grader(None)
        self._runs = sandbox, runs_code
        for config in self._planned:
            with suppress(ConfigError):  # that job will say it itself
                wanted |= graders_need(config)
        if self._grader is not None and not (wanted <= self._modules and self._grader.usable):
            self._close_grader(None)
        if self._grader is None:
            workers = max(1, min(MOST_WORKERS, os.cpu_count() or 1)) if runs_code else None
            self._grader = Grader(sorted(wanted), workers)
            self._modules = wanted
            self._grader.__enter__()
        return self._grader

    def _close_grader(self, kind: type[BaseException] | None) -> None:
        grader, self._grader = self._grader, None
        if grader is not None:
            grader.close(at_once=kind is not None or bool(grader.unfinished))


def bound(config: Config) -> Workload:
    """What a run may ask, told from its settings alone: the most there can be."""
    counts = {}
    for name, benchmark in config.benchmarks.items():
        known = [n for n in (benchmark.num_samples, benchmark.size) if n is not None]
        counts[name] = (min(known) if known else MANY) * benchmark.repeats
    return Workload.of(config, counts)


MANY = 1_000_000
"""Stands for a number of samples that the settings do not tell; engines have their own bound."""


def merged(works: Sequence[Workload]) -> Workload:
    """Work that one engine is loaded for; what is not known of jobs to come is taken from the first."""
    return Workload(
        requests=sum(work.requests for work in works),
        longest=max(work.longest for work in works),
        output_tokens=sum(work.output_tokens for work in works),
        batch_size=max(work.batch_size for work in works),
        at_once=max(work.at_once for work in works),
        fixed_length=works[0].fixed_length,
        greedy=all(work.greedy for work in works),
        prompt_tokens=works[0].prompt_tokens,
        batching=works[0].batching,
        jobs=tuple(works) if len(works) > 1 else (),
    )
