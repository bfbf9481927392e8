r"""The number that a word problem asks for (GSM8K, arithmetic).

| order | statement | for example |
|---|---|---|
| 1 | the last of: `#### 18`, a box with a number, "the answer is 18", "Answer: 18" | `#### 1,450`, `\boxed{18\text{ dollars}}` |
| 2 | the last number of the text; in its sentence bold numbers and the result of an equation go first | `She makes **$18** every day.` |

Of an equation the last member counts ("The answer is 9 * 2 = $18."). What comes back is the number as it was written, less
currency and percent signs: "70,000", "-7", "3/4", "5.00". Numbers inside words ("x2"), list numbers ("2.") and step numbers
("Step 3") are not looked at. Rule 2 is the "flexible extraction" of other harnesses, with its weakness: a number mentioned
behind the answer is taken for it. Courtesies, denials, refusals and closing asides are left out of it (`closing.py`).
`stated_number` leaves rule 2 out, and statements that reach the text's very end; use that for texts that were cut off.

Behind a cue or in a box an unevaluated expression, a range, a list or an alternative comes back whole ("18 + 2", "16 or 18",
"18:30"), never its first number: `number_equal` evaluates the first and finds the others equal to nothing. Scales are
multiplied out ("18 million", "70k", "18 dozen"), and operations in words are read ("9 twice", "half of 36"; `spoken.py`).
"""

# ruff: noqa: RUF001 - the characters that look like ASCII are those that models write

import re

from llmbench.answers.closing import CLOSERS, TAIL, affirmed, refuses, without_aside
from llmbench.answers.spoken import arithmetic, changes_behind
from llmbench.answers.stated import Box, Cue, boxes, cues, is_cut, is_retracted
from llmbench.answers.text import first_sentence, paragraphs, prepare, prepare_cut, sentences
from llmbench.equivalence.rational import rational
from llmbench.equivalence.values import SCALES
from llmbench.equivalence.words import numeral

_MAX_LENGTH = 60
"""Characters; a longer run of digits is no answer."""
_NUMBER = re.compile(
    r"(?<![A-Za-z_\d.,^])(?P<sign>(?<![\d)%])[-+])?\s?(?:\$|€|£|¥)?\s?(?P<second>-)?"
    r"(?P<value>\d+\s\d+/\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?(?:\s?/\s?\d+(?:\.\d+)?)?|\.\d+)"
    r"(?P<scale>\s{0,3}(?:dozen|hundred|thousand|million|billion|trillion)\b|[kK]\b)?"
)
_SCALES = {"k": 10**3} | SCALES
_VALUE = r"[-+]?\s?[$€£¥(]*\s?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)[)%]*"
_SEVERAL = re.compile(
    rf"\s*(?:{_VALUE}(?:\s*[-+*/×÷·^–—]\s*{_VALUE}|\s*\bx\s*{_VALUE}|:\d\d|\s*,?\s*\b(?:or|to|and)\s+(?:maybe\s+|perhaps\s+)?{_VALUE})+"
    rf"|{_VALUE}(?:\s*[,;]\s*(?:and\s+|or\s+)?{_VALUE})+(?=[\s)\].!]*$))"
)
_ARITHMETIC = re.compile(rf"(?<![\w.,]){_VALUE}(?:(?:\s*[+*×÷·^]\s*|\s[-–/x]\s){_VALUE})+")
_EITHER = re.compile(
    rf"(?:\bbetween|\beither|\bfrom)\s+{_VALUE}[^.!?]*?\b(?:and|or|to)\s+{_VALUE}", re.IGNORECASE
)
_LIST_NUMBER = re.compile(
    r"(?m)^\s*(?:\(?\d+[.)]\s+|[-*•]\s+)|\b(?:step|case|example|part|question|problem|option|figure)\s+#?\d+\b",
    re.IGNORECASE,
)
_CLAUSE = r"\b(?:where|since|because|as|if|when|with|for|so|and|which|given|assuming)\b"
_CHAIN = re.compile(
    rf"(?:[\s\d.,+\-*/×÷·x()$€£%^]*|(?:(?!{_CLAUSE})(?:[^=,;:()\n.!?]|\.(?=\d)|,(?=\d{{3}})))*)=\s*(?=[\s($€£-]*[\d.])"
)
_LEAD = re.compile(
    r"(?:[\s:*_>=#`(]|\b(?:approximately|about|exactly|simply|just|therefore|thus|that|a total of|only|roughly|around|equal to|rs\.?|usd)\b)*",
    re.IGNORECASE,
)
_MACROS = (
    (
        re.compile(r"\(\s*=[^()]*\)|(?<=[A-Za-z])(\s*\}?)\s*\^\s*(?:\{\s*-?\d+\s*\}|\d)"),
        r"\1 ",
    ),  # "(= 9 * 2)", "m^2"
    (re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)\s?(?=\d{3})"), ","),
    (re.compile(r"\\times|\\cdot"), "*"),
    (
        re.compile(r"(?<![\d.,/])(?<!\d )(\d{1,3}) (\d{3})(?: (\d{3}))?(?![\d/]| [\d/]|[.,]\d{3})"),
        r"\1\2\3",
    ),  # "1 450"
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\\[,;:! ()\[\]]|[{}]|\\%|\\boxed|\\left|\\right"), " "),
)
_MAX_WORDS = 6
_BOLD = re.compile(r"\*\*(.+?)\*\*")


