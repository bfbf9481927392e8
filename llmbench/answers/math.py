r"""The answer of a mathematics problem in a model's text.

| order | statement | taken | for example |
|---|---|---|---|
| 1 | the last closed `\boxed{}` or `\fbox{}` that is neither empty nor a placeholder | the formula that it is part of; boxes of one sentence or list together (`boxed.py`) | `$\boxed{\frac{14}{3}}$`, `\boxed 5`, `$\boxed{1}$ and $\boxed{-2}$` |
| 2 | the last cue: "the answer is", "Answer:", "**Final Answer**", "####", `<answer>` | the formula behind it, or the number or the few words it begins with | `The final answer is $\frac{1}{2}$.`, `Answer: 15%` |
| 3 | a complete text that is nothing but an expression | the whole | `-1 + sqrt(3)`, `x = 2 or x = 3` |
| 4 | the last line, only of a complete text, if it is an expression | the whole; with the lines before it if all give solutions, or are items of a list | `x = 2` below `x = 1`, `(-\infty, 2) \cup (3, \infty)` |
| 5 | the closing sentence, only of a complete text | its last bold text, formula (with those joined to it), expression or number | `So the area is $12\pi$.`, `The point is (2, 3).` |

A number or formula is never taken out of something larger: behind "$3$" an operator, a word for one ("minus", "times", "to", "out
of"), a scale ("dozen") or a comparison ("more than") makes the whole expression the answer, and so do "half of" or "less than"
before it. Operations in words are read as symbols first (`spoken.py`): "the square root of 4" is `\sqrt{4}`. A bare "!" ends a
sentence ("The answer is 3!"); "3!." is a factorial. What follows ";" or "so" at a sentence's end counts, too ("3 (mod 5), so 8").

A box wins over a cue wherever it stands: it is what the instruction asks for. A statement that was cut off is not an answer:
an unclosed box, an unclosed formula, a line that ends in an operator or in "=". In an incomplete text neither is a value
behind a cue that reaches the text's very end ("The answer is 80" may have become 809). A box that the text takes back, corrects, doubts or
supposes gives way to what it states behind it, or to the box before it (`retractions.py`). Remarks and checks behind the answer do not count. Refusals and denials are no closing sentence
(`text.py`); of a closing sentence the main clause counts, not the condition, place or reason behind it (`math_conclusion.py`). Nothing is evaluated here.

Rules 3 to 5 are kept from incomplete texts, because a conclusion halfway ("Therefore $n = 5$. Next, …") looks the same as the
last one; early stopping asks for the answer there instead.
"""

import re

from llmbench.answers import formulas, math_conclusion, retractions
from llmbench.answers.boxed import last_boxed
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.words import qualifiers
from llmbench.answers.expressions import is_expression
from llmbench.answers.spoken import changes_behind, in_symbols
from llmbench.answers.statements import BoxedFormula, boxes, cues, is_cut
from llmbench.answers.text import TAIL, first_sentence, prepare, prepare_cut, sentences

_LEAD = re.compile(
    r"[\s:*_>=#`]*(?:(?:approximately|about|exactly|simply|just|therefore|thus|then|that|indeed)\b[\s:,*]*)*",
    re.IGNORECASE,
)
_CURRENCY = r"(?:\\?\$|€|£|¥|US\$|Rs\.?\s?)"
_STARTS_WITH_NUMBER = re.compile(
    rf"[-+±]?\s*{_CURRENCY}?\s*[-+]?\s*(?:\d|\.\d|\\[dt]?frac|\\sqrt|√|π|\\pi|\(|\[|\{{|\\\{{|\\left)"
)
_QUALIFIED = re.compile(
    r"(?:(?!is\b|are\b)[a-z]+\s+){0,4}(?:than|least|most|equal\s+to)\s*[-$\\(.\d]", re.IGNORECASE
)
_WITHIN = re.compile(r"\s*\}\s*(?P<value>[^$\n]+?)\s*(?:\$\$?|\\[\])])")
"""The rest of a formula of which `\\text{The answer is }` is a part."""
_MAX_BOXES = 30
"""Boxes at a text's end that are considered; without a limit, repeated boxes take long."""
_CLOSING_DELIMITER = re.compile(r"^\s*(?:\$\$?|\\[)\]])")


def math_answer(text: str, *, complete: bool = True) -> str | None:
    """The stated answer as it was written, or None; the module's table gives the order.

    Args:
        text: A model's whole output.
        complete: The text ended by itself, so that its closing sentence may count as the answer.
    """
    text = prepare(text) if complete else prepare_cut(text)
    return stated_answer(text, complete=complete) or (math_conclusion.concluded(text) if complete else None)


def stated_answer(text: str, *, complete: bool) -> str | None:
    """What a prepared text states in a box or behind a cue: rules 1 and 2."""
    body = retractions.without_remarks(text) if complete else text
    said = _boxed_or_stated(body, complete=complete)
    return said or (_boxed_or_stated(text, complete=complete) if body != text else None)


