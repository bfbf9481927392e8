"""A run from top to bottom.

    settings → samples → requests → engine → completions → scores → journal → summary

`run` opens the run's folder and sees to it that, however the run ends, the folder says so. `_evaluate` goes through the steps.
What can go wrong is handled where it happens:

- The engine dies: `RestartingEngine` loads another and asks again what was in flight, `engine_restarts` times in a row at most; a request that
  kills it each time is an error (`engine/restarting.py`).
- The engine hangs: `Watch` kills its processes, which is a death. Where it computes in this process, the process ends, or a program that
  called `run` is warned (`engine/watching.py`, `run/hanging.py`).
- Memory runs out: one setting is lowered and it is tried again; while requests run, in a new process (`run/run_engine.py`).
- Only a new process can go on: `StartAgain` goes up to the command line, which begins one that continues in this folder. A program
  that called `run` gets the error (`run/new_process.py`).
- Ctrl-C: while requests run, `EvaluationLoop` drops what is in flight and raises `Interrupted`; before that, and while an engine is
  replaced, the handler of the signal raises it at once (`system/signals.py`).
- A resumed run asks something else: `restore` and `_check_questions` refuse it, and manifest, settings and summary stay as they are.
"""

import logging
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from llmbench.benchmarks.base import Benchmark
from llmbench.config.schema import AUTO, Config
from llmbench.engine.base import Engine
from llmbench.engine.checkpoint_tensors import check_tensors
from llmbench.engine.factory import complete
from llmbench.errors import ConfigError, EngineDiedError, OutOfMemoryError, RefusedResumeError, RunError
from llmbench.results.manifest import MEMORY_LOG, TRACE
from llmbench.results.metrics import without_texts
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Summary
from llmbench.run import answer_lengths, judging, preflight, resume_checks, thinking_budget
from llmbench.run.comparability import why_not_comparable
from llmbench.run.data_notes import data_notes
from llmbench.run.engine_pool import EnginePool
from llmbench.run.exchange import Exchange
from llmbench.run.finishing import finish_benchmarks, refuse_only_errors
from llmbench.run.fp8_kv_cache import fp8_kv_cache_saves
from llmbench.run.grading import Grader
from llmbench.run.hanging import leave_hanging
from llmbench.run.likelihood_prompts import choice_warnings, cut_from_the_left
from llmbench.run.loop import GATHER_S, EvaluationLoop
from llmbench.run.new_process import StartAgain
from llmbench.run.options import RunOptions
from llmbench.run.progress import Progress
from llmbench.run.request_plan import Questions, RequestPlan, graders_need, import_benchmarks, runs_code
from llmbench.run.restoring import restore
from llmbench.run.run_engine import RunEngine
from llmbench.run.run_record import RunRecord
from llmbench.run.stopping import Stopping
from llmbench.system.background_task import Background
from llmbench.system.console import Terminal
from llmbench.system.number_format import count
from llmbench.system.processes import environment
from llmbench.system.signals import Stop
from llmbench.telemetry import MemoryTracker, Sampler
from llmbench.telemetry.engine_report import ServerIdentity, ServerReport

log = logging.getLogger(__name__)


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
    with ExitStack() as resources:
        pool = options.pool or resources.enter_context(_own_pool(options, resources))
        config, said = complete(config, pool.engines.find_checkpoint)
        for sentence in said:
            terminal.notice(sentence)
        benchmarks = import_benchmarks(config)
        config = judging.complete(config, benchmarks)
        sealed = frozenset(name for name, benchmark in config.benchmarks.items() if benchmark.sealed)
        files = resources.enter_context(RunFolder(folder, sealed, goes_on=options.beginning.has_results))
        record = RunRecord(config, files, options, terminal)
        restore(record, pool)  # which may refuse: then the folder stays as it is
        try:
            record.write_if_new()
            run_engine = RunEngine(record, pool, stop)
            _evaluate(record, benchmarks, run_engine, pool, stop)
            run_engine.learn()
            answer_lengths.remember(record.config, record.results)
            finish_benchmarks(record)  # which may give scores in place of the journal's
            refuse_only_errors(record)
        except BaseException as error:
            if isinstance(error, StartAgain):
                pool.restart_log = record.restart_log  # for the process that follows, as pool.steps
            record.end(error)
            raise
        record.end()
    return record.summary


def _own_pool(options: RunOptions, resources: ExitStack) -> EnginePool:
    """The pool of a program's call, whose output is its own unless it gives a terminal."""
    if options.terminal is None:
        level = os.environ.get("VLLM_LOGGING_LEVEL", "ERROR")
        resources.enter_context(environment({"VLLM_LOGGING_LEVEL": level}))
    return EnginePool()


