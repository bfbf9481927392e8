"""`python -m llmbench`. Kept this small because grading workers import it again when they start."""

import sys

if __name__ == "__main__":
    from llmbench.cli import main

    sys.exit(main())
