r"""What a closing sentence says besides its answer: refusals, denials, courtesies, asides.

Extractors that fall back on the last sentence or number of a text leave these out, so that "I gave up after step 6." is no
answer and "The total is 18, not 20. (Confidence: 95%)" is 18.
"""

import re

CLOSERS = re.compile(
    r"\b(?:I hope|let me know|feel free|hope this|if you (?:have (?:any|more|further|other|questions?)|need|want|would like))\b"
    r"|\bconfidence(?:\s+(?:level|score))?\s*[:=(]|%\s*(?:confident|sure|certain)\b",
    re.IGNORECASE,
)
_I = r"\b(?:i|we)(?:\s+(?:really|simply|just|still|honestly))?"
TAIL = 5_000
"""Characters at a text's end in which a conclusion is looked for; without a limit, repeated brackets take quadratic time."""
_REFUSAL = re.compile(
    rf"{_I}(?:\s+am|['’]m|\s+was|\s+are|\s+were)?\s+(?:cannot|can\s?not|can['’]?t|could\s+not|couldn['’]t|unable\s+to|not\s+able\s+to|failed\s+to)\s+"
    r"(?:\w+\s+)?(?:solve|answer|determine|find|compute|calculate|finish|complete|figure|help|say|give|provide)\b"
    rf"|{_I}\s+(?:don['’]?t|do\s+not)\s+know\b|\b(?:gave|give|giving)\s+up\b|\b(?:unsure|not\s+sure|no\s+idea)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\b(?:so|therefore|thus|hence|total|altogether|finally|conclusion)\b|=", re.IGNORECASE)
_DENIED_ANSWER = re.compile(
    r"\b(?:is|are|was|be)(?:\s+not|n['’]t)\s+(?:the\s+|my\s+|an?\s+)?(?:\w+\s+)?(?:correct|right|answer|result|solution)\b",
    re.IGNORECASE,
)
_DENIED_NUMBER = re.compile(
    r",?\s*(?:\bnot|n['’]t)\s+(?:(?:equal\s+to|be|exactly|just|simply)\s+)?[($*\\€£]*-?\d[\d.,/]*\d*[$*)]*",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\bbetween\s+[$*\\(]*-?\d\S*\s+and\s+\S*\d[^\s.]*(?=\s*[.!*]*\s*$)", re.IGNORECASE)
_ASIDE = re.compile(
    r"(?<=\w)[^\w\s]{0,20}\s{1,20}\((?=[^()]*(?<![\\A-Za-z])[A-Za-z]{2})[^()]*\)(?=[\s.!*]*$)"
)


def refuses(text: str) -> bool:
    """Whether the text ends in a refusal: behind it nothing is concluded."""
    found = list(_REFUSAL.finditer(text))
    return bool(found) and not _GOES_ON.search(text, found[-1].end())


def affirmed(sentence: str) -> str:
    """The sentence less the numbers that it denies ("18, not 20"), less a closing range; empty if it denies the answer."""
    if _DENIED_ANSWER.search(sentence):
        return ""
    return _RANGE.sub("", _DENIED_NUMBER.sub("", sentence))


def without_aside(sentence: str) -> str:
    """The sentence less a closing aside in parentheses, where a number stands before it: "3 buses (each seats 40)."."""
    shorter = _ASIDE.sub("", sentence)
    return shorter if re.search(r"\d", shorter) else sentence
