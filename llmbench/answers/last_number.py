r"""The number in which a text ends that states none: rule 2 of `numbers.py`.

The last sentence that is no courtesy, question or check counts, less what only says when, why or of how many. A number in bold
and the result of an equation go first. Where the sentence gives several values, a bound or a part of a value, there is no answer. What "for", "to"
or "at a price of" leads to never is one ("8 weeks to save $400"); of two values with units the unit that the question names decides.
"""

import re
from collections.abc import Sequence

from llmbench.answers.equivalence.words import numeral
from llmbench.answers.quantities import PREPOSITION, is_listed
from llmbench.answers.spoken import NUMBER
from llmbench.answers.text import CLOSERS, TAIL, affirmed, sentences, without_aside
from llmbench.answers.written import ARITHMETIC, LIST_NUMBER, Number, named, numbers_of, several, simplified

_BOLD = re.compile(r"\*\*(.+?)\*\*")


def _equated(sentence: str) -> str | None:
    """What the sentence's last equation gives, where nothing but its units follow ("9 + 6 = 15 liters out of the 24")."""
    _, equals, rest = sentence.rpartition("=")
    if not equals:
        return None
    if found := ARITHMETIC.match(rest.lstrip()):
        return several(found[0])
    numbers = [number.written for number in numbers_of(f" {rest}", dozens=False) if number.alone()]
    goes_on = re.search(r",\s|[;:]|\b(?:so|and|then|which|left|remain\w*)\b", rest)
    return numbers[0] if numbers and not goes_on else None


def last_number(text: str, question: str = "") -> str | None:
    """The number of the last sentence that has one and says more than a courtesy; None where that is no value of its own."""
    for written in reversed(sentences(LIST_NUMBER.sub(" ", simplified(_unchecked(text[-TAIL:]))))):
        if CLOSERS.search(written) or (written.rstrip().endswith("?") and re.search(r"\d", written)):
            continue
        if (said := affirmed(written)) != written and not re.search(r"\d", said):
            return None
        said = without_aside(said)
        behind_so = _SO.split(said)[-1]
        whole = _main(behind_so if re.search(r"\d", behind_so) else said)
        if re.search(r"\d", whole):
            numbers = [] if "=" in whole else numbers_of(whole.replace("**", ""))
            if found := of_asked_unit(numbers, question):
                return found.written
            sentence = main_part(whole)
            return None if sentence == whole and is_unclear(whole) else _concluded(sentence)
        if number := _worded(whole):
            return number
    return None


def _concluded(sentence: str) -> str | None:
    """The number of a sentence: in bold, the result of an equation, or its last, unless that is a part of something."""
    bold = [number for part in _BOLD.findall(sentence) for number in numbers_of(f" {part}", dozens=False)]
    if bold and not sentence.rstrip(" *").endswith(":"):
        return bold[-1].written
    numbers = numbers_of(sentence.replace("**", ""), dozens=False)
    if number := _equated(sentence) or _calculated(sentence):
        return number
    if any(is_listed(number.before, number.behind) for number in numbers[:-1]):
        return None
    while len(numbers) > 1:
        *others, last = numbers
        is_led = re.search(rf"{PREPOSITION}\s+$", last.before, re.IGNORECASE)  # "$18 for 3 shirts"
        is_no_price = is_led and not last.is_money and any(number.is_money for number in others)
        if not _KNOWN.search(last.before) and not is_no_price:
            break
        numbers = others
    return numbers[-1].written if numbers and numbers[-1].alone() else None


_KNOWN = re.compile(
    r"(?:\b(?:the|all|these|those|his|their|its|our|my|your|both)|(?<!\bit)(?<!\bhe)(?<!\bthat)(?<!\bhere)(?<!\bwhat)['’]s)\s+$",
    re.IGNORECASE,
)
"""What stands before a number that was known: "to read the 3 books"."""


