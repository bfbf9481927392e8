"""The main clause of a closing sentence: its answer stands there, not in the conditions, places and reasons behind it.

"The minimum is $42$, which occurs when $x = 6$." says 42, and "There are $6$ pairs with $a + b = 13$." says 6. Where the main clause
has not stated a value yet ("The remainder when $N$ is divided by $100$ is $42$.") nothing is left out.
"""

import re

_MAX_LENGTH = 1_500
"""Characters; a longer sentence has no clauses to speak of, and repeated words would take long."""
_FORMULA = r"(?:(?<!\\)\$\$?[^$]+\$\$?|\\\(.+?\\\)|\\\[.+?\\\])"
_VALUE = rf"(?:{_FORMULA}|[-+]?\\?\$?-?\d[\d,.]*(?:/\d+)?(?!\w)%?)"
_CLAUSAL = (
    r"which(?!,|\s+(?:solves?|gives?|yields?|equals?|(?:is|are)\s+(?:[-\d$]|equal|simply|just)|means?|impl\w+|simplif\w+|reduces?|leads?|becomes?|ha(?:s|ve)|evaluates?|makes?|leaves?|results?)(?!\w))"
    r"|when(?:ever)?|once|(?:note|notice|recall|observe)\s+that|where(?!as)|because|since|if|unless|provided|given|such\s+that|(?:that\s+is|i\.e)(?=[^$=]*\bof\b)|(?<=,\s)as(?!\s+(?:well|an?)\b)|(?<=\$\s)as(?=\s\$)"
)
_PHRASAL = (
    r"(?:instead|in\s+place)\s+of|rather\s+than|including|excluding|twice\s+the|in\s+contrast\s+to|for\s+(?:all|any|every|each|some|real|(?:positive\s+|non-?negative\s+)?integers?|\$)|with(?![^.]*\sbeing\s)|inside|outside|within|upon|on\s+divi\w+|compared"
    r"|(?:when\s+)?divided\s+by(?=\s)|(?:in|on|over)\s+(?:the|this|that|our)\s+(?:\w+\s+)?(?:interval|range|set|domain|region|circle|disk|square|plane|given)"
    r"|(?:attained|achieved|reached|occurring|obtained|taken|assumed)\b|at\s+(?:the\s+\w+|\$|[a-z]\s*=)|(?:due|thanks)\s+to|using|by\s+(?:the\b|[A-Z][a-z])"
    r"|between|among|(?:after|during|per|every)\s+\d+|in\s+(?:\d+(?=\s+[a-z])|\d{4})|(?:on|over)\s+\d+(?=\s+[a-z])|to\s+(?!(?:the|be|her|his|its|their|our|your|each|all|both)\b)[a-z]{3,}\s"
)
_PREDICATE = r"(?:is|are)\s+(?:the|an?|our)\s+[a-z]|is\s+divisible\b|divides\b|works\b|satisfies\b"
_JOINT = re.compile(
    rf"[,;]?\s\(?(?:(?P<clausal>(?i:{_CLAUSAL}))\b|(?:{_PHRASAL})(?:(?<=\$)|\b)|(?<=\$\s)(?:{_PREDICATE}))"
)
_VERB = r"(?:is|are|be|was|equals?|get|gets|obtain|find|have|has|gives?|yields?|contains?|needs?|takes?|makes?|measures?|leaves?|costs?|becomes|(?:comes|amounts)\s+to|reach(?:es)?|(?:intersects?|meets?|lies?|located|cross(?:es)?)\s+at)"
_PREPOSITION = r"(?:in|of|for|at|by|with|from|to|after|before|the|these|those|than|and|or|when|if|where|least|most|between|through|over|within|under|step|case|part|radius|side|sides|length|base|day|grade|room|page|exactly|about)"
_COUNTED = rf"(?<![-\w$.])(?!(?i:{_PREPOSITION})\s)[A-Za-z]+\s+(?:exactly\s+|about\s+|only\s+)?\d[\d,.]*\s+(?!{_PREPOSITION}\b)[a-z]{{3,}}"
"""A number of things behind a verb, whichever it is: "drove 12 miles"."""
_STATES = re.compile(
    rf"\b{_VERB}\s+(?:an?\s+(?:\w+\s+){{1,2}}of|(?:a\s+)?(?:remainder|total|sum|value))\s+{_VALUE}|\b{_VERB}\s+(?:(?:exactly|only|just|simply|therefore|thus|then|also|approximately|about|equal\s+to)\s+)*(?:\*\*)?{_VALUE}"
)
_COUNTS = re.compile(_COUNTED)
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
    rf"|,\s+(?:or|leaving)\s+{_VALUE}|,\s+(?:we|the\s+(?:answer|total|sum|desired|required))\b|\bwhich\s+(?:is|are|equals?|gives?|yields?)\s+{_VALUE}",
    re.IGNORECASE,
)
"""What begins another main clause behind a subordinate one."""
_NOUN = r"(?:\*\*)?(?:\s+(?!(?:and|or|times|plus|which|that|where|when|so|if|as|since|because|implies)\b)[a-z-]+){1,3}"
_THERE_ARE = re.compile(
    rf"\bthere\s+(?:are|is|(?:must|will)\s+be)\s+(?:exactly\s+|only\s+|a\s+total\s+of\s+)?(?:\*\*)?{_VALUE}{_NOUN}"
    rf"|\b(?:get|have|find|obtain|count)\s+(?:\*\*)?{_VALUE}{_NOUN}(?=\s+\$)",
    re.IGNORECASE,
)
_NUMBER = (
    r"(?:\*\*)?(?:\$-?\d[^$a-zA-Z]*\$|\\\(-?\d[^a-zA-Z]*?\\\)|-?\d[\d,]*(?:\.\d+)?(?!\w|\s?[/%]))(?:\*\*)?"
)
_FIRST = re.compile(
    rf"(?:(?P<part>(?<![/\w.]){_NUMBER})\s+of\s+(?:the|these|those|his|her|their|our|all)\b(?=.*\d)"
    rf"|^[\W_]*(?:(?:so|thus|hence|therefore|then|consequently)\b,?\s*)?(?P<subject>{_NUMBER})\s+(?:is|are)\s+(?:indeed\s+)?(?:the|an?|our)\s)",
    re.IGNORECASE,
)
"""A number that is a part of others ("5 of the 6 coins"), or what the sentence is about ("42 is the smallest …")."""
_LISTS_SOLUTIONS = re.compile(r"\b(?:solutions?|roots?|zeros?|values?)\W*$", re.IGNORECASE)
_CONTRASTED = re.compile(
    rf"\d[^.]*,?\s(?:(?i:while|whereas))\s.*{_VALUE}|=[^=]*\bbut\s+(?:\$|\\\()?[A-Za-z]\s*="
    rf"|(?:\b[A-Z][a-z]+\s+[a-z]+\s+{_VALUE}[^.]*?\s(?:and|but)\s+[A-Z][a-z]+\s+(?:[a-z]+\s+)?|\bfrom\s+{_VALUE}\s+[a-z]+\s+to\s+){_VALUE}(?:\s+[a-z]+){{0,3}}\W*$"
)
_DENIES = re.compile(
    r"(?:\bno\s+(?:such\s+)?(?:[a-z]+\s+){1,3}(?:with(?:\s+\w+)?|for|below|above|when|where|in)|\bno\s+[a-z]+\s+\w+s\b[^.]*?|\bimpossible\s+(?:that|for)\b[^.]*?|\b(?:does|do|can|could|need)\s*(?:not|n['’]t)\s+[a-z]+|\bcannot\s+[a-z]+|\bnever"
    r"|\bdivisible\s+by|\b(?:multiple|divisor|factor)s?\s+of|\bdivides?|(?:co|relatively\s+)prime\s+to|\bdiffers?\s+from|\bclose\s+to|\bcompared\s+(?:to|with)|\bexceeds?|(?:undefined|not\s+defined|discontinuous)\s+(?:at|for)|\bundefined\s+(?:at|for|when)|\bfails?\s+(?:at|for|when)"
    rf"|\binfinitely\s+many\b[^.]*?|\bdepends?\s+on\b[^.]*?)\s+{_VALUE}\W*$"
    r"|\b(?:(?:is|are)\s+(?:wrong|incorrect|false|impossible|invalid|not\s+\w+|too\s+\w+)|fails?|(?:do|does)(?:\s+not|n['’]t)\s+(?:work|hold|exist))\W*$"
    r"|^\W*(?:(?:so|thus|hence|therefore)\b,?\s*)?no\s+(?!more|other|fewer|less)[a-z]+\b|\bcontradict|\bnot\s+(?:true|possible|the\s+case)\s+that\b"
    rf"|\b(?:every|all|any|each)\b[^.]*?\bexcept\s+{_VALUE}\s+\w",
    re.IGNORECASE,
)
_QUALIFIES = re.compile(
    rf"\b(?:except(?:\s+(?:for|at|when|if))?|other\s+than|(?:everything|anything|all|none)\s+but|(?<!be\s)at\s+(?:least|most)|up\s+to|from\s+{_VALUE}[^.]{{0,40}}?\sto)\s+{_VALUE}\W*$",
    re.IGNORECASE,
)