def _evaluate(
    record: RunRecord,
    benchmarks: Mapping[str, Benchmark],
    run_engine: RunEngine,
    pool: EnginePool,
    stop: Stop,
) -> None:
    """All steps, in order. Telemetry and graders start first: before torch and vllm are imported."""
    config = record.config
    record.benchmarks = benchmarks
    with (
        Sampler(preflight.gpus_here(config)) as sampler,
        MemoryTracker(record.files.folder, MEMORY_LOG, sampler=sampler, of_run=True),
        judging.judge_engine(config, benchmarks, record.terminal.notice) as judge,
    ):
        _write_trace(sampler, record.files.folder / TRACE)
        record.warn(preflight.check_sandbox(config, runs_code=runs_code(benchmarks)))
        grader: Grader[Exchange] = pool.graders.get(
            graders_need(config), config.sandbox.value, runs_code=runs_code(benchmarks)
        )
        checkpoint = run_engine.find_checkpoint()
        plan = _read(record, pool)
        run_engine.prepare(plan)
        at_once = run_engine.batch_size()
        record.warn(preflight.before_loading(config, plan.samples, at_once, checkpoint))
        record.warn(judging.judges_itself(config, benchmarks) + judging.asks_nobody(config, benchmarks))
        _note_judge(record, judging.identity(judge))
        writing = Background("prompts", lambda: _write_prompts(record, run_engine, plan, at_once))
        questions = run_engine.load(plan, writing)
        if config.engine.replicas == AUTO or config.engine.ray_address is not None:
            sampler.watch_gpus(preflight.gpus_here(record.config) or run_engine.loaded.remote_gpus)
        report = run_engine.report()
        _check_questions(record, questions, report.server)
        record.note_engine(report)
        why_not = why_not_comparable(record.config, questions, checkpoint)
        record.note_plan(questions, run_engine.checkpoint_row(), why_not)
        try:
            _ask_all(record, run_engine, questions, grader, sampler, stop, judge)
        except BaseException as error:  # Ctrl-C too
            with suppress(Exception):  # the user gets the first error
                pool.close_engine()  # what it was doing is unknown: no later job may meet it
            if isinstance(error, OutOfMemoryError):
                run_engine.out_of_memory(error, questions)
            if isinstance(error, EngineDiedError):  # none can follow in this process, or none is to
                run_engine.died(error)
            raise
        finally:
            if (
                not config.engine.is_server
            ):  # whose machine's memory is not known; this one's is no part of it
                record.summary.memory, record.summary.gpu = sampler.memory(), sampler.gpu()


def _write_trace(sampler: Sampler, path: Path) -> None:
    try:
        sampler.write(path)
    except RunError as error:  # no run ends for want of telemetry
        log.warning("%s", error)


def _read(record: RunRecord, pool: EnginePool) -> RequestPlan:
    """Reads the questions; says how mapped columns were understood, once for all jobs of a sweep."""
    begun = time.monotonic()
    plan = RequestPlan.read(record.config, record.manifest.samples if record.earlier.answers else None)
    record.stopping = Stopping.of(plan, record.results)
    for paragraph in data_notes(plan):
        if paragraph not in pool.said:
            pool.said.add(paragraph)
            record.terminal.notice(paragraph)
    record.summary.time_s.data = time.monotonic() - begun
    return plan


def _write_prompts(record: RunRecord, run_engine: RunEngine, plan: RequestPlan, at_once: int) -> Questions:
    """Writes the prompts while the model loads, and warns if the KV cache will not hold them."""
    known = answer_lengths.read(plan.config)
    questions, checkpoint = plan.write(run_engine.tokenizer, known), run_engine.checkpoint
    record.warn(run_engine.tokenizer.remarks(plan.config.model.chat_template_kwargs))
    if checkpoint is not None:
        check_tensors(checkpoint)
        preflight.check_token_ids(questions.requests, checkpoint)
    record.warn(
        cut_from_the_left(questions.requests, plan.config)
        + choice_warnings(questions.asked.values())
        + thinking_budget.notices(list(questions.asked.values()), plan.config)
    )
    record.warn(preflight.kv_cache_shortage(plan.config, questions.requests, at_once, checkpoint))
    record.warn(fp8_kv_cache_saves(plan.config, questions.requests, at_once, checkpoint))
    return questions


def _note_judge(record: RunRecord, now: ServerIdentity | None) -> None:
    """Keeps which server has the judge, and refuses another model there than that of the verdicts so far."""
    before = record.manifest.judge
    if now is not None and before is not None and any(result.judgement for result in record.results):
        try:
            said = resume_checks.compare_servers(before, now, record.files.folder)
        except ConfigError as error:
            raise RefusedResumeError(f"The judge: {error}") from error
        if said is not None:
            record.note(f"The judge: {said}")
    record.manifest.judge = now


def _check_questions(record: RunRecord, questions: Questions, server: ServerReport | None) -> None:
    """Refuses other questions than those answered so far, and a server with another model."""
    try:
        record.note_server(server)
        if record.earlier.answers:
            answers = [*record.results, *record.unjudged.values()]
            resume_checks.check_questions(record.files.folder, questions, answers)
            resume_checks.check_files(record.files.folder, record.manifest, questions.data)
    except ConfigError as error:
        raise RefusedResumeError(str(error)) from error
    record.results[:] = map(without_texts, record.results)


def _ask_all(  # noqa: PLR0913, PLR0917 - everything meets here
    record: RunRecord,
    run_engine: RunEngine,
    questions: Questions,
    grader: Grader[Exchange],
    sampler: Sampler,
    stop: Stop,
    judge: Engine | None,
) -> None:
    """Asks all questions and grades the answers; however that ends, what was measured is kept."""
    sampler.begin()
    writes = any(not benchmark.asks_likelihoods for benchmark in record.config.benchmarks.values())
    with (
        run_engine.engine(questions) as engine,
        Progress(record.terminal, record.totals, writes=writes) as progress,
    ):
        sampler.listen(progress.look)
        loop = EvaluationLoop(
            record.config, questions, run_engine.tokenizer, engine, grader, record, progress, stop, judge
        )
        sampler.watch_engine(loop.state)
        try:
            with run_engine.watch.looking(partial(leave_hanging, record=record, loop=loop, sampler=sampler)):
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
            times.generate, times.grade_tail = loop.generate_s - run_engine.replaced_s, loop.grade_tail_s
            record.note_requests(engine.report())
            for sentence in judging.remarks(judge):
                record.note(sentence)
