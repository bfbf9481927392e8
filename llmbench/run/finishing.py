"""What comes after a run's last answer: the benchmarks' own last step, and whether there is a score at all."""

import shlex
from dataclasses import replace

from llmbench.errors import OnlyErrorsError
from llmbench.results import metrics
from llmbench.results.manifest import LOG
from llmbench.run.run_record import RunRecord


def finish_benchmarks(record: RunRecord) -> None:
    """Runs the last step of benchmarks that have one: SWE-bench writes its predictions, and may run its own harness."""
    for name, benchmark in record.benchmarks.items():
        results = [result for result in record.results if result.benchmark == name]
        if not results:
            continue
        options = record.config.benchmarks[name].options
        given, said = benchmark.finish(record.files.folder, results, record.config.model.name, options)
        later = [replace(r, score=given[r.sample_id]) for r in results if r.sample_id in given]
        record.replace_scores(later, said)


def refuse_only_errors(record: RunRecord) -> None:
    """Fails a run with a benchmark that has no score at all, so that its 0% is not taken for one."""
    for name, benchmark in record.benchmarks.items():
        results = [result for result in record.results if result.benchmark == name]
        sentence = metrics.only_errors(name, results, scored_later=benchmark.scored_later)
        if sentence is not None:
            raise OnlyErrorsError(
                f"{sentence} {record.files.folder / LOG} has more; what was graded is kept, and "
                f"`python -m llmbench.regrade {shlex.quote(str(record.files.folder))}` grades the answers again."
            )
