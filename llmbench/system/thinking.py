"""Marks of thinking: the tags that reasoning models put around it, and the channels of gpt-oss."""

import re

TAGS = re.compile(
    r"<(?P<close>/?)(?:think|thinking|thought|seed:think)>"
    r"|\[(?P<close_bracket>/?)THINK\]"
    r"|◁(?P<close_kimi>/?)think▷"
    r"|<\|(?:START|(?P<close_cohere>END))_THINKING\|>",
    re.IGNORECASE,
)
FINAL = re.compile(r"<\|channel\|>final<\|message\|>|(?<=[^\s\w])assistantfinal|\Aassistantfinal")
ANALYSIS = re.compile(r"\A\s*(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)")
_CHANNEL_TOKENS = {"<|channel|>", "<|message|>", "<|start|>"}
_ANALYSIS_BEGINS = "<|channel|>analysis"
_TO_FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


def is_mark(token: str) -> bool:
    """Whether a token marks where thinking begins or ends; such tokens must stay in texts, though tokenizers call them special."""
    return token in _CHANNEL_TOKENS or TAGS.fullmatch(token) is not None


def opened(prompt: str) -> str:
    """The tag that a prompt ends with, so that the answer begins inside thinking; nothing where there is none."""
    last = _last(prompt)
    return last[0] if last is not None and not any(last.groups()) else ""


def closed(prompt: str) -> bool:
    """Whether a prompt ends with a tag that ends thinking, so that the answer begins without any."""
    last = _last(prompt)
    return last is not None and any(last.groups())


def _last(prompt: str) -> re.Match[str] | None:
    end = prompt.rstrip()
    return next((tag for tag in TAGS.finditer(end, max(0, len(end) - 20)) if tag.end() == len(end)), None)


def opening(template: str) -> str:
    """The tag that opens a think block, of a chat template that names it or its end; nothing where none is named.

    >>> opening("{% if '</think>' in content %}"), opening("{{ content }}")
    ('<think>', '')
    """
    if _ANALYSIS_BEGINS in template:
        return f"{_ANALYSIS_BEGINS}<|message|>"
    tag = TAGS.search(template)
    return tag[0].replace("/", "", 1).replace("END", "START") if tag is not None else ""


def ending(text: str, tag: str) -> str:
    """What ends the thinking that a text leaves open, up to where the answer begins; nothing where none is open.

    Args:
        text: What was written so far, the prompt's tag included.
        tag: The model's opening tag: a text may end within it, or within the closing one.
    """
    begun = text.strip()
    if not TAGS.search(text) and tag.startswith(begun):
        text, rest = tag, tag[len(begun) :]
    else:
        rest = ""
    end = closing(text)
    if not end:
        return rest
    if end == _TO_FINAL:
        return rest + (_lacking(text, end.removeprefix("<|end|>")) or end)  # texts do not hold that token
    if lacking := _lacking(text, end):
        return f"{lacking}\n\n"
    between = "\n\n" if rest else "\n"  # as Qwen3's own block without thinking, "<think>\n\n</think>\n\n"
    return f"{rest}{between}{end}\n\n"


def _lacking(text: str, end: str) -> str:
    """What is left of an end that a text stops within, behind two characters at least; nothing where it does not."""
    return next((end[n:] for n in range(len(end) - 1, 1, -1) if text.endswith(end[:n])), "")


def answer_begins(text: str) -> int | None:
    """Where the answer begins behind the thinking of a text, its length where thinking is still open; None where there was none."""
    if ANALYSIS.match(text):
        final = FINAL.search(text)
        return final.end() if final is not None else len(text)
    tags = list(TAGS.finditer(text))
    if not tags:
        return None
    return tags[-1].end() if any(tags[-1].groups()) else len(text)


def closing(text: str) -> str:
    """The tag that ends thinking which a text leaves open; nothing where none is open.

    >>> closing("<think>Let me see"), closing("[THINK]a[/THINK] b")
    ('</think>', '')
    """
    if ANALYSIS.match(text) and not FINAL.search(text):
        return _TO_FINAL
    tags = list(TAGS.finditer(text))
    if not tags or any(tags[-1].groups()):
        return ""
    tag = tags[-1][0]
    return tag.replace("START", "END") if "START" in tag.upper() else f"{tag[0]}/{tag[1:]}"
