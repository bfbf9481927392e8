r"""Formulas in a sentence, and the clause around them: what is one value, and where what explains it begins.

"$3$ and $4$" is a list, "$3$ - $x$" one expression, and of "3, because $x$ is even" only the first is the value.
"""

import re

from llmbench.answers.expressions import closing_expression, is_expression, is_solution, joined, last_number
from llmbench.answers.spoken import changes_before, changes_behind
from llmbench.answers.text import first_sentence

FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<display>.+?)(?<!\\)\$\$"
    r"|\\\[(?P<bracket>.+?)\\\]"
    r"|\\\((?P<inline>.+?)\\\)"
    r"|(?<!\\)\$(?P<dollar>(?:[^$\n\\]|\\.)+?)\$(?!\d)",
    re.DOTALL,
)
JOINT = re.compile(r"\s*(?:,\s*and|,\s*or|,|;|and|or|\\?&)\s*", re.IGNORECASE)
_NAMED_VALUES = r"(?:(?:arc)?(?:sin|cos|tan)|sqrt|log|ln|exp|pi|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|sigma|phi|omega|min|max|gcd|lcm)"
_DASH = (  # a minus sign, unless words of a sentence follow
    rf"\s[-–—]\s(?!{_NAMED_VALUES}(?![A-Za-z]))"
    r"(?=[A-Za-z]{3,}\s+[A-Za-z]|[A-Za-z]{4,}\W*$|(?:a|I|it|so|as|we|in|is|to|of|no|if)\s+[A-Za-z]{2})"
)
CLAUSE_END = re.compile(
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
    rf"\s*(?:{_OPERATOR})\s*(?:[$\d√π]|\.\d|\\(?!\))|[a-zA-Z](?![A-Za-z])|\((?!\s*[A-Za-z]{{2}}))|[A-Za-z\d]|\s*(?:plus|minus|(?:divided|multiplied)\s+by|raised\s+to)\s|\s*(?:(?<!\\)\$|\\[(\[])|!\."
)
"""What makes a formula before it a part of a larger one: an operator with a value, a letter without a space, another formula."""
_PART_OF = re.compile(r"\s*(?:\\?%|percent)?\s+of\s+(?:[$\d]|\\|[b-z](?![A-Za-z]))")
_OPERATED = re.compile(rf"(?:[\d$)}}\]]|\b[A-Za-z])\s*{_OPERATOR}\s*$|[\d)]\s*$")


def clause(sentence: str) -> str:
    """The sentence less what explains its answer, or the value that it concludes behind that: "3 (mod 5), so 8"."""
    found = CLAUSE_END.search(sentence)
    if found is None:
        return sentence
    said, behind = sentence[: found.start()], found[0]
    value = _concluded(behind)
    if value is None:
        return said
    is_listed = re.match(r"\s*;\s*(?!so|thus|hence|therefore)", behind)
    if is_listed:
        return f"{said}, {value}" if ("=" in said) == ("=" in value) else said
    return value


def _concluded(explanation: str) -> str | None:
    """The value that an explanation ends in: "8" of ", so 8"."""
    found = _CONCLUDED.search(explanation)
    value = found["value"].strip(" .") if found else ""
    return value if is_expression(inlined(value)) else None


def leading_formulas(rest: str) -> str | None:
    """The formula at the very start, with those that a comma, "and" or "or" joins to it, and a percent sign or unit behind."""
    match = FORMULA.match(rest)
    if match is None:
        return None
    parts = [_content(match)]
    while (joint := JOINT.match(rest, match.end())) and (following := FORMULA.match(rest, joint.end())):
        match = following
        parts.append(_content(match))
    sentence, behind = first_sentence(rest), first_sentence(rest[match.end() :]).replace("**", "")
    if len(sentence) > match.end() and (
        _GOES_ON.match(behind) or _PART_OF.match(behind) or changes_behind(behind) or _concluded(behind)
    ):
        return plain(clause(inlined(sentence.replace("**", ""))))
    value = whole(", ".join(parts))
    return f"{value}\\%" if value and re.match(r"\s*(?:\\?%|percent)", rest[match.end() :]) else value


def _content(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def whole(value: str) -> str | None:
    """The value, unless it was cut off, or is a box that was (or an empty one)."""
    value = re.sub(r"(?:(?<!\.)[.]|[,;])+$", "", value.strip())
    return None if not value or _CUT_OFF.search(value) or "\\boxed" in value else value


def plain(value: str) -> str | None:
    """A value out of a sentence, without delimiters and the punctuation behind it; None where it was cut off."""
    value = re.sub(r"(?:[.,;:*\s]|(?<!\d)!|!$)+$", "", value.strip().strip('`"'))
    if value.count("$") % 2 and not re.match(r"[-+]?\s*\\?\$\s*\d[\d,.]*(?:\s|$)", value):
        return None  # an unclosed formula
    if value.count("$") > 1:
        value = FORMULA.sub(_content, value)
    return whole(value)


def last_value(sentence: str) -> str | None:
    """The expression that ends a sentence without formulas, or its last number."""
    return whole(closing_expression(sentence) or "") or last_number(sentence.replace("$", ""))


def inlined(text: str) -> str:
    """The text without the delimiters of its formulas."""
    return FORMULA.sub(_content, text)


def last_formulas(sentence: str) -> str | None:
    """The last formula of a sentence, with those that a comma, "and" or "or" joins to it; the whole expression that it is part of."""
    found = list(FORMULA.finditer(sentence))
    if not found:
        return None
    first = len(found) - 1
    while first and _are_joined(sentence, found[first - 1], found[first]):
        first -= 1
    before, behind = sentence[: found[first].start()], sentence[found[-1].end() :]
    if _OPERATED.search(before):
        return last_value(inlined(sentence))
    if _GOES_ON.match(behind) or changes_behind(behind):
        return plain(clause(inlined(sentence[len(before) :])))
    if changes_before(before):
        return None
    return joined([_content(match).rstrip(".,;") for match in found[first:]])


def _are_joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    between = text[one.end() : other.start()]
    return bool(JOINT.fullmatch(between)) or (
        not between.strip()
        and is_solution(_content(one).strip(",;. "))
        and is_solution(_content(other).strip(",;. "))
    )
