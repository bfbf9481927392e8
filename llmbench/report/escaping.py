"""Texts on their way into a page: nothing a model wrote may steer the reader's eyes, and no text may be endless."""

import re
from html import escape

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters, invisible ones, marks that turn the direction of writing, halves of surrogate pairs."""


def visible(text: str) -> str:
    """The text with what would be invisible, or reorder its surroundings, written out as its code point."""
    return HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def clipped(text: str, limit: int) -> str:
    """At most about `limit` characters of the text: its beginning and, half as long, its end."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    left_out = len(text) - limit
    return f"{text[: limit - tail]}\n⟨… {left_out:,} characters are left out here; samples.jsonl has all …⟩\n{text[-tail:]}"


def short(text: str, limit: int) -> str:
    """At most `limit` characters of a name: its beginning and its end, which tells paths apart."""
    tail = limit * 2 // 5
    return text if len(text) <= limit else f"{text[: limit - tail - 1]}…{text[-tail:]}"


def label(text: object, limit: int = 60) -> str:
    """A name for a plot, whose labels are taken for a kind of HTML; shortened where it is too long for one."""
    return escape(short(visible(str(text)).replace("\n", " "), limit), quote=False)
