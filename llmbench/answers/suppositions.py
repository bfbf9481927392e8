r"""Whether a sentence states an answer, or supposes, reports or limits one.

| kind | for example | counts |
|---|---|---|
| supposed | "if the answer is B", "the answer would be B if x were 0", "otherwise it is B" | never |
| somebody else's | "one might think the answer is B", "at first I thought it was B", "a wrong answer is B", "my colleague says it is B" | never |
| limited | "Note that B is the answer for ideal gases", "in the classical limit the answer is B" | only where nothing else is stated |
"""

import re

from llmbench.answers.languages import NOT

WINDOW = 120
"""Characters before a statement in which its clause begins."""
_SUPPOSED_WINDOW = 80  # farther back, "if" seldom governs the statement

_BOUNDARY = re.compile(
    r"[.!?;]+(?=[\s*\"')\]])|\n|\b(?:but|however|yet|nevertheless|rather)\b", re.IGNORECASE
)
_SUPPOSED = re.compile(
    r"(?<!even )\b(?:if|whether|unless|suppos(?:e|ing)|otherwise|checking\s+if|verify\s+that)\b|\b(?:assum(?:e|ing))\b(?![^,]*,)"
    r"|^\W*(?:were|had)\s|如果|假如|假设|假設|倘若|若",
    re.IGNORECASE,
)
_PEOPLE = r"(?:one|no\s+one|nobody|some(?:one|body)?|students?|people|many|most|you|readers?|others|they|beginners?|it)"
_THINK = r"(?:think|say|argue|guess|expect|believe|assume|suppose|conclude|choose|pick|select|suggest|claim|answer|appear|look|seem)"
_PERSON = (
    r"(?:colleagues?|friends?|professor|teacher|tutor|lecturer|supervisor|advisor|boss|brother|sister|father|mother|classmates?|roommate|experts?|students?"
    r"|authors?|critics?|skeptics?|book|textbooks?|(?:answer\s+)?key|internet|web|forum|wikipedia|chatgpt|source|neighbou?r|partner|person|user|reader|reviewer)"
)
_SAY = r"(?:says?|said|thinks?|thought|claim(?:s|ed)?|believe[sd]?|insist(?:s|ed)?|argue[sd]?|suggest(?:s|ed)?|told|guess(?:es|ed)?|state[sd]?|maintain(?:s|ed)?|assert(?:s|ed)?|give[sn]?|gave)"
_OPINION = r"(?:think|thought|believe|true|say|evidence|sure|certain|clear|conclude|mean|imply|follow|agree|accept|reason|case)"
_REPORTED = re.compile(
    rf"(?:n['’]t|\b(?:not|no|never|cannot|nobody|hardly))\s+(?:\w+\s+){{0,2}}?{_OPINION}\b[^,]*$|(?<!no )\bdoubt\w*\b[^,]*$"
    rf"|\b{_PEOPLE}\s+(?:(?:might|may|could|would|should|often|sometimes|usually|wrongly|falsely|also)\s+)+(?:be\s+)?{_THINK}s?\b"
    rf"|\b(?:some|students|people|many|others|beginners)\s+{_THINK}\b"
    rf"|\b{_PERSON}\b(?:\s+(?!(?:is|are|was|were)\b)[\w'’]+){{0,3}}?\s+{_SAY}\b[^,]*$|\b(?:according\s+to|(?:opinion|view)\s+of)\s+(?:[\w'’]+\s+){{0,3}}?{_PERSON}\b"
    r"|(?<!\bi)(?<!\bwe)(?<!\bthat)\s+(?:thinks|believes|claims|insists|guesses|swears)\b|\b(?:he|she|someone|somebody|others)\s+(?:said|thought|claimed|believed|insisted|told)\b"
    r"|\btempt(?:ed|ing|s)\b|\b(?:mistakenly|incorrectly|wrongly|erroneously|naively|na[iï]ve)\b|\bmistake\s+(?:is|would\s+be|to)\b"
    r"|\b(?:common|typical|frequent|popular|easy)\s+(?:\w+\s+)?(?:mistake|misconception|trap|error)\b|\b(?:wrong|incorrect|mistaken)\s+to\b"
    r"|\b(?:i|we)\s+(?:had\s+)?(?:first|initially|originally|previously)\s+\w+|\b(?:at\s+first|initially|originally)\W+(?:i|we)\s+\w+"
    r"|\bat\s+first\s+(?:sight|glance)\b|\b(?:i|we)\s+thought\b"
    r"|\b(?:wrong|incorrect|false|initial|previous|earlier|preliminary|tempting|na[iï]ve|possible|plausible|example|sample|(?:second|next)(?:[\s-]+best)?)[\s-]+$"
    rf"|(?:{NOT})\s*的?\s*$",
    re.IGNORECASE,
)
MISTAKE = re.compile(
    r"\b(?:mistake|misconception|trap|error)s?\s+(?:(?:here|that|which|people|students)\s+)*(?:\w+\s+)?(?:gives?|yields?|produces?|leads?\s+to|results?\s+in|(?:is|would\s+be)(?=[\s$:\\(]*$))"
    r"|\b(?:mistakenly|incorrectly|wrongly|erroneously|naively|na[iï]ve|tempt(?:ed|ing)|forget(?:s|ting)?)\b"
    r"|\b(?:wrong|incorrect|false|mistaken)\s+(?:answer|value|result|choice|solution)\b",
    re.IGNORECASE,
)
_CONDITION_BEHIND = re.compile(
    r"(?:(?!\b(?:because|since|as)\b)[^.!?;\n]){0,60}?\b(?:if|unless|were|had|provided|when|only)\b",
    re.IGNORECASE,
)
# "the classical case", but not "this case" or "the given problem".
_SPECIAL = (
    r"(?:(?:the|an?)\s+)?(?!(?:this|our|that|all|both|each|every|general|any|given|above|present|same|original|current|actual|following|stated|multiple)\b)"
    r"(?:[\w-]+\s+){1,2}(?:case|limit|regime|approximation|version|variant|theory|model|picture|treatment|mechanics|question|problem|situation|scenario)\b"
)
_LIMITED_BEHIND = re.compile(
    r"\W*(?:(?:option|choice)\s+)?(?:[A-Za-z](?![A-Za-z])[^\w\n.!?;]{0,3})?[ \t]*\b(?:if|unless|when|only\s+(?:if|when|for|in|at)"
    r"|for\s+(?!(?:this|these|the\s+(?:following|above|given|question|problem|same)|all|both|many|several|two|three)\b)"
    rf"|in\s+{_SPECIAL}|to\s+(?:another\b|an?\s+(?:different|similar|related|simpler|other)\b|{_SPECIAL}))",
    re.IGNORECASE,
)
_UNREAL = re.compile(
    r"\b(?:if|were|had|without|ignoring|otherwise|unless|suppos\w+|assum\w+|instead)\b", re.IGNORECASE
)
_WOULD = re.compile(r"\b(?:would|could|might)\b", re.IGNORECASE)
_WOULD_ASIDE = re.compile(
    r"^\W*(?:and\s+|so\s+)?(?:in|for|under|with|without|at|then)\b(?!\s+(?:this|these|our|all|conclusion))",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\S.*\b(?:whereas|while|although|though)\b|^\W*(?:whereas|while|although|though)\b(?![^,]*,)"
    r"|^\W*(?:note|n\.?b\.?|p\.?s\.?|remark|by\s+contrast|in\s+contrast|conversely|for\s+comparison|for\s+reference|similarly|likewise)\b"
    r"|^\W*(?:for\s+(?!(?:the|this|these|all|that|our|each|any|every)\b)|in\s+the\s+(?:case|limit|regime)\s+of\b)"
    rf"|^\W*(?:and\s+|but\s+)?(?:(?:in|under|within)\s+{_SPECIAL}|classically\b|non-?relativistically\b)",
    re.IGNORECASE,
)


