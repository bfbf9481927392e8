r"""Whether a text takes a boxed answer back, corrects it, or only supposes it.

| kind | for example | the box |
|---|---|---|
| taken back | "$\boxed{5}$ is wrong", "Wait, that can't be right.", "Is it $\boxed{5}$?", "~~$\boxed{5}$~~" | is no answer |
| corrected | "I forgot a case.", "Correction:", "Sorry, the correct answer is 7." | counts only where nothing else is stated or concluded behind it |
| supposed | "if order mattered, it would be $\boxed{5}$", "one might think it is $\boxed{5}$", "Remark. For n = 5 it is $\boxed{5}$" | counts only beside no other answer |

Other words about mistakes change nothing: "it is wrong to count 0", "a mistake-prone computation", "that is wrong for $n = 2$".
"""

# ruff: noqa: RUF001 - the characters that look like ASCII are those that models write

import re

from llmbench.answers.suppositions import is_hypothetical

_WINDOW = 300
"""Characters behind a box in which its retraction begins."""
_MARKS = r"[\s$*_\\)\]`.,;:!—–-]*"
_ADVERB = r"(?:(?:clearly|obviously|actually|also|of\s+course|probably|definitely|certainly|just|simply|still|quite|really|indeed|in\s+fact|completely|slightly)\s+)*"
_THE_ANSWER = r"(?:the|my|our|an?)\s+(?:\w+\s+)?(?:answer|solution|result|value)s?\b"
_WRONG = (
    r"(?:wrong|incorrect|false|invalid|impossible|mistaken|inconsistent|erroneous|inaccurate|contradictory|nonsense|absurd|a\s+(?:mistake|typo|contradiction|miscalculation)|an\s+error"
    r"|too\s+(?:big|large|small|high|low|many|few|much)|off\s+by)"
)
_RIGHT = rf"(?:right|correct|possible|true|valid|it\b(?!\s+\w)|what\s+(?:is|was|we|I)|{_THE_ANSWER})"
_NO = r"(?:\s+not|n['’]t)"
_FAILS = (
    rf"(?:(?:(?:is|was|are|seems?(?:\s+to\s+be)?|looks?|must\s+be|turns?\s+out\s+to\s+be)|['’]s)\s+{_ADVERB}(?:{_WRONG}|not\s+{_ADVERB}{_RIGHT})"
    rf"|(?:is|was|are){_NO}\s+{_ADVERB}{_RIGHT}|(?:can|could|may|might)(?:not|['’]t|{_NO})\s+{_ADVERB}(?:be|have\s+been)\s+{_ADVERB}{_RIGHT}"
    rf"|(?:does|do|did|would){_NO}\s+{_ADVERB}(?:satisfy|work|match|hold|make\s+sense|add\s+up|fit|agree|check\s+out|look\s+right|seem\s+right|account|include|count|answer)"
    r"|(?:fails|contradicts|violates|misse[sd]|overcounts|undercounts|overlooks|ignores|omits)\b)"
    r"(?![-\w]|\s+(?:to|for|that|if|when|unless|only)\b)"
)
_IT = r"(?:that|this|it|which|(?:the|my|our|that|this)\s+(?:(?:above|previous|last|earlier|boxed|first|initial)\s+)*(?:answer|result|value|solution|box|calculation|computation|number))"
_INTERJECTION = r"(?:(?:oh|wait|hold\s+on|no+|hmm+|hm|but|however|actually|sorry|oops|whoops|ah|well|yet|though|unfortunately|on\s+second\s+thought|let\s+me\s+(?:re-?)?check)\b[^\w\n]*\s*)"
_TAKEN_BACK = re.compile(
    rf"{_MARKS}(?:{_FAILS}|{_INTERJECTION}*{_IT}\s*{_FAILS})|[^.!?\n]{{0,80}}\b(?:but|however|though)\s+{_IT}\s*{_FAILS}"
    rf"|[^.!?\n]{{0,60}}[.!]?\s+{_INTERJECTION}+{_IT}\s*{_FAILS}|[^.!?\n]{{0,30}}[.!]?[\s*$]+{_IT}\s*{_FAILS}"
    r"|[\s$*\\)\]]*\?|[\s$*\\)\]]*~~"
    rf"|{_MARKS}(?:is|was)\s+(?:what\s+(?:I|we)\s+\w+\s+(?:at\s+)?(?:first|initially|before|earlier)|(?:my|our)\s+(?:first|initial|earlier)|one\s+of\s+(?:the\s+)?(?:two|three|several))"
    rf"|{_MARKS}(?:would|could|might)\s+(?:be|have\s+been)\b[^.!?\n]*\b(?:if|were|had|without)\b",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"\b(?:I|we)(?:['’]ve)?\s+(?:(?:have|had|just|must|actually|accidentally|also|clearly|did|think|now|see|notice|realize)\s+)*(?:made\s+(?:an?|some|the|that)\s+(?:\w+\s+){0,2}(?:mistake|error|slip|typo)"
    r"|forg[eo]t\b(?!\s+to\s+(?:mention|say|add|note))|missed|overlooked|misc\w+ed|misread|(?:double|over|under)-?counted|was\s+(?:wrong|mistaken)|were\s+(?:wrong|mistaken)|apologi[sz]e)"
    r"|\bmy\s+(?:mistake|bad|error|apologies)\b|\b(?:oops|whoops|(?:scratch|strike|ignore|disregard)\s+(?:that|this)|never\s*mind)\b|(?:^|[.!\n])\W*(?:sorry|apologies)\b"
    r"|(?:^|\n)\W*(?:correction|edit|erratum|revis\w+|corrected(?:\s+answer)?|update)\b\W*:|\b(?:correct|actual|right|true|real|revised|corrected)\s+(?:final\s+)?(?:answer|value|result)\s+(?:is|should|must|becomes)\b"
    r"|\b(?:answer|it|this|that|result|total)\s+should\s+(?:actually\s+|really\s+|instead\s+)?(?:be|have\s+been)\b|\blet\s+me\s+(?:redo|recompute|recalculate|recount|correct|fix|start\s+over|try\s+again|revise)\b",
    re.IGNORECASE,
)
_STRUCK = re.compile(r"\\(?:x?cancel|bcancel|sout|st)\s*\{[\s$*\\(\[]*$")
_OWN_EARLIER = re.compile(
    r"\b(?:my|our|the)\s+(?:earlier|previous|first|initial|original|old|wrong|incorrect|naive)\s+(?:\w+\s+)?(?:answer|result|value|guess|attempt|total|count|box|estimate|solution)\b[^.\n]{0,20}$",
    re.IGNORECASE,
)
_BEFORE = 80
_LABEL = r"[\W_]*(?:remark|note|n\.?\s?b|p\.?\s?s|aside|side\s+note|comment|footnote|generali[sz]ation|bonus|(?:sanity\s+|quick\s+)?check|verification|extension)\b[\s*_]*(?:\d+|\([^)\n]*\))?[\s*_]*[.:)][\s*_]*"
_REMARK = re.compile(
    rf"{_LABEL}(?=[^\s*_])|\s*\((?=[^()]*[a-z][a-z]\s+[a-z]+\s+[a-z]+\s)[^()]*(?:\([^()]*\)[^()]*)*\)\W*\Z",
    re.IGNORECASE,
)


