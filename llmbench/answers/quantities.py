r"""Whether a number in words stands for itself, or is a part of a larger value: "18 and a half", "18 apples and 17 pears".

`merged` writes values of several parts as one number where their units are known ("18 dollars and 50 cents" is 18.5 dollars).
`is_part` says of any other number whether what stands around it makes another value of it, a bound or a list.
"""

import re
import unicodedata
from fractions import Fraction

from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.units import is_unit_symbol
from llmbench.answers.equivalence.words import NUMERALS, PARTS, qualifiers
from llmbench.answers.spoken import NUMBER, changes_before, changes_behind

# Kind of unit: the spellings of its units in the singular, and their sizes.
_KINDS: dict[str, dict[str, int]] = {
    "money": {"cent penny ¢": 1, "dollar buck usd": 100},
    "time": {"second sec s": 1, "minute min m": 60, "hour hr h": 3_600, "day": 86_400, "week": 604_800},
    "age": {"month": 1, "year yr": 12},
    "length": {"inch": 1, "foot feet ft": 12, "yard yd": 36, "mile": 63_360},
    "metric length": {"mm millimeter": 1, "cm centimeter": 10, "m meter": 1_000, "km kilometer": 10**6},
    "weight": {"ounce oz": 1, "pound lb": 16},
    "mass": {"g gram": 1, "kg kilogram": 1_000},
    "volume": {"cup": 1, "pint": 2, "quart": 4, "gallon": 16},
    "metric volume": {"ml milliliter": 1, "l liter": 1_000},
    "count": {"": 1, "dozen": 12},
}
_SIZES: dict[str, dict[str, int]] = {}
"""Of each spelling the kinds that it may be, and its size."""
for _kind, _units in _KINDS.items():
    for _spellings, _size in _units.items():
        for _spelling in _spellings.split():
            _SIZES.setdefault(_spelling, {})[_kind] = _size
_UNIT = rf"(?:{'|'.join(sorted(_SIZES, key=len, reverse=True))})(?:e?s)?(?![A-Za-z])"
_PAIR = re.compile(
    rf"(?P<sign>\$ ?)?(?<![\w.,/])(?P<number>\d+/\d+|{NUMBER})(?!\d)(?:[ -]?(?P<unit>{_UNIT})|(?P<noun> (?!(?:and|that|which)\b)[A-Za-z]{{3,20}}(?: left)?))?"
    rf"(?P<joint> ?,?(?: (?:and|or|i\.e\.,?|that is,?|which is|which equals))? ?)"
    rf"(?:(?P<more_sign>\$ ?)|(?={NUMBER}[ -]?{_UNIT}))(?P<more>{NUMBER})(?!\d)(?:[ -]?(?P<smaller>{_UNIT}))?",
    re.IGNORECASE,
)
_MAX_PARTS = 3
_VULGAR = re.compile(r"(?<=\d)\s?([¼-¾⅐-⅞])|(?<![\d.,])([¼-¾⅐-⅞])")
_FRACTION = re.compile(
    r"(?<![\d.,/])(\d+)\s+and\s+(?:(?P<count>a|an|one|two|three)\s+(?P<part>half|thirds?|quarters?|fourths?)|(?P<plain>\d/\d+))\b",
    re.IGNORECASE,
)
_SCIENTIFIC = re.compile(r"(?<![\w.,])(\d+(?:\.\d+)?)[eE](\d{1,2})(?!\w)")
_MILLIONS = re.compile(
    rf"(?<![\w.,])(\$\s?)?({NUMBER})\s?(?:(M|MM|mn|mln)|(B|bn)|((?<=\d)m))(?![\w^²³]|\.\d)"
)
_BELOW_ZERO = re.compile(
    rf"(?<![\w.,])({NUMBER}(?:\s?°?\s?(?:degrees?\s*)?[A-Za-z]{{0,10}})?)\s+below\s+zero\b"
)
_FULL_HOUR = re.compile(r"(?<![\d:])(\d{1,2}):00(?![\d:])")


def merged(text: str) -> str:
    """The text with values of several parts as one number: "18½", "18 feet 6 inches", "18e3", "$18M", "8:00", "5 below zero"."""
    text = _VULGAR.sub(
        lambda m: " " * bool(m[1]) + unicodedata.normalize("NFKC", m[1] or m[2]).replace("⁄", "/"), text
    )
    text = _FRACTION.sub(_fraction, text)
    text = _SCIENTIFIC.sub(lambda m: str(rational(f"{m[1]} * 10^{m[2]}")), text)
    text = _MILLIONS.sub(_millions, text)
    text = _FULL_HOUR.sub(r"\1", _BELOW_ZERO.sub(r"-\1", text))
    for _ in range(_MAX_PARTS):
        before, text = text, _PAIR.sub(_one, text)
        if text == before:
            break
    return text


