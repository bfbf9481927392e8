r"""The ways in which a model states an answer: a box, or a cue such as "The answer is".

A statement is where it stands and what stands there. Which kinds count, and in which order, is each extractor's policy.
"""

# ruff: noqa: RUF001 - the characters that look like ASCII are those that models write

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from llmbench.equivalence.rational import rational


@dataclass(frozen=True, slots=True)
class Box:
    """A closed box: `content` between `start` (of the command) and `end` (behind the brace)."""

    start: int
    end: int
    content: str


_BOX = re.compile(r"\\?\b(?:(?:begin)?boxed|fbox|framebox)\b[ \t]*(?P<brace>\{)?|\\(?:boxed|fbox)(?=\d|\\)")
_NESTED_BOX = re.compile(r"\s*\\?(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_CONTENT = re.compile(r"\s*(?P<content>[^\s$]+)")
# What stands in a box when a model quotes the instruction instead of answering.
_PLACEHOLDERS = re.compile(
    r"\W*(?:\\[lc]?dots|…|\.{2,}|(?:\\text\s*\{)?\s*(?:the |your )?(?:final )?(?:answer|result)(?: here)?\s*\}?)?\W*",
    re.IGNORECASE,
)
# Between boxes that are parts of one answer: "$\boxed{1}$ and $\boxed{-2}$", "$x=\boxed{1}$, $y=\boxed{2}$".
_GAP = r"(?:[\s$()\[\]~]|\\[,;:! ()\[\]]|\\q?quad(?![A-Za-z]))*"
_NOUN_BETWEEN = r"(?:(?!(?:is|was|are|then|so|thus|hence|which|there|that)\b)[a-z]{2,15}\s+)?"
_CONNECTOR = re.compile(
    rf"{_GAP}(?:\\text\{{\s*,?\s*(?:and|or)\s*\}}|{_NOUN_BETWEEN}(?:,\s*)?\b(?:and|or)\b|,|;)?{_GAP}(?:[A-Za-z](?:_\{{?\w+\}}?)?\s*=\s*)?"
)
_SYMBOLS = re.compile(r"\W*(?:\\\{\s*\\\}|[∅∞])\W*")
_BEFORE = 30
"""Characters before a box in which a sign or a denial is looked for."""
_ALTERNATIVE = re.compile(r"\}[\s$\\)\]]*,?\s*n?or\b[\s$\\(\[]*$", re.IGNORECASE)
_MAX_CONNECTOR = 60
_DENIED_BOX = re.compile(
    r"(?:\b(?:not|never|rather\s+than|instead\s+of)|n't|\\neq?|≠)[\s$*\\(\[]*$", re.IGNORECASE
)
_SIGN = re.compile(r"(?:\$|\\\(|\\\[|=|\\approx)\s*(?P<sign>-|\\pm|±)\s*$")


def boxes(text: str) -> list[Box]:
    r"""All closed boxes that hold something, outermost first where they nest; `\boxed 5` counts, an unclosed box does not.

    A sign directly before a box (`$-\boxed{5}$`) is part of it. A box behind "not" is denied, and left out.
    """
    found: list[Box] = []
    closers = closing_braces(text)
    is_denied: object = False
    position = 0
    while match := _BOX.search(text, position):
        position = match.end()
        box = _braced_box(text, match, closers) if match["brace"] else _bare_box(text, match)
        if box is None:
            continue
        before = text[max(0, box.start - _BEFORE) : box.start]
        is_empty = _PLACEHOLDERS.fullmatch(box.content) and not _SYMBOLS.fullmatch(box.content)
        is_denied = _DENIED_BOX.search(before) or (is_denied and _ALTERNATIVE.search(before))
        if not is_empty and not is_denied:
            found.append(_signed(box, before))
        position = box.end
    return found


def _signed(box: Box, before: str) -> Box:
    sign = _SIGN.search(before)
    if sign is None:
        return box
    is_sum = re.search(r"(?<=[^\s(\[{^])\s*[-+]", box.content)
    content = f"({box.content})" if is_sum else box.content
    return Box(box.start, box.end, f"{sign['sign']} {content}" if "m" in sign["sign"] else f"-{content}")


def _braced_box(text: str, match: re.Match[str], closers: Mapping[int, int]) -> Box | None:
    end = closers.get(match.end() - 1)
    if end is None:
        return None
    start, stop = match.end(), end
    while (inner := _NESTED_BOX.match(text, start)) and not text[
        closers.get(inner.end() - 1, end) + 1 : stop
    ].strip():
        start, stop = inner.end(), closers.get(inner.end() - 1, end)
    return Box(match.start(), end + 1, text[start:stop].strip())


def _bare_box(text: str, match: re.Match[str]) -> Box | None:
    if not match[0].startswith("\\"):
        return None  # the word "boxed" in prose
    content = _BARE_CONTENT.match(text, match.end())
    if content is None:
        return None
    value = content["content"].rstrip(".,;:*)]\\")
    return Box(match.start(), content.end(), value)


def closing_braces(text: str) -> dict[int, int]:
    """For each opening brace the place of the one that closes it; escaped braces do not count, unclosed ones are left out."""
    pairs: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.start())
        elif match[0] == "}" and open_braces:
            pairs[open_braces.pop()] = match.start()
    return pairs


