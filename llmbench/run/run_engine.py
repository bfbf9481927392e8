"""Where a run gets its engine: the checkpoint, loading it with less when memory runs out, and another one after a death.

When memory runs out one setting is lowered and it is tried again, in this process if the memory came back, else in a new one
(`new_process`). An engine that dies is replaced by `RestartingEngine`, which gets the next one here.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import NoReturn

from llmbench.engine import bundled_model, checkpoint_record
from llmbench.engine.base import Engine, ModelEngine
from llmbench.engine.cache.engine import with_cache
from llmbench.engine.cache.keys import Keys, keys_for
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.restarting import RestartingEngine
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.watching import Watch
from llmbench.engine.workload import Took, Workload
from llmbench.errors import (
    ConfigError,
    EngineDiedError,
    EngineError,
    Interrupted,
    OutOfMemoryError,
    RefusedResumeError,
)
from llmbench.run import prompts
from llmbench.run.engine_pool import EnginePool
from llmbench.run.new_process import StartAgain
from llmbench.run.oom_recovery import lowered, next_step
from llmbench.run.request_plan import Questions, RequestPlan
from llmbench.run.run_record import RunRecord
from llmbench.system.background_task import Background
from llmbench.system.signals import Stop

log = logging.getLogger(__name__)


class RunEngine:
    """The engine of a run, from its checkpoint to the requests. The source of the engines after it, too.

    Attributes:
        checkpoint: Known after `find_checkpoint`; None where the engine has none.
        tokenizer: Known after `prepare`.
        at_once: Requests that should run at once, known after `prepare`; of a loaded engine, those that can.
        watch: Looks whether the engine's steps come to an end.
    """

    tokenizer: Tokenizer
    _work: Workload

    def __init__(self, record: RunRecord, pool: EnginePool, stop: Stop) -> None:
        """Loads nothing yet. The record's settings count, which this lowers where memory runs out."""
        self._record, self._pool, self._stop = record, pool, stop
        self.checkpoint: Checkpoint | None = None
        self._engine: ModelEngine | None = None
        self._restarting: RestartingEngine | None = None
        self.watch = Watch(record.config.engine_wait_s, record.terminal.notice)
        self.at_once = 0

    def find_checkpoint(self) -> Checkpoint | None:
        """Finds the checkpoint; a resumed run takes the commit that gave its results.

        Raises:
            RefusedResumeError: It is another one than that of the results so far.
            ModelError: It cannot be used.
        """
        record, model, find = self._record, self._record.config.model, self._pool.engines.find_checkpoint
        needed = record.config.engine.name != "fake" and model.path is None
        if needed and not bundled_model.ready(model.embedded):
            record.terminal.notice("Converting the embedded model, once; this takes half a minute …")
        found = find(record.config)
        commit = checkpoint_record.commit(record.earlier.checkpoint)
        if not (found is None or found.local or commit in (None, checkpoint_record.commit(asdict(found)))):
            record.terminal.notice(
                f"{found.name} has changed on the hub; the run goes on with the commit that gave its results."
            )
            found = find(replace(record.config, model=replace(model, revision=commit)))
        self.checkpoint = found
        if record.earlier.answers:
            self._compare_checkpoint()
        return found

    def _compare_checkpoint(self, since: float | None = None) -> dict[str, object] | None:
        """Returns the checkpoint as the manifest has it; refuses other weights than those of the results so far."""
        if self.checkpoint is None:
            return None
        record = self._record
        now = checkpoint_record.row(self.checkpoint, since)
        if record.earlier.answers:
            try:
                said = checkpoint_record.compare(record.earlier.checkpoint, now, record.files.folder)
            except ConfigError as error:
                raise RefusedResumeError(str(error)) from error
            if said is not None and said not in record.summary.notes:
                record.note(said)
        return now

    def checkpoint_row(self) -> dict[str, object] | None:
        """Returns the checkpoint for the manifest, compared once more with the results': loading took its time."""
        row, copy = self._compare_checkpoint(self._pool.since), self.loaded.report().weights_copy
        return row | {"weights_copy": copy} if row and copy else row

    def prepare(self, plan: RequestPlan) -> None:
        """Imports the engine's libraries and reads the tokenizer, in this thread: no other may import meanwhile.

        Raises:
            EngineError: A library is missing or broken.
            ModelError: The tokenizer cannot be used.
        """
        begun, record, times = time.monotonic(), self._record, self._record.summary.time_s
        self._work = plan.workload()
        record.config = config = self._pool.choose_replicas(
            record.config, self.checkpoint, self._work, record.terminal.notice
        )
        self._pool.prepare(config, self.checkpoint)
        imported = time.monotonic()
        times.import_ = imported - begun
        self.tokenizer = self._pool.tokenizer(config, self.checkpoint)
        read = time.monotonic()
        times.tokenizer = read - imported
        self.at_once = self._pool.preferred_batch_size(config, self._work)
        times.import_ += time.monotonic() - read  # replicas import beside the tokenizer

    def load(self, plan: RequestPlan, writing: Background[Questions]) -> Questions:
        """Loads the model while the plan's prompts are written, with less memory where there is too little.

        Raises:
            EngineError: The engine cannot start.
            StartAgain: Only a new process can try with less.
        """
        record, begun, loaded = self._record, time.monotonic(), False
        if not self._pool.loaded and record.config.engine.name != "endpoint":
            record.terminal.notice(f"Loading {record.config.model.name} …")
        while True:
            engine = self._pool.make_room(record.config, self._work)
            try:
                loaded = self._pool.load(record.config, self._work, record.terminal.notice) or loaded
                break
            except OutOfMemoryError as error:
                self.at_once = engine.capacity
                self._lower(error, writing.result(), needs_new_process=error.shortage.needs_new_process)
                self._work = replace(plan, config=record.config).workload()
                self._pool.prepare(record.config, self.checkpoint)
        record.summary.time_s.load = time.monotonic() - begun if loaded else 0.0
        questions = writing.result()
        record.summary.time_s.prepare = writing.seconds
        try:
            self._begin(engine, loaded=loaded)
        except EngineError:  # it died since the job before
            self._pool.close_engine()
            raise
        return questions

    @property
    def loaded(self) -> ModelEngine:
        """The engine that was loaded for this run."""
        if self._engine is None:
            raise RuntimeError("no engine is loaded")
        return self._engine

    def _begin(self, engine: ModelEngine, *, loaded: bool) -> None:
        record = self._record
        made = (each for r in (*record.results, *record.unjudged.values()) for each in r.completions)
        answered = any(one.error is None and not one.from_cache for one in made)
        work = replace(self._work, spent=record.earlier.cost, answered=answered)
        engine.begin(self.tokenizer, work, loaded=loaded, notice=record.terminal.notice)
        self._engine, self.at_once = engine, engine.capacity

    def failed(self, error: BaseException, questions: Questions) -> None:
        """Closes the engine after an error while requests ran, since no later job may meet what it was doing.

        Raises:
            StartAgain: Memory ran out or no engine can follow in this process, and a new one goes on.
            EngineError: No new one may, or nothing is left to lower.
        """
        with suppress(Exception):  # the user gets the first error
            self._pool.close_engine()
        if isinstance(error, OutOfMemoryError):
            self._lower(error, questions, needs_new_process=True)
        if isinstance(error, EngineDiedError):
            self._died(error)

    def _lower(self, error: OutOfMemoryError, questions: Questions, *, needs_new_process: bool) -> None:
        """Lowers the setting that needed too much memory; `needs_new_process`: only with that the memory comes back."""
        record = self._record
        needed = [
            prompts.context_needed(name, questions.requests, record.config) for name in questions.benchmarks
        ]
        step = next_step(
            record.config, error.shortage, record.steps, needed=max(needed, default=0), at_once=self.at_once
        )
        if step is None or (needs_new_process and not record.options.replaceable):
            raise error
        step = replace(step, fresh=needs_new_process, kept=len(record.results))
        record.steps.append(step)
        record.config = lowered(record.config, [step])
        record.terminal.notice(step.sentence())
        record.write()
        if needs_new_process:
            self._start_again(error)

    def _start_again(self, error: EngineError) -> NoReturn:
        self._pool.restart_log = self._record.restart_log  # for the process that follows, as pool.steps
        raise StartAgain(error) from error

    @contextmanager
    def engine(self, questions: Questions) -> Iterator[Engine]:
        """Puts the wrappers around the loaded engine, for as long as requests run."""
        record, report = self._record, self.loaded.report()
        self._restarting = RestartingEngine(
            self.loaded,
            self,
            record.restart_log,
            record.terminal.notice,
            finished=record.results,
            probe=questions.shortest_of(record.results),
            take_step=lambda _: self.watch.step(self.loaded),
        )
        if not record.config.cache:
            yield self._restarting
            return

        def keys() -> Keys:
            return keys_for(record.config, report, self.checkpoint, self.tokenizer, self._pool.since or 0.0)

        most = record.config.cache_max_bytes
        with with_cache(self._restarting, keys, most, lambda sentence: record.warn([sentence])) as cached:
            yield cached

    @property
    def replaced_s(self) -> float:
        """Seconds that dead engines and the loading of new ones took while requests ran."""
        return self._restarting.replaced_s if self._restarting is not None else 0.0

    def open(self) -> Engine:
        """Loads an engine in place of one that died; while it loads, the first Ctrl-C ends the run at once.

        Raises:
            EngineError: It cannot start.
        """
        begun, times, config = time.monotonic(), self._record.summary.time_s, self._record.config
        self._stop.listening = False
        try:
            engine = self._pool.prepare(config, self.checkpoint)
            self.at_once = engine.preferred_batch_size(self._work)
            self._pool.load(config, self._work, self._record.terminal.notice)
            self._begin(engine, loaded=True)
        except Interrupted as interrupted:
            # what is being graded is waited for, but not long
            self._stop.signal_number = interrupted.signal_number
            raise
        finally:
            self._stop.listening = True
        times.load = (times.load or 0.0) + time.monotonic() - begun
        return engine

    def discard(self) -> None:
        """Closes a dead engine, whatever it still says."""
        self._engine = None
        try:
            self._pool.close_engine()
        except Exception:
            log.exception("the dead engine could not be closed")

    def _died(self, error: EngineDiedError) -> None:
        if not error.needs_new_process or not self._record.restart_log.search.bound:
            raise error
        self._record.write()
        if self._record.options.replaceable:
            self._start_again(error)
        raise EngineDiedError(
            f"{error} Only a new process could go on; what was finished is kept.", needs_new_process=True
        ) from error

    def learn(self) -> None:
        """Gives the engine the times of this run, for its next choice of a start-up."""
        record, times = self._record, self._record.summary.time_s
        whole = not record.earlier.answers and not record.restart_log.restarts
        if not whole or self._engine is None or times.load is None or times.generate is None:
            return
        completions = [result.completions for result in record.results]
        judged = any(result.judgement is not None for result in record.results)
        if judged or any(c.from_cache or c.choices for made in completions for c in made):
            return  # generating took other work than what was ahead
        energy_j = record.summary.gpu.energy_j
        self._engine.learn(Took.of(completions, times.load, times.generate, energy_j))
