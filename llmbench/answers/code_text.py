"""A model's text made ready for looking for code in it: one turn, fences on lines of their own, no prompts of a session."""

import re
from collections.abc import Iterator

from llmbench.answers.text import strip_thinking

_CONTROL_TOKEN = re.compile(r"<[|｜][a-z_▁ ]{2,40}[|｜]>|<(?:start|end)_of_turn>|</s>|<eos>", re.IGNORECASE)
_FENCE_BEHIND_CODE = re.compile(r"(?<=[^`\s])[ \t]*(?P<marks>`{3,})[ \t]*$", re.MULTILINE)
_LANGUAGE = re.compile(r"\A\s*(?:python3?|py)[ \t]*:?[ \t]*\n", re.IGNORECASE)
_PROMPT = re.compile(r"^(?:>>>|> > >|\.\.\.|\. \. \.)(?: |$)")
_SESSION = re.compile(r"^(?:>>>|> > >) (?=(?:def|class|from|import)\b|@)", re.MULTILINE)


def code_text(text: str) -> str:
    """The text less thinking, other turns, a lone language tag and a session's prompts; fences behind code go to the next line."""
    text = strip_thinking(text)
    text = next((turn for turn in _CONTROL_TOKEN.split(text) if turn.strip()), text)
    text = _FENCE_BEHIND_CODE.sub(_on_its_own_line, _LANGUAGE.sub("", text))
    return "\n".join(_unprompted(text.split("\n"))) if _SESSION.search(text) else text


def _on_its_own_line(fence: re.Match[str]) -> str:
    line = fence.string[fence.string.rfind("\n", 0, fence.start()) + 1 : fence.start()]
    return fence[0] if "`" in line else f"\n{fence['marks']}"


def _unprompted(lines: list[str]) -> Iterator[str]:
    """The lines without prompts, and without what a session prints between them."""
    is_session = False
    for line in lines:
        prompt = _PROMPT.match(line)
        is_session = bool(_SESSION.match(line)) or (
            is_session and bool(prompt or (line.strip() and not line.lstrip().startswith(("```", "~~~"))))
        )
        if prompt:
            yield line[prompt.end() :]
        elif not is_session:
            yield line
