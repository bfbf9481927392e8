"""A run from top to bottom: read the questions, import and load the engine, write the prompts meanwhile, ask and grade, add up.

`run` is what the command line calls and what a library user calls. It names the steps; `_Run` has them.
"""

import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from llmbench.benchmarks import dataset
from llmbench.benchmarks.base import Module
from llmbench.config.dump import as_yaml
from llmbench.config.schema import Config, Device, EarlyStopping, Sandbox
from llmbench.engine import bundled_model, checkpoint_record, memory
from llmbench.engine.base import Engine
from llmbench.engine.cache.engine import with_cache
from llmbench.engine.cache.keys import Keys, keys_for
from llmbench.engine.checkpoint import Checkpoint, check_tensors, settings, weights_bytes
from llmbench.engine.checkpoint_settings import complete, name_of
from llmbench.engine.restarting import FatalRequestSearch, RestartLog
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.watching import Watch
from llmbench.engine.workload import Took, Workload
from llmbench.errors import (
    ConfigError,
    EngineDiedError,
    Interrupted,
    OnlyErrorsError,
    OutOfMemoryError,
    RunError,
    clear_traceback,
)
from llmbench.records import Result, Sample
from llmbench.results import attempts
from llmbench.results import metrics as summaries
from llmbench.results.manifest import CONFIG, JOURNAL, LOG, MEMORY_LOG, TRACE, Attempt, DataOrigin, Manifest
from llmbench.results.reader import read_journal
from llmbench.results.recovery import Step
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Phases, Summary
from llmbench.run import preflight, prompts, resume_checks
from llmbench.run.engine_pool import EnginePool, engine_key
from llmbench.run.grading import Grader
from llmbench.run.loop import GATHER_S, EvaluationLoop, Exchange, Replacement, without_texts
from llmbench.run.oom_recovery import StartAgain, lowered, next_step
from llmbench.run.progress import Progress
from llmbench.run.request_plan import (
    Questions,
    few_shot_from_evaluated,
    graders_need,
    import_modules,
    read_samples,
    runs_code,
    why_not_comparable,
    workload,
    write_questions,
)
from llmbench.system import clock, decoding, hardware, redaction
from llmbench.system.background_task import Background
from llmbench.system.console import Terminal
from llmbench.system.number_format import count
from llmbench.system.processes import environment
from llmbench.system.shell import resume_command
from llmbench.system.signals import Stop, leave
from llmbench.telemetry import MemoryTracker, Sampler
from llmbench.telemetry.sampler import EngineReader

log = logging.getLogger(__name__)

AT_LOAD = ("bitsandbytes", "fp8")
"""Quantizations that vLLM makes of bf16 weights; other names mean that the checkpoint's own weights are quantised."""

FAILED = 1
"""The exit status of a run that failed."""
LEAVE_S = 60.0
"""For a run that cannot go on to write what it has, before its process ends all the same."""

NO_SANDBOX = (
    "sandbox=none: programs that the model writes run as you, with your files and your network; "
    "sandbox=bwrap or sandbox=docker keeps them apart."
)

Read = Mapping[str, tuple[Sequence[Sample], dataset.DataSource]]
"""Samples of each benchmark and where they came from."""

Publish = Callable[[Path], None]
"""Publishes what a run's folder holds."""


