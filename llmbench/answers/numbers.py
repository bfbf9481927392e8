r"""The number that a word problem asks for (GSM8K, arithmetic).

| order | statement | for example |
|---|---|---|
| 1 | the last of: `#### 18`, a box with a number, "the answer is 18", "Answer: 18" | `#### 1,450`, `\boxed{18\text{ dollars}}` |
| 2 | the last number of the text; in its sentence bold numbers and the result of an equation go first | `She makes **$18** every day.` |

Of an equation the last member counts ("The answer is 9 * 2 = $18."). What comes back is the number as it was written, less
currency and percent signs: "70,000", "-7", "3/4", "5.00". Numbers inside words ("x2"), list numbers ("2.") and step numbers
("Step 3") are not looked at. Rule 2 is the "flexible extraction" of other harnesses, with its weakness: a number mentioned
behind the answer is taken for it. `stated_number` leaves it out; use that for texts that were cut off.
"""

# ruff: noqa: RUF001 - the characters that look like ASCII are those that models write

import re

from llmbench.answers.stated import boxes, cues
from llmbench.answers.text import first_sentence, paragraphs, prepare, sentences

_MAX_LENGTH = 60
"""Characters; a longer run of digits is no answer."""
_NUMBER = re.compile(
    r"(?<![A-Za-z_\d.,])(?P<sign>(?<![\d)%])[-+])?\s?(?:\$|€|£|¥)?\s?(?P<second>-)?"
    r"(?P<value>\d+\s\d+/\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?(?:\s?/\s?\d+(?:\.\d+)?)?|\.\d+)"
)
_LIST_NUMBER = re.compile(
    r"(?m)^\s*(?:\(?\d+[.)]\s+|[-*•]\s+)|\b(?:step|case|example|part|question|problem|option|figure)\s+#?\d+\b",
    re.IGNORECASE,
)
_CHAIN = re.compile(r"[\s\d.,+\-*/×÷·x()$€£%^]*=\s*(?=[\s($€£-]*[\d.])")
_LEAD = re.compile(
    r"(?:[\s:*_>=#`(]|\b(?:approximately|about|exactly|simply|just|therefore|thus|that|a total of|only|roughly|around|equal to|rs\.?|usd)\b)*",
    re.IGNORECASE,
)
_MACROS = (
    (re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)\s?(?=\d{3})"), ","),
    (re.compile(r"\\times|\\cdot"), "*"),
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\\[,;:! ()\[\]]|[{}]|\\%|\\boxed|\\left|\\right"), " "),
)
_BOLD = re.compile(r"\*\*(.+?)\*\*")


def number_answer(text: str) -> str | None:
    """The stated number of a complete text, else its last; the module's table gives the order."""
    text = prepare(text)
    return _stated(text) or _last(text)


def stated_number(text: str) -> str | None:
    """The stated number alone: what counts in a text that was cut off."""
    return _stated(prepare(text))


def _stated(text: str) -> str | None:
    found = [(box.start, _in_box(box.content)) for box in boxes(text)]
    found += [(cue.end, _behind_cue(cue.rest)) for cue in cues(text)]
    return next(
        (number for _, number in sorted(found, reverse=True, key=lambda item: item[0]) if number), None
    )


def _simple(text: str) -> str:
    for pattern, replacement in _MACROS:
        text = pattern.sub(replacement, text)
    return text


def _numbers(text: str) -> list[str]:
    found = []
    for match in _NUMBER.finditer(_LIST_NUMBER.sub(" ", text)):
        sign = "-" if (match["sign"] == "-") != (match["second"] == "-") else ""
        if len(match["value"]) <= _MAX_LENGTH:
            found.append(sign + re.sub(r"\s*/\s*", "/", match["value"]))
    return found


def _in_box(content: str) -> str | None:
    content = _simple(content).rpartition("=")[2]
    numbers = _numbers(f" {content}")
    return numbers[0] if numbers else None


def _behind_cue(rest: str) -> str | None:
    """The number that a cue leads to: at once, or in the one sentence that follows it."""
    block = paragraphs(rest)[:1]
    if not block:
        return None
    rest = _simple(block[0])
    lead = _LEAD.match(rest)
    rest = rest[lead.end() :] if lead else rest
    if re.match(r"[-+]?\s?[$€£¥]?\s?-?\.?\d", rest):
        return _first(rest)
    if len(sentences(rest)) > 1 and not re.search(r"\d", first_sentence(rest)):
        return None
    return _last(first_sentence(rest)) if len(sentences(rest)) == 1 else None


def _first(text: str) -> str | None:
    """The number at the start, or the last member of the equation that starts there."""
    while chain := _CHAIN.match(text):
        text = text[chain.end() :]
    numbers = _numbers(f" {first_sentence(text)}")
    return numbers[0] if numbers else None


def _equated(sentence: str) -> str | None:
    """What the sentence's last equation gives, where nothing but its units follow ("9 + 6 = 15 liters out of the 24")."""
    _, equals, rest = sentence.rpartition("=")
    numbers = _numbers(f" {rest}")
    return (
        numbers[0]
        if equals and numbers and not re.search(r",\s|[;:]|\b(?:so|and|then|which|left|remain\w*)\b", rest)
        else None
    )


def _last(text: str) -> str | None:
    for sentence in reversed(sentences(_LIST_NUMBER.sub(" ", _simple(text)))):
        numbers = _numbers(sentence.replace("**", ""))
        if numbers:
            bold = [number for match in _BOLD.finditer(sentence) for number in _numbers(f" {match[1]}")]
            is_heading = sentence.rstrip(" *").endswith(":")
            return bold[-1] if bold and not is_heading else (_equated(sentence) or numbers[-1])
    return None
