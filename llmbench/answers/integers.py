"""The answer of an AIME problem in a model's text: an integer, read from what `math.py` finds."""

import re

from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.words import qualifiers
from llmbench.answers.math import behind_box, stated_answer
from llmbench.answers.math_conclusion import concluded
from llmbench.answers.spoken import changes_behind
from llmbench.answers.statements import boxes
from llmbench.answers.text import prepare, prepare_cut


def integer_answer(text: str, *, complete: bool = True) -> str | None:
    r"""The answer of an AIME problem: an integer in canonical form ("025", "25.0" and `\frac{50}{2}` give "25"), or None.

    Boxes and cues as in `math_answer`; of an equation chain the last member counts. What is boxed or stated but is not an integer
    comes back as it was written: the model has answered, and wrongly, which is not the same as no answer. So do integers
    outside 0 to 999. A closing sentence counts only where it holds an integer.
    """
    text = prepare(text) if complete else prepare_cut(text)
    stated = stated_answer(text, complete=complete)
    if stated is not None:
        later = None if (integer := _integer(stated)) or not complete else _behind_box(text)
        return integer or (later and _integer(later)) or stated
    closing = concluded(text) if complete else None
    return None if closing is None else _integer(closing)


def _behind_box(text: str) -> str | None:
    r"""What a text states behind its last box: 25 in "$\boxed{\frac{21}{4}}$, so $m + n = 25$."."""
    found = boxes(text)
    return behind_box(text, found[-1], complete=True) if found else None


_MEMBER = re.compile(r"(?<![<>!\\])=|\\equiv|\\approx")
_DECORATION = re.compile(
    r"\^\s*\{?\s*\\circ\s*\}?|°|\\(?:text|mathrm|mbox|textbf|mathbf|mathit|textit)\s*\{(?P<text>[^{}]*)\}|\\[,;:! ]|\\?[$%*]|\\left|\\right"
)
_VARIABLE = re.compile(r"(?<![A-Za-z\\])[a-zA-Z](?<![ghLms])(?![A-Za-z{=\s]*=)(?![A-Za-z])")
_PMOD = re.compile(r"\\p?mod\b.*$|\(mod.*$")


def _integer(stated: str) -> str | None:
    plain = _PMOD.sub("", stated)
    plain = _DECORATION.sub(
        lambda match: match["text"] if match["text"] and re.search(r"\d", match["text"]) else "", plain
    )
    *members, last = _MEMBER.split(plain)
    last = re.sub(r"_\{?10\}?$", "", last.strip().strip(".,;:"))
    shown = f"{last} {' '.join(match['text'] for match in _DECORATION.finditer(stated) if match['text'])}"
    plain = re.sub(r"(?<=\d)\s+[A-Za-z][A-Za-z ]*$", "", last)
    value = rational(plain)
    if re.search(r"\d\s*:\s*\d|%.*\bof\b", stated):
        return None
    if value is None or value.denominator != 1 or _is_changed(shown) or "," in "".join(members):
        return None
    if any(other is not None and other != value for other in map(rational, members)):
        return None  # "24 = 25"
    return str(value.numerator)


def _is_changed(shown: str) -> bool:
    """Whether words or letters beside an integer make another number of it: "dozen", "at least", "x"."""
    words = re.findall(r"(?<![A-Za-z\\])[A-Za-z]{2,}", shown)
    return bool(_VARIABLE.search(shown) or qualifiers(shown)) or any(map(changes_behind, words))
