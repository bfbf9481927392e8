r"""The answer of a mathematics problem in a model's text.

| order | statement | taken | for example |
|---|---|---|---|
| 1 | the last closed `\boxed{}` or `\fbox{}` that is neither empty nor a placeholder | its content; boxes joined by "and", "or" or a comma together | `$\boxed{\frac{14}{3}}$`, `\boxed 5`, `$\boxed{1}$ and $\boxed{-2}$` |
| 2 | the last cue: "the answer is", "Answer:", "**Final Answer**", "####", `<answer>` | the formula behind it, or the number or the few words it begins with | `The final answer is $\frac{1}{2}$.`, `Answer: 15%` |
| 3 | a complete text that is nothing but an expression | the whole | `-1 + sqrt(3)`, `x = 2 or x = 3` |
| 4 | the closing sentence, only of a complete text | its last bold text, formula (with those joined to it), expression or number | `So the area is $12\pi$.`, `The point is (2, 3).` |

A box wins over a cue wherever it stands: it is what the instruction asks for. A statement that was cut off is no answer:
an unclosed box, an unclosed formula, a line that ends in an operator or in "=". In an incomplete text neither is a value
behind a cue that reaches the text's very end ("The answer is 80" may have become 809). A box that the text calls wrong at once
("is incorrect", "but that is wrong") is none; a cue behind it counts, or the box before it. Refusals and denials are no closing sentence
(`closing.py`). Nothing is evaluated here.

Rules 3 and 4 are kept from incomplete texts, because a conclusion halfway ("Therefore $n = 5$. Next, …") looks the same as the
last one; early stopping asks for the answer there instead.
"""

# ruff: noqa: RUF001 - the characters that look like ASCII are those that models write

import re
from collections.abc import Iterator

from llmbench.answers.closing import CLOSERS, TAIL, affirmed, refuses, without_aside
from llmbench.answers.expressions import (
    bare_answer,
    closing_expression,
    closing_lines,
    is_expression,
    is_solution,
    joined,
    last_number,
)
from llmbench.answers.spoken import changes_before, changes_behind, in_symbols
from llmbench.answers.stated import boxes, cues, is_cut, is_retracted, last_boxed
from llmbench.answers.text import first_sentence, paragraphs, prepare, prepare_cut, sentences
from llmbench.equivalence.rational import rational

MAX_WORDS = 4
"""A stated answer in plain words is at most this long; more is prose."""

_FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<display>.+?)(?<!\\)\$\$"
    r"|\\\[(?P<bracket>.+?)\\\]"
    r"|\\\((?P<inline>.+?)\\\)"
    r"|(?<!\\)\$(?P<dollar>(?:[^$\n\\]|\\.)+?)\$(?!\d)",
    re.DOTALL,
)
_JOINT = re.compile(r"\s*(?:,\s*and|,\s*or|,|;|and|or|\\?&)\s*", re.IGNORECASE)
_LEAD = re.compile(
    r"[\s:*_>=#`]*(?:(?:approximately|about|exactly|simply|just|therefore|thus|then|that|indeed)\b[\s:,*]*)*",
    re.IGNORECASE,
)
_CURRENCY = r"(?:\\?\$|€|£|¥|US\$|Rs\.?\s?)"
_STARTS_WITH_NUMBER = re.compile(
    rf"[-+±]?\s*{_CURRENCY}?\s*[-+]?\s*(?:\d|\.\d|\\[dt]?frac|\\sqrt|√|π|\\pi|\(|\[|\{{|\\\{{|\\left)"
)
_NAMED_VALUES = r"(?:(?:arc)?(?:sin|cos|tan)|sqrt|log|ln|exp|pi|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|sigma|phi|omega|min|max|gcd|lcm)"
_QUALIFIED = re.compile(
    r"(?:(?!is\b|are\b)[a-z]+\s+){0,4}(?:than|least|most|equal\s+to)\s*[-$\\(.\d]", re.IGNORECASE
)
_DASH = (  # a minus sign, unless words of a sentence follow
    rf"\s[-–—]\s(?!{_NAMED_VALUES}(?![A-Za-z]))"
    r"(?=[A-Za-z]{3,}\s+[A-Za-z]|[A-Za-z]{4,}\W*$|(?:a|I|it|so|as|we|in|is|to|of|no|if)\s+[A-Za-z]{2})"
)
_CLAUSE_END = re.compile(
    rf"\s*(?:,?\s*\b(?:because|since|which|where|when|as|so|if|after|rounded|respectively|for which|to\s+(?:the\s+nearest|\w+\s+(?:decimal|significant)))\b(?!\s+well)|,\s*(?:and (?:the|we|this|so)|but|not)\b|{_DASH}|;\s|\((?!mod\b)(?=[A-Za-z ]{{4,}})).*$",
    re.IGNORECASE | re.DOTALL,
)
_CONCLUDED = re.compile(
    r"(?:;|\b(?:so|thus|hence|therefore)\b)(?:[\s,]|\b(?:so|thus|hence|therefore)\b)+(?P<value>[^;]*)$",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(
    r"(?:[-+*/=<>^_({\[,∪∩]|\\(?:cdot|times|[dt]?frac|left|sqrt|leq?|geq?|neq?|div|pm|cup|cap|in|to|mid|approx|equiv|setminus))\s*$"
)
_OPERATOR = (
    r"(?:[-+*/^×÷·=<>≤≥±∪∩]|:(?=\S)|(?<=\s):|\\(?:cdot|times|div|pm|cup|cap|leq?|geq?|neq?)(?![A-Za-z]))"
)
_GOES_ON = re.compile(
    rf"\s*(?:{_OPERATOR}|\bof\b)\s*(?:[$\d√π]|\.\d|\\(?!\))|[a-zA-Z](?![A-Za-z])|\((?!\s*[A-Za-z]{{2}}))|[A-Za-z\d]|\s*(?:(?:\\?%|percent)\s+of|plus|minus|(?:divided|multiplied)\s+by|raised\s+to)\s|\s*(?:(?<!\\)\$|\\[(\[])|!\."
)
"""What makes a formula before it a part of a larger one."""
_OPERATED = re.compile(rf"(?:[\d$)}}\]]|\b[A-Za-z])\s*{_OPERATOR}\s*$|[\d)]\s*$")
_NOT_ANSWERS = re.compile(
    r"\b(?:correct|incorrect|right|wrong|clear|clearly|helpful|valid|invalid|reasonable|follows?|following|below|above|obvious|unique"
    r"|same|given|found|also|not|to|we|let|let's|i|you|this|that|it|here|step|as|in|of|what|how|explanation|solution|unknown|verified"
    r"|consistent|determined|calculated|expressed|obtained|provided|needed|required|final|answer|independent|now|based)\b",
    re.IGNORECASE,
)
_CLOSERS = re.compile(
    rf"{CLOSERS.pattern}|^\W*$|\b(?:Q\.?E\.?D|this completes|is correct\.?$|\\blacksquare|\\square|✅|verified)\b|```",
    re.IGNORECASE,
)
_MAX_BLOCKS = 10
"""Paragraphs at a text's end whose lines may be one list."""
_BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_CONCLUDES = re.compile(r"[.!)\]}$*|`✅✓\"']\s*$")
_APPROXIMATELY = re.compile(
    r",?\s*(?:\(|\bor\b|\bwhich is\b)\s*(?:approximately|about|roughly|≈|\$\\approx).*$", re.IGNORECASE
)
_UNIT_BEHIND = r"(?:\s?(?:[€£¥%°]|[mc]{1,2}[²³]))?"
_ENDS_IN_NUMBER = re.compile(
    rf"\b(?:is|are|be|equals)\s+(?:\*\*)?[€£]?(-?\d[\d,]*(?:\.\d+)?(?:/\d+)?){_UNIT_BEHIND}(?:[.*]|!(?!\.))*$"
)


def math_answer(text: str, *, complete: bool = True) -> str | None:
    """The stated answer as it was written, or None; the module's table gives the order.

    Args:
        text: A model's whole output.
        complete: The text ended by itself, so that its closing sentence may count as the answer.
    """
    text = prepare(text) if complete else prepare_cut(text)
    return _boxed_or_stated(text, complete=complete) or (_concluded(text) if complete else None)


def _concluded(text: str) -> str | None:
    bare = bare_answer(text)
    return (_whole(bare) if bare else None) or _conclusion(text)


def _boxed_or_stated(text: str, *, complete: bool) -> str | None:
    found = boxes(text)
    kept = [box for box in found if not is_retracted(text, box)]
    if found and kept[-1:] != found[-1:]:
        later = _last_stated(text, found[-1].end, complete=complete)
        if later or not kept:
            return later
    box = last_boxed(text, kept)
    if box and (complete or not is_cut(text, box)):
        return box.content
    return _last_stated(text, 0, complete=complete)


def integer_answer(text: str, *, complete: bool = True) -> str | None:
    r"""The answer of an AIME problem: an integer in canonical form ("025", "25.0" and `\frac{50}{2}` give "25"), or None.

    Boxes and cues as in `math_answer`; of an equation chain the last member counts. What is boxed or stated but is no integer
    comes back as it was written: the model has answered, and wrongly, which is not the same as no answer. So do integers
    outside 0 to 999. A closing sentence counts only where it holds an integer.
    """
    text = prepare(text) if complete else prepare_cut(text)
    stated = _boxed_or_stated(text, complete=complete)
    if stated is not None:
        integer = _integer(stated)
        return stated if integer is None else integer
    concluded = _concluded(text) if complete else None
    return None if concluded is None else _integer(concluded)


_MEMBER = re.compile(r"(?<![<>!\\])=|\\equiv|\\approx")
_DECORATION = re.compile(
    r"\^\s*\{?\s*\\circ\s*\}?|°|\\(?:text|mathrm|mbox|textbf|mathbf|mathit|textit)\s*\{(?P<text>[^{}]*)\}|\\[,;:! ]|\\?[$%*]|\\left|\\right"
)
_CHANGES_VALUE = re.compile(
    r"\b(?:dozens?|scores?|tens|hundreds?|thousands?|millions?|billions?|halves|thirds|quarters|squared|cubed|factorial|pi|sqrt|negative|minus"
    r"|(?:at\s+)?(?:least|most)|more|less|over|under|above|below|about|approximately|except|not)\b|(?<![A-Za-z\\])[a-zA-Z](?<![ghLms])(?![A-Za-z{=\s]*=)(?![A-Za-z])",
    re.IGNORECASE,
)
"""Words and symbols beside an integer that make another number of it."""
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
    if value is None or value.denominator != 1 or _CHANGES_VALUE.search(shown) or "," in "".join(members):
        return None
    if any(other is not None and other != value for other in map(rational, members)):
        return None  # "24 = 25"
    return str(value.numerator)


def _last_stated(text: str, start: int, *, complete: bool) -> str | None:
    for cue in reversed(cues(text)):
        value = _value(cue.rest) if cue.end > start else None
        if value and (complete or cue.end + len(cue.rest) < len(text) or not _may_be_cut(cue.rest)):
            return value
    return None


_ENDED = re.compile(
    r"(?:[.!?\n`\"]|\*\*|</answer>|\d%?\s+(?!and\b|or\b|to\b|by\b|plus\b|minus\b|times\b|over\b)[A-Za-z]{2,}[A-Za-z ]*)\s*$"
)


def _may_be_cut(rest: str) -> bool:
    """Whether the value behind a cue reaches the text's end, so that more of it may have followed."""
    rest = rest[lead.end() :] if (lead := _LEAD.match(rest)) else rest
    formula = _FORMULA.match(rest)
    if formula:
        while (joint := _JOINT.match(rest, formula.end())) and (
            following := _FORMULA.match(rest, joint.end())
        ):
            formula = following
        return bool(_JOINT.fullmatch(rest, formula.end()))
    sentence = first_sentence(rest)
    if sentence != rest or _ENDED.search(rest):
        return False
    if _STARTS_WITH_NUMBER.match(sentence):
        return not _CLAUSE_END.search(sentence)
    formulas = list(_FORMULA.finditer(sentence))
    return not formulas or (formulas[-1].end() < len(sentence.rstrip()) and sentence.count("$") % 2 == 1)


def _value(rest: str) -> str | None:
    """The answer that stands at the beginning of what follows a cue."""
    rest = in_symbols(rest.partition("</answer>")[0])
    rest = rest[_LEAD.match(rest).end() :] if _LEAD.match(rest) else rest  # type: ignore[union-attr]
    sentence = first_sentence(rest).replace("**", "").replace("__", "").strip()
    return _leading_formulas(rest) or _leading_number(sentence) or _in_sentence(sentence)


def _leading_number(sentence: str) -> str | None:
    return _plain(_clause(sentence)) if _STARTS_WITH_NUMBER.match(sentence) else None


def _clause(sentence: str) -> str:
    """The sentence less what explains its answer, or the value that it concludes behind that: "3 (mod 5), so 8"."""
    found = _CLAUSE_END.search(sentence)
    if found is None:
        return sentence
    said, behind = sentence[: found.start()], found[0]
    concluded = _CONCLUDED.search(behind)
    value = concluded["value"].strip(" .") if concluded else ""
    if not concluded or not is_expression(_inlined(value)):
        return said
    is_listed = re.match(r"\s*;\s*(?!so|thus|hence|therefore)", behind)
    if is_listed:
        return f"{said}, {value}" if ("=" in said) == ("=" in value) else said
    return value


def _in_sentence(sentence: str) -> str | None:
    """The number or formula that a sentence behind a cue ends in, or its few words."""
    if _STARTS_WITH_NUMBER.match(sentence):
        return None
    if number := _ENDS_IN_NUMBER.search(sentence):
        return number[1]
    if _QUALIFIED.match(sentence):
        return _plain(_clause(sentence))
    if _FORMULA.search(sentence):
        return _whole(_last_formulas(sentence) or "")
    words = _plain(_clause(sentence))
    if not words or is_expression(words):
        return words
    is_prose = len(words.split()) > MAX_WORDS or _NOT_ANSWERS.search(words) or sentence.endswith((":", "?"))
    is_range = re.match(r"(?:between|from)\s+\S*\d", words, re.IGNORECASE)
    return None if is_prose or is_range else words


def _leading_formulas(rest: str) -> str | None:
    """The formula at the very start, with those that a comma, "and" or "or" joins to it, and a percent sign or unit behind."""
    match = _FORMULA.match(rest)
    if match is None:
        return None
    parts = [_content(match)]
    while (joint := _JOINT.match(rest, match.end())) and (following := _FORMULA.match(rest, joint.end())):
        match = following
        parts.append(_content(match))
    sentence, behind = first_sentence(rest), first_sentence(rest[match.end() :]).replace("**", "")
    if len(sentence) > match.end() and (_GOES_ON.match(behind) or changes_behind(behind)):
        return _plain(_clause(_inlined(sentence.replace("**", ""))))
    value = _whole(", ".join(parts))
    return f"{value}\\%" if value and re.match(r"\s*(?:\\?%|percent)", rest[match.end() :]) else value


def _content(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _whole(value: str) -> str | None:
    """The value, unless it was cut off, or is a box that was (or an empty one)."""
    value = re.sub(r"(?:(?<!\.)[.]|[,;])+$", "", value.strip())
    return None if not value or _CUT_OFF.search(value) or "\\boxed" in value else value


def _plain(value: str) -> str | None:
    value = re.sub(r"(?:[.,;:*\s]|(?<!\d)!|!$)+$", "", value.strip().strip('`"'))
    if value.count("$") % 2 and not re.match(r"[-+]?\s*\\?\$\s*\d[\d,.]*(?:\s|$)", value):
        return None  # an unclosed formula
    if value.count("$") > 1:
        value = _FORMULA.sub(_content, value)
    return _whole(value)


def _conclusion(text: str) -> str | None:
    if refuses(text):
        return None
    blocks = paragraphs(text[-TAIL:])
    while blocks and all(_CLOSERS.search(sentence) for sentence in sentences(blocks[-1])):
        blocks.pop()
    if not blocks:
        return None
    block = blocks[-1]
    display = [match for match in _FORMULA.finditer(block) if match["display"] or match["bracket"]]
    if display and not re.search(r"\w", block[display[-1].end() :]):
        return _whole(_last_formulas(block) or "")
    if lines := closing_lines(_inlined("\n".join(blocks[-_MAX_BLOCKS:]))):
        return _whole(lines)
    for sentence in reversed(sentences(block)):
        if not _CLOSERS.search(sentence):
            return _closing_value(without_aside(affirmed(sentence.strip())))
    return None


def _closing_value(sentence: str) -> str | None:
    is_bare = len(sentence.split()) <= MAX_WORDS
    if sentence.endswith("?") or not (
        _CONCLUDES.search(sentence) or _ENDS_IN_NUMBER.search(sentence) or is_bare
    ):
        return None
    value = next((value for value in _closing_values(sentence) if value), None)
    return value or (_said(sentence) if re.search(r"\d", sentence) else None)


def _said(sentence: str) -> str | None:
    """What the sentence says of its subject, where its number is but a part of that: "less than 4"."""
    return _plain(re.split(r"\b(?:is|are|be|equals?)\s", _inlined(sentence))[-1])


def _closing_values(sentence: str) -> Iterator[str | None]:
    bold = [match[1] for match in _BOLD.finditer(sentence) if re.search(r"\d|\\", match[1])]
    sources = [bold[-1]] if len(bold) == 1 else []
    sentence = in_symbols(sentence)
    for source in [*sources, _APPROXIMATELY.sub("", sentence), sentence]:
        if number := _ENDS_IN_NUMBER.search(source):
            yield number[1]
        if _FORMULA.search(source):
            yield _whole(_last_formulas(source) or "")
        else:
            yield _closing_expression(source)


def _closing_expression(sentence: str) -> str | None:
    return _whole(closing_expression(sentence) or "") or last_number(sentence.replace("$", ""))


def _inlined(text: str) -> str:
    return _FORMULA.sub(_content, text)


def _last_formulas(sentence: str) -> str | None:
    """The last formula of a sentence, with those that a comma, "and" or "or" joins to it; the whole expression that it is part of."""
    found = list(_FORMULA.finditer(sentence))
    if not found:
        return None
    first = len(found) - 1
    while first and _are_joined(sentence, found[first - 1], found[first]):
        first -= 1
    before, behind = sentence[: found[first].start()], sentence[found[-1].end() :]
    if _OPERATED.search(before):
        return _closing_expression(_inlined(sentence))
    if _GOES_ON.match(behind) or changes_behind(behind):
        return _plain(_clause(_inlined(sentence[len(before) :])))
    if changes_before(before):
        return None
    return joined([_content(match).rstrip(".,;") for match in found[first:]])


def _are_joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    between = text[one.end() : other.start()]
    return bool(_JOINT.fullmatch(between)) or (
        not between.strip()
        and is_solution(_content(one).strip(",;. "))
        and is_solution(_content(other).strip(",;. "))
    )
