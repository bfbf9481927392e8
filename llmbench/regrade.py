"""`python -m llmbench.regrade RUN`: grades a run again from its journal alone, beside what is there.

Reads config.yaml, samples.jsonl and summary.json and changes none of them; writes samples.regraded.jsonl and
summary.regraded.json, which look the same, and report.regraded.html where the run has a report. No engine, no questions: texts, gold answers and what grading needs of the
samples are in the journal. Verdicts of a judge stay, unless settings name another: `python -m llmbench.regrade RUN judge.base_url=URL`. Exit status: 0 graded, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence

from llmbench.config.schema import Config
from llmbench.errors import OnlyErrorsError
from llmbench.report.publish import publish
from llmbench.results.manifest import REGRADED_JOURNAL, REGRADED_SUMMARY
from llmbench.results.metrics import only_errors, results_of
from llmbench.results.settings import read_config
from llmbench.run.regrade import Change, regrade_run
from llmbench.system import decoding
from llmbench.system.commandline import Parser, guarded, say
from llmbench.system.console import Terminal
from llmbench.system.number_format import percent


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.regrade",
        description=f"Grades a run again from its journal alone and writes {REGRADED_SUMMARY} and {REGRADED_JOURNAL} into its folder.",
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "judge",
        metavar="judge.NAME=VALUE",
        nargs="*",
        help="another judge for free-text answers, such as judge.base_url=URL",
    )
    chosen = parser.parse_args(arguments)
    found = regrade_run(chosen.run, chosen.judge)
    for note in found.notes:
        say(note)
    for change in found.changes:
        say(_sentence(change))
    if found.never_given:
        say(f"{found.never_given} without a text stay errors")
    for accuracy in found.accuracies:
        changed = sum(change.benchmark == accuracy.benchmark for change in found.changes)
        before, after = percent(accuracy.before), percent(accuracy.after)
        say(f"{accuracy.benchmark}: accuracy {before} → {after}, {changed} of {accuracy.n} graded otherwise")
        judge = found.summary.benchmarks[accuracy.benchmark].judge
        if judge is not None:
            say(f"{accuracy.benchmark}: {judge.sentence()}")
    for name, agreement in found.agreements.items():
        say(f"{name}: {agreement.sentence()}")
    publish(found.folder, decoding.build(read_config(found.folder) or {}, Config), Terminal(), regraded=True)
    say(f"written to {found.folder / REGRADED_SUMMARY} and {REGRADED_JOURNAL}")
    for name in dict.fromkeys(result.benchmark for result in found.results):
        # Another program may have scored SWE-bench, which is not asked here.
        sentence = only_errors(name, results_of(name, found.results), scored_later=True)
        if sentence is not None:
            raise OnlyErrorsError(sentence)


def _sentence(change: Change) -> str:
    """A change as a line; answers are cut short, the journal has them whole."""
    old, new = (
        outcome.value if answer is None else f"{outcome.value} {answer[:80]!r}"
        for outcome, answer in (
            (change.old_outcome, change.old_answer),
            (change.new_outcome, change.new_answer),
        )
    )
    repeat = f" repeat {change.repeat}" if change.repeat else ""
    sealed = " (another answer)" if old == new else ""
    return f"{change.benchmark} {change.sample_id}{repeat}: {old} → {new}{sealed}"


if __name__ == "__main__":
    sys.exit(main(None))
