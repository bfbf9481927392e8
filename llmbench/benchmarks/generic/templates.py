"""What the options of a generic benchmark say of columns: a column's name, a template of several, or where in a cell a text stands."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from llmbench.benchmarks.rows import EXACT, SHOWN, Rows, names, read_text
from llmbench.errors import ConfigError, shortened
from llmbench.system.text import nearest

ESCAPE = re.compile(r"(\\\\)|\\([nt])(?![a-z]|Rightarrow|Left(?:right)?arrow|V[dD]ash)")
"""LaTeX's line break, which stays, and an escape.

No command of LaTeX is an escape: their names begin with a small letter behind the n or t, but for the five that are excluded.
"""
ESCAPES = {"n": "\n", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and columns by turns, as `pieces`; a column is `(name, True)`."""

    pieces: tuple[tuple[str, bool], ...]

    @classmethod
    def read(cls, option: str, value: object, columns: Collection[str], source: str) -> Self:
        """Reads a column's name or a template.

        Args:
            option: The option's name, for messages.
            value: What it holds.
            columns: The data's.
            source: The data's name, for messages.

        Raises:
            ConfigError: It names a column that is not there, or none.
        """
        text = str(value)
        if text in columns:
            return cls(((text, True),))
        pieces = tuple(_pieces(option, text))
        named = [piece for piece, is_column in pieces if is_column]
        if not named:
            raise ConfigError(f"{option}={text}: {no_column(text, columns, source)}")
        for name in named:
            if name not in columns:
                raise ConfigError(
                    f"{option}={text}: {no_column(name, columns, source)} (A brace of the text's own is doubled, as {{{{.)"
                )
        return cls(pieces)

    def fill(self, rows: Rows, index: int) -> str:
        """Returns the text for a row.

        Raises:
            RowError: A cell holds nothing, or no text.
        """
        parts = [cell(rows, index, piece) if is_column else piece for piece, is_column in self.pieces]
        return "".join(parts).strip()


def _pieces(option: str, text: str) -> list[tuple[str, bool]]:
    escaped = ESCAPE.sub(lambda match: match[1] or ESCAPES[match[2]], text)
    pieces = list[tuple[str, bool]]()
    for piece in filter(None, re.split(r"(\{\{|\}\}|\{[^{}]*\}|[{}])", escaped)):
        if piece in {"{", "}"}:
            raise ConfigError(
                f"{option}={text} has a single brace; write a column as {{name}}, and a brace of the text's own doubled, as {{{{."
            )
        is_own = piece in {"{{", "}}"}
        is_column = piece[0] == "{" and not is_own
        pieces.append((piece[1:-1] if is_column else piece[0] if is_own else piece, is_column))
    return pieces


@dataclass(frozen=True, slots=True)
class Gold:
    """Where the gold answer stands: in a column, between two texts of the cell; without them it is the whole cell."""

    column: str
    before: str = ""
    after: str = ""

    @classmethod
    def read(cls, value: object, columns: Collection[str], source: str) -> Self:
        """Reads the option `answer`: a column, or a text around one such as `#### {answer}`; `{}` is the column `answer`.

        Raises:
            ConfigError: It names a column that is not there, or not exactly one.
        """
        text = str(value)
        if text in columns:
            return cls(text)
        template = Template.read("answer", re.sub(r"(?<!\{)\{\}(?!\})", "{answer}", text), columns, source)
        names = [place for place, (_, is_column) in enumerate(template.pieces) if is_column]
        if len(names) > 1:
            raise ConfigError(
                f"answer={text} names {len(names)} columns; it says where in one column the gold answer stands, as '#### {{solution}}' does."
            )
        texts = [piece for piece, _ in template.pieces]
        before, after = "".join(texts[: names[0]]), "".join(texts[names[0] + 1 :])
        return cls(texts[names[0]], before.strip() or before, after.strip() or after)

    def of(self, rows: Rows, index: int) -> str:
        """Returns a row's gold answer: behind the last `before`, up to the first `after` that follows.

        Raises:
            RowError: The cell holds nothing, no text, or not the texts around the answer.
        """
        found = cell(rows, index, self.column)
        for mark, split in ((self.before, str.rpartition), (self.after, str.partition)):
            if mark:
                head, there, tail = split(found, mark)
                if not there:
                    raise rows.wrong(
                        index,
                        f"{self.column!r} holds {short(found)}, without the {mark!r} that is to stand "
                        "beside its gold answer; fix the row.",
                    )
                found = tail if split is str.rpartition else head
        if not found.strip():
            raise rows.wrong(
                index,
                f"{self.column!r} holds no gold answer beside {self.before or self.after!r}; fix the row.",
            )
        return found.strip()


def cell(rows: Rows, index: int, column: str) -> str:
    """Returns a cell that must hold text, or a list of one, without the white space around it; numbers are texts as JSON writes them.

    Raises:
        RowError: It holds something else, or nothing.
    """
    try:
        return read_text(plain(rows[index].get(column)), column)
    except ValueError as error:
        raise rows.wrong(index, f"the row {error}") from error


def plain(value: object) -> object:
    """Returns the one element of a list of one, and 3 for 3.0, which a table with a missing cell makes of it."""
    match value:
        case [one]:
            return plain(one)
        case float() if value.is_integer() and abs(value) < EXACT:
            return int(value)
    return value


def joined(value: object) -> object:
    """Returns the texts of a list as one text, "Algebra, Geometry"; None for none of them; another value as it is."""
    return ", ".join(str(each).strip() for each in value) or None if isinstance(value, list) else value


def no_column(name: str, columns: Collection[str], source: str) -> str:
    """Returns a sentence that a column does not exist, with the nearest that do."""
    known = list(columns)
    near = nearest(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {names(known)}."
    return f"{source} has no column {name!r}; {hint}"


def short(text: str) -> str:
    """Returns a cell's text as a sentence shows it."""
    return repr(shortened(text, SHOWN))