def number_answer(text: str) -> str | None:
    """The stated number of a complete text, else its last; the module's table gives the order."""
    text = prepare(text)
    return _stated(text) or (None if refuses(text) else _last(text))


def stated_number(text: str) -> str | None:
    """The stated number alone, less one that may itself be cut off: what counts in a text that was cut off."""
    return _stated(prepare_cut(text), complete=False)


def _stated(text: str, *, complete: bool = True) -> str | None:
    kept = [box for box in boxes(text) if not is_retracted(text, box) and (complete or not is_cut(text, box))]
    stated: list[tuple[int, Box | Cue]] = [(box.start, box) for box in kept]
    stated += [
        (cue.end, cue)
        for cue in cues(text)
        if complete or cue.end + len(cue.rest) < len(text) or not _may_be_cut(cue.rest)
    ]
    numbers = (
        _in_box(found.content) if isinstance(found, Box) else _behind_cue(_unlisted(text, found))
        for _, found in sorted(stated, reverse=True, key=lambda item: item[0])
    )
    return next((number for number in numbers if number), None)


def _unlisted(text: str, cue: Cue) -> str:
    """What follows a cue, without the dash of a list that begins on the next line; any other dash is a sign."""
    starts_line = text[: cue.end].rstrip(" *_").endswith("\n")
    return re.sub(r"^[-•]\s+", "", cue.rest) if starts_line else cue.rest


def _joined_sign(text: str) -> str:
    """The text with its sign next to its number: "- 3" as "-3"."""
    return re.sub(r"^\s*([-+])\s+(?=[$€£¥]?\s?[\d.])", r"\1", text)


def _may_be_cut(rest: str) -> bool:
    """Whether more text would change the number behind a cue."""
    if re.search(r"(?:[.!?\n]|\*\*)\s*$", rest):
        return False
    number = _behind_cue(rest)
    return any(_behind_cue(rest + more) != number for more in ("7", " 7", "000"))


def _simple(text: str) -> str:
    text = arithmetic(text)
    for pattern, replacement in _MACROS:
        text = pattern.sub(replacement, text)
    return text


def _numbers(text: str, *, dozens: bool = True) -> list[str]:
    """The numbers of a text; without `dozens` these count as one, since "84 / 12 = 7 dozen" answers how many dozens there are."""
    found = []
    for match in _NUMBER.finditer(_LIST_NUMBER.sub(" ", text)):
        scale = (match["scale"] or "").strip().lower()
        scale = "" if scale == "dozen" and not dozens else scale
        sign = "-" if (match["sign"] == "-") != (match["second"] == "-") else ""
        if len(match["value"]) <= _MAX_LENGTH:
            found.append(sign + _scaled(re.sub(r"\s*/\s*", "/", match["value"]), scale))
    return found


def _scaled(value: str, scale: str) -> str:
    number = rational(value) if scale else None
    return value if number is None else str(number * _SCALES[scale])


