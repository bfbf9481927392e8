"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def code(text: object) -> str:
    """The text in a fixed-width font, whatever marks are in it."""
    words = str(text)
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `|` and line breaks in a cell are made harmless."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
