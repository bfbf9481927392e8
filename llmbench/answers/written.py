r"""Numbers as a sentence writes them: digits, fractions, scales, words, and expressions of several numbers."""

import re
from dataclasses import dataclass

from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.single_values import SCALES
from llmbench.answers.equivalence.words import numeral
from llmbench.answers.quantities import is_part
from llmbench.answers.spoken import arithmetic, changes_behind

_MAX_LENGTH = 60
"""Characters; a longer run of digits is not an answer."""
_NUMBER = re.compile(
    r"(?<![A-Za-z_\d.,^])(?P<sign>(?<![\d)%])[-+])?\s?(?:\$|€|£|¥)?\s?(?P<second>-)?"
    r"(?P<value>\d+\s\d+/\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?(?:\s?/\s?\d+(?:\.\d+)?)?|\.\d+)"
    r"(?P<scale>\s{0,3}(?:dozen|ten(?=s)|hundred|thousand|million|billion|trillion)s?\b|[kK]\b)?"
)
_SCALES = {"k": 10**3, "ten": 10} | SCALES
_NEAR = 200
"""Characters around a number that say whether it is a part of a larger value."""
VALUE = r"[-+]?\s?[$€£¥(]*\s?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)[)%]*"
_SEVERAL = re.compile(
    rf"\s*(?:{VALUE}(?:\s*[-+*/×÷·^–—]\s*{VALUE}|\s*\bx\s*{VALUE}|:\d\d|\s*,?\s*\b(?:or|to|and)\s+(?:maybe\s+|perhaps\s+)?{VALUE})+"
    rf"|{VALUE}(?:\s*[,;]\s*(?:and\s+|or\s+)?{VALUE})+(?=[\s)\].!]*$))"
)
ARITHMETIC = re.compile(rf"(?<![\w.,]){VALUE}(?:(?:\s*[+*×÷·^]\s*|\s[-–/x]\s){VALUE})+")
LIST_NUMBER = re.compile(
    r"(?m)^\s*(?:\(?\d+[.)]\s+|[-*•]\s+)|\b(?:step|case|example|part|question|problem|option|figure)\s+#?\d+\b",
    re.IGNORECASE,
)
_MACROS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\(\s*=[^()]*\)|(?<=[A-Za-z])(\s*\}?)\s*\^\s*(?:\{\s*-?\d+\s*\}|\d)", r"\1 "),  # "(= 9 * 2)", "m^2"
        (r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r" \1 "),
        (r"(?<=\d)\s*(?=\\[dt]?frac)", " "),
        (r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))", r"\1\2/\3\4"),
        (r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)\s?(?=\d{3})", ","),
        (r"\\times|\\cdot", "*"),
        (r"(?<![\d.,/])(?<!\d )(\d{1,3}) (\d{3})(?: (\d{3}))?(?![\d/]| [\d/]|[.,]\d{3})", r"\1\2\3"),  # "1 450"
        (r"\\([$%])", r"\1"),
        (r"\\[,;:! ()\[\]]|[{}]|\\boxed|\\left|\\right", " "),
    )
)  # fmt: skip
_MAX_WORDS = 6


def simplified(text: str) -> str:
    """The text with operations as symbols, fractions as "3/4", and neither LaTeX's spaces nor the data's `<<9*2=18>>` marks."""
    text = arithmetic(re.sub(r"<<[^<>\n]*>>", "", text))
    for pattern, replacement in _MACROS:
        text = pattern.sub(replacement, text)
    return text


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a sentence, as it is written, and what stands before and behind it."""

    written: str
    before: str
    behind: str
    is_money: bool

    def alone(self) -> bool:
        """Whether it is a value of its own."""
        return not is_part(self.before, self.behind)


def numbers_of(text: str, *, dozens: bool = True) -> list[Number]:
    """The numbers of a text; without `dozens` these count as one, since "84 / 12 = 7 dozen" answers how many dozens there are."""
    found = []
    text = LIST_NUMBER.sub(" ", text)
    for match in _NUMBER.finditer(text):
        scale = (match["scale"] or "").strip().lower().rstrip("s")
        scale = "" if scale == "dozen" and not dozens else scale
        sign = "-" if (match["sign"] == "-") != (match["second"] == "-") else ""
        if len(match["value"]) <= _MAX_LENGTH:
            value = re.sub(r"\s*/\s*", "/", match["value"])
            scaled = rational(value) if scale else None
            written = sign + (value if scaled is None else str(scaled * _SCALES[scale]))
            before, behind = (
                text[max(0, match.start() - _NEAR) : match.start()],
                text[match.end() : match.end() + _NEAR],
            )
            is_money = bool(
                re.search(r"[$€£¥]", match[0]) or re.match(r"\s?(?:dollars|cents|euros|€)", behind)
            )
            found.append(Number(written, before, behind, is_money))
    return found


def several(text: str) -> str | None:
    """The expression, range, list or alternative at the beginning, less currency and percent signs."""
    text = re.sub(r"(?<=\d)\*\*(?=\d)", "^", text).replace("**", " ")
    match = _SEVERAL.match(text)
    if match is None or re.fullmatch(rf"\s*{_NUMBER.pattern}", match[0].rstrip()):
        return None
    return re.sub(r"[$€£¥%]", "", match[0]).translate(_SIGNS).strip()


_SIGNS = str.maketrans("×·÷x", "**/*")


def named(text: str) -> str | None:
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
