"""`python -m llmbench.compare RUN_A RUN_B [RUN_C …]`: runs against the first of them, as a page or as JSON.

Exit status: 0 compared, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence

import orjson

from llmbench.report.compare.comparison import as_dict, compare_runs
from llmbench.report.compare.terminal_page import show
from llmbench.system.commandline import Parser, guarded


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.compare",
        description="Compares runs with the first, question by question: scores with interval and test, times, settings.",
    )
    parser.add_argument("baseline", metavar="RUN_A", help="the folder of the run to compare with")
    parser.add_argument("runs", metavar="RUN_B", nargs="+", help="folders of the runs to compare")
    parser.add_argument("--json", action="store_true", help="print JSON; what was not measured is null")
    parser.add_argument(
        "--allow-different",
        action="store_true",
        help="compare the questions in common even where the runs were not asked the same",
    )
    parser.add_argument(
        "--regraded",
        action="store_true",
        help="take RUN_B and those behind it as llmbench.regrade graded them again; RUN_B may be RUN_A",
    )
    chosen = parser.parse_args(arguments)
    compared = compare_runs(
        chosen.baseline, *chosen.runs, allow_different=chosen.allow_different, regraded=chosen.regraded
    )
    if not chosen.json:
        show(compared, sys.stdout)
        return
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(as_dict(compared), option=options, default=str).decode() + "\n")


if __name__ == "__main__":
    sys.exit(main(None))
