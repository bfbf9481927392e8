"""What every extractor needs of a text: thinking taken out, punctuation made ASCII, paragraphs and sentences."""

import re

from llmbench.answers.hedges import without_hedges
from llmbench.system import thinking

_REASONING_TAGS = re.compile(
    r"<(?P<close>/?)(?:reasoning|analysis|scratchpad|reflection|rationale|explanation|thoughts|thought_process)>",
    re.IGNORECASE,
)
_END_OF_TURN = re.compile(
    r"(?:<\|(?:im_end|eot_id|endoftext|end|return|end_of_text)\|>|<｜end▁of▁sentence｜>|</s>|<eos>|<end_of_turn>)\Z"
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
    return _without_end_of_turn(_without_reasoning("".join(kept))).strip("\n")


def _without_reasoning(text: str) -> str:
    kept: list[str] = []
    start, opened = 0, -1
    for tag in _REASONING_TAGS.finditer(text):
        if tag["close"] and opened >= 0:
            kept.append(text[start:opened])
            start, opened = tag.end(), -1
        elif not tag["close"] and opened < 0:
            opened = tag.start()
    outside = "".join([*kept, text[start:]])
    return outside if outside.strip() else text


def _without_end_of_turn(text: str) -> str:
    while mark := _end_of_turn(text):
        text = text[: mark.start()]
    return text


def _end_of_turn(text: str) -> re.Match[str] | None:
    text = text.rstrip()
    return _END_OF_TURN.search(text, max(0, len(text) - 20))


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
    ended = text.endswith(("\n", "\r")) or _OTHER_TURN.search(text) or _end_of_turn(text)
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
