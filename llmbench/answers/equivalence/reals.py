r"""Sets of real numbers as unions of intervals, whether written as sets, in words or as inequalities.

`\mathbb{R}`, "all real numbers except 1", `\mathbb{R} \setminus \{1\}`, `\{x \mid x > 2\}`; `x < 1 \lor x \ge 3`, `x \ne 1`, `|x| < 2`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmbench.answers.equivalence.latex import AND
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.structure import is_name, split_top
from llmbench.answers.equivalence.symbolic import constant

LINE = "(-\\infty, \\infty)"
RELATION = re.compile(r"\\(?:le|ge|ne|approx|equiv|sim|in)(?![A-Za-z])|[<>]|(?<![<>!:])=|:=")
FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
UPWARDS = {"<", "\\le"}
PAIR = 2
"""Members of a relation that is not a chain."""
_MAX_PARTS = 20

_WORDS = re.compile(
    r"(?:[a-z]\s+(?:is|can be|may be)\s+)?(?:(?:the )?set of )?(?:all |any |every )?(?:the )?(?:reals|real (?:numbers?|values))"
    r"(?:\s+(?:of\s+|for\s+)?[a-z]\b)?(?:,?\s*(?:except|excluding|other than|but not|but)(?: for)?\s+(?:[a-z]\s*=\s*)?(?P<without>.+))?",
    re.IGNORECASE,
)
_PUNCTURED = re.compile(r"\\mathbb\{R\}\s*\\setminus\s*\\?\{(?P<points>.+?)\\?\}")
_BUILDER = re.compile(
    r"\\\{\s*(?P<name>\\?[A-Za-z]+)\s*(?:\\in\s*\\mathbb\{R\}\s*)?(?:\||:|\\text\{\s*such that\s*\})\s*(?P<condition>.+?)\s*\\\}"
)


@dataclass(frozen=True, slots=True)
class Solutions:
    """The values of a variable that inequalities allow, as a union of intervals."""

    variable: str
    union: str


def as_union(text: str) -> str | None:
    """The union of intervals that a cleaned text means, unless it is one already or means no set of real numbers."""
    if text.strip() == "\\mathbb{R}":
        return LINE
    builder = _BUILDER.fullmatch(text)
    if builder:
        condition = re.sub(r",?\s*(?<!\\)\b[a-z]\s*\\in\s*\\mathbb\{R\}\s*,?", "", builder["condition"])
        found = solutions(condition)
        return found.union if found and found.variable == builder["name"] else None
    punctured = _PUNCTURED.fullmatch(text)
    words = _WORDS.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).strip())
    if punctured:
        return _without(split_top(punctured["points"], ","))
    if words:
        return _without(split_top(words["without"], ",")) if words["without"] else LINE
    return None


def solutions(text: str) -> Solutions | None:
    r"""What inequalities joined by `\lor` or commas allow; of two joined by a comma both must hold, where both can.

    Of those joined by "and" both must hold in any case.
    """
    parts = split_top(text, "\\lor")
    if len(parts) > 1:
        return _joined([solutions(part) for part in parts[:_MAX_PARTS]])
    conditions = split_top(text, ",")[:_MAX_PARTS]
    all_hold = AND in text
    members = [re.split(r"\\ne(?![A-Za-z])", condition) for condition in conditions]
    members = [pair if is_name(pair[0]) else pair[::-1] for pair in members]
    if len(members[0]) == PAIR and is_name(members[0][0]):
        name = members[0][0].strip()
        points = [pair[-1].strip() for pair in members if len(pair) == 1 or pair[0].strip() == name]
        union = _without(points) if len(points) == len(conditions) else None
        return Solutions(name, union) if union else None
    found = [_of_chain(condition) for condition in conditions]
    if len(found) == PAIR and found[0] and found[1] and found[0].variable == found[1].variable:
        both = _intersection(found[0].union, found[1].union)
        if both or all_hold:
            return Solutions(found[0].variable, both) if both else None
    return found[0] if len(found) == 1 else None if all_hold else _joined(found)


def _joined(parts: Sequence[Solutions | None]) -> Solutions | None:
    known = [part for part in parts if part]
    if len(known) < len(parts) or len({part.variable for part in known}) > 1:
        return None
    return Solutions(known[0].variable, " \\cup ".join(part.union for part in known))


def _without(points: Sequence[str]) -> str | None:
    """The real line less these points."""
    values = {point: constant(point) for point in points}
    if not all(value is not None for value in values.values()):
        return None
    ends = ["-\\infty", *sorted(values, key=lambda point: values[point] or 0.0), "\\infty"]
    return " \\cup ".join(f"({left}, {right})" for left, right in pairwise(ends))


def _intersection(one: str, other: str) -> str | None:
    """Of a ray downwards and a ray upwards, the interval where they overlap."""
    up, down = (one, other) if one.endswith("\\infty)") else (other, one)
    rays = (
        re.fullmatch(r"([(\[])([^,\\]+), \\infty\)", up),
        re.fullmatch(r"\(-\\infty, ([^,\\]+)([)\]])", down),
    )
    if rays[0] is None or rays[1] is None:
        return None
    low, high = rational(rays[0][2]), rational(rays[1][1])
    if low is None or high is None or low >= high:
        return None
    return f"{rays[0][1]}{rays[0][2]}, {rays[1][1]}{rays[1][2]}"


def _of_chain(text: str) -> Solutions | None:
    r"""What `x > 2`, `2 < x`, `2 < x \le 5` or `|x| < 2` allows."""
    operators = [match[0] for match in RELATION.finditer(text)]
    members = [member.strip() for member in RELATION.split(text)]
    if not operators or not set(operators) <= set(FLIPPED) or len(members) > PAIR + 1 or not all(members):
        return None
    if not set(operators) <= UPWARDS:
        members, operators = members[::-1], [FLIPPED[operator] for operator in operators[::-1]]
    if not set(operators) <= UPWARDS:
        return None
    names = [member.strip("|") for member in members]
    places = [place for place, name in enumerate(names) if is_name(name) and name not in {"\\infty", "\\pi"}]
    if not places or (len(members) > PAIR and places[0] != 1):
        return None
    place = places[0]
    variable = members[place]
    low = (members[0], operators[0]) if place == 1 else None
    high = (members[place + 1], operators[place]) if place + 1 < len(members) else None
    if variable.startswith("|") and variable.endswith("|"):
        return Solutions(variable.strip("|"), _both_signs(low, high))
    return Solutions(variable, _interval(low, high))


_End = tuple[str, str]  # where an interval ends, and the operator there


def _interval(low: _End | None, high: _End | None) -> str:
    start = ("[" if low[1] == "\\le" else "(") + low[0] if low else "(-\\infty"
    end = high[0] + ("]" if high[1] == "\\le" else ")") if high else "\\infty)"
    return f"{start}, {end}"


def _both_signs(low: _End | None, high: _End | None) -> str:
    """The values whose absolute value lies between the ends."""
    negated = [(f"-({end[0]})", end[1]) if end else None for end in (low, high)]
    if low is None:
        return _interval(negated[1], high)
    return f"{_interval(negated[1], negated[0])} \\cup {_interval(low, high)}"
