"""`python -m llmbench`. Kept this small because grading workers import it again when they start."""

import sys


def main() -> int:
    """Imports the command line only now, so that Ctrl-C during the imports ends as quietly as later."""
    try:
        from llmbench.cli import main as run
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
