"""`python -m llmbench`. Kept this small because grading workers import it again when they start."""

import os
import sys
from typing import NoReturn

from llmbench.system import stdio


def main() -> NoReturn:
    """Runs the command line and ends the process.

    The command line is imported only now, so that Ctrl-C during the imports ends as quietly as later.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):  # the run's own files would get their numbers
        sys.exit("llmbench: stdin, stdout or stderr is closed; use </dev/null or >/dev/null instead.")
    try:
        from llmbench.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    status = run(ends=True)
    stdio.flush()
    if "torch" not in sys.modules:
        sys.exit(status)
    # Everything is written and closed. Taking apart what torch and vllm made would keep the shell waiting for seconds.
    os._exit(status)


if __name__ == "__main__":
    main()
