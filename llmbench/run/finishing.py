"""What comes after a run's last answer: the benchmarks' own last step, and whether there is a score at all."""

import logging
import shlex
from dataclasses import replace

from llmbench.errors import LlmbenchError, OnlyErrorsError, RunError
from llmbench.results import metrics
from llmbench.results.manifest import LOG
from llmbench.run.grading import checked_score
from llmbench.run.run_record import RunRecord
from llmbench.system.text import one_line

log = logging.getLogger(__name__)


def finish_benchmarks(record: RunRecord) -> None:
    """Runs the last step of benchmarks that have one: SWE-bench writes its predictions, and may run its own harness."""
    model = record.config.model.name
    for name, benchmark in record.benchmarks.items():
        results, options = metrics.results_of(name, record.results), record.config.benchmarks[name].options
        if not results:
            continue
        try:  # what a user's gives may be anything
            given, said = benchmark.finish(record.files.folder, results, model, options)
            scores = {sample_id: checked_score(score) for sample_id, score in given.items()}
            sentences = [said] if isinstance(said, str) else list(said)
        except (LlmbenchError, OSError):
            raise
        except (Exception, SystemExit) as error:
            log.exception("%s could not be finished", name)
            raise RunError(
                f"{name}: its last step, `finish`, failed ({one_line(error)}); what was graded is kept."
            ) from error
        later = [replace(r, score=scores[r.sample_id]) for r in results if r.sample_id in scores]
        record.replace_scores(later, sentences)


def refuse_only_errors(record: RunRecord) -> None:
    """Fails a run with a benchmark that has no score at all, so that its 0% is not taken for one."""
    for name, benchmark in record.benchmarks.items():
        results = metrics.results_of(name, record.results)
        sentence = metrics.only_errors(name, results, scored_later=benchmark.scored_later)
        if sentence is not None:
            judge = "" if benchmark.rubric is None else " judge.base_url=URL"
            raise OnlyErrorsError(
                f"{sentence} {record.files.folder / LOG} has more; what was graded is kept, and "
                f"`python -m llmbench.regrade {shlex.quote(str(record.files.folder))}{judge}` grades the answers again."
            )
