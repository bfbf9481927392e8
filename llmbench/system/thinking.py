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
_TO_FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


def is_mark(token: str) -> bool:
    """Whether a token marks where thinking begins or ends; such tokens must stay in texts, though tokenizers call them special."""
    return token in _CHANNEL_TOKENS or TAGS.fullmatch(token) is not None


def opened(prompt: str) -> str:
    """The tag that a prompt ends with, so that the answer begins inside thinking; nothing where there is none."""
    end = prompt.rstrip()
    last = [tag for tag in TAGS.finditer(end, max(0, len(end) - 20)) if tag.end() == len(end)]
    return last[0][0] if last and not any(last[0].groups()) else ""


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
