r"""The outer structure of a cleaned answer: lists, brackets, matrices, plus-minus, number bases."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from llmbench.answers.equivalence.latex import closing
from llmbench.answers.equivalence.notation import ROW

_MATRIX = re.compile(
    r"\[?\(?\s*\\begin\{(?P<kind>[pb]?(?:small)?matrix\*?|array)\}(?:\{[^}]*\}|\[[^\]]*\])?(?P<body>.*?)\\end\{(?P=kind)\}\s*\)?\]?(?P<transposed>\s*\^\s*\{?(?:T|\\top|\\intercal)\}?)?",
    re.DOTALL,
)
_ROWS = re.compile(r"\[\s*\[[^\[\]]*\](?:\s*,\s*\[[^\[\]]*\])+\s*\]")
_ENDS = 2  # of an interval
_MAX_RATIO = 8
_INDEXED = r"[A-Za-z](?:_\{?\w+\}?)?'*"
_NAME = re.compile(
    rf"{_INDEXED}|\\[a-z]+|\\text\{{[^{{}}]*\}}|\([a-z](?:,\s*(?:[a-z]|\\[a-z]+))+\)"
    rf"|{_INDEXED}(?:\^\{{-1\}})?\((?:[-+]?[\d./]+|[-+]?\\frac\{{\d+\}}\{{\d+\}}|\\?[a-z]+(?:,\s*[a-z])*|[A-Z](?:\s*(?:\||\\cap|\\cup)\s*[A-Z])?)\)"
    r"|(?:m\s*)?\\(?:angle|measuredangle|triangle|overline|widehat)\s*\{?\s*[A-Z]{1,4}\s*\}?|\\frac\{[A-Z]{2}\}\{[A-Z]{2}\}"
)
_TRANSPOSED = re.compile(r"(?<=[)\]])\s*\^\s*\{\s*(?:T|t|\\top|\\intercal|\\text\{T\})\s*\}$")
_POINT = re.compile(
    r"(?:\\text\{\s*(?:the )?point\s*\}\s*|(?:the )?point\s+)?(?P<name>[A-Z](?:'|_\{?\w+\}?)?)?\s*(?=\()",
    re.IGNORECASE,
)


def nesting(text: str) -> list[int]:
    """How many brackets are open before each character and at the end; fewer than none where one closes that was not open."""
    return list(accumulate(((c in "([{") - (c in ")]}") for c in text), initial=0))


def split_top(text: str, separator: str) -> list[str]:
    """The parts between separators that stand outside all brackets."""
    if separator not in text:
        return [text.strip()]
    depths = nesting(text)
    found = [match.span() for match in re.finditer(re.escape(separator), text) if not depths[match.start()]]
    edges = [0, *(edge for span in found for edge in span), len(text)]
    return [text[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(frozen=True, slots=True)
class Bracketed:
    """Several values in brackets: a tuple, an interval or, in braces, a set."""

    opening: str
    items: tuple[str, ...]
    closing: str

    @property
    def is_set(self) -> bool:
        """Whether the order says nothing."""
        return self.opening == "{"

    @property
    def is_interval(self) -> bool:
        """Whether it can only be an interval: two ends, one bracket square or one end infinite."""
        is_infinite = any("\\infty" in item for item in self.items)
        is_bracketed = "[" in self.opening or "]" in self.closing
        return len(self.items) == _ENDS and not self.is_set and (is_bracketed or is_infinite)


def bracketed(text: str) -> Bracketed | None:
    """The values if brackets around the whole hold several, or if they are braces."""
    if text.startswith("\\{") and text.endswith("\\}"):
        if closing(text.replace("\\{", "{").replace("\\}", "}"), 0) != len(text) - 3:
            return None
        inner = text[2:-2].strip()
        return Bracketed("{", tuple(split_top(inner, ",")) if inner else (), "}")
    text, transposed = _TRANSPOSED.subn("", text)
    if point := _POINT.match(text):
        text = text[point.end() :]
    if not text or text[0] not in "([" or text[-1] not in ")]" or closing(text, 0) != len(text) - 1:
        return None
    items = tuple(split_top(text[1:-1], ","))
    ends = ("(", ")") if transposed else (text[0], text[-1])  # a vector is not an interval
    return Bracketed(ends[0], items, ends[1]) if len(items) > 1 else None


def point_name(text: str) -> str | None:
    """The `P` of `P(2, 4)`; None for a tuple without a name."""
    point = _POINT.match(text)
    return point["name"] if point and bracketed(text) else None


def unparenthesized(text: str) -> str:
    """The text without parentheses or braces around the whole, unless they hold several values."""
    while (
        text[:1] in ("(", "{")
        and text[-1] == (")" if text[0] == "(" else "}")
        and closing(text, 0) == len(text) - 1
    ):
        inner = text[1:-1].strip()
        if len(split_top(inner, ",")) > 1:
            break
        text = inner
    return text


def matrix(text: str) -> list[list[str]] | None:
    """The cells of a matrix, row by row, with a factor before it multiplied in; None if the text is not a single matrix."""
    if _ROWS.fullmatch(text):
        return [split_top(row, ",") for row in re.findall(r"\[([^\[\]]*)\]", text)]
    start = text.find("\\begin{")
    if start < 0:
        return None
    if start > 0 and text[start - 1] in "([":
        start -= 1
    match = _MATRIX.fullmatch(text[start:].strip())
    factor = text[:start].strip().removesuffix("\\cdot").removesuffix("\\times").strip()
    if match is None or "=" in factor or "\\begin{" in match["body"]:
        return None
    body = match["body"].replace("\\hline", "").strip().removesuffix(ROW)
    rows = [[cell.strip() for cell in row.split("&")] for row in body.split(ROW)]
    if factor:
        factor = "-1" if factor == "-" else factor
        rows = [[f"({factor}) \\cdot ({cell})" for cell in row] for row in rows]
    return [list(column) for column in zip(*rows, strict=False)] if match["transposed"] else rows


def flat_vector(text: str) -> list[str] | None:
    """The cells of a matrix that is one column or one row."""
    rows = matrix(text)
    if rows is None:
        return None
    if all(len(row) == 1 for row in rows):
        return [row[0] for row in rows]
    return rows[0] if len(rows) == 1 else None


def is_name(text: str) -> bool:
    """Whether it is a variable, or a function of variables."""
    return bool(_NAME.fullmatch(text.strip()))


_PLUS_MINUS = re.compile(r"\\pm|\\mp|\+\s*/\s*-|\+-")


def expanded(text: str) -> list[str]:
    r"""The values of `a \pm b`: both, or the text alone where there is no plus-minus (or too many)."""
    if not _PLUS_MINUS.search(text):
        return [text]

    def signed(plus: str, minus: str) -> str:
        return re.sub(
            r"^\s*\+", "", _PLUS_MINUS.sub(lambda match: minus if match[0] == "\\mp" else plus, text)
        ).strip()

    return [signed("+", "-"), signed("-", "+")]


_BASED = re.compile(
    r"\(?(?:\\text\{)?(?P<digits>[0-9A-Za-z]*\d[0-9A-Za-z]*)\}?\)?\s*_\s*\{?\s*\(?(?:\\text\{)?\s*(?P<base>[a-z]+|\d{1,2})\s*\}?\)?\s*\}?"
)
_IN_WORDS = re.compile(r"\s*,?\s*\(?\s*(?:in\s+)?base[\s-]*(\w+)\s*\)?$")
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip


def based(text: str) -> tuple[str, str | None]:
    """Digits and base of `52_8` or `52_{eight}`; None for no base."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).strip() if "base" in text else text
    match = _BASED.fullmatch(_IN_WORDS.sub(r"_{\1}", plain))
    if match is None or not re.match(r"\d", match["digits"]):
        return text, None
    base = _BASES.get(match["base"], match["base"])
    return (match["digits"].lstrip("0").upper() or "0", base) if base.isdigit() else (text, None)


def ratio(text: str) -> list[str] | None:
    """The members of `1:2:3`, at most a handful."""
    parts = split_top(text, ":")
    return parts if 1 < len(parts) <= _MAX_RATIO and all(parts) and "=" not in text else None


def is_time(parts: Sequence[str]) -> bool:
    """Whether a ratio may be a time of day: two numbers, the second with two digits and below 60, not in lowest terms."""
    if len(parts) != _ENDS or not (parts[0].isdecimal() and re.fullmatch("[0-5][0-9]", parts[1])):
        return False
    return parts[1].startswith("0") or math.gcd(int(parts[0][:9]), int(parts[1])) != 1
