r"""The number in which a text ends that states none: rule 2 of `numbers.py`.

The last sentence that is no courtesy, question or check counts, less what only says when, why or of how many. A number in bold
and the result of an equation go first. Where the sentence gives several values, a bound or a part of a value, there is no answer.
"""

import re
from collections.abc import Sequence

from llmbench.answers.closing_sentence import CLOSERS, TAIL, affirmed, without_aside
from llmbench.answers.equivalence.words import numeral
from llmbench.answers.main_value import is_unclear, main_part, of_asked_unit
from llmbench.answers.quantities import PREPOSITION, is_listed
from llmbench.answers.spoken import NUMBER
from llmbench.answers.text import sentences
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
        whole = _main(_conclusion(without_aside(said)))
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
    while len(numbers) > 1 and (_KNOWN.search(numbers[-1].before) or _is_price_of(numbers[-1], numbers[:-1])):
        numbers.pop()
    return numbers[-1].written if numbers and numbers[-1].alone() else None


_KNOWN = re.compile(
    r"(?:\b(?:the|all|these|those|his|their|its|our|my|your|both)|(?<!\bit)(?<!\bhe)(?<!\bthat)(?<!\bhere)(?<!\bwhat)['’]s)\s+$",
    re.IGNORECASE,
)
"""What stands before a number that was known: "to read the 3 books"."""


def _is_price_of(last: Number, others: Sequence[Number]) -> bool:
    """Whether the last number only says for what a sum of money is: "$18 for 3 shirts"."""
    is_led = re.search(rf"{PREPOSITION}\s+$", last.before, re.IGNORECASE)
    return bool(is_led) and not last.is_money and any(number.is_money for number in others)


_CHECK = re.compile(
    r"^[^\w\n]*(?:breakdown|note|remark)\b[^\n:]{0,20}:|^[^\w\n]*_*(?:(?:to|let['’]?s|let\s+me|we|quick|double|sanity)[\s-]+){0,2}(?:verif\w+|check\w*)\b[^\n:]{0,40}(?::|\*\*|$)",
    re.IGNORECASE | re.MULTILINE,
)
_CONCLUDING = re.compile(r"\b(?:so|thus|therefore|hence|answer|total)\b", re.IGNORECASE)


def _unchecked(text: str) -> str:
    """The text less a closing check: "Verification: 18 / 2 = 9"."""
    check = next(_CHECK.finditer(text), None)
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
_VALUE = re.compile(r"\d")
_STATES = re.compile(
    rf"(?<!\bthe )(?<!\ball )(?<!\bthose )(?<!\bthese )(?<![\d,.]){NUMBER}(?![\d.,]*\d)(?!\s{_TIME}\b)",
    re.IGNORECASE,
)


def _conclusion(sentence: str) -> str:
    """What follows the sentence's last "so", where a number does."""
    ends = [match.end() for match in _SO.finditer(sentence)]
    return sentence[ends[-1] :] if ends and re.search(r"\d", sentence[ends[-1] :]) else sentence


_SO = re.compile(r"[,;]\s(?:and\s)?(?:so|thus|hence|therefore)\b(?!\sthat\b)", re.IGNORECASE)


def _main(sentence: str) -> str:
    """The sentence less what only says when, why or how its number compares: "18 eggs after 3 days"."""
    for qualifier, value in ((_QUALIFIER, _VALUE), (_WHEN, _STATES)):
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
