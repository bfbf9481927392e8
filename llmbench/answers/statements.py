r"""The ways in which a model states an answer: a box, or a cue such as "The answer is".

A statement is where it stands and what stands there. Which kinds count, and in which order, is each extractor's policy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llmbench.answers import languages
from llmbench.answers.suppositions import MISTAKE, clause_before, is_supposed


@dataclass(frozen=True, slots=True)
class BoxedFormula:
    """A closed box between `start` (of the command) and `end` (behind the brace): its content with the sign before it, and without."""

    start: int
    end: int
    content: str
    bare: str


_BOX = re.compile(r"\\?\b(?:(?:begin)?boxed|fbox|framebox)\b[ \t]*(?P<brace>\{)?|\\(?:boxed|fbox)(?=\d|\\)")
_NESTED_BOX = re.compile(r"\s*\\?(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_HALF = re.compile(r"\\(?:left|right)(?![A-Za-z])|\\.|[{}]", re.DOTALL)
_BARE_CONTENT = re.compile(r"\s*(?P<content>[^\s$]+)")
# What stands in a box when a model quotes the instruction instead of answering.
_PLACEHOLDERS = re.compile(
    r"\W*(?:\\[lc]?dots|…|\.{2,}|(?:\\text\s*\{)?\s*(?:the |your )?(?:final )?(?:answer|result)(?: here)?\s*\}?)?\W*",
    re.IGNORECASE,
)
_SYMBOLS = re.compile(r"\W*(?:\\\{\s*\\\}|[∅∞])\W*")
_BEFORE = 30
"""Characters before a box in which a sign or a denial is looked for."""
_ALTERNATIVE = re.compile(r"\}[\s$\\)\]]*,?\s*n?or\b[\s$\\(\[]*$", re.IGNORECASE)
_DENIED_BOX = re.compile(
    r"(?:\b(?:not|never|unlike|(?:rather|other|different)\s+(?:than|from)|(?:instead|in\s+place)\s+of|(?:as\s+)?opposed\s+to|in\s+contrast\s+to)"
    r"|n['’]t|\bcannot|\bimpossible\s+(?:for\s+it\s+)?to|\\neq?|≠)(?:\s+(?:the|be|equal|equals|to|simply|just|necessarily|exactly|actually|really|possibly|get|say\s+(?:it\s+is|it's|that\s+it\s+is)))*[\s$*\\(\[]*$",
    re.IGNORECASE,
)
_SPACE = r"(?:\s|\\[,;:! ]|\\quad(?![A-Za-z])|\{\})*"
_SIGN = re.compile(
    rf"(?:\$|\\\(|\\\[|=|\\approx){_SPACE}(?P<sign>-|\\pm|±){_SPACE}\Z"
    r"|(?:^|(?<=[\s:=(*]))(?P<direct>-)\Z"
    rf"|(?:^(?P<starting>-)|(?:=|:|\b(?:is|are|be|equals))[ \t]*(?P<outside>-|\\pm|±)[ \t]*)(?:\$\$?|\\\(|\\\[){_SPACE}\Z",
    re.MULTILINE,
)
"""A sign before a box, within the formula or outside it; a dash with a space at the start of a line is that of a list."""


def boxes(text: str) -> list[BoxedFormula]:
    r"""All closed boxes that hold something, outermost first where they nest; `\boxed 5` counts, an unclosed box does not.

    A sign directly before a box (`$-\boxed{5}$`, `-$\boxed{5}$`) is part of it. A box behind "not" is denied, and left out; so is
    what a mistake leads to ("A common mistake gives $\boxed{6}$."), if a box stands before it.
    """
    found: list[BoxedFormula] = []
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
        if not is_empty and not is_denied and not (found and MISTAKE.search(clause_before(text, box.start))):
            found.append(_signed(box, before))
        position = box.end
    return found


def _signed(box: BoxedFormula, before: str) -> BoxedFormula:
    match = _SIGN.search(before)
    if match is None:
        return box
    sign = match["sign"] or match["starting"] or match["direct"] or match["outside"]
    is_sum = re.search(r"(?<=[^\s(\[{^])\s*[-+]", box.content)
    content = f"({box.content})" if is_sum else box.content
    return replace(box, content=f"-{content}" if sign == "-" else f"{sign} {content}")


def _braced_box(text: str, match: re.Match[str], closers: Mapping[int, int]) -> BoxedFormula | None:
    end = closers.get(match.end() - 1)
    if end is None:
        return None
    start, stop = match.end(), end
    while (inner := _NESTED_BOX.match(text, start)) and not text[
        closers.get(inner.end() - 1, end) + 1 : stop
    ].strip():
        start, stop = inner.end(), closers.get(inner.end() - 1, end)
    content = text[start:stop].strip()
    return BoxedFormula(match.start(), end + 1, content, content)


def _bare_box(text: str, match: re.Match[str]) -> BoxedFormula | None:
    if not match[0].startswith("\\"):
        return None  # the word "boxed" in prose
    content = _BARE_CONTENT.match(text, match.end())
    if content is None:
        return None
    value = content["content"].rstrip(".,;:*)]\\")
    return BoxedFormula(match.start(), content.end(), value, value)


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


def is_balanced(text: str) -> bool:
    r"""Whether each brace that is not escaped, and each `\left`, has its other half behind it."""
    open_braces = open_sides = 0
    for match in _HALF.finditer(text):
        open_braces += {"{": 1, "}": -1}.get(match[0], 0)
        open_sides += {"\\left": 1, "\\right": -1}.get(match[0], 0)
        if min(open_braces, open_sides) < 0:
            return False
    return open_braces == open_sides == 0


def is_cut(text: str, box: BoxedFormula) -> bool:
    r"""Whether a box without braces (`\boxed 5`) reaches the text's end."""
    return box.end == len(text) and not text.endswith("}")


