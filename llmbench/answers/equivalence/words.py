r"""Answers that are words: names, directions, "even", a choice's letter."""

import re
from collections.abc import Sequence
from fractions import Fraction

from llmbench.answers.equivalence.latex import fold

_COMMANDS = re.compile(r"\\text\{([^{}]*)\}")
_FUNCTIONS = re.compile(
    r"\\[A-Za-z]+|(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc|log|ln|exp|max|min|gcd|lcm)(?![A-Za-z])"
)
_WORD = re.compile(r"[A-Za-z]{3,}")
_ARTICLE = re.compile(r"\b(?:[Tt]he|[Aa]n|[Aa](?=\s+[a-z]))(?=\s+[A-Za-z])")
_IDLE = re.compile(
    r"\bdue(?=\s+[a-z])|(?<=[a-z])\s+function\b|,\s*(?:it|they)\s+(?:is|are|does|do)\b", re.IGNORECASE
)
_FILLING = re.compile(r"[\s.,;:!?'\"`*_{}()\[\]\\-]+")
_SHORT = 2  # letters; shorter words, such as "I" and "II", are not run together
_LETTER = re.compile(r"\(?(?P<letter>[A-J])\)?[.:)]?")
_LETTER_FIRST = re.compile(
    r"(?:option|choice|answer)?\s*(?:\((?P<closed>[A-J])\)|(?P<dotted>[A-J])[.:)])(?:\s.*|\s*\\.*|$)",
    re.IGNORECASE | re.DOTALL,
)
_ONLY_LETTER = re.compile(
    r"(?:the\s+)?(?:option|choice|answer|graph|figure|diagram|curve|statement|picture|plot|letter|item|case|table|equation|expression|function|line|set)\s+\(?(?P<letter>[A-J])\)?",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"nosolutions?|nosolutionexists|nosolutionsexist|norealsolutions?|nosuch(?:solution|number)|(?:the)?emptyset"
    r"|thereisno(?:real)?solution|thereareno(?:real)?solutions"
)
"""Ways to say that there is no solution, in words that are run together."""
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMERALS = {word: value for value, word in enumerate(_ONES.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), start=2)
}
_TEN, _HUNDRED = 10, 100


_STATEMENT = re.compile(
    r"^(?:\\text\{\s*)?(?:it|this|that|[a-z]|(?:the|this)(?:\s+(?!not\b)[A-Za-z]+){1,3})\s+(?:is|are)\s+(?=[A-Za-z])",
    re.IGNORECASE,
)
"""The words before the one that answers: "The function is even"."""
_JOINED = re.compile(r"\\text\s*\{[^{}\d]*\s(and|or)\s[^{}\d]*\}")
_NO_LIMIT = re.compile(r"(?:(?:the )?limit )?(?:does not|doesn't) exist", re.IGNORECASE)
_QUALIFIERS = tuple(
    (re.compile(rf"(?<![\\\w])(?:{pattern})(?!\w)", re.IGNORECASE), name)
    for pattern, name in (
        (r"at\s+least|no\s+(?:less|fewer)\s+than|(?:or|and)\s+(?:more|greater|above|over|up)", ">="),
        (r"at\s+most|no\s+(?:more|greater)\s+than|(?:or|and)\s+(?:less|fewer|below|under)|up\s+to", "<="),
        (r"(?:more|greater|larger)\s+than", ">"),
        (r"(?:less|fewer|smaller)\s+than", "<"),
        (r"(?:above|beyond|over|exceeding)(?=\s+[-\d$\\])", ">"),
        (r"(?:below|under)(?=\s+[-\d$\\])", "<"),
        (r"not|never|except(?:\s+for)?|excluding|(?:other|different)\s+(?:than|from)|apart\s+from", "not"),
    )
)


