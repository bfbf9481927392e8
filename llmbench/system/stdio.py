"""Streams to a person. What is said never ends a run: what a full disk, a closed pipe or nobody takes is dropped."""

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

REFUSALS = (OSError, ValueError)
"""How a stream refuses: the disk is full, the reader has gone; the stream is closed, or its encoding lacks a character."""


def silent(_: str) -> None:
    """Tells a sentence to nobody."""


class Unfailing:
    """A stream, but for what it raises where something is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes what the stream takes, with `?` for what its encoding lacks."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:  # PYTHONIOENCODING=latin-1, a locale of long ago
            with suppress(*REFUSALS):
                self._stream.write(text.encode(error.encoding, "replace").decode(error.encoding))
        except REFUSALS:
            pass
        return len(text)

    def flush(self) -> None:
        """Brings out what the stream takes."""
        with suppress(*REFUSALS):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal; one that is closed is none."""
        try:
            return self._stream.isatty()
        except REFUSALS:
            return False

    def close(self) -> None:
        """Closes the stream."""
        with suppress(*REFUSALS):
            self._stream.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)


def unfailing(stream: TextIO | None) -> TextIO:
    """The stream, made so that writing to it raises nothing; None, as Python has it for a closed one, takes everything."""
    if isinstance(stream, Unfailing):
        return stream
    return cast("TextIO", Unfailing(io.StringIO() if stream is None else stream))


def flush() -> None:
    """Brings out what was said; what is refused is dropped, so that Python does not try, and complain, when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except REFUSALS:
            with suppress(*REFUSALS):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())
                os.close(nothing)


def print_error(sentence: str) -> None:
    """Writes one line to stderr."""
    from llmbench.system.redaction import (
        without_secrets,  # as late as this, since llmbench.__main__ begins with this module
    )
    from llmbench.system.text import printable

    errors = unfailing(sys.stderr)
    errors.write(f"llmbench: {printable(without_secrets(sentence))}\n")
    errors.flush()
