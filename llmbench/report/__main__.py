"""`python -m llmbench.report RUN [RUN …]`: a run's report, or a page of several runs or of a sweep.

Exit status: 0 written, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from llmbench.errors import ConfigError
from llmbench.report.write import runs_below, write_many, write_one
from llmbench.results.manifest import REPORT
from llmbench.system.commandline import Parser, guarded, say

GENERATOR = b'<meta name="generator" content="llmbench '
HEAD_BYTES = 16_384


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.report",
        description="Writes report.html: of one run into its folder, of a sweep into the sweep's, of several runs into the "
        "current folder. The file needs no network.",
    )
    parser.add_argument("folders", metavar="RUN", nargs="+", help="the folder of a run, or of a sweep")
    parser.add_argument("--to", metavar="FILE", help="where to write")
    parser.add_argument(
        "--force", action="store_true", help="replace a file that is not a page of llmbench's"
    )
    parser.add_argument(
        "--show-sealed",
        action="store_true",
        help="show the questions of sealed benchmarks (GPQA), which must not be published",
    )
    parser.add_argument(
        "--regraded",
        action="store_true",
        help="one run as llmbench.regrade graded it, to report.regraded.html",
    )
    chosen = parser.parse_args(arguments)
    folders = [Path(folder) for folder in chosen.folders]
    runs = [run for folder in folders for run in runs_below(folder)]
    if not chosen.force and (chosen.to or len(folders) > 1):  # a run's own folder holds its page
        _refuse_other_file(Path(chosen.to or REPORT))
    if runs == folders and len(runs) == 1:
        written = write_one(runs[0], chosen.to, show_sealed=chosen.show_sealed, regraded=chosen.regraded)
    elif chosen.regraded:
        raise ConfigError("--regraded is for one run.")
    else:
        default = folders[0] / REPORT if len(folders) == 1 else Path(REPORT)
        written = write_many(runs, chosen.to or default, show_sealed=chosen.show_sealed)
    say(f"written to {written}")


def _refuse_other_file(path: Path) -> None:
    """Refuses a file that holds something else than a page of llmbench's.

    Raises:
        ConfigError: It does.
    """
    if not path.is_file() or not path.stat().st_size:
        return  # writing says what is wrong with anything else
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if GENERATOR not in head:
        raise ConfigError(
            f"{path} is not a page of llmbench's; choose another file with --to, or replace it with --force."
        )


if __name__ == "__main__":
    sys.exit(main(None))
