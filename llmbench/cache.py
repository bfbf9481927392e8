"""`python -m llmbench.cache`: where the response cache is, what it holds and what it has spared; `--clear` empties it.

Exit status: 0 done, 1 not, 130 interrupted.
"""

import sqlite3
import sys
from collections.abc import Sequence

from llmbench.engine.cache.store import Answers, answers_file, remove
from llmbench.errors import CacheError
from llmbench.system.commandline import Parser, guarded, say
from llmbench.system.number_format import memory


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.cache", description="Shows or empties the response cache (cache=on)."
    )
    parser.add_argument("--clear", action="store_true", help="drop every answer")
    chosen = parser.parse_args(arguments)
    path = answers_file()
    if not path.exists():
        say(f"{path}: nothing is kept yet; runs with cache=on keep their answers there.")
        return
    if chosen.clear:
        _clear()
    with Answers(path) as answers:
        found = answers.statistics()
    say(
        f"{path}: {found.entries:,} answers, {memory(found.file_bytes)}, given back {found.hits:,} times, which spared "
        f"{found.output_tokens:,} output tokens."
    )


def _clear() -> None:
    """Empties the store, and removes one that cannot be read."""
    path = answers_file()
    try:
        with Answers(path) as answers:
            answers.clear()
    except CacheError as error:
        if isinstance(error.__cause__, sqlite3.OperationalError | OSError):  # in use, or not ours to write
            raise
        remove(path)


if __name__ == "__main__":
    sys.exit(main(None))
