"""Answers that a model holds in doubt. They count only where it comes to an end: a text that was cut off may have changed them."""

import re

_DOUBT = re.compile(
    r"\b(?:maybe|perhaps|possibly|presumably|tentative\w*|(?:i|we)(?:['’]d|\s+would|\s+can|\s+could)?\s+(?:guess|suspect|bet|suppose|assume)|my\s+(?:\w+\s+)?guess"
    r"|not\s+(?:\w+\s+)?(?:sure|certain|confident)|unsure|unless|provided|guessing)\b|[,;–—]\s*(?:but|wait|hmm|though|although|no)\b|\.\.\.\s*$|…\s*$|\?\W*$",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|when|whenever|assuming)\b", re.IGNORECASE)
_ANSWER = re.compile(r"\b(?:answer|result|solution)\b", re.IGNORECASE)
_TURNS = re.compile(
    r"\W*(?:(?:but|however|yet|though|actually|no|nope|wait|hmm+|hm|oops|sorry|hold\s+on|on\s+second\s+thought)\b"
    r"|(?:let\s+me|let['’]s|i\s+(?:should|need\s+to|must|have\s+to))\s+(?:re-?\w+|double[\s-]check)\b|is\s+(?:that|this|it)\b|not\s+sure\b)",
    re.IGNORECASE,
)
_RECONSIDERS = re.compile(
    r"\W*(?:but\s+)?(?:wait|hmm+|hold\s+on|oops|on\s+second\s+thought)\b", re.IGNORECASE
)
_INTERJECTIONS = re.compile(r"\W*(?:(?:oh|wait|hm+|hold\s+on|oops|no|actually)\b\W*)+", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\b")
_SENTENCE = re.compile(r"(?:[^.!?…\n]|[.!?…](?!\s))*(?:[.!?…]+\s*|\n|\Z)")


def without_hedges(text: str) -> str:
    """The text less the sentences that doubt what they say, bind it to a condition, or are taken up again ("Wait, …") behind it.

    A box is taken up again only by the words of its own sentence.
    """
    parts = [part for part in _SENTENCE.findall(text) if part]
    last = max((place for place, part in enumerate(parts) if _RECONSIDERS.match(part)), default=0)
    kept = []
    for place, part in enumerate(parts):
        following = next((later for later in parts[place + 1 : place + 3] if later.strip()), "")
        if _INTERJECTIONS.fullmatch(part):
            kept.append(part)  # states nothing, and shows that a box before it is in doubt
            continue
        is_turned = (place < last or _TURNS.match(following)) and not _BOXED.search(part)
        kept.append("\n" if is_turned or _is_hedged(part) else part)
    return "".join(kept)


def _is_hedged(sentence: str) -> bool:
    answer = _ANSWER.search(sentence)
    return bool(_DOUBT.search(sentence) or (answer and _CONDITION.search(sentence, answer.end())))
