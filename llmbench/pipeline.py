"""A run from top to bottom: read the questions, find the model, write the prompts, load, ask and grade, add up.

`run` is what the command line calls and what a library user calls; everything it does is one of the steps in `_Run.go`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llmbench import clock, embedded, machine
from llmbench import summary as summaries
from llmbench.asking import Asking, Exchange, Stop
from llmbench.config import Config, EarlyStopping
from llmbench.engine.base import Engine, Factory, Source, find_model, open_engine
from llmbench.grading import Grader
from llmbench.questions import Questions, import_modules, read_samples, why_not_comparable, write_questions
from llmbench.records import Result
from llmbench.store import Store
from llmbench.summary import Summary
from llmbench.telemetry.sampler import Sampler
from llmbench.terminal import Progress, Terminal

log = logging.getLogger(__name__)

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Engines:
    """Where a run gets its model and its engine from; replaced by tests and by those who bring their own."""

    find_model: Callable[[Config], Source] = find_model
    open_engine: Factory = open_engine


def run(  # noqa: PLR0913 - all but two are optional
    config: Config,
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    terminal: Terminal | None = None,
    stop: Stop | None = None,
    engines: Engines | None = None,
) -> Summary:
    """Runs the chosen benchmarks and writes the run's folder.

    Args:
        config: The settings, checked.
        folder: Where the run is written; it must not hold a run.
        overrides: What was typed, for the manifest.
        terminal: Where to speak; nowhere by default.
        stop: Set from outside to end the run early.
        engines: Another way to models and engines.

    Raises:
        LlmbenchError: Something a user can mend; the folder says so too (status `failed`).
        Interrupted: `stop` was set; the folder holds what was finished (status `interrupted`).
    """
    sealed = frozenset(name for name, benchmark in config.benchmarks.items() if benchmark.sealed)
    with Store(folder, sealed) as store:
        this = _Run(config, store, terminal or Terminal(quiet=True), stop or Stop(), engines or Engines())
        this.manifest |= _origin(config, overrides)
        try:
            this.write()
            this.go()
            this.found.status = "finished"
        except KeyboardInterrupt:
            this.found.status = "interrupted"
            raise
        except BaseException as error:
            this.found.status, this.found.error = "failed", str(error)
            log.exception("the run failed")
            raise
        finally:
            this.add_up()
            this.write()
    return this.found


@dataclass(slots=True)
class _Run:
    """A run under way: what it was given, and what it has found so far."""

    config: Config
    store: Store
    terminal: Terminal
    stop: Stop
    engines: Engines
    found: Summary = field(init=False)
    results: list[Result] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.found = Summary("running", self.config.model.name, self.config.profile.name, comparable=False)

    def go(self) -> None:
        """All steps, in order. Graders and telemetry start first: before torch and vllm are imported."""
        modules = import_modules(self.config)
        needed = {heavy for module in modules.values() for heavy in module.PRELOAD}
        needed |= {benchmark.module for benchmark in self.config.benchmarks.values()}
        parallel = self.config.engine.tensor_parallel_size * self.config.engine.pipeline_parallel_size
        grader: Grader[Exchange] = Grader(sorted(needed))
        with Sampler(parallel) as sampler, grader:
            begun = time.monotonic()
            read = {name: read_samples(self.config, name, module) for name, module in modules.items()}
            self.found.time_s.data = time.monotonic() - begun
            if self.config.model.path is None and not embedded.ready(self.config.model.embedded):
                self.terminal.notice("Converting the embedded model, once; this takes half a minute …")
            source = self.engines.find_model(self.config)
            questions = write_questions(self.config, modules, read, source)
            self.found.time_s.import_ = source.import_s
            self.found.time_s.prepare = (
                time.monotonic() - begun - self.found.time_s.data - (source.import_s or 0.0)
            )
            self._note(questions, source)
            try:
                self._generate(questions, source, grader, sampler)
            finally:
                self.found.memory, self.found.gpu = sampler.memory(), sampler.gpu()

    def _note(self, questions: Questions, source: Source) -> None:
        """Writes down what is going to be asked, before it is."""
        self.totals = questions.totals()
        self.found.not_comparable = why_not_comparable(self.config, questions)
        self.found.comparable = not self.found.not_comparable
        if self.config.profile.comparable and self.found.not_comparable:
            self.terminal.say(
                f"Not comparable with published scores: {', '.join(self.found.not_comparable)}."
            )
        self.manifest |= {
            "data": {name: asdict(data) for name, data in questions.data.items()},
            "samples": {name: questions.samples_of(name) for name in questions.modules},
            "checkpoint": asdict(source.checkpoint) if source.checkpoint else None,
        }
        self.write()

    def _generate(
        self, questions: Questions, source: Source, grader: Grader[Exchange], sampler: Sampler
    ) -> None:
        self.terminal.notice(f"Loading {self.config.model.name} …")
        begun = time.monotonic()
        with self.engines.open_engine(self.config, source, questions.workload()) as engine:
            self._note_engine(engine, time.monotonic() - begun)
            sampler.begin()
            with Progress(self.terminal, self.totals) as progress:
                asking = Asking(
                    self.config,
                    questions,
                    source.tokenizer,
                    engine,
                    grader,
                    self.store,
                    progress,
                    self.stop,
                    self.results,
                )
                try:
                    asking.run()
                finally:
                    sampler.end()
                    self.found.time_s.generate = asking.generate_s
                    self.found.time_s.grade_tail = asking.grade_tail_s
                    self.found.engine = engine.report()

    def _note_engine(self, engine: Engine, load_s: float) -> None:
        report = engine.report()
        times = self.found.time_s
        self.found.engine = report
        times.load_parts = report.load_parts
        engine_import_s = report.load_parts.get("import")
        if engine_import_s is not None:
            times.import_ = (times.import_ or 0.0) + engine_import_s
        times.load = load_s - (engine_import_s or 0.0)
        if report.startup is not None:
            self.terminal.notice(
                f"{report.name} {report.version} on {report.device}: {report.quantization or report.dtype}, "
                f"batch size {report.batch_size}, start-up {report.startup} ({report.startup_reason})."
            )

    def add_up(self) -> None:
        """The metrics of what there is, whatever happened."""
        for name, benchmark in self.config.benchmarks.items():
            results = [result for result in self.results if result.benchmark == name]
            self.found.benchmarks[name] = summaries.summarise(
                results, self.totals.get(name, 0), benchmark.repeats
            )
        missing = [name for name, found in self.found.benchmarks.items() if found.n < found.expected]
        if missing and self.found.status != "running":
            self.found.comparable = False
            self.found.not_comparable = [*self.found.not_comparable, f"unfinished: {', '.join(missing)}"]
        self.found.warnings = summaries.warnings_of(
            self.found.benchmarks, asks=self.config.early_stopping is EarlyStopping.answer
        )
        engine = self.found.engine
        if engine is not None and engine.preemptions:
            self.found.warnings.append(
                f"vLLM interrupted running requests {engine.preemptions} times because the KV cache was full; "
                "a smaller batch_size, or more engine.kv_cache_memory_bytes, is faster."
            )
        self.found.time_s.total = clock.since_start()

    def write(self) -> None:
        """Manifest and summary as they are now."""
        self.manifest["status"] = self.found.status
        self.store.write_manifest(self.manifest)
        self.store.write_summary(self.found)


def _origin(config: Config, overrides: Sequence[str]) -> dict[str, Any]:
    """How the run came about, as far as it is known at the start."""
    return {
        "version": MANIFEST_VERSION,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(clock.started())),
        "overrides": list(overrides),
        "git_commit": machine.git_commit(),
        "versions": machine.versions(),
        "machine": machine.describe(),
        "sampling": asdict(config.sampling),
        "seed": config.seed,
    }
