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
- A resumed run asks something else: `restore`, `check_judge` and `check_questions` refuse it, and manifest, settings and summary stay as they
  are (`run/restoring.py`).
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from llmbench.config.schema import AUTO, Config
from llmbench.engine.base import Engine
from llmbench.engine.factory import complete
from llmbench.results.manifest import MEMORY_LOG, TRACE
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Summary
from llmbench.run import answer_lengths, judging, preflight
from llmbench.run.comparability import why_not_comparable
from llmbench.run.data_notes import data_notes
from llmbench.run.engine_pool import EnginePool
from llmbench.run.exchange import Exchange
from llmbench.run.finishing import finish_benchmarks, refuse_only_errors
from llmbench.run.grading import Grader
from llmbench.run.hanging import leave_hanging
from llmbench.run.loop import GATHER_S, EvaluationLoop
from llmbench.run.options import RunOptions
from llmbench.run.progress import Progress
from llmbench.run.request_plan import Questions, RequestPlan, graders_need, import_benchmarks
from llmbench.run.restoring import check_judge, check_questions, restore
from llmbench.run.run_engine import RunEngine
from llmbench.run.run_record import RunRecord
from llmbench.run.stopping import Stopping
from llmbench.system.background_task import Background
from llmbench.system.console import Terminal
from llmbench.system.number_format import count
from llmbench.system.processes import environment
from llmbench.system.signals import Stop
from llmbench.telemetry import MemoryTracker, Sampler

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
        config, notices = complete(config, pool.engines.find_checkpoint)
        for sentence in notices:
            terminal.notice(sentence)
        benchmarks = import_benchmarks(config)
        config = judging.complete(config, benchmarks)
        sealed = frozenset(name for name, benchmark in config.benchmarks.items() if benchmark.sealed)
        files = resources.enter_context(RunFolder(folder, sealed, goes_on=options.beginning.has_results))
        record = RunRecord(config, files, options, terminal, benchmarks)
        restore(record, pool)  # which may refuse: then the folder stays as it is
        try:
            if not record.earlier.answers:  # else the questions must first be known to be the same
                record.write()
            run_engine = RunEngine(record, pool, stop)
            _evaluate(record, run_engine, pool, stop)
            run_engine.learn()
            answer_lengths.remember(record.config, record.results)
            finish_benchmarks(record)  # which may give scores in place of the journal's
            refuse_only_errors(record)
        except BaseException as error:
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


def _evaluate(record: RunRecord, run_engine: RunEngine, pool: EnginePool, stop: Stop) -> None:
    """All steps, in order. Telemetry and graders start first: before torch and vllm are imported."""
    config, benchmarks = record.config, record.benchmarks
    runs_code = any(benchmark.runs_code for benchmark in benchmarks.values())
    with (
        Sampler(preflight.gpus_here(config)) as sampler,
        MemoryTracker(record.files.folder, MEMORY_LOG, sampler=sampler, of_run=True),
        judging.judge_engine(config, benchmarks, record.terminal.notice) as judge,
    ):
        sampler.write(record.files.folder / TRACE)
        record.warn(preflight.check_sandbox(config, runs_code=runs_code))
        grader = pool.graders.get(graders_need(config), config.sandbox.value, runs_code=runs_code)
        checkpoint = run_engine.find_checkpoint()
        plan = _read_questions(record, pool)
        run_engine.prepare(plan)
        record.warn(preflight.before_loading(config, plan.samples, run_engine.at_once, checkpoint))
        check_judge(record, judging.identity(judge))
        writing = Background("prompts", partial(_write_prompts, record, run_engine, plan, run_engine.at_once))
        questions = run_engine.load(plan, writing)
        # how many GPUs these use, and on which hosts, is known once they are loaded
        if config.engine.replicas == AUTO or config.engine.ray_address is not None:
            sampler.watch_gpus(preflight.gpus_here(record.config) or run_engine.loaded.remote_gpus)
        report = run_engine.loaded.report()
        check_questions(record, questions, report.server)
        record.note_engine(report)
        why_not = why_not_comparable(record.config, questions, checkpoint)
        record.note_plan(questions, run_engine.checkpoint_row(), why_not)
        try:
            _ask_all(record, run_engine, questions, grader, sampler, stop, judge)
        except BaseException as error:  # Ctrl-C too
            run_engine.failed(error, questions)
            raise
        finally:
            if not config.engine.is_server:  # this machine's memory is no part of a server's
                record.summary.memory, record.summary.gpu = sampler.memory(), sampler.gpu()


def _read_questions(record: RunRecord, pool: EnginePool) -> RequestPlan:
    """Reads the questions; says how mapped columns were understood, once for all jobs of a sweep."""
    begun = time.monotonic()
    plan = RequestPlan.read(record.config, record.manifest.samples if record.earlier.answers else None)
    record.stopping = Stopping.of(plan, record.results)
    for paragraph in data_notes(plan):
        if paragraph not in pool.shown:
            pool.shown.add(paragraph)
            record.terminal.notice(paragraph)
    record.summary.time_s.data = time.monotonic() - begun
    return plan


def _write_prompts(record: RunRecord, run_engine: RunEngine, plan: RequestPlan, at_once: int) -> Questions:
    """Writes the prompts while the model loads, and says what they make doubtful."""
    tokenizer, checkpoint = run_engine.tokenizer, run_engine.checkpoint
    questions = plan.write(tokenizer, answer_lengths.read(plan.config))
    record.warn(tokenizer.remarks(plan.config.model.chat_template_kwargs))
    record.warn(preflight.of_prompts(plan.config, questions, at_once, checkpoint))
    return questions


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
    writes = any(not benchmark.asks_likelihoods for benchmark in record.config.benchmarks.values())
    with (
        run_engine.engine(questions) as engine,
        Progress(record.terminal, record.totals, writes=writes) as progress,
    ):
        loop = EvaluationLoop(questions, run_engine.tokenizer, engine, grader, record, progress, stop, judge)
        hangs = partial(leave_hanging, record=record, loop=loop, sampler=sampler)
        try:
            with _measured(sampler, loop), run_engine.watch.looking(hangs):
                loop.run()
        finally:
            if loop.ungraded:
                record.terminal.notice(
                    f"{count(loop.ungraded, 'answer')} could not be graded within "
                    f"{GATHER_S:.0f} s of the signal; resume asks those questions again."
                )
            times = record.summary.time_s
            times.generate, times.grade_tail = loop.generate_s - run_engine.replaced_s, loop.grade_tail_s
            record.note_requests(engine.report())
            for sentence in judging.remarks(judge):
                record.note(sentence)


@contextmanager
def _measured(sampler: Sampler, loop: EvaluationLoop) -> Iterator[None]:
    """Inside, telemetry counts the time as that of requests, samples the engine too, and is shown."""
    sampler.begin()
    sampler.listen(loop.progress.look)
    sampler.watch_engine(loop.state)
    try:
        yield
    finally:
        sampler.unlisten(loop.progress.look)
        sampler.watch_engine(None)
        sampler.end()
