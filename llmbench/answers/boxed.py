r"""The whole value that a box is part of: `10 \cdot \boxed{42} = 420` is 420, `$\frac{1}{\boxed{42}}$` is 1/42.

| boxes | are | for example |
|---|---|---|
| alone in their formula, or behind `=` | their content | `$x = \boxed{5}$` |
| part of a larger expression | that expression; of an equation chain the last member | `$y = \boxed{3}x + \boxed{4}$` |
| beside a word of quantity | both | `$\boxed{13}$ million`, "half of $\boxed{42}$" |
| several in one sentence or list | one answer of several parts | "either $\boxed{3}$ or else $\boxed{4}$" |
| several with an operator between them | one expression | "$\boxed{3}$ : $\boxed{4}$" |

Behind "so", "that is" or "which" a box concludes: what stands before it is no part of the answer.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from llmbench.answers.equivalence.rational import rational
from llmbench.answers.expressions import MASKS, NAME, runs
from llmbench.answers.formulas import FORMULA, clause, inlined, plain
from llmbench.answers.spoken import arithmetic, changes_before, changes_behind
from llmbench.answers.statements import BoxedFormula
from llmbench.answers.text import first_sentence

_WINDOW = 1_000
"""Characters of a paragraph before and behind a box that may belong to its formula."""
_MAX_BOXES = 12
_MAX_BETWEEN = 120
_MASK = re.compile(rf"([{MASKS}])\1*")
_TOKEN = re.compile(
    r"\\(?:begin|end)\s*\{(?P<environment>[a-z]+)\*?\}|(?P<open>\\?\{|[(\[])|(?P<close>\\?\}|[)\]])"
    r"|(?P<equals>(?<![<>:])(?<!\s!)=|\\(?:equiv|in|approx)(?![A-Za-z]))"
    r"|(?P<list>,(?!\d{3}(?!\d))|;|\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<!\w)(?:and|or)(?!\w))"
    r"|(?P<ends>\\\\(?:\[[^\]]*\])?|\\(?:q?quad|implies|(?:Long)?[rR]ightarrow|iff|to|therefore)(?![A-Za-z])|[→⇒&])"
    r"|\\."
)
_ALIGNED = frozenset({"align", "aligned", "gather", "gathered", "equation", "split", "eqnarray", "multline"})
_DECORATION = re.compile(
    r"\\(?:text|mbox|mathrm|textbf|textit|textrm|operatorname)\s*\{(?P<words>[^{}\ue000-\uefff]*)\}(?:\s*\^\s*\{?\d\}?)?|\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\?[%$]|°|\\(?:text)?color\s*\{[^{}]*\}"
    r"|\\(?:text|mbox|mathrm|mathbf|textbf|textit|mathit|mathsf|boldsymbol|bm|bf|bold|underline|underbrace|left|right|[bB]igg?[lrm]?"
    r"|displaystyle|textstyle|large|Large|LARGE|huge|Huge|normalsize|checkmark|blacksquare|square|qed|hfill|limits)(?![A-Za-z])"
    r"|\\tag\*?\s*\{[^{}]*\}|\\(?:begin|end)\s*\{[^{}]*\}|\\p?mod\s*(?:\{[^{}]*\}|\d+)|\((?:\\?mod|\\bmod)[^()]*\)|\\[,;:!()\[\]{} ]|\\(?:n(?![A-Za-z])|(?=[\ue000-\uefff]))|[\s$*_~.,;:(){}\[\]]"
)
_ATOM = re.compile(r"\d[\d.,]*|\\?[A-Za-z]+(?:\{[^{}]*\})*|[(\[{].*|\\left.*", re.DOTALL)
_LEAD = re.compile(r"^(?:[\s*•,.:;=~]|[-–]\s|\b(?:and|or|a|I)\s)+")
_TRAIL = re.compile(r"(?:[\s*,.:;!?~]|\\|\s[-–+=<>/]\s*$|\b(?:and|or|a|I)\s*$)+$")
_APART_BEFORE = re.compile(r"(?:(?<![\\A-Za-z])[A-Za-z]|[\d.,;:)!])\s+$")
_APART_BEHIND = re.compile(r"\s+[\w(]")
"""Values without an operator between them and a box, which in prose are no part of its expression."""
_EXPLAINED = re.compile(r"\\text\s*\{[\s,(]*(?:since|because|as|where|when|with|if|for)\b.*", re.DOTALL)
_COMPARED = re.compile(rf"(?<=[{MASKS}])\s*(?:[<>≤≥]|\\(?:[lg]eq?|[lg]t|neq?)(?![A-Za-z])).*", re.DOTALL)
_HAS_VALUE = re.compile(rf"\d|\\(?:frac|sqrt|pi|infty)|[{MASKS}]")
_LETTER = re.compile(r"(?<![A-Za-z\\])[a-zA-Z](?![A-Za-z])")
_LIST_WORD = re.compile(r"[\s,;]*(?:and|or|&)?\s*(?:[A-Za-z](?:_\{?\w+\}?)?\s*=)?", re.IGNORECASE)
_EQUATED = re.compile(r"(?:^|[^\w\s)}\]])\s*=$|:$")
_OPERATOR = re.compile(
    r"\s*(?P<operator>[-+*/×÷·^:∪∩]|\\(?:cdot|times|div|cup|cap)|\bto\b|\bthrough\b|\bto\s+the\s+power\b|<|>|\\[lg]eq?|≤|≥)\s*"
)
_DELIMITERS = re.compile(r"\$|\\[()\[\]]|\*\*|\\q?quad|\\[,;:! ]")
_NEW_VALUE = re.compile(
    r"\b(?:so|thus|hence|therefore|then|that\s+is|which|i\.e|namely|giving|implies|means|get|or\s+equivalently|equivalently|simplif\w+|reduces?|final|here|now|instead"
    r"|answer|total|altogether|because|since|but|if|when)\b|=\s*[^=]*=|⇒|→|\\(?:implies|Rightarrow)|[.!?]\s+[A-Z]|\n\s*\n",
    re.IGNORECASE,
)
_NEXT_ITEM = re.compile(
    r"[^\n]{0,60}\n\s*(?:[-•*+]\s+|\(?\**\(?(?:[a-h]|[ivx]{1,4}|\d{1,2})[.)]\**:?\s)[^\n]{0,60}",
    re.IGNORECASE,
)
_NEXT_OF_SEVERAL = re.compile(
    r"[^.\n]{0,40}\.\s+(?:And\s+)?(?:the\s+)?(?:second|third|fourth|other)\b[^.\n]{0,60}", re.IGNORECASE
)
_CONCLUDED_ITEM = re.compile(
    r"\b(?:so|thus|hence|therefore|then|total|sum|answer|final|multiply|add|step)\b", re.IGNORECASE
)
_ROUNDED = re.compile(r"\b(?:approximately|about|roughly|approx)\b|≈|\\approx", re.IGNORECASE)


_OPERATED = re.compile(
    r"\s*(?:[+*/×÷^=]|\\(?:cdot|times)(?![A-Za-z])|[-−](?=\s*[$(]*\d))\s*(?=\$?[\d√π\\(]|\$\w)"
)
"""What makes a formula before it a part of a larger expression."""
_WORDS_BEFORE = 60
_LABEL = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{\s*\(?[A-Z]\)?\s*\}|\([A-Z]\)")
"""The letter of a choice, which what stands behind it explains."""


def last_boxed(text: str, boxes: Sequence[BoxedFormula]) -> BoxedFormula | None:
    r"""The answer that ends in the last of these boxes of the text; the module's table gives its parts.

    Two forms of one number ("$\boxed{15\frac{39}{40}}$, or $\boxed{\frac{639}{40}}$") are one answer: the last.
    """
    if not boxes:
        return None
    first = _value(text, boxes, boxes[-1])
    parts = [first.content]
    for box in reversed(boxes[-_MAX_BOXES:-1]):
        if first.start <= box.start < first.end:
            continue  # in the same expression
        value = _value(text, boxes, box)
        joint = _joint(text[value.end : first.start])
        if joint is None:
            break
        if joint == "≈":
            parts[0] = value.content
        elif joint == ",":
            parts.insert(0, value.content)
        else:
            parts[0] = f"{value.content} {joint} {parts[0]}"
        first = value
    values = {rational(part) or part for part in parts}
    content = ", ".join(parts) if len(values) == len(parts) else parts[-1]
    return BoxedFormula(min(first.start, boxes[-1].start), boxes[-1].end, content, content)


def _joint(between: str) -> str | None:
    """What joins two boxed values: a comma, an operator, "≈" before a rounded form; None where they are answers of their own."""
    if len(between) > _MAX_BETWEEN:
        return None
    inner = _DELIMITERS.sub(lambda match: "," if "quad" in match[0] else " ", between).strip()
    if (operator := _OPERATOR.fullmatch(inner)) and "\n" not in between:
        return ":" if operator["operator"][0] == "t" else operator["operator"]
    if _NEXT_ITEM.fullmatch(between) or _NEXT_OF_SEVERAL.fullmatch(between):
        return None if _CONCLUDED_ITEM.search(between) else ","
    is_broken = "\n" in between and not _LIST_WORD.fullmatch(inner)
    if is_broken or _NEW_VALUE.search(inner) or _EQUATED.search(inner):
        return None
    return "≈" if _ROUNDED.search(inner) else ","


def _value(text: str, boxes: Sequence[BoxedFormula], box: BoxedFormula) -> BoxedFormula:
    """The expression around a box, with the words beside it that make another quantity of it."""
    start = max(text.rfind("\n\n", 0, box.start) + 1, box.start - _WINDOW)
    stop = text.find("\n\n", box.end)
    stop = min(len(text) if stop < 0 else stop, box.end + _WINDOW)
    near = [other for other in boxes if start <= other.start and other.end <= stop]
    window = _masked(text[start:stop], near, start)
    place = box.start - start
    outer, inner = _formula(window, place)
    segment = _segment(window[slice(*inner)], place - inner[0])
    before = window[max(0, outer[0] - _WORDS_BEFORE) : outer[0]]
    behind = _MASK.split(first_sentence(window[outer[1] :]))[0]
    if segment is None or _LABEL.fullmatch(box.bare):
        return replace(box, content=_with_words(before, box.content, behind))
    begin = start + inner[0]
    content = _with_words(before, _filled(segment.content, [other.bare for other in near]), behind)
    return BoxedFormula(begin + segment.start, begin + segment.end, content, content)


def _masked(window: str, near: Sequence[BoxedFormula], start: int) -> str:
    """The window with a mask of its own for each box, repeated to the box's length."""
    for number, box in enumerate(near):
        mask = chr(ord(MASKS[0]) + number) * (box.end - box.start)
        window = window[: box.start - start] + mask + window[box.end - start :]
    return window


