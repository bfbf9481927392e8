"""`python -m llmbench.serve model=NAME`: serves a model with vLLM until Ctrl-C, for `engine=endpoint` to evaluate.

Exit status: 0 ended by Ctrl-C or SIGTERM once it was ready, or served already; 1 failed; 130 or 143 ended while it loaded.
"""

import sys
from collections.abc import Sequence

from llmbench.system.commandline import Parser, guarded


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.serve",
        description="Serves a model with vLLM and the settings of a run, until Ctrl-C; prints the command that evaluates it.",
    )
    parser.add_argument(
        "settings",
        metavar="NAME=VALUE",
        nargs="*",
        help="settings as for a run: model=, engine.*, profile=, batch_size= (requests that may run at once, 256), and port= "
        "(8000, or a free one) and host= (127.0.0.1, this machine alone)",
    )
    chosen = parser.parse_args(arguments)
    from llmbench.cli.serve import serve

    serve(chosen.settings)


if __name__ == "__main__":
    sys.exit(main(None))