def main_clause(sentence: str) -> str:
    """The sentence up to what only qualifies the value that it has stated, with its punctuation."""
    end = _end(sentence) if len(sentence) <= _MAX_LENGTH else None
    if end is None:
        return sentence
    closing = re.search(r"[.!*]*\s*$", sentence)
    return sentence[:end].rstrip(" ,") + (closing[0] if closing and closing[0] else ".")


def _end(sentence: str) -> int | None:
    start = max((match.end() for match in _CONCLUDES.finditer(sentence)), default=0)
    if lead := _LEADING.match(sentence[start:]):
        start += lead.end()
    if first := _first_value(sentence, start):
        return first
    there = _THERE_ARE.search(sentence, start)
    if there and not _GOES_ON.search(sentence, there.end()) and not _LISTS_SOLUTIONS.search(there[0]):
        return there.end()
    clauses = 0
    # "when" in a formula is no joint.
    outside = re.sub(_FORMULA, lambda formula: "$" * len(formula[0]), sentence)
    for joint in _JOINT.finditer(outside, start):
        said = sentence[start : joint.start()]
        states = _STATES.search(said) or _EQUATED.search(said)
        if states is None and (joint["clausal"] or not _VERBS.search(outside, joint.start())):
            states = _COUNTS.search(said)
        if states and (not clauses or len(_VERBS.findall(said)) > clauses):
            return None if _GOES_ON.search(sentence, start + states.end()) else joint.start()
        clauses += joint["clausal"] is not None
    return None


def _first_value(sentence: str, start: int) -> int | None:
    """The end of a number that the sentence begins with, where the numbers behind it only say of what it is a part."""
    first = _FIRST.search(sentence[start:])
    if first is None or re.search(r"\d", sentence[start : start + first.start()]):
        return None
    behind = sentence[start + first.end() :]
    if _GOES_ON.search(behind) or re.search(r"=|\d\s+(?:is|are)\s+\d", behind):
        return None
    return start + first.end("part" if first["part"] else "subject")


def is_denied(clause: str) -> bool:
    """Whether a clause denies its last value, or sets two values against each other, so that neither is the answer."""
    clause = clause[-_MAX_LENGTH:]
    return bool(_DENIES.search(clause) or _CONTRASTED.search(clause))


def is_qualified(clause: str) -> bool:
    """Whether a clause excludes its last value from others or bounds by it: "all real numbers except 6", "at least 6"."""
    return bool(_QUALIFIES.search(clause[-_MAX_LENGTH:]))