def run(  # noqa: PLR0913 - all but two are optional
    config: Config,
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    terminal: Terminal | None = None,
    stop: Stop | None = None,
    pool: EnginePool | None = None,
    goes_on: bool = False,
    resumes: bool = False,
    restarts: bool = False,
    origin: Mapping[str, Any] | None = None,
    publish: Publish = lambda _folder: None,
) -> Summary:
    """Runs the chosen benchmarks and writes the run's folder.

    Args:
        config: The settings, checked.
        folder: Where the run is written; it must not hold a run.
        overrides: What was typed, for the manifest.
        terminal: Where to speak; nowhere by default.
        stop: Set from outside to end the run early.
        pool: Holds the engine, and keeps it for the next run; without one the engine is closed at the end.
        goes_on: The folder holds a run that ended early; what its journal holds is not asked again.
        resumes: It does so in a new attempt, not as the continuation of a process that ran out of memory.
        origin: More of how the run came about, for the manifest: the whole command line and where it was typed.
        restarts: The caller can go on in a new process.
        publish: Publishes the folder of a run that does not finish; it raises nothing. A finished one is left to the caller.

    Raises:
        StartAgain: Memory ran out, and only a new process can try with less; only where the caller `restarts`.
        LlmbenchError: Something a user can fix; the folder says so too (status `failed`).
        Interrupted: `stop` was set; the folder holds what was finished (status `interrupted`).
    """
    with ExitStack() as own:
        if pool is None:  # a program's call
            if terminal is None:  # whose output is its own
                level = os.environ.get("VLLM_LOGGING_LEVEL", "ERROR")
                own.enter_context(environment({"VLLM_LOGGING_LEVEL": level}))
            pool = own.enter_context(EnginePool())
        stop, terminal = stop or Stop(), terminal or Terminal(quiet=True)
        config, said = complete(config, pool.engines.find_checkpoint)
        for sentence in said:
            terminal.notice(sentence)
        sealed = frozenset(name for name, benchmark in config.benchmarks.items() if benchmark.sealed)
        store = own.enter_context(RunFolder(folder, sealed, goes_on=goes_on))
        this = _Run(config, store, terminal, stop, pool, publish, restarts=restarts)
        this.manifest = decoding.build(_origin(config, overrides) | dict(origin or {}), Manifest)
        this.load_previous_state(resumes=resumes)
        try:
            if (
                not this.finished_before
            ):  # else the folder stays as it is until the questions are known to be the same
                this.write()
            this.go()
            this.learn()
            this.finish_benchmarks()
            this.refuse_only_errors()
            this.summary.status = "finished"
        except KeyboardInterrupt:
            this.summary.status = "interrupted"
            raise
        except StartAgain:
            this.restart_log.fatal_search = this.fatal_search.as_data()
            pool.restart_log = this.restart_log
            raise  # still "running"
        except BaseException as error:
            this.summary.status, this.summary.error = "failed", redaction.without_secrets(str(error))
            log.exception("the run failed")
            raise
        finally:
            if not this.refused:
                this.end(sys.exception())
    return this.summary