def qualifiers(text: str) -> frozenset[str]:
    r"""What words say of a value besides it: `\text{at least } 12`, "12 or more" and "not 12" are not 12."""
    plain = re.sub(r"\\(?:text\w*|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r" \1 ", text).replace("~", " ")
    plain = re.sub(r"(?<=\d)\s*over\s*(?=\d)", "/", _NO_LIMIT.sub("DNE", plain))
    found = set()
    for pattern, name in _QUALIFIERS:
        plain, times = pattern.subn(" ", plain)
        found |= {name} if times else set()
    return frozenset(found)


def joint(text: str) -> frozenset[str]:
    """Whether words are joined by "and" or by "or", as a name that `units.conflict` compares."""
    match = _JOINED.fullmatch(text.strip())
    return frozenset({f"joint:{match[1]}"} if match else ())


def is_text(text: str) -> bool:
    r"""Whether a cleaned answer is words rather than mathematics: a `\text` with letters, or a word of three letters."""
    if any(re.search(r"[A-Za-z]{2}|\([A-Z]\)", match[1]) for match in _COMMANDS.finditer(text)):
        return True
    return bool(_WORD.search(_FUNCTIONS.sub(" ", text)))


def same_text(gold: str, answer: str) -> bool:
    """The same words, whatever their case, articles and punctuation; the same letter of a choice."""
    letter = choice_letter(gold)
    if letter:
        return letter == _answered_letter(answer)
    one, other = _key(gold), _key(answer if _STATEMENT.match(gold) else _STATEMENT.sub("", answer))
    if one == other:
        return bool(one)
    joined = "".join(one), "".join(other)
    is_long = all(len(word) > _SHORT for word in (*one, *other))
    return (is_long and joined[0] == joined[1]) or all(map(_EMPTY.fullmatch, joined))


def choice_letter(text: str) -> str | None:
    r"""The letter, where the whole text is one that is set off: `\text{(C)}`, "(C)"."""
    plain = fold(text)
    match = _LETTER.fullmatch(plain)
    return match["letter"] if match and len(plain) > 1 else None


def _answered_letter(answer: str) -> str | None:
    plain = _COMMANDS.sub(r"\1", answer).strip()
    for pattern in (_LETTER, _ONLY_LETTER, _LETTER_FIRST):
        match = pattern.fullmatch(plain)
        if match:
            return next(group for group in match.groups() if group).upper()
    return None


def numeral(text: str) -> str | None:
    """The number that words name, from "zero" to "nine hundred and ninety-nine"."""
    match _key(text):
        case (ones, "hundred", *rest) if ones in NUMERALS and 0 < NUMERALS[ones] < _TEN:
            below = _below_hundred([word for word in rest if word != "and"]) if rest else 0
            return None if below is None else str(_HUNDRED * NUMERALS[ones] + below)
        case words:
            below = _below_hundred(words)
            return None if below is None else str(below)


PARTS = {
    **dict.fromkeys(("half", "halves"), 2),
    **{part + ending: value for value, part in enumerate(["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"], start=3) for ending in ("", "s")},
    **{part + ending: value for value, part in ((4, "quarter"), (16, "sixteenth"), (20, "twentieth"), (100, "hundredth"), (1000, "thousandth")) for ending in ("", "s")},
}  # fmt: skip
_COUNT = "|".join(NUMERALS)
FRACTION = rf"(?:(?:(?:an?|{_COUNT})[\s-]+)(?:{'|'.join(sorted(PARTS, key=len, reverse=True))})|half)\b"
"""The pattern of a fraction in words: "a half", "two-thirds"."""
_FRACTION = re.compile(FRACTION, re.IGNORECASE)


def fraction(text: str) -> Fraction | None:
    """The number that a fraction in words names."""
    plain = _COMMANDS.sub(r"\1", text).strip(" .")
    if not _FRACTION.fullmatch(plain):
        return None
    *counts, part = re.split(r"[\s-]+", plain.lower())
    return Fraction(NUMERALS.get(counts[-1], 1) if counts else 1, PARTS[part])


def _below_hundred(words: Sequence[str]) -> int | None:
    """The number of "seven", "thirty" or "thirty seven"."""
    values = [NUMERALS.get(word) for word in words]
    match values:
        case [int(value)]:
            return value
        case [int(tens), int(ones)] if tens >= 2 * _TEN and 0 < ones < _TEN:
            return tens + ones
    return None


def _key(text: str) -> tuple[str, ...]:
    """The words in lower case, without articles and punctuation."""
    plain = _NO_LIMIT.sub("DNE", _COMMANDS.sub(r" \1 ", text)).replace("\\emptyset", "emptyset")
    return tuple(_FILLING.sub(" ", _ARTICLE.sub("", _IDLE.sub("", plain))).casefold().split())
