r"""Whether a text takes a boxed answer back, corrects it, or only supposes it.

| kind | for example | the box |
|---|---|---|
| taken back | "$\boxed{5}$ is wrong", "Wait, that can't be right.", "Is it $\boxed{5}$?", "$\boxed{5}$ is extraneous", "rejecting $\boxed{5}$", "~~$\boxed{5}$~~" | is not an answer |
| corrected | "I forgot a case.", "Correction:", "Sorry, the correct answer is 7." | counts only where nothing else is stated or concluded behind it |
| doubted | "Wait, $x = 0$ works too.", "Let me double-check.", "Actually, …", "$10$, not $9$", "but $9$ is extraneous" | gives way to an answer that is stated or drawn as a conclusion behind it, unless the text confirms the box |
| supposed | "if order mattered, it would be $\boxed{5}$", "one might think it is $\boxed{5}$", "Remark. For n = 5 it is $\boxed{5}$" | counts only beside no other answer |

Other words about mistakes change nothing: "it is wrong to count 0", "a mistake-prone computation", "that is wrong for $n = 2$". Extractors of numbers
and letters have words of correction in common: "The answer is 120. Wait, I forgot the cost of $20. So it is $100." is 100.
"""

import re

from llmbench.answers.statements import BoxedFormula
from llmbench.answers.suppositions import is_hypothetical