def _several(text: str) -> str | None:
    """The expression, range, list or alternative at the beginning, less currency and percent signs."""
    text = re.sub(r"(?<=\d)\*\*(?=\d)", "^", text).replace("**", " ")
    match = _SEVERAL.match(text)
    if match is None or re.fullmatch(rf"\s*{_NUMBER.pattern}", match[0].rstrip()):
        return None
    return re.sub(r"[$€£¥%]", "", match[0]).translate(_SIGNS).strip()


_SIGNS = str.maketrans("×·÷x", "**/*")


def _in_box(content: str) -> str | None:
    content = _joined_sign(_simple(content).rpartition("=")[2])
    start = re.search(rf"(?<!\w){_VALUE}", content)
    if _EITHER.search(content):
        return content.strip()
    if start and (several := _several(content[start.start() :])):
        return several
    numbers = _numbers(f" {content}")
    return numbers[0] if numbers else _named(content)


def _named(text: str) -> str | None:
    """The number that words at the text's start name: "eighteen apples"."""
    words = re.findall(r"[A-Za-z]+(?:-[A-Za-z]+)?", text)[:_MAX_WORDS]
    for count in range(len(words), 0, -1):
        number = numeral(" ".join(words[:count]))
        match = re.match(r"[\s*]*" + r"\W+".join(words[:count]), text)
        if number and match:
            if scale := _SCALES.get("".join(words[count : count + 1]).lower()):
                return str(int(number) * scale)
            behind = text[match.end() :]
            return None if re.match(r"\W*of\b", behind) or changes_behind(behind) else number
    return None


def _behind_cue(rest: str) -> str | None:
    """The number that a cue leads to: at once, or in the one sentence that follows it."""
    block = paragraphs(rest)[:1]
    if not block:
        return None
    rest = _simple(block[0])
    lead = _LEAD.match(rest)
    rest = _joined_sign(rest[lead.end() :] if lead else rest)
    if re.match(r"[-+]?\s?[$€£¥]?\s?-?\.?\d", rest):
        return _first(rest)
    if named := _named(first_sentence(rest)):
        return named
    if _EITHER.match(rest):
        return first_sentence(rest).strip(" .!*")
    if len(sentences(rest)) > 1 and not re.search(r"\d", first_sentence(rest)):
        return None
    return _last(first_sentence(rest)) if len(sentences(rest)) == 1 else None


def _first(text: str) -> str | None:
    """The number at the start, or the last member of the equation that starts there."""
    while chain := _CHAIN.match(text):
        text = text[chain.end() :]
    if several := _several(first_sentence(text)):
        return several
    numbers = _numbers(f" {first_sentence(text)}")
    return numbers[0] if numbers else None


def _equated(sentence: str) -> str | None:
    """What the sentence's last equation gives, where nothing but its units follow ("9 + 6 = 15 liters out of the 24")."""
    _, equals, rest = sentence.rpartition("=")
    numbers = _numbers(f" {rest}", dozens=False)
    if equals and (found := _ARITHMETIC.match(rest.lstrip())):
        return _several(found[0])
    return (
        numbers[0]
        if equals and numbers and not re.search(r",\s|[;:]|\b(?:so|and|then|which|left|remain\w*)\b", rest)
        else None
    )


def _last(text: str) -> str | None:
    for written in reversed(sentences(_LIST_NUMBER.sub(" ", _simple(text[-TAIL:])))):
        if CLOSERS.search(written):
            continue
        if (said := affirmed(written)) != written and not re.search(r"\d", said):
            return None
        sentence = without_aside(said)
        numbers = _numbers(sentence.replace("**", ""), dozens=False)
        if numbers:
            bold = [
                number
                for match in _BOLD.finditer(sentence)
                for number in _numbers(f" {match[1]}", dozens=False)
            ]
            is_heading = sentence.rstrip(" *").endswith(":")
            return (
                bold[-1]
                if bold and not is_heading
                else (_equated(sentence) or _calculated(sentence) or numbers[-1])
            )
    return None


def _calculated(sentence: str) -> str | None:
    """The sum or product that the sentence's last number is part of, behind other words."""
    sentence = sentence.replace("**", "")
    found = list(_ARITHMETIC.finditer(sentence))
    if (
        not found
        or not re.search(r"\w", sentence[: found[-1].start()])
        or re.search(r"\d", sentence[found[-1].end() :])
    ):
        return None
    return _several(found[-1][0].strip(" ()"))
