"""The engine and the graders that outlive a run: the jobs of a sweep share them where they can.

One engine is held at a time. A job that needs another closes it first, so that its memory is free for the next.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from llmbench.config.schema import AUTO, Config
from llmbench.engine import template_file
from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.factory import complete, find_checkpoint, load_tokenizer
from llmbench.engine.replicas import open_engine
from llmbench.engine.restarting import RestartLog
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError, EngineError
from llmbench.run.grading import GraderPool
from llmbench.run.oom_recovery import lowered
from llmbench.system.number_format import count

if TYPE_CHECKING:
    from llmbench.results.recovery import Step

log = logging.getLogger(__name__)

LOADED_WITH = (
    "hub_id", "path", "embedded", "revision", "quantization", "dtype", "max_length", "gpu_memory_utilization",
    "attention_backend", "kv_cache_dtype", "trust_remote_code", "lora",
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
    patience = (config.engine_wait_s, config.engine_restarts) if config.engine.replicas != 1 else ()
    parts = repr((model, config.engine.in_force, patience))
    return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(slots=True)
class _Held:
    """The engine that is held.

    Attributes:
        key: Of the settings that it was opened for (`engine_key`).
        since: Seconds of the epoch when it was opened: what it read of its checkpoint is as it was then.
    """

    engine: ModelEngine
    key: str
    checkpoint: Checkpoint | None
    since: float
    loaded: bool = False


class EnginePool:
    """Holds one engine and one set of grading workers. A context manager; leaving it frees both.

    Attributes:
        engines: Where engines come from.
        graders: The grading workers.
        loads: How often a model was loaded.
        then: Called after each load.
        steps: Settings that were lowered because memory ran out, for each engine as it was asked for (`engine_key`).
        restart_log: Of a run that goes on in a new process.
        shown: What the terminal was told of the data.
    """

    def __init__(self, engines: Engines | None = None, *, process_ends: bool = False) -> None:
        """Holds nothing yet; `process_ends` says that the process ends with the pool, and frees what is its own."""
        self.engines = engines or Engines()
        self.graders = GraderPool()
        self.loads = 0
        self.then: Callable[[], None] = lambda: None
        self.steps: dict[str, list[Step]] = {}
        self.restart_log = RestartLog()
        self.shown = set[str]()
        self._replicas: dict[str, int] = {}  # what `auto` was decided to mean, by engine_key
        self._process_ends = process_ends
        self._held: _Held | None = None
        self._planned: list[Config] = []
        self._tokenizer: tuple[object, Tokenizer] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close_engine(process_ends=self._process_ends)
        finally:
            self.graders.close(at_once=kind is not None)

    def plan(self, configs: Sequence[Config]) -> None:
        """Says which jobs of one engine come next: it is loaded with the largest batch that they need."""
        self._planned = []
        for config in configs:
            with suppress(ConfigError, EngineError):  # that job will say it itself
                self._planned.append(complete(config, self.engines.find_checkpoint)[0])

    def lowered(self, config: Config) -> Config:
        """The settings with what had to be lowered for this engine before."""
        return lowered(config, self.steps.get(engine_key(config), ()))

    def choose_replicas(
        self, config: Config, checkpoint: Checkpoint | None, workload: Workload, notice: Notice
    ) -> Config:
        """Returns the settings with a number of replicas; what `auto` means is decided once for all jobs of an engine, and shown.

        Raises:
            EngineError: There is no room for one, or no such cluster.
        """
        key, asked = engine_key(config), config.engine.replicas
        if isinstance(asked, int) and asked > max(1, workload.requests):
            notice(f"{count(workload.requests, 'replica')} instead of {asked}: there are no more requests.")
            config = replace(config, engine=replace(config.engine, replicas=max(1, workload.requests)))
        if asked == AUTO and key not in self._replicas:
            from llmbench.engine.replicas.agreement import choose

            works = [workload, *(bound(c) for c in self._planned if engine_key(c) == key and c != config)]
            self._replicas[key], why = choose(config, checkpoint, merged(works))
            notice(why)
        config = self._with_replicas(config)
        if config.engine.replicas != 1 and self._held is None:
            notice(f"Starting {config.engine.replicas} replicas …")
        return config

    def _with_replicas(self, config: Config) -> Config:
        chosen = self._replicas.get(engine_key(config))
        if chosen is None or config.engine.replicas != AUTO:
            return config
        return replace(config, engine=replace(config.engine, replicas=chosen))

    def prepare(self, config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        """Returns the engine for these settings, its libraries imported; the one that is held, if it can serve them.

        Raises:
            EngineError: The engine's libraries cannot be imported.
        """
        key = engine_key(config)
        if self._held is not None and (key, checkpoint) != (self._held.key, self._held.checkpoint):
            self.close_engine()
        if self._held is None:
            since = time.time()
            self._held = _Held(self.engines.open_engine(config, checkpoint), key, checkpoint, since)
            try:
                self._held.engine.prepare()
            except BaseException:
                self.close_engine()
                raise
        return self._held.engine

    def tokenizer(self, config: Config, checkpoint: Checkpoint | None) -> Tokenizer:
        """The checkpoint's tokenizer; read once for all jobs in a row that use the same one with the same chat template."""
        key = checkpoint, template_file.read(config.model)
        if self._tokenizer is None or checkpoint is None or self._tokenizer[0] != key:
            self._tokenizer = key, self.engines.load_tokenizer(config, checkpoint)
        return self._tokenizer[1]

    def make_room(self, config: Config, workload: Workload) -> ModelEngine:
        """Returns the prepared engine; closed and prepared anew where it was loaded for less than this work asks for.

        Raises:
            EngineError: The engine's libraries cannot be imported.
        """
        held = self._prepared
        if held.loaded and not held.engine.serves(workload):
            log.info(
                "the engine was loaded for %s requests at once; it is loaded again", held.engine.capacity
            )
            self.close_engine()
            return self.prepare(config, held.checkpoint)
        return held.engine

    def preferred_batch_size(self, config: Config, workload: Workload) -> int:
        """Returns how many requests should run at once.

        Raises:
            EngineError: The engine could not be prepared; none is held any more.
        """
        try:
            return self.make_room(config, workload).preferred_batch_size(workload)
        except EngineError:
            self.close_engine()
            raise

    @property
    def _prepared(self) -> _Held:
        if self._held is None:
            raise RuntimeError("nothing was prepared")
        return self._held

    @property
    def since(self) -> float | None:
        """When the held engine was opened, in seconds of the epoch; None without one."""
        return self._held.since if self._held is not None else None

    @property
    def loaded(self) -> bool:
        """Whether the engine that is held is loaded."""
        return self._held is not None and self._held.loaded

    def load(self, config: Config, workload: Workload, notice: Notice) -> bool:
        """Loads the prepared engine unless it is loaded; returns whether it was loaded now.

        Raises:
            EngineError: It cannot start; nothing is held any more.
            OutOfMemoryError: Too little memory; likewise.
        """
        held = self._prepared
        if held.loaded:
            return False
        key = engine_key(config)
        planned = [self.lowered(self._with_replicas(c)) for c in self._planned]
        others = [bound(c) for c in planned if engine_key(c) == key and c != config]
        try:
            held.engine.load(merged([workload, *others]), notice)
        except BaseException:
            self._held = None
            raise
        held.loaded = True
        self.loads += 1
        self.then()
        return True

    def close_engine(self, *, process_ends: bool = False) -> None:
        """Frees the engine."""
        held, self._held = self._held, None
        if held is not None:
            held.engine.close(process_ends=process_ends)


def bound(config: Config) -> Workload:
    """Returns what a run may ask, by its settings alone: the most there can be."""
    counts = {}
    for name, benchmark in config.benchmarks.items():
        known = [n for n in (benchmark.num_samples, benchmark.size) if n is not None]
        counts[name] = (min(known) if known else MANY) * benchmark.repeats
    return Workload.of(config, counts)


MANY = 1_000_000
"""Stands for a number of samples that the settings do not say; engines have their own bound."""


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
