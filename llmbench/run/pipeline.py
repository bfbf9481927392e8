"""A run from top to bottom.

    settings → samples → requests → engine → completions → scores → journal → summary → page

`run` opens the run's folder and sees to it that, however the run ends, the folder says so. `_evaluate` goes through the steps.
What can go wrong is handled where it happens:

- the engine dies: `RestartingEngine` loads another and asks again what was in flight (`engine/restarting.py`)
- the engine hangs: `Watch` kills its processes, or ends this one through `_leave` (`engine/watching.py`)
- memory runs out: `EngineStart` lowers one setting and tries again (`run/oom_recovery.py`)
- only a new process can go on: `StartAgain` goes up to the command line, which begins one that continues in this folder
- Ctrl-C: `EvaluationLoop` drops what is in flight and raises `Interrupted`
"""

import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from llmbench.benchmarks import dataset
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint, check_tensors
from llmbench.engine.checkpoint_settings import complete
from llmbench.engine.tokenizer import Tokenizer
from llmbench.errors import ConfigError, EngineDiedError, OnlyErrorsError, OutOfMemoryError, RunError
from llmbench.records import Sample
from llmbench.results import summary as summaries
from llmbench.results.manifest import LOG, MEMORY_LOG, TRACE
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Summary
from llmbench.run import preflight, resume_checks
from llmbench.run.engine_pool import EnginePool
from llmbench.run.engine_start import EngineStart
from llmbench.run.grading import Grader
from llmbench.run.loop import GATHER_S, EvaluationLoop, Exchange
from llmbench.run.oom_recovery import StartAgain
from llmbench.run.options import RunOptions
from llmbench.run.progress import Progress
from llmbench.run.request_plan import (
    Questions,
    graders_need,
    import_modules,
    read_samples,
    runs_code,
    why_not_comparable,
    workload,
    write_questions,
)
from llmbench.run.restoring import restore
from llmbench.run.run_record import RefusedResumeError, RunRecord, without_texts
from llmbench.system import redaction
from llmbench.system.background_task import Background
from llmbench.system.console import Terminal
from llmbench.system.number_format import count
from llmbench.system.processes import environment
from llmbench.system.signals import Stop, leave
from llmbench.telemetry import MemoryTracker, Sampler

log = logging.getLogger(__name__)

FAILED = 1
"""The exit status of a run that failed."""
LEAVE_S = 60.0
"""For a run that cannot go on to write what it has, before its process ends all the same."""
Read = Mapping[str, tuple[Sequence[Sample], dataset.DataSource]]
"""Samples of each benchmark and where they came from."""


def run(config: Config, folder: Path, options: RunOptions | None = None) -> Summary:
    """Runs the chosen benchmarks and writes the run's folder.

    Args:
        config: The settings, checked.
        folder: Where the run is written; it must not hold another run.
        options: How the run is begun, and what it may use.

    Raises:
        StartAgain: Only a new process can go on; only where the run is `replaceable`.
        LlmbenchError: Something a user can fix; the folder says so too (status `failed`).
        Interrupted: The run was stopped; the folder holds what was finished (status `interrupted`).
    """
    options = options or RunOptions()
    terminal, stop = options.terminal or Terminal(quiet=True), options.stop or Stop()
    with ExitStack() as held:
        pool = options.pool or held.enter_context(_own_pool(options, held))
        config, said = complete(config, pool.engines.find_checkpoint)
        for sentence in said:
            terminal.notice(sentence)
        sealed = frozenset(name for name, benchmark in config.benchmarks.items() if benchmark.sealed)
        files = held.enter_context(RunFolder(folder, sealed, goes_on=options.beginning.has_results))
        record = RunRecord(config, files, options, terminal)
        restore(record, pool)
        try:
            record.begin()
            start = EngineStart(record, pool, stop)
            _evaluate(record, start, pool, stop)
            start.learn()
            _finish_benchmarks(record)
            _refuse_only_errors(record)
        except StartAgain:
            pool.restart_log = record.restart_log  # for the process that follows
            raise
        finally:
            record.end(sys.exception())
    return record.summary


def _own_pool(options: RunOptions, held: ExitStack) -> EnginePool:
    """The pool of a program's call, whose output is its own unless it gives a terminal."""
    if options.terminal is None:
        level = os.environ.get("VLLM_LOGGING_LEVEL", "ERROR")
        held.enter_context(environment({"VLLM_LOGGING_LEVEL": level}))
    return EnginePool()


def _evaluate(record: RunRecord, start: EngineStart, pool: EnginePool, stop: Stop) -> None:
    """All steps, in order. Telemetry and graders start first: before torch and vllm are imported."""
    config = record.config
    benchmarks = record.benchmarks = import_modules(config)
    parallel = config.engine.tensor_parallel_size * config.engine.pipeline_parallel_size
    with (
        Sampler(parallel) as sampler,
        MemoryTracker(record.files.folder, MEMORY_LOG, sampler=sampler, of_run=True),
    ):
        _write_trace(sampler, record.files.folder / TRACE)
        record.warn(preflight.check_sandbox(config, runs_code=runs_code(benchmarks)))
        grader: Grader[Exchange] = pool.grader(
            graders_need(config), config.sandbox.value, runs_code=runs_code(benchmarks)
        )
        checkpoint = start.find_checkpoint()
        begun = time.monotonic()
        read = {name: read_samples(config, name, module) for name, module in benchmarks.items()}
        record.summary.time_s.data = time.monotonic() - begun
        at_once = start.prepare(workload(config, read))
        samples = {name: of_one for name, (of_one, _) in read.items()}
        record.warn(preflight.before_loading(config, samples, at_once, checkpoint))
        writing = Background(
            "prompts", lambda: _write_prompts(record, read, start.tokenizer, at_once, checkpoint)
        )
        questions = start.load(writing, lambda: workload(record.config, read))
        _check_questions(record, questions)
        record.note_engine(start.report())
        why_not = why_not_comparable(record.config, questions, checkpoint)
        record.note_plan(questions, start.checkpoint_row(), why_not)
        try:
            _ask(record, start, questions, grader, sampler, stop)
        except BaseException as error:
            with suppress(Exception):  # the first error is the one to tell
                pool.close_engine()  # what it was doing is unknown: no later job may meet it
            if isinstance(error, OutOfMemoryError):
                start.out_of_memory(error, questions)
            if isinstance(error, EngineDiedError):
                start.died(error)
            raise
        finally:
            record.summary.memory, record.summary.gpu = sampler.memory(), sampler.gpu()


