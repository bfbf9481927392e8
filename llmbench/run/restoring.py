"""What an earlier process left of a run, brought back into the run's record before anything is asked, and compared with what is to be asked."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from llmbench.engine import checkpoint_record
from llmbench.engine.checkpoint_settings import name_of
from llmbench.engine.restarting import RestartLog
from llmbench.errors import ConfigError, RefusedResumeError
from llmbench.results import attempts, cost
from llmbench.results.manifest import JOURNAL, Manifest
from llmbench.results.metrics import without_texts
from llmbench.results.reader import read_journal
from llmbench.results.settings import read_settings
from llmbench.run import resume_checks
from llmbench.run.engine_pool import EnginePool, engine_key
from llmbench.run.options import Beginning
from llmbench.run.request_plan import Questions
from llmbench.run.run_record import RunRecord
from llmbench.system import clock
from llmbench.system.number_format import count
from llmbench.telemetry.engine_report import ServerIdentity, ServerReport


def restore(record: RunRecord, pool: EnginePool) -> None:
    """Brings back the results that the folder holds, settings that were lowered, and deaths of engines.

    Raises:
        ConfigError: The settings are not those of the results.
        RunError: A file of the run cannot be read.
    """
    folder, beginning = record.files.folder, record.options.beginning
    record.results = list(read_journal(folder))
    record.earlier.results = len(record.results)
    if beginning.has_results:
        record.unjudged = record.files.unjudged.read({result.key for result in record.results})
        record.earlier.unjudged = frozenset(record.unjudged)
    before = record.files.read_manifest()
    if record.earlier.answers and before.checkpoint:
        record.manifest.checkpoint = record.earlier.checkpoint = before.checkpoint
    _begin_attempt(record, before, resumes=beginning is Beginning.RESUMED)
    if record.files.damage is not None:
        record.note(record.files.damage.sentence(folder / JOURNAL))
    record.steps = pool.steps.setdefault(engine_key(record.config), [])
    if beginning is Beginning.CONTINUED:
        record.restart_log, pool.restart_log = pool.restart_log, RestartLog()
    settings = read_settings(folder) if record.earlier.answers else None
    if beginning.has_results and before != Manifest():
        if beginning is Beginning.RESUMED:
            _check(record, before)
        _bring_back(record, before)
        model = record.config.model
        if settings is not None and model.name == name_of(model.path, model.hub_id):
            # its name stays, even if its checkpoint has moved, unless another one is typed
            record.summary.model = settings.model.name
            record.config = replace(record.config, model=replace(model, name=settings.model.name))
    price, itself = record.config.engine.price, not record.config.judge.is_served
    record.earlier.cost = cost.of_attempts(record.attempts, record.results, price, judges=itself)
    record.earlier.cost += _cost_of_waiting(record, price)
    record.config = pool.lowered(record.config)
    _set_date(record, settings.model.template_date if settings is not None else None)
    answered = {f"{r.benchmark}/{r.sample_id}/{r.repeat}" for r in record.results}
    record.restart_log.begin(record.config.engine_restarts, answered)


def _cost_of_waiting(record: RunRecord, price: Mapping[str, float]) -> float:
    """What answers cost that wait for a verdict, where the process that got them wrote no cost."""
    before = record.attempts[:-1] if record.options.beginning is Beginning.RESUMED else record.attempts
    counted = bool(before) and before[-1].cost is not None
    return 0.0 if counted else cost.of_results(list(record.unjudged.values()), price)


def _begin_attempt(record: RunRecord, before: Manifest, *, resumes: bool) -> None:
    record.attempts = before.sittings
    if resumes or not record.attempts:
        folder, results = record.files.folder, record.earlier.results
        record.attempts = attempts.begin(record.attempts, folder, results, clock.started())
        record.earlier.before_this_attempt = results
    else:
        record.earlier.before_this_attempt = sum(attempt.results for attempt in record.attempts[:-1])


def _check(record: RunRecord, before: Manifest) -> None:
    """Checks that the settings belong to this run, and brings back what was lowered and what engines died of."""
    folder = record.files.folder
    record.restart_log.restarts[:0] = before.restarts
    if record.earlier.answers:
        places = ["model.path", "model.embedded", "model.from_checkpoint"]
        # what lies there is compared
        moved = places if checkpoint_record.known(record.earlier.checkpoint) else []
        resume_checks.check_settings(
            folder, record.config, [*(step.setting for step in before.recovery), *moved]
        )
        resume_checks.compare_model_files(before, record.manifest, folder)
        for sentence in resume_checks.changes(before, record.manifest):
            record.note(sentence)
    if not record.steps:
        record.steps += before.recovery
    kept, waiting = record.earlier.results, len(record.earlier.unjudged)
    left = f": {count(kept, 'result')} kept" if kept else ", which has no results yet"
    left += f"; {count(waiting, 'answer')} without the judge's verdict" if waiting else ""
    record.terminal.notice(f"Going on with {folder}{left}.")


def _bring_back(record: RunRecord, before: Manifest) -> None:
    """Brings back the run's notes and totals, and how it was begun."""
    kept = ["started", "data", "samples", "selection", "server", "judge"]
    if record.manifest.arguments is None:  # a library's call: how the run was begun counts on
        kept += ["overrides", "arguments", "directory", "sweep"]
    record.manifest = replace(record.manifest, **{name: getattr(before, name) for name in kept})
    benchmarks = record.config.benchmarks
    record.totals = {
        name: len(ids) * benchmarks[name].repeats
        for name, ids in before.samples.items()
        if name in benchmarks
    }
    record.summary.notes[:0] = before.notes


def check_judge(record: RunRecord, now: ServerIdentity | None) -> None:
    """Keeps which server has the judge, and refuses another model there than that of the verdicts so far.

    Raises:
        RefusedResumeError: It is another one.
    """
    before = record.manifest.judge
    if now is not None and before is not None and any(result.judgement for result in record.results):
        try:
            said = resume_checks.compare_servers(before, now, record.files.folder)
        except ConfigError as error:
            raise RefusedResumeError(f"The judge: {error}") from error
        if said is not None:
            record.note(f"The judge: {said}")
    record.manifest.judge = now


def check_questions(record: RunRecord, questions: Questions, server: ServerReport | None) -> None:
    """Refuses other questions than those answered so far, and a server with another model; then drops the results' texts.

    Raises:
        RefusedResumeError: They are others.
    """
    try:
        record.note_server(server)
        if record.earlier.answers:
            answers = [*record.results, *record.unjudged.values()]
            resume_checks.check_questions(record.files.folder, questions, answers)
            resume_checks.check_files(record.files.folder, record.manifest, questions.samples)
    except ConfigError as error:
        raise RefusedResumeError(str(error)) from error
    record.results[:] = map(without_texts, record.results)


def _set_date(record: RunRecord, before: str | None) -> None:
    """Chat templates that write the date write that of the run's first day, so that a resumed run asks the same."""
    model = record.config.model
    day = model.template_date or before or datetime.now().astimezone().date().isoformat()
    record.config = replace(record.config, model=replace(model, template_date=day))
