"""The main clause of a closing sentence: its answer stands there, not in the conditions, places and reasons behind it.

"The minimum is $42$, which occurs when $x = 6$." says 42, and "There are $6$ pairs with $a + b = 13$." says 6. Where the main clause
has not stated a value yet ("The remainder when $N$ is divided by $100$ is $42$.") nothing is left out.
"""

# ruff: noqa: RUF001 - the characters that look like ASCII are those that models write

import re

_FORMULA = r"(?:(?<!\\)\$\$?[^$]+\$\$?|\\\(.+?\\\)|\\\[.+?\\\])"
_VALUE = rf"(?:{_FORMULA}|[-+]?\\?\$?-?\d[\d,.]*(?:/\d+)?(?!\w)%?)"
_CLAUSAL = (
    r"which(?!,|\s+(?:solves?|gives?|yields?|equals?|(?:is|are)\s+(?:[-\d$]|equal|simply|just)|means?|impl\w+|simplif\w+|reduces?|leads?|becomes?|ha(?:s|ve)|evaluates?|makes?|results?)(?!\w))"
    r"|when(?:ever)?|where(?!as)|because|since|if|unless|provided|given|such\s+that|(?<=,\s)as(?!\s+(?:well|an?)\b)|(?<=\$\s)as(?=\s\$)"
)
_PHRASAL = (
    r"for\s+(?:all|any|every|each|some|real|(?:positive\s+|non-?negative\s+)?integers?|\$)|with(?![^.]*\sbeing\s)|inside|outside|within|upon"
    r"|(?:when\s+)?divided\s+by(?=\s)|(?:in|on|over)\s+(?:the|this|that|our)\s+(?:\w+\s+)?(?:interval|range|set|domain|region|circle|disk|square|plane|given)"
    r"|(?:attained|achieved|reached|occurring|obtained|taken|assumed)\b|at\s+(?:the\s+\w+|\$)|(?:due|thanks)\s+to|using|by\s+(?:the\b|[A-Z][a-z])"
    r"|between|among"
)
_PREDICATE = r"(?:is|are)\s+(?:the|an?|our)\s+[a-z]|is\s+divisible\b|divides\b|works\b|satisfies\b"
_JOINT = re.compile(
    rf",?\s\(?(?:(?P<clausal>(?i:{_CLAUSAL}))\b|(?:{_PHRASAL})(?:(?<=\$)|\b)|(?<=\$\s)(?:{_PREDICATE}))"
)
_VERB = r"(?:is|are|be|was|equals?|get|gets|obtain|find|have|has|gives?|yields?|contains?|needs?|takes?|makes?|measures?|leaves?|costs?|becomes)"
_STATES = re.compile(
    rf"\b{_VERB}\s+(?:(?:exactly|only|just|simply|therefore|thus|then|also|approximately|about|equal\s+to)\s+)*(?:\*\*)?{_VALUE}"
)
_VERBS = re.compile(r"\b(?:is|are|was|equals?|has|have)\b|(?<![<>!\\])=|\\equiv|[<>]|\\[lg]eq?\b")
_EQUATED = re.compile(
    r"(?:^|[,:;]|\b(?:so|thus|hence|therefore|then|that|have|get|obtain|find|conclude|is|are))[,\s]*(?:\*\*)?(?:\$|\\\()[^$]*?(?:(?<![<>!\\])=|\\equiv)[^$]*?(?:\$|\\\))[^$]*$",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^\W*(?:(?:so|thus|hence|therefore|now|and|but)\b,?\s*)?(?:since|because|if|when|as|for|with|given|where)\b[^,]*,\s*(?:then\s+)?",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"(?:[,;]\s*\$?\s*(?:and\s+)?|\s(?=(?-i:[STH])))(?:so|thus|hence|therefore|then)\b(?!\s+that)|\sso\s+(?=the\b|we\b|our\b|its?\b|\$)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:total|altogether|giving|making|yielding|finally)\b|,?\s(?:and|but|then)\s+(?:the|we|this|our|its|there)\b"
    rf"|,\s+(?:we|the\s+(?:answer|total|sum|desired|required))\b|\bwhich\s+(?:is|are|equals?|gives?|yields?)\s+{_VALUE}",
    re.IGNORECASE,
)
"""What begins another main clause behind a subordinate one."""
_NOUN = r"(?:\*\*)?(?:\s+(?!(?:and|or|times|plus|which|that|where|when|so|if|as|since|because|implies)\b)[a-z-]+){1,3}"
_THERE_ARE = re.compile(
    rf"\bthere\s+(?:are|is|(?:must|will)\s+be)\s+(?:exactly\s+|only\s+|a\s+total\s+of\s+)?(?:\*\*)?{_VALUE}{_NOUN}"
    rf"|\b(?:get|have|find|obtain|count)\s+(?:\*\*)?{_VALUE}{_NOUN}(?=\s+\$)",
    re.IGNORECASE,
)
_LISTS_SOLUTIONS = re.compile(r"\b(?:solutions?|roots?|zeros?|values?)\W*$", re.IGNORECASE)
_CONTRASTED = re.compile(rf"\d[^.]*,?\s(?:while|whereas)\s.*{_VALUE}", re.IGNORECASE)
_DENIES = re.compile(
    r"(?:\bno\s+(?:[a-z]+\s+){1,3}(?:with|for|below|above|when|where|in)|\b(?:does|do|can|could|need)\s*(?:not|n['’]t)\s+[a-z]+|\bcannot\s+[a-z]+|\bnever"
    r"|\bdivisible\s+by|\b(?:multiple|divisor|factor)s?\s+of|\bdivides|\bundefined\s+(?:at|for|when)|\bfails?\s+(?:at|for|when)"
    rf"|\binfinitely\s+many\b[^.]*?|\bdepends?\s+on\b[^.]*?)\s+{_VALUE}\W*$"
    r"|\b(?:is|are)\s+(?:wrong|incorrect|false|impossible|not\s+possible|not\s+allowed|invalid)\W*$",
    re.IGNORECASE,
)
_QUALIFIES = re.compile(
    rf"\b(?:except(?:\s+(?:for|at|when|if))?|other\s+than|(?:everything|anything|all|none)\s+but|(?<!be\s)at\s+(?:least|most)|up\s+to)\s+{_VALUE}\W*$",
    re.IGNORECASE,
)