def _fraction(match: re.Match[str]) -> str:
    if match["plain"]:
        return f"{match[1]} {match['plain']}"
    return f"{match[1]} {NUMERALS.get(match['count'].lower(), 1)}/{PARTS[match['part'].lower()]}"


def _millions(match: re.Match[str]) -> str:
    if match[5] and not match[1]:
        return match[0]  # "18m" is a length
    return f"{match[1] or ''}{match[2]} {'billion' if match[4] else 'million'}"


def _one(match: re.Match[str]) -> str:
    """A larger and a smaller unit as one value."""
    found = _compared(match)
    if found is None or match["joint"].strip(" ,").lower() not in {"", "and"}:
        return match[0]
    value, more, size, smaller, kind = found
    if smaller > size or kind == "count":
        return match[0]
    first = match[0][: match.start("joint") - match.start()]
    return first.replace(match["number"], _written(value + more * Fraction(smaller, size)), 1)


def restated(text: str, question: str = "") -> str:
    """The text with a value that is said twice ("120 minutes, which is 2 hours") said once, in the unit that the question names."""
    asked = (re.findall(r"[^.!?]*\?", question) or [question])[-1].lower()

    def once(match: re.Match[str]) -> str:
        found = _compared(match)
        if found is None or not match["joint"].strip():
            return match[0]
        value, more, size, other, _ = found
        if value * size != more * other:
            return match[0]
        names = [(match[name] or "dollar").lower().removesuffix("s") for name in ("unit", "smaller")]
        is_asked = names[1] in asked and names[0] not in asked
        first, second = match.start("joint") - match.start(), match.end("joint") - match.start()
        return match[0][second:] if is_asked else match[0][:first]

    return _PAIR.sub(once, text)


_SUM = re.compile(
    r"(?<![\d.,])(?P<total>\d[\d,]*(?:\.\d+)?)(?P<unit>(?:[ *][A-Za-z]*){0,3})(?:\s?\((?P<inside>[^()\n]{1,80})\)|:\s(?P<behind>[^.\n]{1,80}))"
)


def without_parts(text: str) -> str:
    """The text with a sum alone where its parts are told behind it: "15 (8 girls and 7 boys)", "15 students: 8 girls and 7 boys"."""

    def alone(match: re.Match[str]) -> str:
        told = match["inside"] or match["behind"]
        parts = [rational(part) for part in re.findall(r"(?<![\d.,])\d[\d,]*(?:\.\d+)?", told)]
        is_sum = len(parts) > 1 and None not in parts and sum(parts) == rational(match["total"])  # type: ignore[arg-type]
        return match["total"] + match["unit"] if is_sum else match[0]

    return _SUM.sub(alone, text)


def _compared(match: re.Match[str]) -> tuple[Fraction, Fraction, int, int, str] | None:
    """Both numbers, the sizes of their units and the kind that these share; None where they share none."""
    sizes, others = _sizes(match["sign"], match["unit"]), _sizes(match["more_sign"], match["smaller"])
    sizes = {"count": 1} if match["noun"] else sizes
    kind = next((kind for kind in sizes if kind in others and sizes[kind] != others[kind]), None)
    value, more = rational(match["number"]), rational(match["more"])
    if kind is None or value is None or more is None:
        return None
    return value, more, sizes[kind], others[kind], kind


def _sizes(sign: str | None, unit: str | None) -> dict[str, int]:
    """The kinds and sizes that a unit may have."""
    unit = "dollar" if sign else (unit or "").lower()
    forms = (unit, unit.removesuffix("s"), unit.removesuffix("es"))
    return next((_SIZES[form] for form in forms if form in _SIZES), {})


def _written(value: Fraction) -> str:
    """A decimal where it has few places, else a fraction."""
    hundredths = value * 100
    return f"{float(value):.2f}".rstrip("0").rstrip(".") if hundredths.denominator == 1 else str(value)


