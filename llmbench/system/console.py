"""What a person sees before and after a run. Results go to one stream, progress and notices to the other, sentences to the log too.

What a model wrote never gets here.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape

from llmbench.system.redaction import without_secrets
from llmbench.system.stdio import unfailing
from llmbench.system.text import printable

log = logging.getLogger(__name__)

PLAIN_WIDTH = 100


class Terminal:
    """Where the run speaks. `quiet`: nowhere. `plain`: control characters go to a terminal only, whatever FORCE_COLOR says."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        *,
        quiet: bool = False,
        plain: bool = False,
    ) -> None:
        out, err = unfailing(out or sys.stdout), unfailing(err or sys.stderr)
        self.out, self.err = _console(out, quiet=quiet, plain=plain), _console(err, quiet=quiet, plain=plain)
        self._printed: set[str] | None = None

    @contextmanager
    def once(self, printed: set[str]) -> Iterator[None]:
        """Inside, a sentence that is in `printed` goes to the log alone; others are added."""
        self._printed = printed
        try:
            yield
        finally:
            self._printed = None

    def say(self, sentence: str, mark: str = "") -> None:
        """A result's sentence, behind a mark in rich's markup."""
        self._print(self.out, sentence, mark)

    def notice(self, sentence: str) -> None:
        """A sentence about how the run goes."""
        self._print(self.err, sentence)

    def _print(self, console: Console, sentence: str, mark: str = "") -> None:
        shown = printable(without_secrets(sentence), keep="\n")  # it may hold parts of files
        log.info("%s", shown)
        if self._printed is not None:
            if shown in self._printed:
                return
            self._printed.add(shown)
        console.print(mark + escape(shown), soft_wrap=True)

    def text(self, text: str) -> None:
        """A prompt or file as it is, but for control characters, which could steer the terminal."""
        self.out.print(printable(text, keep="\n\t"), markup=False, soft_wrap=True)


def _console(stream: TextIO, *, quiet: bool, plain: bool) -> Console:
    """A console on this stream, also in a notebook, where rich would show HTML beside it."""
    terminal = stream.isatty()
    return Console(
        file=stream,
        quiet=quiet,
        width=None if terminal else PLAIN_WIDTH,
        highlight=False,
        force_jupyter=False,
        force_terminal=terminal if plain else None,
    )