def _boxed_or_stated(text: str, *, complete: bool) -> str | None:
    found = boxes(text)[-_MAX_BOXES:]
    kept = [box for box in found if not retractions.is_retracted(text, box)]
    kept = [box for box in kept if not retractions.is_supposition(text, box)] or kept
    if found and (
        kept[-1:] != found[-1:]
        or retractions.is_supposition(text, found[-1])
        or retractions.is_corrected(text, found[-1].end)
    ):
        later = behind_box(text, found[-1], complete=complete)
        if later or not kept:
            return later
    if kept and kept[-1] == found[-1]:
        end = kept[-1].end
        if not complete and (
            retractions.is_corrected(text, end) or retractions.is_doubted_where_cut(text, end)
        ):
            return _last_stated(text, end, complete=False)
        if complete and (later := _corrected(text, kept[-1])):
            return later
    box = last_boxed(text, kept)
    if box and (complete or not is_cut(text, box)):
        return box.content
    return _last_stated(text, 0, complete=complete)


def _corrected(text: str, box: BoxedFormula) -> str | None:
    """The answer that a text states or concludes behind a box that it doubts."""
    is_denied = retractions.denies_value(text, box.end, box.bare)
    if not is_denied and not retractions.is_doubted(text, box.end):
        return None
    stated = _last_stated(text, box.end, complete=True)
    closing = sentences(text[box.end :][-TAIL:])[-1:]
    return stated or (
        behind_box(text, box, complete=True) if is_denied or any(map(retractions.is_drawn, closing)) else None
    )


def behind_box(text: str, box: BoxedFormula, *, complete: bool) -> str | None:
    """What a text states or, if complete, concludes behind a box."""
    later = _last_stated(text, box.end, complete=complete)
    if later is None and complete:
        later = math_conclusion.conclusion(_CLOSING_DELIMITER.sub("", text[box.end :]))
    return later


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
    rest = _LEAD.sub("", rest, count=1)
    formula = formulas.FORMULA.match(rest)
    if formula:
        while (joint := formulas.JOINT.match(rest, formula.end())) and (
            following := formulas.FORMULA.match(rest, joint.end())
        ):
            formula = following
        return bool(formulas.JOINT.fullmatch(rest, formula.end()))
    sentence = first_sentence(rest)
    if sentence != rest or _ENDED.search(rest):
        return False
    if _STARTS_WITH_NUMBER.match(sentence):
        return not formulas.CLAUSE_END.search(sentence)
    found = list(formulas.FORMULA.finditer(sentence))
    return not found or (found[-1].end() < len(sentence.rstrip()) and sentence.count("$") % 2 == 1)


def _value(rest: str) -> str | None:
    """The answer that stands at the beginning of what follows a cue."""
    if within := _WITHIN.match(rest):
        return formulas.whole(within["value"])
    rest = in_symbols(rest.partition("</answer>")[0])
    rest = _LEAD.sub("", rest, count=1)
    sentence = first_sentence(rest).replace("**", "").replace("__", "").strip()
    return formulas.leading_formulas(rest) or _in_sentence(sentence)


def _in_sentence(sentence: str) -> str | None:
    """The number that a sentence behind a cue begins with, or the number or formula that it ends in, or its few words."""
    if _STARTS_WITH_NUMBER.match(sentence):
        return formulas.plain(formulas.clause(sentence))
    is_described = math_conclusion.DESCRIBED.match(sentence)
    if not is_described and (number := math_conclusion.ENDS_IN_NUMBER.search(sentence)):
        return number[1]
    if is_described or _QUALIFIED.match(sentence):
        return formulas.plain(formulas.clause(formulas.inlined(sentence)))
    if formulas.FORMULA.search(sentence):
        return formulas.whole(formulas.last_formulas(sentence) or "")
    words = formulas.plain(formulas.clause(sentence))
    if not words or is_expression(words):
        return words
    is_prose = (
        len(words.split()) > math_conclusion.MAX_WORDS
        or math_conclusion.NOT_ANSWERS.search(words)
        or sentence.endswith((":", "?"))
    )
    is_range = re.match(r"(?:between|from)\s+\S*\d", words, re.IGNORECASE)
    return None if is_prose or is_range else words


def integer_answer(text: str, *, complete: bool = True) -> str | None:
    r"""The answer of an AIME problem: an integer in canonical form ("025", "25.0" and `\frac{50}{2}` give "25"), or None.

    Boxes and cues as in `math_answer`; of an equation chain the last member counts. What is boxed or stated but is not an integer
    comes back as it was written: the model has answered, and wrongly, which is not the same as no answer. So do integers
    outside 0 to 999. A closing sentence counts only where it holds an integer.
    """
    text = prepare(text) if complete else prepare_cut(text)
    stated = stated_answer(text, complete=complete)
    if stated is not None:
        integer = _integer(stated)
        if integer is None and complete and (found := boxes(text)):
            # what the text concludes behind its box, such as "so that their sum is 25"
            later = behind_box(text, found[-1], complete=True)
            integer = _integer(later) if later else None
        return integer or stated
    closing = math_conclusion.concluded(text) if complete else None
    return None if closing is None else _integer(closing)


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
