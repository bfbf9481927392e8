"""The main value of a closing sentence that also says for what, from what or at what price: "8 weeks to save $400".

What such words lead to is never the answer. Where two values stand side by side, the unit that the question names decides.
"""

import re
from collections.abc import Sequence

from llmbench.answers.quantities import PREPOSITION
from llmbench.answers.spoken import NUMBER
from llmbench.answers.written import Number

_CUT = re.compile(
    r",?\s(?:in\sorder\sto\s[a-z]+|(?<!need\s)(?<!needs\s)(?<!needed\s)(?<!has\s)(?<!have\s)(?<!had\s)(?<!able\s)(?<!going\s)(?<!wants\s)(?<!used\s)to\s(?!the\b|an?\b)[a-z]+"
    r"|instead\sof|(?:down|up|back|left)?\s?from|with\s(?:an?|only)\s(?=\$)|for\s(?=\$?[\d.]+(?:\s\w+)?\s(?:each|apiece|per)\b)|for\s[a-z]+ing|each(?:\s[a-z]+ing|\swith)"
    r"|with\s(?=\d+\s[a-z]+\sin\seach)|at\s(?:an?\s)?(?:\w+\s)?(?:rate|speed|price|pace|cost)\sof|while|whereas|having|covering|with\s(?=\$?\d[\d.]*\s(?:\w+\s)?(?:left|remaining|over)))\s?"
)
_NOUN_PHRASE = re.compile(rf"{NUMBER}(?:\s(?!(?:and|but|so)\b)[A-Za-z'-]+){{0,5}}$")
_REACH = 100
_RATIO = re.compile(rf"{NUMBER}\s?:\s?{NUMBER}|\bratio\b.{{0,80}}?{NUMBER}\sto\s{NUMBER}", re.IGNORECASE)
_SECOND = re.compile(
    rf"{NUMBER}[^,.\d]{{0,40}},?\s(?:or\s[$€£]?{NUMBER}|(?:and|when|if)\s(?:(?:he|she|it|they)\s)?(?:will|gave|turns?|kept|sold|lost)\b[^,.\d]*{NUMBER}[^,\d]*$)"
)
_AGO = re.compile(r"\d[^.]*\sago\b")


def main_part(sentence: str) -> str:
    """The sentence up to the first words behind a number that only say for what, from what or how."""
    if "=" in sentence:
        return sentence
    for cut in _CUT.finditer(sentence):
        before = sentence[max(0, cut.start() - _REACH) : cut.start()].replace("**", "")
        if _NOUN_PHRASE.search(before) and len(re.findall(NUMBER, sentence[cut.end() :])) == 1:
            return sentence[: cut.start()]
    return sentence


def is_unclear(sentence: str) -> bool:
    """Whether the sentence gives a ratio, a time of day or a second fact, so that its last number is not an answer."""
    return "=" not in sentence and bool(
        _RATIO.search(sentence) or _SECOND.search(sentence) or _AGO.search(sentence)
    )


_HOW_MANY = re.compile(r"\bhow\s+many\s+(?:more\s+|total\s+)?(?P<noun>[a-z]+)", re.IGNORECASE)
_HOW_MUCH = re.compile(r"\bhow\s+much\b(?!\s+(?:time|longer))", re.IGNORECASE)


def of_asked_unit(numbers: Sequence[Number], question: str) -> Number | None:
    """Of several numbers with different units the one whose unit the question names; None where that is not clear."""
    many = _HOW_MANY.findall(question)
    if len(numbers) < 2 or not (many or _HOW_MUCH.search(question)):  # noqa: PLR2004 - several
        return None
    asked = many[-1].lower().rstrip("s") if many else "$"
    units = [_unit(number) for number in numbers]
    found = [number for number, unit in zip(numbers, units, strict=True) if unit == asked]
    return found[0] if len(found) == 1 and units[-1] and found[0].alone() else None


def _unit(number: Number) -> str:
    if number.is_money:
        return "$"
    noun = re.match(r"\s(?:more\s)?([A-Za-z]+)", number.behind)
    return (
        "" if noun is None or re.match(PREPOSITION, noun[1], re.IGNORECASE) else noun[1].lower().rstrip("s")
    )