_CHECK = re.compile(
    r"^[^\w\n]*(?:breakdown|note|remark)\b[^\n:]{0,20}:|^[^\w\n]*_*(?:(?:to|let['’]?s|let\s+me|we|quick|double|sanity)[\s-]+){0,2}(?:verif\w+|check\w*)\b[^\n:]{0,40}(?::|\*\*|$)",
    re.IGNORECASE | re.MULTILINE,
)
_CONCLUDING = re.compile(r"\b(?:so|thus|therefore|hence|answer|total)\b", re.IGNORECASE)


def _unchecked(text: str) -> str:
    """The text less a closing check: "Verification: 18 / 2 = 9"."""
    check = _CHECK.search(text)
    if check is None or _CONCLUDING.search(text, check.end()) or not re.search(r"\d", text[: check.start()]):
        return text
    return text[: check.start()]


_TIME = r"(?:second|minute|hour|day|night|week|month|year)s?"
_QUALIFIER = re.compile(
    rf",\s(?:which\s(?:is|was)\s)?\$?{NUMBER}(?:\s\w+)?\s(?:more|less|fewer|higher|lower|older|younger|taller|shorter)\s(?:than\b)?[^,]*$"
    r"|,\swith\s[^,]*\b(?:left|remaining|to\sspare)\b.*$"
    rf"|\s(?:out\sof|of\s(?:the|these|those|his|her|their|all|its))\s{NUMBER}(?![\d.,]*\d)\D*$"
    r"|\s(?:after|before|by|when|while)\s\w+ing\s[^,]*$"
    rf"|\sat\s\$?{NUMBER}\b\D*$"
    r"|,?\s(?:because|since)\s[^,]*$",
    re.IGNORECASE,
)
_WHEN = re.compile(
    rf"\s(?:after|in|within|over|during|for)\s(?:(?:the|a|an|his|her|their|next|first|last|another|only|just)\s)*{NUMBER}\s{_TIME}[\s.*!)]*$",
    re.IGNORECASE,
)
_STATES = re.compile(
    rf"(?<!\bthe )(?<!\ball )(?<!\bthose )(?<!\bthese )(?<![\d,.]){NUMBER}(?![\d.,]*\d)(?!\s{_TIME}\b)",
    re.IGNORECASE,
)


_SO = re.compile(r"[,;]\s(?:and\s)?(?:so|thus|hence|therefore)\b(?!\sthat\b)", re.IGNORECASE)


def _main(sentence: str) -> str:
    """The sentence less what only says when, why or how its number compares: "18 eggs after 3 days"."""
    for qualifier, value in ((_QUALIFIER, re.compile(r"\d")), (_WHEN, _STATES)):
        shorter = qualifier.sub("", sentence)
        if value.search(shorter) and "=" not in sentence[len(shorter) :]:
            sentence = shorter
    return sentence


_NEAR = 60
_DEFINITE = re.compile(
    rf"(?:{PREPOSITION}|\b(?:these|those|both|all|his|her|their|its|our|my|your|which|any|no))\s+$",
    re.IGNORECASE,
)


def _worded(sentence: str) -> str | None:
    """The one number that a sentence names in words: "He has eighteen marbles." but not "The two friends are happy."."""
    words = list(re.finditer(r"[A-Za-z]+(?:-[A-Za-z]+)?", sentence))
    runs: list[re.Match[str]] = []
    for before, word in zip([None, *words], words, strict=False):
        if numeral(word[0]) and not (
            before and (numeral(before[0]) or before[0].lower() in {"and", "hundred"})
        ):
            runs.append(word)
    counted = [
        run for run in runs if not _DEFINITE.search(sentence[max(0, run.start() - _NEAR) : run.start()])
    ]
    if len(runs) != 1 or not counted or (counted[0][0].lower() == "one" and words[-1:] != counted):
        return None
    return named(sentence[counted[0].start() :])


def _calculated(sentence: str) -> str | None:
    """The sum or product that the sentence's last number is part of, behind other words."""
    sentence = sentence.replace("**", "")
    found = list(ARITHMETIC.finditer(sentence))
    if (
        not found
        or not re.search(r"\w", sentence[: found[-1].start()])
        or re.search(r"\d", sentence[found[-1].end() :])
    ):
        return None
    return several(found[-1][0].strip(" ()"))


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
