"""What the small command lines share: errors are one sentence on stderr and exit status 1, without a traceback."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import wraps
from typing import Any, NoReturn

from llmbench._version import __version__
from llmbench.errors import ConfigError, LlmbenchError
from llmbench.system import stdio, text
from llmbench.system.signals import SIGNALLED


class Parser(argparse.ArgumentParser):
    """argparse's parser, which complains as the rest of llmbench does, and has `--version`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's
        super().__init__(**options)
        self.add_argument(
            "--version", action="version", version=f"llmbench {__version__}", help="print the version"
        )

    def error(self, message: str) -> NoReturn:
        """Refuses the command line.

        Raises:
            ConfigError: Always; the message says what argparse did not like.
        """
        raise ConfigError(f"{message}; `{self.prog} --help` says how.")


def say(sentence: str) -> None:
    """Writes a line to stdout."""
    sys.stdout.write(text.printable(sentence) + "\n")


def guarded(command: Callable[[Sequence[str] | None], None]) -> Callable[[Sequence[str] | None], int]:
    """A command that returns its exit status: 0 done, 1 failed, 130 interrupted, 143 ended by SIGTERM."""

    @wraps(command)
    def run(arguments: Sequence[str] | None = None) -> int:
        try:
            with redirect_stdout(stdio.unfailing(sys.stdout)), redirect_stderr(stdio.unfailing(sys.stderr)):
                command(arguments)
        except LlmbenchError as error:
            stdio.print_error(str(error))
            return 1
        except KeyboardInterrupt as error:
            stdio.print_error("Interrupted.")
            return SIGNALLED + int(getattr(error, "signal_number", signal.SIGINT))
        except Exception as error:  # noqa: BLE001 - the last stop before the user: no traceback reaches the terminal
            stdio.print_error(text.one_line(error))
            return 1
        return 0

    return run
