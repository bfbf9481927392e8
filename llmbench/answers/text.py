r"""What every extractor needs of a text: thinking taken out, punctuation made ASCII, paragraphs and sentences, and those that state no answer.

In a text that was cut off, what it holds in doubt does not count. Extractors that fall back on a closing sentence or number leave out
refusals, denials, courtesies and asides, so that "I gave up after step 6." is no answer and "It is 18, not 20. (Confidence: 95%)" is 18.
"""

import re

from llmbench.system import thinking

_REASONING_TAG = (
    r"(?:reasoning|analysis|scratchpad|reflection|rationale|explanation|thoughts|thought_process)>"
)
_REASONING = re.compile(rf"<{_REASONING_TAG}.*?(?P<closed></{_REASONING_TAG}|\Z)", re.IGNORECASE | re.DOTALL)
"""To the text's end where it is not closed: a model that repeats the tag would take quadratic time."""
_END_OF_TURN = re.compile(
    r"(?:(?:<\|(?:im_end|eot_id|endoftext|end|return|end_of_text)\|>|<｜end▁of▁sentence｜>|</s>|<eos>|<end_of_turn>)\s*){1,9}\Z"
)

_OTHER_TURN = re.compile(
    r"<[|｜](?:im_start|im_end|eot_id|endoftext|end_of_text|start_header_id|user|return|begin▁of▁sentence|end▁of▁sentence)[|｜]>"
    r"|<(?:start|end)_of_turn>|</s>|<eos>|\[/?INST\]|^[ \t]*(?:###[ \t]*)?(?:Human|User)[ \t]*:|^###[ \t]*Instruction\b",
    re.IGNORECASE | re.MULTILINE,
)
_NEXT_QUESTION = re.compile(
    r"^[ \t]*[#*]{0,4}[ \t]*(?:(?:Question|Problem|Exercise)(?:[ \t]*#?\d+)?[ \t]*[:.]|Q\d*[ \t]*:)",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWERED = re.compile(
    r"\banswer(?:[ \t]+is\b|[ \t*]*:)|\\(?:boxed|fbox)\b|^####[ \t]*\S", re.IGNORECASE | re.MULTILINE
)

# Full-width forms stand 0xFEE0 above ASCII (Unicode block U+FF00); the rest are marks that models use as ASCII.
_FULL_WIDTH = {code + 0xFEE0: code for code in range(0x21, 0x7F)}
_MARKS = str.maketrans("。、【】「」『』\u00a0\u2009\u202f\u3000−‐‑∶", '.,[]""""    ---:')
_TRANSLATION = {**_FULL_WIDTH, **_MARKS, 0x200B: None, 0xFEFF: None}

_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\\!)(?:[*_\"')\]$]|\\[\])])*\s+|\n")


def strip_thinking(text: str) -> str:
    """The text without the model's thinking, and without end-of-turn marks.

    `<think>…</think>` is taken out (also `<thinking>`, `<thought>`, `<seed:think>`, `[THINK]`, Kimi's and Cohere's tags, and
    the channels of gpt-oss). Thinking that never ends holds no answer, so everything behind its opening goes. A closing tag
    without an opening belongs to one that stood in the prompt: everything before it goes.

    `<reasoning>…</reasoning>` and the like, which prompts ask for, are taken out only where they end and something else is left.
    """
    text = _without_channels(text)
    kept: list[str] = []
    start = 0
    inside = False
    for tag in thinking.TAGS.finditer(text):
        closes = any(tag.groups())
        if closes and not inside:
            kept.clear()
        elif not closes and not inside:
            kept.append(text[start : tag.start()])
        inside = not closes
        start = tag.end()
    if not inside:
        kept.append(text[start:])
    text = "".join(kept)
    outside = _REASONING.sub(lambda match: "" if match["closed"] else match[0], text)
    return _END_OF_TURN.sub("", outside if outside.strip() else text).strip("\n")


def _without_channels(text: str) -> str:
    final = list(thinking.FINAL.finditer(text))
    if final:
        return text[final[-1].end() :]
    return "" if thinking.ANALYSIS.match(text) else text


def _first_turn(text: str) -> str:
    """The text up to where another turn begins: a control token ("<|im_start|>user"), "Human:", a question behind an answer.

    What stands before the first turn that says something does not count.
    """
    turn = next((turn for turn in _OTHER_TURN.split(text) if turn.strip()), text)
    answered = _ANSWERED.search(turn)
    question = _NEXT_QUESTION.search(turn, answered.end()) if answered else None
    return turn[: question.start()] if question else turn


def prepare(text: str) -> str:
    """The text that answers are looked for in: no thinking, full-width punctuation made ASCII, lines ending in newlines."""
    return _first_turn(strip_thinking(text)).translate(_TRANSLATION).replace("\r\n", "\n").replace("\r", "\n")


def prepare_cut(text: str) -> str:
    """`prepare` for a text that was cut off, less what it says in doubt, with the line end or end-of-turn mark at its end as a newline."""
    ended = text.endswith(("\n", "\r")) or _OTHER_TURN.search(text) or _END_OF_TURN.search(text)
    return without_hedges(prepare(text)) + ("\n" if ended else "")


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence or line."""
    match = _SENTENCE_END.search(text)
    return text[: match.start()] if match else text


def sentences(text: str) -> list[str]:
    """Sentences and lines that hold more than white space."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


def paragraphs(text: str) -> list[str]:
    """Blocks between blank lines that hold more than white space."""
    return [block.strip() for block in re.split(r"\n[ \t]*\n", text) if block.strip()]


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