_NOUN = rf"(?:answers?|ans\b\.?|final\s+(?:result|value|solution)|{languages.ANSWER})"
_VERB = (
    r"(?:\b(?:is|are|was|(?:would|should|must|will|has\s+to|seems\s+to|appears\s+to|ought\s+to)\s+be|becomes|equals|(?:comes|turns)\s+out\s+to(?:\s+be)?|looks\s+like)\b"
    rf"|['’]s\b(?=\s)|[:=]|(?<![A-Za-z])(?:{languages.IS}))"
)
CUE = re.compile(
    rf"(?<![A-Za-z])(?:{_NOUN})(?P<gap>(?:(?!(?<![A-Za-z])(?:{_NOUN}))[^\n.!?:=]){{0,90}}?)\s*{_VERB}[\s:*_]*"
    r"|(?m:^)[#*_ \t>]{0,12}(?:the\s+)?(?:final\s+|correct\s+)?answer[*_ \t:]{0,12}\n\s*"
    r"|(?m:^)[ \t]*####(?!#)[ \t]*(?=[^\s#*])"
    r"|<(?:final[_ -]?)?(?:answer|ans|choice)>\s*"
    r"|[\"'](?:final_|correct_)?(?:answer|choice)(?:_choice|_letter)?[\"']\s*:\s*",
    re.IGNORECASE,
)
_NEGATED_GAP = re.compile(
    rf"\b(?:not|n't|never|whether|if|cannot|until|before|previous)\b|n't|{languages.NOT}", re.IGNORECASE
)
_BEHIND = re.compile(rf"\s*(?:{languages.BEHIND})(?=[\s.।*]|$)")
_NEGATED = re.compile(r"not\s|n't|neither|never", re.IGNORECASE)

WINDOW = 1_500
"""Characters behind a cue in which its answer is looked for; without a limit, repeated cues take quadratic time."""
_MAX_CUES = 200


@dataclass(frozen=True, slots=True)
class Cue:
    """Where a cue begins and ends, which is where the answer should stand; what stands within it and what follows."""

    start: int
    end: int
    gap: str
    rest: str


def cues(text: str) -> list[Cue]:
    """The last cues, in order, less those that suppose or deny ("if the answer is", "the answer is not")."""
    found: list[Cue] = []
    for match in reversed(list(CUE.finditer(text))):
        gap = match["gap"] or ""
        denied = _NEGATED_GAP.search(gap) or _NEGATED.match(text, match.end())
        if not denied and not is_supposed(text, match.start(), match.end()):
            rest = _BEHIND.sub("", text[match.end() : match.end() + WINDOW], count=1)
            found.append(Cue(match.start(), match.end(), gap, rest))
        if len(found) == _MAX_CUES:
            break
    return found[::-1]
