"""Feeds what comes from outside, mutated, to the code that reads it, and reports what went wrong.

    python -m tests.fuzz WHAT --seconds 300 [--seed 0]

WHAT: `answers` (the default) grades mutated texts through the workers that runs use; `config` runs mutated settings and YAML;
`rows` reads mutated questions of every benchmark, and runs some; `journal` reads, compares, reports, exports and regrades
mutated run folders; `patches` looks for patches and programs in mutated texts and checks them with git; `all` is one after
another. Exit status 1 if anything raised but an LlmbenchError, printed a traceback, killed a worker, or ran past its limit.
"""

import argparse
import importlib
import os
import sys
import time
import traceback
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.common import Report

KINDS = ("answers", "config", "rows", "journal", "patches")


def main() -> int:
    """Runs the fuzzers; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("what", nargs="?", choices=(*KINDS, "all"), default="answers")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    failed = False
    told = os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):  # what the runs themselves say
        os.dup2(nothing, descriptor)
    for what in KINDS if options.what == "all" else (options.what,):
        begun = time.monotonic()
        run = importlib.import_module(f"tests.fuzz.{what}").run
        try:
            report: Report = run(options.seconds, options.seed)
        except BaseException:
            traceback.print_exc(file=told)
            raise
        for finding in report.findings:
            print(f"BAD {finding}", file=told)
        seconds = time.monotonic() - begun
        print(
            f"{what}: {report.cases} cases in {seconds:.0f} s, seed {options.seed}: {dict(report.outcomes)}; "
            f"{len(report.findings)} findings",
            file=told,
        )
        failed |= bool(report.findings)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