@dataclass(slots=True)
class _Run:
    """A run under way: what it was given, and what it has found so far."""

    config: Config
    store: RunFolder
    terminal: Terminal
    stop: Stop
    pool: EnginePool
    publish: Publish
    summary: Summary = field(init=False)
    results: list[Result] = field(default_factory=list)
    manifest: Manifest = field(default_factory=Manifest)
    totals: dict[str, int] = field(default_factory=dict)
    loaded: bool = False
    at_once: int = 0  # requests that were to run at once in the engine that was loaded last
    engine: Engine | None = None
    restarts: bool = False
    finished_before: int = 0  # results of the processes before
    answered_by: Mapping[str, Any] = field(default_factory=dict)  # the kept results' checkpoint
    refused: bool = False  # what was asked before is asked otherwise now
    sittings: list[Attempt] = field(default_factory=list)
    begun_with: int = 0  # results when this attempt began
    modules: dict[str, Module] = field(default_factory=dict)
    restart_log: RestartLog = field(default_factory=RestartLog)  # deaths of the run's engines
    fatal_search: FatalRequestSearch = field(init=False)
    replacement: Replacement | None = None
    look: EngineReader | None = None  # reads what the engine is doing, and what is held back from it
    replacements: int = 0  # engines loaded after a death
    later: list[str] = field(default_factory=list)  # warnings of benchmarks about themselves
    asked_for: str = field(init=False)  # the engine's key before anything was lowered

    def __post_init__(self) -> None:
        self.asked_for = engine_key(self.config)
        self.config = self.pool.lowered(self.config)
        self.fatal_search = FatalRequestSearch(self.config.engine_restarts)
        self.summary = Summary("running", self.config.model.name, self.config.profile.name, comparable=False)

    def load_previous_state(self, *, resumes: bool) -> None:
        """Loads the results that the folder holds, and the settings that were lowered before."""
        folder = self.store.folder
        self.results = list(read_journal(folder))
        self.finished_before = len(self.results)
        before = self.store.read_manifest()
        if self.finished_before and before.checkpoint:
            self.manifest.checkpoint = self.answered_by = before.checkpoint
        self.sittings = before.sittings
        if resumes or not self.sittings:
            self.sittings = attempts.begin(self.sittings, folder, self.finished_before, clock.started())
            self.begun_with = self.finished_before
        else:
            self.begun_with = sum(attempt.results for attempt in self.sittings[:-1])
        if self.store.damage is not None:
            self._note_about(self.store.damage.sentence(folder / JOURNAL))
        if resumes and before != Manifest():
            self._resume(before)
        self._set_date(
            resume_checks.model_before(folder, "template_date") if resumes and self.finished_before else None
        )
        self.manifest.recovery = list(self._steps)
        if self._steps:
            self._note_lowered()
        earlier = self.restart_log.restarts  # of attempts before
        self.restart_log, self.pool.restart_log = self.pool.restart_log, RestartLog()
        self.restart_log.restarts[:0] = earlier
        answered = {f"{r.benchmark}/{r.sample_id}/{r.repeat}" for r in self.results}
        self.fatal_search = FatalRequestSearch.of(
            self.config.engine_restarts, self.restart_log.fatal_search, answered
        )
        self._note_deaths()

    def _note_deaths(self) -> None:
        self.manifest.restarts = list(self.restart_log.restarts)
        self.summary.restarts = [restart.sentence() for restart in self.restart_log.restarts]

    def _resume(self, before: Manifest) -> None:
        """Checks that the settings belong to this run, and restores its notes and restarts."""
        steps, self.restart_log.restarts = before.recovery, before.restarts
        if self.results:
            places = ["model.path", "model.embedded", "model.from_checkpoint"]
            moved = places if checkpoint_record.known(self.answered_by) else []  # what lies there is compared
            resume_checks.check_settings(
                self.store.folder, self.config, [*(s.setting for s in steps), *moved]
            )
            self._keep_name(resume_checks.model_before(self.store.folder, "name"))
            for sentence in resume_checks.changes(before, self.manifest):
                self._note_about(sentence)
        if steps and not self._steps:
            self.pool.steps[self.asked_for] = steps
            self.config = self.pool.lowered(self.config)
        kept = ["started", "data", "samples"]
        if self.manifest.arguments is None:  # a library's call: how the run was begun counts on
            kept += ["overrides", "arguments", "directory", "sweep"]
        self.manifest = replace(self.manifest, **{name: getattr(before, name) for name in kept})
        benchmarks = self.config.benchmarks
        self.totals = {
            name: len(ids) * benchmarks[name].repeats
            for name, ids in before.samples.items()
            if name in benchmarks
        }
        self.summary.notes[:0] = before.notes
        self.terminal.notice(
            f"Going on with {self.store.folder}: {count(self.finished_before, 'result')} kept."
        )

    def _keep_name(self, name: str | None) -> None:
        """Keeps the run's model name, even if its checkpoint has moved, unless another name is typed."""
        model = self.config.model
        if name is not None and model.name == name_of(model.path, model.hub_id):
            self.config = replace(self.config, model=replace(model, name=name))
            self.summary.model = name

    def _set_date(self, before: str | None) -> None:
        """Chat templates that write the date write that of the run's first day, so that a resumed run asks the same."""
        model = self.config.model
        day = model.template_date or before or datetime.now().astimezone().date().isoformat()
        self.config = replace(self.config, model=replace(model, template_date=day))

    def _note_about(self, sentence: str) -> None:
        self.summary.notes.append(sentence)
        self.terminal.notice(sentence)

    @property
    def _steps(self) -> list[Step]:
        return self.pool.steps.get(self.asked_for, [])

    def _note_lowered(self) -> None:
        """Writes the lowered settings into manifest and summary."""
        self.manifest.recovery = list(self._steps)
        self.summary.recovery = [step.sentence() for step in self._steps]

    def _write_trace(self, sampler: Sampler) -> None:
        try:
            sampler.write(self.store.folder / TRACE)
        except RunError as error:  # no run ends for want of telemetry
            log.warning("%s", error)

    def go(self) -> None:
        """All steps, in order. Graders and telemetry start first: before torch and vllm are imported."""
        modules = self.modules = import_modules(self.config)
        parallel = self.config.engine.tensor_parallel_size * self.config.engine.pipeline_parallel_size
        with (
            Sampler(parallel) as sampler,
            MemoryTracker(self.store.folder, MEMORY_LOG, sampler=sampler, of_run=True),
        ):
            self._write_trace(sampler)
            self._check_sandbox(modules)
            grader: Grader[Exchange] = self.pool.grader(
                graders_need(self.config), self.config.sandbox.value, runs_code=runs_code(modules)
            )
            checkpoint = self._find_checkpoint()
            self._compare_checkpoint(
                checkpoint_record.row(checkpoint) if checkpoint and self.finished_before else None
            )
            read = self._read(modules)
            work = workload(self.config, read)
            tokenizer = self._prepare(checkpoint)
            at_once = self.pool.make_room(self.config, work).preferred_batch_size(work)
            self._preflight(read, at_once, checkpoint)
            if not self.pool.loaded:
                self.terminal.notice(f"Loading {self.config.model.name} …")
            writing = Background(
                "prompts", lambda: self._write(modules, read, tokenizer, checkpoint, at_once)
            )
            engine, work, questions = self._load(work, writing, read, checkpoint)
            if self.finished_before:
                self._check_questions(questions)
                self.results[:] = map(without_texts, self.results)
            engine.begin(tokenizer, work, loaded=self.loaded)
            self.engine, self.at_once = engine, engine.capacity
            self._note_engine(engine)
            self._note(questions, checkpoint)
            try:
                self.replacement = self._replacement(work, checkpoint, tokenizer, sampler)
                self._ask(engine, checkpoint, questions, tokenizer, grader, sampler)
            except BaseException as error:
                with suppress(Exception):  # the first error is the one to tell
                    self.pool.close_engine()  # what it was doing is unknown: no later job may meet it
                if isinstance(error, OutOfMemoryError):
                    self._less(error, self.at_once, questions, needs_new_process=True)
                raise
            finally:
                self.summary.memory, self.summary.gpu = sampler.memory(), sampler.gpu()

    def _check_questions(self, questions: Questions) -> None:
        """Refuses other questions than those answered so far, and leaves the folder unchanged."""
        try:
            resume_checks.check_questions(self.store.folder, questions, self.results)
        except ConfigError:
            self.refused = True
            raise

    def _check_sandbox(self, modules: Mapping[str, Module]) -> None:
        """Refuses benchmarks of programs where they could not be run, before anything is loaded."""
        from llmbench import sandbox

        sandbox.choose(self.config.sandbox.value)
        if not runs_code(modules):
            return
        if self.config.sandbox is Sandbox.none:
            self._warn([NO_SANDBOX])
        sandbox.check()

    def _find_checkpoint(self) -> Checkpoint | None:
        model = self.config.model
        needed = self.config.engine.name != "fake" and model.path is None
        if needed and not bundled_model.ready(model.embedded):
            self.terminal.notice("Converting the embedded model, once; this takes half a minute …")
        found = self.pool.engines.find_checkpoint(self.config)
        commit = checkpoint_record.commit(self.answered_by)
        if found is None or found.local or commit in (None, checkpoint_record.commit(asdict(found))):
            return found
        self.terminal.notice(
            f"{found.name} has changed on the hub; the run goes on with the commit that gave its results."
        )
        pinned = replace(self.config, model=replace(model, revision=commit))
        return self.pool.engines.find_checkpoint(pinned)

    def _compare_checkpoint(self, now: Mapping[str, Any] | None) -> None:
        """Refuses other weights than those of the results so far, and leaves the folder unchanged."""
        if now is None or not self.finished_before:
            return
        try:
            said = checkpoint_record.compare(self.answered_by, now, self.store.folder)
        except ConfigError:
            self.refused = True
            raise
        if said is not None and said not in self.summary.notes:
            self._note_about(said)

    def _read(self, modules: Mapping[str, Module]) -> Read:
        begun = time.monotonic()
        read = {name: read_samples(self.config, name, module) for name, module in modules.items()}
        self.summary.time_s.data = time.monotonic() - begun
        return read

    def _prepare(self, checkpoint: Checkpoint | None) -> Tokenizer:
        """Imports the engine's libraries and reads the tokenizer, in this thread: no other may import meanwhile."""
        begun = time.monotonic()
        self.pool.prepare(self.config, checkpoint)
        imported = time.monotonic()
        self.summary.time_s.import_ = imported - begun
        tokenizer = self.pool.tokenizer(self.config, checkpoint)
        self.summary.time_s.tokenizer = time.monotonic() - imported
        return tokenizer

    def _preflight(self, read: Read, at_once: int, checkpoint: Checkpoint | None) -> None:
        """Prints the warnings that are known before the model is loaded."""
        config = self.config
        self._warn(few_shot_from_evaluated(config))
        for name, (samples, _) in read.items():
            asked = config.benchmarks[name].num_samples
            if (
                asked is not None
                and asked > len(samples)
                and not config.benchmarks[name].takes_profile(config)
            ):
                self._warn(
                    [f"{name} has {len(samples)} questions, fewer than the {asked} asked for: all are asked."]
                )
            if config.early_stopping is not EarlyStopping.off:
                stop = config.benchmarks[name].stop
                self._warn(preflight.stops_in_golds(name, stop, [sample.target for sample in samples]))
        self._warn(preflight.left_out_system_prompts(config))
        if checkpoint is None:
            return
        folder = Path(checkpoint.folder) if checkpoint.folder else None
        self._warn(preflight.sampling_differences(folder, config.sampling))
        gpus = hardware.gpus()
        if not gpus or config.engine.device is Device.cpu:
            return
        weights_bytes, gpu_bytes = self._weights(checkpoint), gpus[0].total_bytes
        if not isinstance(settings(checkpoint).get("quantization_config"), Mapping):
            self._warn(preflight.weights_do_not_fit(config, weights_bytes, gpu_bytes))
        if config.engine.name == "vllm":
            self._warn(preflight.four_bit_is_slower(config, weights_bytes, gpu_bytes, at_once, gpus[0].name))

    def _weights(self, checkpoint: Checkpoint) -> int:
        """Bytes of the weights at two bytes a parameter."""
        own = weights_bytes(Path(checkpoint.folder)) if checkpoint.folder else 0
        return own or int((self.config.model.parameters_b or 0) * 2e9)

    def _warn(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self.summary.preflight.append(sentence)
            self.terminal.notice(sentence)

    def _write(
        self,
        modules: Mapping[str, Module],
        read: Read,
        tokenizer: Tokenizer,
        checkpoint: Checkpoint | None,
        at_once: int,
    ) -> Questions:
        """Writes the prompts, and warns if the KV cache will not hold them."""
        questions = write_questions(self.config, modules, read, tokenizer)
        self._warn(tokenizer.remarks(self.config.model.chat_template_kwargs))
        if checkpoint is not None:
            check_tensors(checkpoint)
            preflight.check_token_ids(questions.requests, checkpoint)
        gpus = hardware.gpus()
        per_token = memory.kv_bytes_per_token(settings(checkpoint))
        on_gpu = bool(gpus) and self.config.engine.device is not Device.cpu
        if checkpoint is None or per_token is None or not on_gpu or self.config.engine.name != "vllm":
            return questions
        model, engine = self.config.model, self.config.engine
        weights_bytes: int | None = self._weights(checkpoint)
        if model.quantization in AT_LOAD:
            weights_bytes = memory.weights_on_gpu(weights_bytes or 0, model.quantization)
        available = None
        if engine.kv_cache_memory_bytes is not None:
            available = engine.kv_cache_memory_bytes // per_token
        elif weights_bytes is not None:
            parallel = engine.tensor_parallel_size * engine.pipeline_parallel_size
            use = model.gpu_memory_utilization
            available = memory.kv_tokens(gpus[0].total_bytes, use, weights_bytes, per_token, parallel)
        lengths = [len(request.prompt_ids) for request in questions.requests]
        limits = [request.sampling.max_tokens for request in questions.requests]
        self._warn(memory.kv_shortage(lengths, limits, at_once, available))
        return questions

    def _load(
        self, work: Workload, writing: Background[Questions], read: Read, checkpoint: Checkpoint | None
    ) -> tuple[Engine, Workload, Questions]:
        """Loads the model while the prompts are written.

        Where memory is too little it is tried again with less, here if the memory came back.
        """
        begun = time.monotonic()
        while True:
            engine = self.pool.make_room(self.config, work)
            try:
                self.loaded = self.pool.load(self.config, work, self.terminal.notice) or self.loaded
                break
            except OutOfMemoryError as error:
                self._less(
                    error,
                    engine.capacity,
                    writing.result(),
                    needs_new_process=error.shortage.needs_new_process,
                )
                work = workload(self.config, read)
                self.pool.prepare(self.config, checkpoint)
        self.summary.time_s.load = time.monotonic() - begun if self.loaded else 0.0
        questions = writing.result()
        self.summary.time_s.prepare = writing.seconds
        return engine, work, questions

    def _less(
        self, error: OutOfMemoryError, at_once: int, questions: Questions, *, needs_new_process: bool
    ) -> None:
        """Lowers the setting that needed too much memory, with a message; `needs_new_process` says that memory comes back only with a new process."""
        needed = [prompts.context_needed(name, questions.requests, self.config) for name in questions.modules]
        step = next_step(
            self.config, error.shortage, self._steps, needed=max(needed, default=0), at_once=at_once
        )
        if step is None or (needs_new_process and not self.restarts):
            raise error
        step = replace(step, fresh=needs_new_process, kept=len(self.results))
        self.pool.steps.setdefault(self.asked_for, []).append(step)
        self.config = lowered(self.config, [step])
        self.terminal.notice(step.sentence())
        self._note_lowered()
        self.write()
        if needs_new_process:
            raise StartAgain(error) from error

    def _replacement(
        self, work: Workload, checkpoint: Checkpoint | None, tokenizer: Tokenizer, sampler: Sampler
    ) -> Replacement:
        """Returns how an engine that dies during evaluation is replaced."""

        def close() -> None:
            sampler.watch_engine(None)
            engine, self.engine = self.engine, None
            with suppress(Exception):  # it is dead: what it still says is welcome
                self.summary.engine = engine.report() if engine is not None else self.summary.engine
            try:
                self.pool.close_engine()
            except Exception:
                log.exception("the dead engine could not be closed")

        def on_engine_death(error: EngineDiedError, running: int) -> None:
            close()
            restart = self.restart_log.add(error, running=running, kept=len(self.results))
            self.terminal.notice(restart.sentence())
            self._note_deaths()
            self.write()
            if error.needs_new_process:
                if not self.restarts:
                    raise EngineDiedError(
                        f"{error} Only a new process could go on; what was finished is kept.",
                        needs_new_process=True,
                    )
                raise StartAgain(error) from error
            clear_traceback(error)  # its frames hold half a model

        def load() -> Engine:
            begun, times = time.monotonic(), self.summary.time_s
            engine = self.pool.prepare(self.config, checkpoint)
            self.at_once = engine.preferred_batch_size(work)
            self.pool.load(self.config, work, self.terminal.notice)
            engine.begin(tokenizer, work, loaded=True)
            self.engine, self.at_once = engine, engine.capacity
            self.replacements += 1
            sampler.watch_engine(self.look)
            times.load = (times.load or 0.0) + time.monotonic() - begun
            return engine

        return Replacement(on_engine_death, close, load)

    def _note(self, questions: Questions, checkpoint: Checkpoint | None) -> None:
        """Writes the planned questions into the manifest before any is asked."""
        told = checkpoint_record.row(checkpoint, self.pool.since or None) if checkpoint else None
        self._compare_checkpoint(told)  # loading took its time
        self.totals = questions.totals()
        self.summary.not_comparable = why_not_comparable(self.config, questions, checkpoint)
        self.summary.comparable = not self.summary.not_comparable
        if self.config.profile.comparable and self.summary.not_comparable:
            self.terminal.say(
                f"Not comparable with published scores: {', '.join(self.summary.not_comparable)}."
            )
        self.manifest.data = {name: DataOrigin(**asdict(source)) for name, source in questions.data.items()}
        self.manifest.samples = {name: questions.samples_of(name) for name in questions.modules}
        self.manifest.checkpoint = told
        self.write()

    def _note_engine(self, engine: Engine) -> None:
        report = engine.report()
        self.summary.engine = report
        self.summary.time_s.load_parts = report.load_parts
        if report.startup is not None:
            self.terminal.notice(
                f"{report.name} {report.version} on {report.device}: {report.quantization or report.dtype}, "
                f"batch size {report.batch_size}, start-up {report.startup}"
                f"{'' if report.loads else ', already loaded'}."
            )

    def _ask(  # noqa: PLR0913, PLR0917 - everything meets here
        self,
        engine: Engine,
        checkpoint: Checkpoint | None,
        questions: Questions,
        tokenizer: Tokenizer,
        grader: Grader[Exchange],
        sampler: Sampler,
    ) -> None:
        sampler.begin()
        config, watch = self.config, Watch(self.config.engine_wait_s, self.terminal.notice)

        def keys() -> Keys:
            return keys_for(config, engine.report(), checkpoint, tokenizer, self.pool.since)

        with (
            with_cache(
                engine,
                keys if config.cache else None,
                config.cache_max_bytes,
                watch,
                lambda s: self._warn([s]),
            ) as answering,
            Progress(self.terminal, self.totals) as progress,
        ):
            sampler.listen(progress.look)
            loop = EvaluationLoop(
                self.config,
                questions,
                tokenizer,
                answering,
                grader,
                self.store,
                progress,
                self.stop,
                self.results,
                self.fatal_search,
                self.replacement,
            )
            self.look = loop.state
            sampler.watch_engine(self.look)
            try:
                with watch.looking(partial(self._engine_hangs, loop=loop, sampler=sampler)):
                    loop.run()
            finally:
                if loop.ungraded:
                    self.terminal.notice(
                        f"{count(loop.ungraded, 'answer')} could not be graded within "
                        f"{GATHER_S:.0f} s of the signal; resume asks those questions again."
                    )
                sampler.unlisten(progress.look)
                sampler.watch_engine(None)
                sampler.end()
                times = self.summary.time_s
                times.generate, times.grade_tail = loop.generate_s, loop.grade_tail_s
                own = [c.timing for r in self.results[self.finished_before :] for c in r.completions]
                times.requests = Phases.of([t for t in own if t is not None])
                if not loop.dead:
                    self.summary.engine = loop.engine.report()
                if self.summary.engine is not None:
                    self.summary.engine.loads = self.loaded + self.replacements
                if self.summary.engine is not None and self.summary.engine.name != "fake":
                    firsts = [
                        r.completions[0].timing for r in self.results[self.finished_before :] if r.completions
                    ]
                    stamps = [t.queued + t.ttft for t in firsts if t is not None]
                    times.first_token = clock.at(min(stamps)) if stamps else None

    def _engine_hangs(self, reason: str, *, loop: EvaluationLoop, sampler: Sampler) -> None:
        """Ends the process whose main thread hangs in the engine; in the watch's thread. A library's caller gets an error and keeps its process.

        What is written comes in the order of its worth: a driver that hangs may let telemetry hang as well.
        """
        if not self.restarts:
            self._warn(
                [f"{reason}; only the end of this process can end it, and what was journalled is kept."]
            )
            return
        threading.Timer(LEAVE_S, leave, (FAILED,)).start()
        try:
            self.summary.status = "failed"
            self.summary.error = f"{reason}; only the process's end could end that."
            log.error("%s", self.summary.error)
            loop.collect()
            self.add_up()
            with suppress(Exception, SystemExit):  # nobody may be there to be told
                loop.progress.leave()
                self.terminal.notice(f"llmbench: {self.summary.error} `{self.summary.resume}` resumes it.")
            self.write()
            self.summary.memory, self.summary.gpu = sampler.memory(), sampler.gpu()
            self.write()
            self.report()
            redaction.scrub(self.store.folder / LOG)
        except Exception:
            log.exception("what was left to write could not be written")
        finally:
            leave(FAILED)

    def learn(self) -> None:
        """Gives the engine the times of this run, for its next choice of a start-up."""
        times, engine = self.summary.time_s, self.engine
        if (
            self.finished_before
            or self.restart_log.restarts
            or engine is None
            or times.load is None
            or times.generate is None
            or self.summary.engine is None
        ):
            return
        if any(c.from_cache for result in self.results for c in result.completions):
            return  # generating took less than the work that was ahead
        completions = [result.completions for result in self.results]
        engine.learn(
            Took(
                [sum(c.output_tokens for c in made) for made in completions],
                sum(c.prompt_tokens for made in completions for c in made),
                times.load,
                times.generate,
                times.requests.prefill if times.requests is not None else None,
                self.summary.gpu.energy_j,
            )
        )

    def finish_benchmarks(self) -> None:
        """Runs the last step of benchmarks that have one: SWE-bench writes its predictions, and may run its own harness."""
        for name, module in self.modules.items():
            finish = getattr(module, "finish", None)
            results = [result for result in self.results if result.benchmark == name]
            if finish is None or not results:
                continue
            options = self.config.benchmarks[name].options
            given, said = finish(self.store.folder, results, self.config.model.name, options)
            self.later += said
            later = {r.key: given[r.sample_id] for r in results if r.sample_id in given}
            self.results[:] = [replace(r, score=later.get(r.key, r.score)) for r in self.results]
            self.store.replace_scores(later)

    def refuse_only_errors(self) -> None:
        """Fails a run with a benchmark that has no score at all, so that its 0% is not taken for one."""
        for name, module in self.modules.items():
            results = [result for result in self.results if result.benchmark == name]
            sentence = summaries.only_errors(name, results, scored_later=hasattr(module, "finish"))
            if sentence is not None:
                raise OnlyErrorsError(
                    f"{sentence} {self.store.folder / LOG} has more; what was graded is kept, and "
                    f"`python -m llmbench.regrade {shlex.quote(str(self.store.folder))}` grades the answers again."
                )

    def end(self, error: BaseException | None) -> None:
        """Writes summary and manifest at the end; after an error that error is raised even if writing fails."""
        self.add_up()
        try:
            self.write()
        except (RunError, Interrupted):
            if error is None:
                raise
            log.exception("what the run has come to could not be written")
        else:
            self.report()

    def add_up(self) -> None:
        """Computes the metrics of the results so far."""
        for name, benchmark in self.config.benchmarks.items():
            results = [result for result in self.results if result.benchmark == name]
            self.summary.benchmarks[name] = summaries.summarise(
                results,
                self.totals.get(name, 0),
                benchmark.repeats,
                sittings=2 if self.finished_before or self.restart_log.restarts else 1,
                cache=self.config.cache,
                details=getattr(self.modules.get(name), "details", None),
            )
        missing = [name for name, found in self.summary.benchmarks.items() if found.n < found.expected]
        if missing and self.summary.status != "running":
            self.summary.comparable = False
            self.summary.not_comparable = [*self.summary.not_comparable, f"unfinished: {', '.join(missing)}"]
        self.summary.warnings = summaries.warnings_of(
            self.summary.benchmarks, asks=self.config.early_stopping is EarlyStopping.answer
        )
        self.summary.warnings += self.later
        engine = self.summary.engine
        if engine is not None and engine.preemptions:
            self.summary.warnings.append(
                f"vLLM interrupted running requests {engine.preemptions} times because the KV cache was full; "
                "a smaller batch_size, or more engine.kv_cache_memory_bytes, is faster."
            )
        times = self.summary.time_s
        times.total = clock.since_start()
        if self.finished_before:
            self.summary.gpu.energy_j = None  # of the whole run it is not known
        self._end_attempt()

    def _end_attempt(self) -> None:
        status, total = self.summary.status, self.summary.time_s.total
        if status != attempts.RUNNING:
            added = len(self.results) - self.begun_with
            self.sittings[-1] = replace(self.sittings[-1], status=status, results=added, time_s=total)
        self.summary.sittings = list(self.sittings)
        left = status not in ("finished", attempts.RUNNING)
        self.summary.resume = resume_command(self.manifest.sweep or self.store.folder) if left else None

    def write(self) -> None:
        """Writes manifest, settings and summary, in this order."""
        self.manifest.status = self.summary.status
        self.manifest.sittings, self.manifest.notes = list(self.sittings), self.summary.notes
        self.store.write_manifest(self.manifest)
        self.store.write_text(CONFIG, as_yaml(self.config))
        self.store.write_summary(self.summary)

    def report(self) -> None:
        """Publishes a run that ended without finishing."""
        if self.summary.status not in ("running", "finished"):
            self.publish(self.store.folder)


def _origin(config: Config, overrides: Sequence[str]) -> dict[str, Any]:
    """How the run came about, as far as it is known at the start."""
    return {
        "started": attempts.iso(clock.started()),
        "overrides": list(overrides),
        "git_commit": hardware.git_commit(),
        "versions": hardware.versions(),
        "machine": hardware.describe(),
        "sampling": asdict(config.sampling),
        "seed": config.seed,
        "tracked": [],  # the trackers that have got the run
    }
