r"""Mathematics without delimiters: outputs that are nothing but an answer, and expressions that end a sentence.

`-1 + sqrt(3)`, `(-\infty,-8)\cup (8,\infty)`, "x = 2 or x = 3", "The point is (2, 3)."
"""

import re
from collections.abc import Sequence

from llmbench.answers.equivalence.structure import nesting
from llmbench.answers.spoken import changes_before, changes_behind

_MAX_LENGTH = 1_000
"""Characters. A longer text is not a bare answer."""
_MAX_LINES = 40
_TAIL = 300
"""Characters at a sentence's end in which its last expression is looked for."""
MASKS = "\ue000-\uefff"
"""A range of private characters that stand for boxes, so that the formula around them is read without their contents."""
_FUNCTIONS = r"sqrt|arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|max|min|gcd|lcm|infinity|inf|theta|alpha|beta"
_PIECE = (
    r"\\(?:text|mathrm|textbf|mathbf|mbox|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+|\\."
    rf"|\d+(?:,\d{{3}})*(?:\.\d+)?|\.\d+|(?<![A-Za-z])(?:{_FUNCTIONS}|and|or|[b-hj-zA-HJ-Z]|[aiI])(?![A-Za-z])"
    rf"|[{MASKS}]"
    r"|[-+*/^=<>≤≥≠±|()\[\]{}!%°√π∞∅∪∩∈ℝθφ′_'&,;:~$€£²³⁴ⁿ×÷·]|\.{3}|(?<=\d)(?:or|and)(?=\w)|\s+"
)
_EXPRESSION = re.compile(rf"(?>{_PIECE})++")  # possessive, since pieces could be split in many ways
_PIECES = re.compile(_PIECE)
_VALUE = re.compile(r"[A-Za-z0-9π∞∅ℝ√]|\\emptyset|\\\{\s*\\\}")
_ENDS_WORD = re.compile(r"[A-Za-z][^\s:,;=]$")
NAME = re.compile(r"\s*(?:\\?[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z\d, ]*\))?|\([a-z, ]+\))\s*")
_CONDITION = re.compile(
    r"\$[^$]+\$,?\s*(?:where|with|for\s+(?:some|all|any|every))\b(?![^.]*\.\s)[^\n]*|(?:odd|even|all|any|every|prime)\s+\$[A-Za-z]\$"
)


def bare_answer(text: str) -> str | None:
    """The whole text, where it is one expression without a word of prose, or a formula with its condition."""
    text = text.strip().removesuffix(".").rstrip() if not text.rstrip().endswith("...") else text.strip()
    if not text or len(text) > _MAX_LENGTH or "\n\n" in text or ("\n" in text and "\\begin" not in text):
        return None
    if _CONDITION.fullmatch(text):
        return text
    return text if is_expression(text) and "$" not in text.replace("\\$", "") else None


def is_expression(text: str) -> bool:
    """Whether a text has no words but those of mathematics, and says something."""
    depths = nesting(re.sub(r"\\[{}]", "", text))
    return (
        _EXPRESSION.fullmatch(text) is not None
        and _VALUE.search(text) is not None
        and min(depths) == depths[-1] == 0
        and not re.search(r"^(?:and|or)\b|\b(?:and|or)\s*$", text.strip())
        and not re.search(r"(?<![A-Za-z])[A-Za-z]\s+[A-Za-z](?![A-Za-z(])", re.sub(r"\\[A-Za-z]+", "+", text))
    )


def closing_expression(sentence: str) -> str | None:
    """The expression that ends a sentence, where it is more than one number: a tuple, a list, an equation or a sum."""
    tail = sentence.strip().rstrip(".!*").rstrip()[-_TAIL:]
    found = runs(tail)
    if not found or found[-1][1] != len(tail):
        return None
    start, end = found[-1]
    if _ENDS_WORD.search(tail[max(0, start - 1) : start + 1]):
        return None
    expression = re.sub(
        r"^(?:[\s,;:=']|(?<=')s\s|\b(?:and|or)\b|\ba\s+(?=[\w(\[]))+", "", tail[start:end]
    ).strip(" *")
    parts = [part.strip() for part in split_list(expression)]
    is_plain = re.fullmatch(r"[-+]?[\d.,/\s%$]*|[A-Za-z]", expression) and len(parts) == 1
    if not is_expression(expression) or is_plain or "" in parts:
        return None
    return joined(parts)


