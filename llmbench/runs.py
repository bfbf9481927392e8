"""`python -m llmbench.runs [FOLDER …]`: the runs below folders, newest first, with score, time and the settings that differ.

Only manifest.json and summary.json are read, so that thousands of runs take a second or two.
Exit status: 0 listed, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

import orjson

from llmbench.report.run_list import SORTS, STATUSES, in_order, list_runs, print_runs, whole_number
from llmbench.system.commandline import Parser, guarded


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.runs", description="Lists runs: score, time, model, settings that differ."
    )
    parser.add_argument(
        "folders", metavar="FOLDER", nargs="*", default=["runs"], help="where to look; by default runs"
    )
    parser.add_argument(
        "--sort", choices=SORTS, default="date", help="newest, best, quickest or fastest first"
    )
    parser.add_argument("--model", help="only runs of this model")
    parser.add_argument("--benchmark", help="only runs of this benchmark")
    parser.add_argument("--status", choices=STATUSES, help="only runs that ended, or did not, in this way")
    parser.add_argument("--limit", metavar="N", type=whole_number, help="at most so many")
    parser.add_argument("--json", action="store_true", help="print JSON; what was not measured is null")
    chosen = parser.parse_args(arguments)
    found = list_runs(*(folder.removeprefix("runs_dir=") for folder in chosen.folders))
    kept = [
        run
        for run in found
        if chosen.model in (None, run.model)
        and chosen.status in (None, run.status)
        and (chosen.benchmark is None or chosen.benchmark in run.scores)
    ]
    kept = sorted(kept, key=lambda run: in_order(run, chosen.sort))[: chosen.limit]
    if chosen.json:
        sys.stdout.write(
            orjson.dumps([asdict(run) for run in kept], option=orjson.OPT_INDENT_2).decode() + "\n"
        )
    else:
        print_runs(kept, len(found))


if __name__ == "__main__":
    sys.exit(main(None))