_DENIED = r"(?:is|was)\s+(?:wrong|incorrect|not\s+(?:right|correct)|a\s+mistake)\b"
_RETRACTED = re.compile(
    rf"[\s$*\\)\]]*(?:{_DENIED}|[^.!?\n]{{0,80}}\b(?:but|however)\s+(?:it|that|this)\s+{_DENIED}"
    rf"|[^.!?\n]{{0,20}}[.!]?\s+(?:(?:wait|no|hmm|actually|sorry)[,.!]*\s+)*(?:that|this|it)\s+{_DENIED})",
    re.IGNORECASE,
)


def is_retracted(text: str, box: Box) -> bool:
    """Whether what follows the box at once calls it wrong."""
    return bool(_RETRACTED.match(text[box.end : box.end + 200]))


def is_cut(text: str, box: Box) -> bool:
    r"""Whether a box without braces (`\boxed 5`) reaches the text's end."""
    return box.end == len(text) and not text.endswith("}")


def last_boxed(text: str) -> Box | None:
    r"""The last closed box; boxes joined by "and", "or" or a comma are parts of one answer.

    Two forms of one number ("$\boxed{15\frac{39}{40}}$, or $\boxed{\frac{639}{40}}$") are one answer: the last.
    """
    found = boxes(text)
    if not found:
        return None
    last = found[-1]
    parts = [last.content]
    start = last.start
    for earlier in reversed(found[:-1]):
        connector = text[earlier.end : start]
        if (
            len(connector) > _MAX_CONNECTOR
            or not connector.strip(" $\n\\()[]")
            or not _CONNECTOR.fullmatch(connector)
        ):
            break
        start = earlier.start
        parts.insert(0, earlier.content)
    values = {rational(part) or part for part in parts}
    content = ", ".join(parts) if len(values) == len(parts) else last.content
    return Box(start, last.end, content)


_NOUN = r"(?:answers?|ans\b\.?|final\s+(?:result|value|solution)|答案|réponse|respuesta|antwort|resposta|risposta)"
_VERB = r"(?:\b(?:is|are|was|would\s+be|should\s+be|must\s+be|will\s+be|has\s+to\s+be|becomes|equals|comes\s+out\s+to|es|est|ist|è|é)\b|['’]s\b(?=\s)|[:=]|是|为|為)"
CUE = re.compile(
    rf"(?<![A-Za-z])(?:{_NOUN})(?P<gap>[^\n.!?:=]{{0,90}}?)\s*{_VERB}[\s:*_]*"
    r"|(?m:^)[#*_ \t>]{0,12}(?:the\s+)?(?:final\s+|correct\s+)?answer[*_ \t:]{0,12}\n\s*"
    r"|(?m:^)\s*####(?!#)[ \t]*(?=[^\s#*])"
    r"|<answer>\s*"
    r"|[\"']answer[\"']\s*:\s*",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(
    r"\b(?:if|suppose|assuming|assume|unless|whether|checking\s+if|verify\s+that)\b[^.!?\n]*$", re.IGNORECASE
)
_NEGATED_GAP = re.compile(r"\b(?:not|n't|never|whether|if|cannot|until|before)\b|n't", re.IGNORECASE)


WINDOW = 1_500
"""Characters behind a cue in which its answer is looked for; without a limit, repeated cues take quadratic time."""
_MAX_CUES = 200


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue's end, where the answer should stand, and what follows it."""

    end: int
    rest: str


def cues(text: str) -> list[Cue]:
    """The last cues, in order, less those that suppose or deny ("if the answer is", "the answer is not")."""
    found: deque[Cue] = deque(maxlen=_MAX_CUES)
    for match in CUE.finditer(text):
        sentence = text[max(0, match.start() - 60) : match.start()]
        rest = text[match.end() : match.end() + 12].lower()
        denied = _NEGATED_GAP.search(match["gap"] or "") or rest.startswith(
            ("not ", "n't", "neither", "never")
        )
        if not denied and not _CONDITIONAL.search(sentence):
            found.append(Cue(match.end(), text[match.end() : match.end() + WINDOW]))
    return list(found)
