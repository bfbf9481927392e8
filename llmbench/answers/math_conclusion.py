"""What a complete text says without a box or cue: an expression, a list of solutions, or a closing sentence (rules 3 to 5 of `math.py`)."""

import re
from collections.abc import Iterator

from llmbench.answers.clauses import is_denied, is_qualified, main_clause
from llmbench.answers.closing_sentence import CLOSERS, TAIL, affirmed, refuses, without_aside
from llmbench.answers.equivalence.words import FRACTION
from llmbench.answers.expressions import bare_answer, closing_lines
from llmbench.answers.formulas import (
    FORMULA,
    inlined,
    last_formulas,
    last_value,
    plain,
    whole,
)
from llmbench.answers.retractions import (
    without_remarks,
)
from llmbench.answers.spoken import in_symbols
from llmbench.answers.text import paragraphs, sentences

MAX_WORDS = 4
"""A stated answer in plain words is at most this long; more is prose."""
DESCRIBED = re.compile(
    r"(?:the|an?)\s+(?:\w+\s+){0,2}(?:sum|number|product|average|mean|median|square|cube|power|digits?|count|difference|quotient|remainder|multiples?|divisors?|factors?|factorial|logarithm|percentage)"
    r"\s+of\b(?!.*(?:\b(?:is|are|equals|which|i\.e)\b|[=:;,]))",
    re.IGNORECASE,
)
NOT_ANSWERS = re.compile(
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
_NAMED = re.compile(
    r"^\*\*([A-Za-z][a-z]*(?: [a-z]+){0,2})\*\*\W*$|\b(?:is|are)\s+\*\*([A-Za-z][a-z]*(?: [a-z]+){0,2})\*\*\W*$"
    r"|^(?:So|Thus|Hence|Therefore)\b[^\d$*]*\*\*([A-Za-z][a-z]*(?: [a-z]+)?)\*\*[^\d$*]*$|^(?:So|Thus|Hence|Therefore)\b[^\d$*]*\s(?:is|are)\s+([A-Z][a-z]+)\.$"
)
"""An answer in words: in bold, or a name at the end of a conclusion."""
_CONCLUDES = re.compile(r"[.!)\]}$*|`✅✓\"']\s*$")
_APPROXIMATELY = re.compile(
    r",?\s*(?:\(|\bor\b|\bwhich is\b)\s*(?:approximately|about|roughly|≈|\$\\approx).*$|,\s*(?:approximately|about|roughly)\s.*$|(?<=[\dπ)}])\s*≈.*$",
    re.IGNORECASE,
)
_UNIT_BEHIND = r"(?:\s?(?:[€£¥%°]|[mc]{1,2}[²³]))?"
ENDS_IN_NUMBER = re.compile(
    rf"(?:\b(?:is|are|be|equals)|['’]s)\s+(?:\*\*)?[€£]?(-?\d[\d,]*(?:\.\d+)?(?:/\d+)?){_UNIT_BEHIND}(?:[.*]|!(?!\.))*$"
)


_FRACTION = re.compile(
    rf"(?:\b(?:is|are|be|equals)\s+|^)(?:(?:exactly|therefore|thus|simply|just|then)\s+)*\**(?P<words>{FRACTION})\**[\s.!*]*$",
    re.IGNORECASE,
)
"""A fraction in words at a sentence's end."""


def concluded(text: str) -> str | None:
    """What a complete text says without a box or cue: rules 3 to 5."""
    body = without_remarks(text)
    bare = bare_answer(body)
    return (whole(bare) if bare else None) or conclusion(body)


def conclusion(text: str) -> str | None:
    """The last lines' list, or the value of the closing sentence (rules 4 and 5)."""
    if refuses(text):
        return None
    blocks = paragraphs(text[-TAIL:])
    while blocks and all(_CLOSERS.search(sentence) for sentence in sentences(blocks[-1])):
        blocks.pop()
    if not blocks:
        return None
    block = blocks[-1]
    display = [match for match in FORMULA.finditer(block) if match["display"] or match["bracket"]]
    if display and not re.search(r"\w", block[display[-1].end() :]):
        return whole(last_formulas(block) or "")
    if lines := closing_lines(inlined("\n".join(blocks[-_MAX_BLOCKS:]))):
        return whole(lines)
    said = next((part for part in reversed(sentences(block)) if not _CLOSERS.search(part)), None)
    return said and _concluding(main_clause(without_aside(affirmed(said.strip()))))


def _concluding(clause: str) -> str | None:
    if is_qualified(clause):
        return None if is_denied(clause) or "=" in clause else _statement(clause)
    described = re.search(r"\b(?:is|are|equals)\s+(?=the|an?\b)", clause)
    if not is_denied(clause) and described and DESCRIBED.match(clause, described.end()):
        return plain(inlined(clause[described.end() :]))
    return None if is_denied(clause) else _closing_value(clause)


def _closing_value(sentence: str) -> str | None:
    if "$" not in sentence.replace("\\$", ""):
        sentence = sentence.replace("\\$", "")
    if fraction := _FRACTION.search(sentence):
        return fraction["words"]
    if named := _NAMED.search(sentence):
        words = next(group for group in named.groups() if group)
        return None if NOT_ANSWERS.search(words) else words
    is_bare = len(sentence.split()) <= MAX_WORDS
    if sentence.endswith("?") or not (
        _CONCLUDES.search(sentence) or ENDS_IN_NUMBER.search(sentence) or is_bare
    ):
        return None
    value = next((value for value in _closing_values(sentence) if value), None)
    is_said = _CONCLUDES.search(sentence) and re.search(r"(?<![A-Za-z])\d", sentence)
    return value or (_statement(sentence) if is_said else None)


def _statement(sentence: str) -> str | None:
    """What the sentence says of its subject, where its number is but a part of that: "less than 4"."""
    return plain(re.split(r"\b(?:is|are|be|equals?)\s", inlined(sentence))[-1])


def _closing_values(sentence: str) -> Iterator[str | None]:
    bold = [match[1] for match in _BOLD.finditer(sentence) if re.search(r"\d|\\", match[1])]
    sources = [bold[-1]] if len(bold) == 1 else []
    sentence = in_symbols(sentence)
    for source in [*sources, _APPROXIMATELY.sub("", sentence), sentence]:
        if number := ENDS_IN_NUMBER.search(source):
            yield number[1]
        if found := list(FORMULA.finditer(source)):
            if re.fullmatch(r"\W*[A-Za-z]\W*", found[-1][0]) and re.search(r"\d", source[found[-1].end() :]):
                yield last_value(inlined(source))
            yield whole(last_formulas(source) or "")
        else:
            yield last_value(source)
