"""The letter that a closing sentence names, where the text states none in another way."""

import re

from llmbench.answers.suppositions import is_limited, is_supposed
from llmbench.answers.text import paragraphs, sentences

DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|cannot|incorrect|wrong|eliminat\w*|rul(?:e|ed|es|ing)(?:\s+out)?|exclud\w*|discard\w*|reject\w*|false|unlikely|impossible|out|violat\w*|contradict\w*|fails?)\b|n['’]t",
    re.IGNORECASE,
)
# "5.2 eV → C", but not a reaction such as "B → C".
_POINTED = re.compile(
    r"(?:^|(?<=[^A-Z\s])|(?<=\w\w))\s*(?:→|⇒|⟹|➡\ufe0f?|👉|=>|->)\s*(?:(?:option|choice)\s+)?[(\[]?(?P<letter>[A-Z])[)\]]?[.!\s]*$"
)
_ADVERB = r"(?:(?:also|therefore|thus|hence|then|indeed|clearly|likely|probably|definitely|certainly|most|very|best|far|much|by\s+far)\s+)*"
_QUALITY = (
    r"(?:(?:only|single|one|best|most\s+\w+|closest|nearest|right|correct|likeliest)\b|true\b|correct\b|right\b|consistent\s+with\b|close\s+to\b|in\s+agreement\b|left\b|possible\b"
    r"|plausible\b|accurate\b|valid\b|reasonable\b)"
)
_SUBJECT = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence|then|accordingly|consequently|and|overall|finally|in\s+conclusion)\s*,?\s+|(?:among|of)\s[^,\n]{1,40},\s+){0,3}(?:only\s+)?(?:option\s+|choice\s+|answer\s+)?"
    r"[(\[]?(?P<letter>[A-Z])[)\]]?\s+"
    rf"(?:(?:is|must\s+be|has\s+to\s+be|should\s+be|(?:seems|appears|looks)(?:\s+to\s+be)?|remains)\s+{_ADVERB}(?:the\s+)?{_QUALITY}"
    rf"|{_ADVERB}(?:matches|fits|agrees|satisfies|works|holds|remains|survives|explains|describes|reproduces|corresponds)\b)",
    re.IGNORECASE,
)
_OTHER_LETTER = r"(?<![A-Za-z])(?!I\b|A\s+[a-z])[{}](?![A-Za-z'’])"


def closing_letter(text: str, letters: str) -> str | None:
    """The one letter, set off by parentheses or "option", that the closing sentence names."""
    blocks = paragraphs(text)
    closing = sentences(blocks[-1])[-1:] if blocks else []
    if closing and (pointed := _POINTED.search(closing[0])):
        return pointed["letter"] if pointed["letter"] in letters else None
    if not closing or DENIAL.search(closing[0]) or closing[0].rstrip().endswith((":", "?")):
        return None
    if not re.search(r"[.!)\]\"'}]\s*$", closing[0]):
        return None  # cut off
    named = list(re.finditer(rf"\(([{letters}])\)|\b(?:option|choice)\s+([{letters}])\b", closing[0]))
    found = {match[1] or match[2] for match in named}
    if not found:
        return _stated_of(text, closing[0], letters)
    if len(found) != 1 or is_supposed(closing[0], named[0].start(), named[0].end()):
        return None
    return found.pop()


def _stated_of(text: str, closing: str, letters: str) -> str | None:
    """The letter of which the closing sentence alone says what makes it the answer: "C is closest to the computed value."."""
    said = [(match["letter"], part) for part in sentences(text) if (match := _SUBJECT.match(part))]
    match = _SUBJECT.match(closing)
    if match is None or match["letter"] not in letters:
        return None
    others = {letter for letter, part in said if not DENIAL.search(part)} - {match["letter"]}
    named = re.search(_OTHER_LETTER.format(letters), closing[match.end() :])
    if (
        others
        or named
        or is_supposed(closing, match.start("letter"), match.end())
        or is_limited(closing, match.start("letter"), match.end())
    ):
        return None
    return match["letter"]