_ENDS = re.compile(
    r"^(?:[\s,;:'(\[~&!]|\.(?!\d)|\b(?:and|or)\b|\ba\s|[-•*]\s)+|(?:[\s,;:.!(\[~&*]|\b(?:and|or|a|I)\b|\s[ghlms]\b)+$"
)
_NUMBER = re.compile(r"[$€£]*(-?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:\s?/\s?\d+)?%?)[°€£]?")


def last_number(sentence: str) -> str | None:
    """The last number of a sentence, where it stands alone: no part of an expression, a list or a range, changed by no words."""
    for start, end in reversed(runs(sentence)):
        run = re.split(r"[:;]\s", sentence[start:end])[-1]
        if not re.search(r"\d", run):
            continue
        if _ENDS_WORD.search(sentence[max(0, start - 1) : start + 1]):
            return None
        if not re.search(r"[,;]\s|\b(?:and|or)\b", _ENDS.sub("", run)):
            run = run.rpartition("=")[2]
        number = _NUMBER.fullmatch(_ENDS.sub("", run))
        changed = changes_behind(sentence[end:]) or changes_before(
            sentence[:start] + run[: len(run) - len(run.lstrip(" $("))]
        )
        return number[1] if number and not changed else None
    return None


_LISTED = re.compile(
    r"\s*(?:[-•*]\s+|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]\s+|[a-z]{3,10}(?:\s+\w{1,2})?:\s*)(?=\S)",
    re.IGNORECASE,
)
"""A bullet, a number or a label at the start of a line."""


def closing_lines(block: str) -> str | None:
    """The expression in the last line of a block; lines that are solutions ("x = 2", "x = 3") are one list, however joined."""
    block = re.sub(r"\s*\n\s*(and|or)\s*\n\s*", r" \1 ", block.strip())
    found: list[str] = []
    for line in reversed(block.split("\n")[-_MAX_LINES:]):
        listed = _LISTED.match(line)
        bare = bare_answer((line[listed.end() :] if listed else line).replace("**", ""))
        if bare is None or (
            found and not (is_solution(bare) if is_solution(found[0]) else listed and "=" not in bare)
        ):
            break
        found.insert(0, bare)
    return ", ".join(found) or None


def is_solution(text: str) -> bool:
    """Whether it gives a name a constant: "x = 2"."""
    name, equals, value = text.rpartition("=")
    return bool(
        equals and NAME.fullmatch(name) and value.strip() and not re.search(r"(?<![\\A-Za-z])[A-Za-z]", value)
    )


def runs(text: str) -> list[tuple[int, int]]:
    """Start and end of the stretches of a text that are mathematics."""
    found: list[tuple[int, int]] = []
    for piece in _PIECES.finditer(text):
        if found and found[-1][1] == piece.start():
            found[-1] = (found[-1][0], piece.end())
        else:
            found.append(piece.span())
    return found


def split_list(expression: str) -> list[str]:
    """The parts between commas, "and" and "or" outside all brackets."""
    parts, start, depths = [], 0, nesting(expression)
    for joint in re.finditer(r",?\s+(?:and|or)\s+|,(?!\d{3}(?!\d))", expression):
        if not depths[joint.start()]:
            parts.append(expression[start : joint.start()])
            start = joint.end()
    return [*parts, expression[start:]]


def joined(parts: Sequence[str]) -> str:
    """Values that stand beside each other as one list; of "x = 1, y = 2, x + y = 3" only the last, which they lead to."""
    sides = [part.partition("=") for part in parts]
    if len(parts) > 1 and sides[-1][1] and not NAME.fullmatch(sides[-1][0]):
        return parts[-1]
    names = {side[0].strip() for side in sides if side[1]}
    if len(parts) > 1 and sides[-1][1] and len(names) < len(parts) and len(names) > 1:
        return parts[-1]
    return ", ".join(parts)