def takes_back(text: str, start: int, end: int) -> bool:
    """Whether the words around a box, `text[start:end]`, say that it is no answer."""
    before = text[max(0, start - _BEFORE) : start]
    if _STRUCK.search(before) or _TAKEN_BACK.match(text[end : end + _WINDOW]):
        return True
    return bool(_OWN_EARLIER.search(before)) and not re.search(
        r"\b(?:is|was)\s+(?:correct|right)\b", text[end : end + _BEFORE]
    )


def is_corrected(text: str, end: int) -> bool:
    """Whether the text behind a box admits a mistake, or announces another answer."""
    return _CORRECTED.search(text, end, end + 3 * _WINDOW) is not None


def is_supposition(text: str, start: int, end: int) -> bool:
    """Whether a box is supposed, somebody else's answer, or part of a remark."""
    return (
        is_hypothetical(text, start, end) or _REMARK.match(text, text.rfind("\n\n", 0, start) + 1) is not None
    )


def without_remarks(text: str) -> str:
    """The text less the paragraphs at its end that are remarks or checks; the whole where there is nothing else."""
    body = text.rstrip()
    while (start := body.rfind("\n\n")) > 0 and _REMARK.match(body, start):
        body = body[:start].rstrip()
    return body if len(body) < len(text.rstrip()) else text