def _write_trace(sampler: Sampler, path: Path) -> None:
    try:
        sampler.write(path)
    except RunError as error:  # no run ends for want of telemetry
        log.warning("%s", error)


def _write_prompts(
    record: RunRecord, read: Read, tokenizer: Tokenizer, at_once: int, checkpoint: Checkpoint | None
) -> Questions:
    """Writes the prompts while the model loads, and warns if the KV cache will not hold them."""
    questions = write_questions(record.config, record.benchmarks, read, tokenizer)
    record.warn(tokenizer.remarks(record.config.model.chat_template_kwargs))
    if checkpoint is not None:
        check_tensors(checkpoint)
        preflight.check_token_ids(questions.requests, checkpoint)
    record.warn(preflight.kv_cache_shortage(record.config, questions.requests, at_once, checkpoint))
    return questions


def _check_questions(record: RunRecord, questions: Questions) -> None:
    """Refuses other questions than those answered so far."""
    if record.finished_before:
        try:
            resume_checks.check_questions(record.files.folder, questions, record.results)
        except ConfigError as error:
            raise RefusedResumeError(str(error)) from error
        record.results[:] = map(without_texts, record.results)


def _ask(  # noqa: PLR0913, PLR0917 - everything meets here
    record: RunRecord,
    start: EngineStart,
    questions: Questions,
    grader: Grader[Exchange],
    sampler: Sampler,
    stop: Stop,
) -> None:
    """Asks all questions and grades the answers; however that ends, what was measured is kept."""
    sampler.begin()
    with start.engine(questions) as engine, Progress(record.terminal, record.totals) as progress:
        sampler.listen(progress.look)
        loop = EvaluationLoop(
            record.config, questions, start.tokenizer, engine, grader, record, progress, stop
        )
        sampler.watch_engine(loop.state)
        try:
            with start.watch.looking(partial(_leave, record=record, loop=loop, sampler=sampler)):
                loop.run()
        finally:
            if loop.ungraded:
                record.terminal.notice(
                    f"{count(loop.ungraded, 'answer')} could not be graded within "
                    f"{GATHER_S:.0f} s of the signal; resume asks those questions again."
                )
            sampler.unlisten(progress.look)
            sampler.watch_engine(None)
            sampler.end()
            times = record.summary.time_s
            times.generate, times.grade_tail = loop.generate_s - start.replaced_s, loop.grade_tail_s
            record.note_requests(engine.report())


def _leave(reason: str, *, record: RunRecord, loop: EvaluationLoop, sampler: Sampler) -> None:
    """Ends the process whose main thread hangs in the engine; in the watch's thread. A library's caller gets an error and keeps its process.

    What is written comes in the order of its worth: a driver that hangs may let telemetry hang as well.
    """
    if not record.options.replaceable:
        record.warn([f"{reason}; only the end of this process can end it, and what was journalled is kept."])
        return
    threading.Timer(LEAVE_S, leave, (FAILED,)).start()
    summary, terminal = record.summary, record.terminal
    try:
        summary.status, summary.error = "failed", f"{reason}; only the process's end could end that."
        log.error("%s", summary.error)
        loop.collect()
        record.add_up()
        with suppress(Exception, SystemExit):  # nobody may be there to be told
            loop.progress.leave()
            terminal.notice(f"llmbench: {summary.error} `{summary.resume}` resumes it.")
        record.write()
        summary.memory, summary.gpu = sampler.memory(), sampler.gpu()
        record.write()
        record.write_page()
        redaction.scrub(record.files.folder / LOG)
    except Exception:
        log.exception("what was left to write could not be written")
    finally:
        leave(FAILED)


def _finish_benchmarks(record: RunRecord) -> None:
    """Runs the last step of benchmarks that have one: SWE-bench writes its predictions, and may run its own harness."""
    for name, module in record.benchmarks.items():
        finish = getattr(module, "finish", None)
        results = [result for result in record.results if result.benchmark == name]
        if finish is None or not results:
            continue
        options = record.config.benchmarks[name].options
        given, said = finish(record.files.folder, results, record.config.model.name, options)
        later = [replace(r, score=given[r.sample_id]) for r in results if r.sample_id in given]
        record.replace_scores(later, said)


def _refuse_only_errors(record: RunRecord) -> None:
    """Fails a run with a benchmark that has no score at all, so that its 0% is not taken for one."""
    for name, module in record.benchmarks.items():
        results = [result for result in record.results if result.benchmark == name]
        sentence = summaries.only_errors(name, results, scored_later=hasattr(module, "finish"))
        if sentence is not None:
            raise OnlyErrorsError(
                f"{sentence} {record.files.folder / LOG} has more; what was graded is kept, and "
                f"`python -m llmbench.regrade {shlex.quote(str(record.files.folder))}` grades the answers again."
            )