PREPOSITION = r"\b(?:of|for|in|at|by|per|with|without|from|after|before|on|to|over|within|during|each|every|than|among|between|an?|the|into|until|as|under|above|below|that|who)"
_CLAUSE_END = re.compile(
    r"[.!?]+(?=\s|$)|\n|;|\(|\s[-–—]\s|,(?!\d{3})|:\s|\b(?:because|since|which|so|but|while|whereas|when|if|where|(?:even\s+)?though|although|rather|instead|not)\b"
)
_OPERATION = re.compile(r"\b(?:plus|minus|(?:divided|multiplied)\s+by)\s", re.IGNORECASE)
_SIGNS = re.compile(r"\b(?:plus|minus)\s+signs?\b", re.IGNORECASE)
_NEXT = re.compile(r"(?P<between>[^\d]{0,60}?)(?<![A-Za-z\d.,])[$€£]?\d")
_LISTED = re.compile(
    rf"(?P<first>[^,;&\n]{{0,30}}?)\s*(?:,(?!\d)|[;&]|\b(?:and|or|while|whereas|but)\b)\s*(?:(?:and|or|while|whereas|but)\s+)?(?:[A-Z]\w*(?::|\s+(?P<verb>\w+))?\s+)?"
    rf"[$€£]?\s?{NUMBER}(?:\s+(?!(?:more|less|fewer|times|out|of|for\s+each|per|each)\b)[A-Za-z]+){{0,2}}[\s.*!)\]]*(?:$|[,;])"
)
_LEADS = re.compile(
    rf"(?:{PREPOSITION}\s+(?:\w+\s+)?|\b(?:if|since|because|when|as)\b.*)[$€£]?\s?$", re.IGNORECASE
)
_ATTACHED = re.compile(r"[A-Za-z]+")
_ENDINGS = {"st", "nd", "rd", "th", "am", "pm"}
_LETTERS = frozenset("ghLlmsdk")
_ALTERED = re.compile(
    r"\s?\^|[_²³⁴-⁹¹⁰√π]|\s*(?:\\(?:sqrt|pi|cdot|times|frac|le|leq|ge|geq|lt|gt|neq?)(?![A-Za-z])|(?:[>≤≥≠√π]|<(?![/A-Za-z])))|\+(?!\s*\d)|-\s*$|\s*[*·×]\s*[A-Za-z(]|/\s?(?:[xyznk]\b|\\)|\s?\([a-z]\)|!\.|['’]s\b|\s+(?:doubled|tripled|halved|R\s?\d)"
    r"|\s*(?:%|percent)\s+of\s+[$€£]?\d"
)
_ALTERED_BEFORE = re.compile(
    r"(?:[<>≤≥≠√^_±]|\\(?:sqrt|le|leq|ge|geq|lt|gt|neq?|log|ln|sin|cos|tan)(?![A-Za-z]))[\s({\[$]*$"
    r"|(?:\b(?:not|never|cannot)|n['’]t)\s+(?:\w+\s+){0,2}[$]?$|\b(?:log|ln|sin|cos|tan|(?:min|max)imum\s+of|under|below|over|above|exceed\w*|beyond|fewer\s+than|up\s+to)[\s$]*$",
    re.IGNORECASE,
)
_NEAR = 60
"""Characters before a number that may change it."""


def is_part(before: str, behind: str) -> bool:
    """Whether what stands before and behind a number makes more of it: an expression, a bound, or one value of several."""
    before = before[-_NEAR:]
    if (
        _ALTERED_BEFORE.search(before)
        or changes_before(before)
        or qualifiers(f"{' '.join(before.split()[-3:])} 1")
    ):
        return True
    behind = re.sub(r"^[)*\]}$]+", "", behind)
    return (
        bool(_ALTERED.match(behind)) or _is_attached(behind) or _goes_on(behind) or is_listed(before, behind)
    )


def is_listed(before: str, behind: str) -> bool:
    """Whether the number is the first of several values: "18 apples and 17 pears", "Tom has 18, Mary has 17"."""
    match = _LISTED.match(behind.split("\n", 1)[0])
    if match is None or _LEADS.search(before[-_NEAR:]):
        return False
    words = re.findall(r"\w+", before)[-1:]
    return match["verb"] is None or [match["verb"]] == words


def _is_attached(behind: str) -> bool:
    """Whether letters without a space make another value of the number: "18x", but not "18kg"."""
    match = _ATTACHED.match(behind)
    if match is None or match[0].lower() in _ENDINGS:
        return False
    letters = match[0]
    return letters not in _LETTERS if len(letters) == 1 else len(letters) == 2 and not is_unit_symbol(letters)  # noqa: PLR2004 - two variables


def _goes_on(behind: str) -> bool:
    """Whether the words behind a number add to it."""
    if qualifiers(" ".join(behind.split()[:4])) & {">=", "<="}:
        return True
    end = _CLAUSE_END.search(behind)
    clause = _SIGNS.sub("signs", behind[: end.start()] if end else behind)
    if changes_behind(clause) or _OPERATION.search(clause):
        return True
    following = _NEXT.match(clause)
    if following is None:
        return False
    words = re.split(r"\band\b|\bor\b|&", following["between"])[-1]
    return not re.search(rf"{PREPOSITION}\b", words, re.IGNORECASE)
