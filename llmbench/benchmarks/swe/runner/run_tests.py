"""Runs tests of a patched repository; a script in a process of its own, since the patch's code runs in it too.

Standard input: an order as JSON (see `judge._tested`). Each test's outcome is a line in the order's report.
"""

import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO


class Reporter:
    """A pytest plugin that writes a line for every test and each of its bad phases."""

    def __init__(self, stream: TextIO, mark: str) -> None:
        self.stream, self.mark = stream, mark

    def say(self, outcome: str, name: str) -> None:
        """Writes a line."""
        self.stream.write(f"{self.mark} {outcome} {name}\n")
        self.stream.flush()

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's own report
        """What pytest calls with each phase of a test."""
        # An expected failure counts as passing.
        expected = hasattr(report, "wasxfail") and report.outcome == "skipped"
        if report.outcome == "failed" or report.when == "call":
            self.say("passed" if expected else report.outcome, report.nodeid)


class StandardFirst:
    """An import finder: what the base repository has no module for is what Python itself has by that name, if anything.

    So a patch's `json.py` at the root, or on any path that the repository's settings add, is not what `import json` finds.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        """Takes the names of modules that the base repository has."""
        self.modules, self.path = frozenset(modules), list(sys.path)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """The module on the path that Python had before the repository came to it; None leaves it to the other finders."""
        if path is not None or name in self.modules:
            return None
        return importlib.machinery.PathFinder.find_spec(name, self.path)


def run_tests() -> None:
    """Imports pytest before anything of the repository can be, and has it run the order's files."""
    order = json.load(sys.stdin)
    with Path(order["report"]).open("a", encoding="utf-8") as stream:
        reporter = Reporter(stream, order["mark"])
        sys.path.append("/packages")  # where the sandbox has them
        try:
            import pytest
        except ImportError:
            reporter.say("no-pytest", "-")
            return
        sys.meta_path.insert(0, StandardFirst(order["modules"]))
        os.chdir(order["repository"])
        sys.path.insert(0, order["repository"])  # as `python -m pytest` has it
        pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir=.", *order["files"]], plugins=[reporter])


if __name__ == "__main__":
    run_tests()
