"""What a person sees before and after a run. Results go to one stream, progress and notices to the other, sentences to the log too.

What a model wrote never gets here.
"""

import logging
import sys
from typing import TextIO

from rich.console import Console
from rich.markup import escape

from llmbench.report.terminal_table import _closing, _folded, _repeats, _table
from llmbench.results import cache_use
from llmbench.results.summary import Summary
from llmbench.system.redaction import without_secrets
from llmbench.system.stdio import unfailing
from llmbench.system.text import printable

log = logging.getLogger(__name__)

PLAIN_WIDTH = 100


class Terminal:
    """Where the run speaks. `quiet` is for use as a library."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, *, quiet: bool = False) -> None:
        out, err = unfailing(out or sys.stdout), unfailing(err or sys.stderr)
        self.out = Console(
            file=out, quiet=quiet, width=None if out.isatty() else PLAIN_WIDTH, highlight=False
        )
        self.err = Console(
            file=err, quiet=quiet, width=None if err.isatty() else PLAIN_WIDTH, highlight=False
        )

    def say(self, sentence: str) -> None:
        """A result's sentence."""
        self._print(self.out, sentence)

    def notice(self, sentence: str) -> None:
        """A sentence about how the run goes."""
        self._print(self.err, sentence)

    def _print(self, console: Console, sentence: str, mark: str = "") -> None:
        shown = printable(without_secrets(sentence), keep="\n")  # it may hold parts of files
        log.info("%s", shown)
        console.print(mark + escape(shown), soft_wrap=True)

    def text(self, text: str) -> None:
        """A prompt or file as it is, but for control characters, which could steer the terminal."""
        self.out.print(printable(text, keep="\n\t"), markup=False, soft_wrap=True)

    def table(self, summary: Summary, folder: str) -> None:
        """The closing table, its warnings before it."""
        for warning in summary.warnings:
            self._print(self.out, warning, mark="[bold yellow]![/] ")
        self.out.print(_table(summary.benchmarks, self.out))
        for name, found in summary.benchmarks.items():
            if found.repeated is not None:
                self._print(self.out, f"{name}: {_repeats(found.repeated)}")
        cached = cache_use.sentence(cache_use.total([found.cache for found in summary.benchmarks.values()]))
        if cached is not None:
            self._print(self.out, cached)
        closing = _closing(summary)
        log.info("%s", ", ".join(closing))
        self.out.print(escape(_folded(closing, self.out.width)), soft_wrap=True)
        self.out.print(escape(f"written to {folder}"), soft_wrap=True)