def clause_before(text: str, position: int) -> str:
    """What stands between the beginning of the clause, or the window, and the position."""
    before = text[max(0, position - WINDOW) : position]
    ends = [match.end() for match in _BOUNDARY.finditer(before)]
    return before[ends[-1] :] if ends else before


def is_supposed(text: str, start: int, end: int) -> bool:
    """Whether the statement whose introduction is `text[start:end]` is a supposition or somebody else's."""
    before = clause_before(text, start)
    introduction = before + text[start : min(end, start + WINDOW)]
    if (
        _SUPPOSED.search(before[-_SUPPOSED_WINDOW:])
        or _REPORTED.search(before)
        or _REPORTED.search(introduction)
    ):
        return True
    return bool(_WOULD.search(text, start, end) and _CONDITION_BEHIND.match(text[end : end + WINDOW]))


def is_hypothetical(text: str, start: int, end: int) -> bool:
    """Whether what stands at `text[start:end]` is the result of a condition that does not hold, or somebody else's."""
    before, behind = clause_before(text, start), text[end : end + WINDOW]
    if _REPORTED.search(before):
        return True
    return bool(_WOULD.search(before)) and bool(_UNREAL.search(before) or _CONDITION_BEHIND.match(behind))


def is_limited(text: str, start: int, end: int) -> bool:
    """Whether the statement is an aside or holds only under a condition."""
    before, behind = clause_before(text, start), text[end : end + WINDOW]
    if _ASIDE.search(before) or _LIMITED_BEHIND.match(behind):
        return True
    return bool(_WOULD.search(text, start, end) and _WOULD_ASIDE.match(before))