def _filled(masked: str, contents: Sequence[str]) -> str:
    """The expression with the boxes' contents, in parentheses where they would else be read as something else."""
    listed = re.sub(rf"([{MASKS}])\s*(?!\1)(?=[{MASKS}])", r"\1, ", masked)

    def content(mask: re.Match[str]) -> str:
        value = contents[ord(mask[1]) - ord(MASKS[0])]
        before, behind = listed[: mask.start()].rstrip()[-1:], listed[mask.end() :].lstrip()[:1]
        is_enclosed = before in "{([,=" and behind in "})],="
        is_apart = _ATOM.fullmatch(value) and not (before.isdigit() and value[0].isdigit())
        return value if is_enclosed or is_apart else f"({value})"

    return _MASK.sub(content, listed).strip()


def _formula(window: str, place: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Start and end of the formula that holds the place: with its delimiters, and without them."""
    for match in FORMULA.finditer(window):
        if match.start() <= place < match.end():
            return match.span(), match.span(match.lastgroup or 0)
    begin = window.rfind("\n", 0, place) + 1
    line = window[begin:].partition("\n")[0]
    start, stop = next(run for run in runs(line) if run[0] <= place - begin < run[1])
    mask = _MASK.match(line, place - begin)
    behind = mask.end() if mask else stop
    if _APART_BEFORE.search(line[start : place - begin]):
        start = place - begin
    if _APART_BEHIND.match(line[behind:stop]):
        stop = behind
    start += len(line[start:stop]) - len(_LEAD.sub("", line[start:stop]))
    stop = start + len(_TRAIL.sub("", line[start:stop]))
    span = begin + start, begin + stop
    return span, span


def _segment(formula: str, place: int) -> BoxedFormula | None:
    """The member of the formula that holds the place, or that it equals; None where nothing but one box stands there."""
    joints = _joints(formula)
    number = next(index for index, joint in enumerate(joints[1:]) if place < joint[1])
    start, stop = joints[number][2], joints[number + 1][1]
    last = _EXPLAINED.sub("", formula[start:stop])
    if joints[number][0] == "=":
        last = _COMPARED.sub("", last)
    words = [match["words"] for match in _DECORATION.finditer(last) if match["words"]]
    is_changed = any(changes_behind(word) or changes_before(word) for word in words)
    if not is_changed and _MASK.fullmatch(_DECORATION.sub("", last)):
        return None
    name = formula[joints[number - 1][2] : joints[number][1]].strip() if joints[number][0] == "=" else ""
    while joints[number + 1][0] == "=":
        number += 1
        member = formula[joints[number][2] : joints[number + 1][1]]
        last = member if _HAS_VALUE.search(member) else last
    is_named = name and NAME.fullmatch(name) and _LETTER.search(last)
    content = f"{name} = {last}" if is_named else last
    return BoxedFormula(start, stop, content, content)


def _joints(formula: str) -> list[tuple[str, int, int]]:
    """What parts the formula outside all brackets: kind, start and end of each; its own start and end are the first and last."""
    found = [("", 0, 0)]
    depth = 0
    for token in _TOKEN.finditer(formula):
        kind = token.lastgroup
        if kind == "environment" and token["environment"] not in _ALIGNED:
            depth += 1 if token[0].startswith("\\begin") else -1
        elif kind in {"open", "close"}:
            depth += 1 if kind == "open" else -1
        elif kind and depth <= 0:
            found.append(("=" if kind == "equals" else kind, *token.span()))
    return [*found, ("", len(formula), len(formula))]


def _with_words(before: str, content: str, behind: str) -> str:
    """The value with words that make another one of it: "13 million", "half of 42", "less than 42"."""
    formula = f"${content}$"
    behind = behind.replace("**", "")
    read = arithmetic(formula)
    said, shown = arithmetic(f"{before}{formula}"), arithmetic(f"{formula}{behind}")
    if not said.endswith(read):
        operated = list(FORMULA.finditer(said))
        return inlined(operated[-1][0]) if operated else said
    if changes_before(before):
        return f"\\text{{{' '.join(before.split()[-2:])} }}{content}"
    if changes_behind(behind) or _OPERATED.match(behind) or not shown.startswith(f"{read}{behind[:2]}"):
        return plain(clause(inlined(shown))) or content
    return content
