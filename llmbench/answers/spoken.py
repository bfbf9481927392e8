r"""Operations in words, as symbols: "2 plus 3" is 2 + 3, "the square root of 4" is \sqrt{4}.

A number beside such words is a part of a value, never the value. Only words between, before or behind numbers, single letters
and formulas are read; all others are prose and stay.
"""

import re
from collections.abc import Iterable, Mapping

from llmbench.answers.equivalence.units import split_unit
from llmbench.answers.equivalence.words import qualifiers

_OPENING = r"(?:\\?\$|\\\(|[(*€£])*"
_LETTER = r"(?-i:(?<![A-Za-z\\])(?:[b-hj-zA-HJ-Z](?![A-Za-z'’])|a(?=\s*[-=+*/^<>),.]|\$|$)))"
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_BEFORE = r"(?:(?<=[\d)\]}$!*π])|(?<=(?<![A-Za-z])[b-hj-zB-HJ-Z]))"
"""What a value ends in."""
_BEHIND = rf"(?={_OPENING}\s*[-−]?\s*(?:\.?\d|{_LETTER}|[√π]|\\(?!mathbb|text)[A-Za-z(]))"
"""What a value begins with."""
_BETWEEN = {
    "plus|added to": "+",
    "minus|less": "-",
    r"times|multiplied by": r"\\cdot",
    r"divided by": "/",
    r"raised to(?: the)?(?: power(?: of)?)?|to the power(?: of)?": "^",
}
_JOINING = {
    r"over|out of": "/",
    r"against|versus|(?:is )?to(?!\s+\w+\s+(?:decimal|significant|digit|place))": ":",
    "as well as|and also|along with|together with|and then": "and",
    "or else|or possibly|or maybe|or perhaps|or alternatively|or instead|alternatively": "or",
    r"equals|is equal to": "=",
}
_BEHIND_VALUE = {"squared": "^2", "cubed": "^3", "factorial": "!", "twice": r" \\cdot 2"}
_ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_BEHIND_VALUE |= {f"(?:raised )?to the {word} power": f"^{power}" for power, word in enumerate(_ORDINALS, 2)}
_OPERAND = (
    rf"(?P<opening>{_OPENING})(?P<value>-?(?:{NUMBER}(?!\d)|{_LETTER}|\\(?:frac|sqrt)(?:\{{[^{{}}]*\}})+))"
)
_BEFORE_VALUE = {
    r"(?:(?:positive|principal) )?square root of": r"\\sqrt{\g<value>}",
    r"cube root of": r"\\sqrt[3]{\g<value>}",
    r"square of": r"(\g<value>)^2",
    r"cube of": r"(\g<value>)^3",
    r"(?:one )?half(?: of)?": r"\g<value> / 2",
    r"(?:one )?third of": r"\g<value> / 3",
    r"(?:one |a )?quarter of": r"\g<value> / 4",
    r"twice|double": r"2 \\cdot \g<value>",
    r"(?:three times|triple)": r"3 \\cdot \g<value>",
    r"(?:reciprocal|inverse) of": r"\\frac{1}{\g<value>}",
    r"negative|minus": r"-\g<value>",
}


def _between(table: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (rf"{_BEFORE}(,?)[ \t]+(?:{words})[ \t]+{_BEHIND}", rf"\1 {symbols} ")
        for words, symbols in table.items()
    ]


def _rules(rules: Iterable[tuple[str, str]]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), symbols) for pattern, symbols in rules)


_ARITHMETIC = _rules(
    [
        *(
            (rf"\b(?:the )?(?:{words})\s+{_OPERAND}", rf"\g<opening>{symbols}")
            for words, symbols in _BEFORE_VALUE.items()
        ),
        *((rf"{_BEFORE}[ \t]+(?:{words})\b", symbols) for words, symbols in _BEHIND_VALUE.items()),
        *_between(_BETWEEN),
    ]
)
_JOINTS = _rules(
    [
        *_between(_JOINING),
        (r"(\d+)\$? choose \$?(\d+)\b", r"\\binom{\1}{\2}"),
        (rf"{_BEFORE}[ \t]+mod(?:ulo)?[ \t]+(?:\$(\d+)\$|(\d+))", r" \\pmod{\1\2}"),
        (r"(?<![\d.,/])(\d+\$?) in (?=\$?\d+(?![\d,/]|\.\d))", r"\1 / "),  # "a chance of 1 in 3"
    ]
)
_IS = re.compile(
    rf"(?:^|(?<=[\s$(]))(?P<name>\\?\$?(?<![A-Za-z])[A-Za-z](?:_\{{?\w+\}}?)?\$?)\s+(?:is|are)\s+(?:equal to\s+)?{_BEHIND}"
)


def arithmetic(text: str) -> str:
    """The text with the operations on values, such as "plus" and "half of", as symbols."""
    for pattern, symbols in _ARITHMETIC:
        text = pattern.sub(symbols, text)
    return text


def in_symbols(text: str) -> str:
    """The text with operations as symbols, and with what joins values: "2 to 3", "1 out of 3", "x is 2 and y is 3"."""
    text = arithmetic(text)
    for pattern, symbols in _JOINTS:
        text = pattern.sub(symbols, text)
    return _IS.sub(r"\g<name> = ", text) if len(_IS.findall(text)) > 1 else text


def changes_behind(text: str) -> bool:
    """Whether the words at the text's start make another value of a number before them: "dozen", "more than x".

    "$10 more than Susan" answers how much more it is.
    """
    if compared := _COMPARED.match(text):
        return re.compile(_BEHIND).match(text, compared.end()) is not None
    words = re.match(r"\s*((?:or|and)?\s*(?:(?:a|one)\s+)?(?!pairs?\b)([A-Za-z]{2,})(?:\s+[a-z]+)?)", text)
    return words is not None and (
        bool(qualifiers(words[1])) or split_unit(f"1\\text{{ {words[2]}}}")[0] != "1"
    )


_COMPARED = re.compile(r"\s*(?:more|less|fewer|greater|larger|smaller|higher|lower)\s+than\s+", re.IGNORECASE)
_OF = re.compile(
    r"(?:\bthan(?:\s+or\s+equal\s+to)?|\b(?:logarithm|factorial|exponential|(?:co)?sine|tangent|multiple|divisor|percent)\s+of)[\s$(]*$",
    re.IGNORECASE,
)


def changes_before(text: str) -> bool:
    """Whether the words at the text's end make another value of a number behind them: "the logarithm of", "less than"."""
    words = re.search(r"(?<!\ba )(?<!\ban )\b([A-Za-z]+\s+of)[\s$(]*$", text)
    return bool(_OF.search(text)) or (words is not None and split_unit(f"\\text{{{words[1]} }}1")[0] != "1")