_WINDOW = 300
"""Characters behind a box in which its retraction begins."""
_LONG = 5 * _WINDOW
_MARKS = r"[\s$*_\\)\]`.,;:!—–-]*"
_ADVERB = r"(?:(?:clearly|obviously|actually|also|of\s+course|probably|definitely|certainly|just|simply|still|quite|really|indeed|in\s+fact|completely|slightly)\s+)*"
_THE_ANSWER = r"(?:the|my|our|an?)\s+(?:\w+\s+)?(?:answer|solution|result|value)s?\b"
_WRONG = (
    r"(?:wrong|incorrect|false|invalid|impossible|mistaken|inconsistent|erroneous|inaccurate|contradictory|nonsense|absurd|a\s+(?:mistake|typo|contradiction|miscalculation)|an\s+error"
    r"|too\s+(?:big|large|small|high|low|many|few|much)|off\s+by)"
)
_RIGHT = rf"(?:right|correct|possible|true|valid|it\b(?!\s+\w)|what\s+(?:is|was|we|I)|{_THE_ANSWER})"
_NO = r"(?:\s+not|n['’]t)"
_REJECTED = (
    r"(?:rejected|discarded|excluded|dismissed|eliminated|ruled\s+out|thrown\s+(?:out|away)|extraneous|spurious|inadmissible|irrelevant|not\s+(?:an?\s+)?(?:valid|allowed|admissible|acceptable|permitted|in\s+the)"
    r"|(?:a\s+)?(?:common|tempting|popular|frequent)(?:\s+(?:but|mistake|error|wrong|answer)\b)?)"
)
_FAILS = (
    rf"(?:(?:is|was|are|(?:must|should|has\s+to|have\s+to|can|needs?\s+to)\s+(?:also\s+)?be)\s+{_ADVERB}(?:(?:thus|hence|therefore|an?)\s+)*{_REJECTED}"
    rf"|(?:(?:is|was|are|seems?(?:\s+to\s+be)?|looks?|must\s+be|turns?\s+out\s+to\s+be)|['’]s)\s+{_ADVERB}(?:{_WRONG}|not\s+{_ADVERB}{_RIGHT})"
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
_DOUBTED = re.compile(
    r"(?:^|[.!?\n:;—–$)\]}]|\s-)[\s*_$\\)\].]*(?:(?:oh|but|ah|well|no|so|and|please|one\s+moment)\b\W*)*(?:wait|hm+|hold\s+on|on\s+(?:second|further|closer|reflection)\b|upon\s+(?:re|closer|further)|looking\s+(?:\w+\s+){1,2}again|actually|in\s+fact|looking\s+closer)\b"
    r"|\b(?:re-?consider\w*|re-?think\w*|re-?examin\w+|re-?visit\w*|re-?check\w*|double-?\s?check\w*|look\w*\s+(?:at\s+\w+\s+)?again|disregard|(?:need|have|want|should|must)\s+to\s+(?:correct|fix|revise|change|amend)|should\s+(?:also\s+)?(?:have|correct|fix|revise))\b"
    r"|(?:^|\n)\W*(?:re-?vis\w+|corrected|updated|amended)\b|\b(?:is|are|it['’]s)\s+(?:actually|really|in\s+fact)\b",
    re.IGNORECASE,
)
_CHECKS = re.compile(r"check|verify|confirm|make\s+sure|see\s+(?:if|whether)", re.IGNORECASE)
_GOES_ON = re.compile(r"(?:\W+\w+){3}")
_CONFIRMED = re.compile(
    r"\b(?:yes|yep|ok(?:ay)?|good|great|fine|confirm\w*|verified|verifies|consistent|as\s+(?:before|expected|desired|required|above)|indeed|still|stands"
    r"|(?:check|work)s\s+out|(?:is|are|was)\s+(?:\w+\s+)?(?:correct|right)|that['’]s\s+(?:correct|right)|(?:match|agree)(?:es|s)?\s+(?:with\s+)?(?:our|the|what|both|this|that)|(?:left|right)[\s-]+(?:hand\s+)?side|LHS|RHS|holds|both\s+sides|satisf\w+)\b|[✓✔✅]|\\checkmark",
    re.IGNORECASE,
)
_DRAWN = re.compile(
    r"^\W*(?:and\s+|but\s+)?(?:so|thus|hence|therefore|then|finally|altogether|in\s+(?:total|all)|this\s+(?:gives|makes|means)|that\s+(?:gives|makes|means)|giving|(?:and\s+)?now)\b"
    r"|(?<=\w\s)(?:actually|really|instead|not|rather)\b|[,;]\s*(?:so|thus|hence|therefore|giving|making)\b|\b(?:correct|revised|new|final|right|actual|true)\s+(?:total|value|result|answer|count|number|sum)\b|(?:^|^\W*(?:actually|in\s+fact|wait|hm+)\b)\W*(?:(?:the|our|its)\s+(?:\w+\s+)?(?:total|value|result|count|number|sum)|it)(?:\s+(?:is|equals)\b|['’]s\b)",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(
    r"\b(?:reject|discard|exclud|dismiss|eliminat|rul|throw)(?:e|es|s|ing)?(?:\s+(?:out|away))?\s+(?:(?:the|root|value|solution|negative|case|candidate)\s+)*(?:\$?\s*[A-Za-z]\s*=)?[\s$*\\(\[]*$"
    r"|\b(?:impossible|no\s+way|not\s+(?:true|possible|the\s+case)|no\s+chance)\s+(?:that|for)\s+(?:(?!but\b|other|anything|except|than\b|any\b)[\w'’]+\s+){0,6}[\s$*\\(\[]*$",
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


def is_retracted(text: str, box: BoxedFormula) -> bool:
    """Whether the words around a box say that it is not an answer."""
    before, behind = text[max(0, box.start - _BEFORE) : box.start], text[box.end : box.end + _WINDOW]
    if _STRUCK.search(before) or _NOT_BEFORE.search(before) or _TAKEN_BACK.match(behind):
        return True
    is_right = re.search(r"\b(?:is|was)\s+(?:correct|right)\b", behind[:_BEFORE])
    return bool(_OWN_EARLIER.search(before)) and not is_right


def is_corrected(text: str, end: int) -> bool:
    """Whether the text behind a box admits a mistake, or announces another answer."""
    return _CORRECTED.search(text, end, end + 3 * _WINDOW) is not None


def is_doubted(text: str, end: int) -> bool:
    """Whether the text behind a box doubts it, and does not confirm it in the end."""
    doubts = list(_DOUBTED.finditer(text[end : end + _LONG]))
    return bool(doubts) and not _CONFIRMED.search(text[-_LONG:], max(0, len(text[-_LONG:]) - _WINDOW))


def is_doubted_where_cut(text: str, end: int) -> bool:
    """Whether a text that was cut off was correcting a box: more than checking it."""
    found = _DOUBTED.search(text, end, end + _LONG)
    return (
        found is not None
        and _GOES_ON.match(text, found.end()) is not None
        and not (
            _CHECKS.search(text, found.start(), found.end() + _BEFORE) or _CONFIRMED.search(text, found.end())
        )
    )


def denies_value(text: str, end: int, value: str) -> bool:
    """Whether the text behind a box denies the value in it: "$10$, not $9$"."""
    said = text[end : end + _LONG]
    denied = rf"(?:\bnot|\binstead\s+of|\brather\s+than|≠|\\neq?)\s*[\s$*(]*(?<!\w){re.escape(value)}(?![\w^/.,]*\w)"
    rejected = rf"[\s$*(=]{re.escape(value)}[\s$*)]*{_FAILS}"
    return re.search(f"{denied}|{rejected}", said) is not None


def is_drawn(sentence: str) -> bool:
    """Whether a sentence draws a conclusion: "Thus the total is 10.", "It's actually 10."."""
    return _DRAWN.search(sentence) is not None and not _CONFIRMED.search(sentence)


def is_supposition(text: str, box: BoxedFormula) -> bool:
    """Whether a box is supposed, somebody else's answer, or part of a remark."""
    paragraph = text.rfind("\n\n", 0, box.start) + 1
    return is_hypothetical(text, box.start, box.end) or _REMARK.match(text, paragraph) is not None


def without_remarks(text: str) -> str:
    """The text less the paragraphs at its end that are remarks or checks; the whole where there is nothing else."""
    body = text.rstrip()
    while (start := body.rfind("\n\n")) > 0 and _REMARK.match(body, start) and not is_corrected(body, start):
        body = body[:start].rstrip()
    return body if len(body) < len(text.rstrip()) else text


_BEGINS = r"(?:^|[.!?;,:\n*_)\]}—–-]\s{0,3})(?:(?:oh|but|so|ah|well)\b,?\s)?"
CORRECTS = re.compile(
    rf"{_BEGINS}(?:wait|hmm+|hm|hold\s+on|actually|on\s+(?:second|closer|further)\s+\w+|oops|whoops|sorry|apologies|nope|no(?=\s*[,.:;—–!-])|correction|edit|update|erratum|revised"
    r"|(?:looking|thinking|going)\s+(?:at|about|over|back)?\s*(?:this|that|it)\s+again|scratch\s+that|strike\s+that)\b"
    r"|\b(?:(?:is|are|was|were|should|['’]s)\s+actually|reconsider\w*|on\s+second\s+thought|mistake|mistaken|(?:an|my|the|some)\s+error|(?:a|my)\s+typo|erred|misread|mis\w*(?:counted|calculated|computed)"
    r"|(?:I|we)\s+(?:\w+\s+)?(?:forgot|missed|overlooked|mixed|swapped|confused|mean|meant)|(?:not|n['’]t)\s+(?:quite\s+)?(?:right|correct)|(?:is|was|['’]s)\s+(?:wrong|incorrect)"
    r"|(?:I|we)['’]?\s*(?:\w+\s+)?(?:take\s+(?:that|this|it)\s+back)|(?:change|correct|revise|fix|update|withdraw|disregard|ignore)\s+(?:that|this|it|my|the)"
    r"|let\s+me\s+re(?:do|count|calc\w*|comp\w*|think|work|vise)|should\s+(?:be|have\s+been)\s+instead)\b",
    re.IGNORECASE,
)
CONFIRMS = re.compile(
    r"\b(?:yes|matches|confirm\w*|checks?\s+out|consistent|indeed|as\s+expected|makes\s+sense|(?<!not )(?<!n['’]t )(?:is|are|was|looks?|['’]s)\s+(?:right|correct|fine)|stands|holds)\b|✓|✔",
    re.IGNORECASE,
)
_ADMITTED = re.compile(
    r"\b(?:forg[eo]t|missed|overlooked|(?:need|have|had|ought)\s+to|must|should(?:n['’]t)?\s+(?!be\b)(?:\w+\s+)?\w+|ignored|left\s+out)\b(?:[^.!?:=\n]|\.(?=\d))*"
)


def corrected_part(text: str, start: int) -> str | None:
    """What follows the first words of correction behind `start`, less the admitted mistakes; None where nothing is corrected."""
    corrects = CORRECTS.search(text, start)
    if corrects is None or CONFIRMS.search(text, corrects.end()):
        return None
    return _ADMITTED.sub(" ", text[corrects.start() :])
