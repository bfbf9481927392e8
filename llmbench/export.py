"""`python -m llmbench.export RUN [--format parquet,csv,lm_eval] [--to FOLDER]`: a run's results for other programs.

Exit status: 0 written, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence

from llmbench.config.groups import EXPORTS
from llmbench.report.export import export_run
from llmbench.system.commandline import Parser, guarded, say


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.export",
        description="Writes a run's results for other programs; sealed questions stay sealed.",
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--format",
        default=",".join(EXPORTS),
        help=f"what to write, of {', '.join(EXPORTS)}, separated by commas; all by default",
    )
    parser.add_argument("--to", metavar="FOLDER", help="where to write; the run's folder by default")
    chosen = parser.parse_args(arguments)
    formats = [name.strip() for name in chosen.format.split(",") if name.strip()]
    for path in export_run(chosen.run, formats, chosen.to):
        say(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main(None))