def main_clause(sentence: str) -> str:
    """The sentence up to what only qualifies the value that it has stated, with its punctuation."""
    end = _end(sentence)
    closing = re.search(r"[.!*]*\s*$", sentence)
    return (
        sentence
        if end is None
        else sentence[:end].rstrip(" ,") + (closing[0] if closing and closing[0] else ".")
    )


def _end(sentence: str) -> int | None:
    start = max((match.end() for match in _CONCLUDES.finditer(sentence)), default=0)
    if lead := _LEADING.match(sentence[start:]):
        start += lead.end()
    there = _THERE_ARE.search(sentence, start)
    if there and not _GOES_ON.search(sentence, there.end()) and not _LISTS_SOLUTIONS.search(there[0]):
        return there.end()
    clauses = 0
    outside = re.sub(
        _FORMULA, lambda formula: "$" * len(formula[0]), sentence
    )  # "when" in a formula is no joint
    for joint in _JOINT.finditer(outside, start):
        said = sentence[start : joint.start()]
        states = _STATES.search(said) or _EQUATED.search(said)
        if states and (not clauses or len(_VERBS.findall(said)) > clauses):
            return None if _GOES_ON.search(sentence, start + states.end()) else joint.start()
        clauses += joint["clausal"] is not None
    return None


def is_denied(clause: str) -> bool:
    """Whether a clause denies its last value, or sets two values against each other, so that neither is the answer."""
    return bool(_DENIES.search(clause) or _CONTRASTED.search(clause))


def is_qualified(clause: str) -> bool:
    """Whether a clause excludes its last value from others or bounds by it: "all real numbers except 6", "at least 6"."""
    return bool(_QUALIFIES.search(clause))
