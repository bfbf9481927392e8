"""Programs and patches in a model's text."""

import re
import textwrap
from dataclasses import dataclass

from llmbench.answers.text import strip_thinking

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?:>[ \t]?)?(?P<marks>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_TAG = re.compile(r"<(?P<name>patch|diff)>(?P<body>.*?)(?:</(?P=name)>|\Z)", re.DOTALL | re.IGNORECASE)
_FILE_HEADER = re.compile(
    r"(?m)^(?:diff --git |--- \S.*\n\+\+\+ \S|(?:rename|copy) from |(?:new|deleted) file mode )"
)
_BARE_START = re.compile(r"(?m)^(?:diff --git a/|--- (?:a/|/dev/null).*\n\+\+\+ )")


def code_block(text: str) -> str | None:
    """The last closed fenced block, or None; LiveCodeBench's rule (lcb_runner/utils/extraction_utils.py).

    A block whose fence was never closed was cut off and is no program; the last closed one before it counts. A block that
    holds nothing is none. Unlike LiveCodeBench, fences are paired from the top, so that prose between two blocks is never
    taken for code, and a block indented as part of a list loses that indentation.
    """
    blocks = code_blocks(text)
    return blocks[-1] if blocks else None


def code_blocks(text: str) -> list[str]:
    """All closed fenced blocks that hold something, in their order; see `code_block`."""
    return [body for _, body in blocks_behind_prose(text)]


def blocks_behind_prose(text: str) -> list[tuple[str, str]]:
    """All closed fenced blocks that hold something, each behind the prose that stands between it and the block before."""
    _, blocks = _split(_unix(strip_thinking(text)))
    whole = [block for block in blocks if block.closed and block.body.strip()]
    return [(block.before, block.body.removesuffix("\n")) for block in whole]


def outside_blocks(text: str) -> str:
    """The text without its fenced blocks, closed or not; a line with a fence stands for each."""
    opened, _ = _split(_unix(strip_thinking(text)))
    return "\n".join(opened)


def patch(text: str) -> str | None:
    """The first `<patch>` or `<diff>`, else the first fenced diff, else a diff that stands in the open; None without one.

    SWE-bench's order. What holds neither a hunk nor a file header is no patch: SWE-bench would hand on prose and plain code.
    A patch cut off before its closing tag or fence is still one (it will hardly apply). It ends in a newline, as git asks.
    Empty lines at its end stay: they may be the last lines of context, whose one space models leave out. Line ends of
    Windows stay where only some lines have them, for these are the file's; where all have them, they are the text's own.
    """
    at_the_end = text[len(text.rstrip("\n")) :]
    text = strip_thinking(text)
    if text.count("\n") == text.count("\r\n"):
        text = _unix(text)
    text += at_the_end
    candidates = [_innermost(match["body"]) for match in _TAG.finditer(text)]
    candidates += [block.body for block in _split(text)[1]]
    candidates += [text[match.start() :] for match in _BARE_START.finditer(text)][:1]
    for candidate in candidates:
        if _is_diff(candidate):
            found = candidate.lstrip("\r\n")
            return found if found.endswith("\n") else found + "\n"
    return None


def _innermost(body: str) -> str:
    """A tag mentioned in prose swallows the real one; a fence may stand inside the tag."""
    body = re.split(r"<(?:patch|diff)>", body, flags=re.IGNORECASE)[-1]
    fenced = [block.body for block in _split(body)[1] if _is_diff(block.body)]
    return fenced[0] if fenced else body


def _is_diff(text: str) -> bool:
    return bool(_FILE_HEADER.search(text))


def with_last_fence_closed(text: str) -> str | None:
    """The text with a fence at its end that closes the block which it leaves open; None where all are closed."""
    text = _unix(strip_thinking(text))
    outside, blocks = _split(text)
    return f"{text}\n{outside[-1]}" if blocks and not blocks[-1].closed else None


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, slots=True)
class _Block:
    """A fenced block; `closed` is false where the text ends before its closing fence."""

    body: str
    closed: bool
    before: str
    """The lines between the block before and this one."""


def _split(text: str) -> tuple[list[str], list[_Block]]:
    """The lines outside fenced blocks, with a fence in the place of each block, and the blocks."""
    outside: list[str] = []
    blocks: list[_Block] = []
    opening: re.Match[str] | None = None
    content: list[str] = []
    before = 0
    for line in text.split("\n"):
        fence = _FENCE.match(line.removesuffix("\r"))
        if opening is None:
            if fence:
                opening, content = fence, []
                outside.append(fence["marks"])
            else:
                outside.append(line)
        elif fence and not fence["info"].strip() and fence["marks"].startswith(opening["marks"]):
            prose = "\n".join(outside[before:-1])
            blocks.append(_Block(_dedented(content, opening["indent"]), closed=True, before=prose))
            opening, before = None, len(outside)
        else:
            content.append(line)
    if opening is not None:
        blocks.append(_Block(_dedented(content, opening["indent"]), closed=False, before=""))
    return outside, blocks


def _dedented(lines: list[str], indent: str) -> str:
    """The lines, each with its end, without the indentation of the fence."""
    text = "".join(f"{line}\n" for line in lines)
    if indent and all(line.startswith(indent) for line in lines if line.strip()):
        return "".join(line.removeprefix(indent) + "\n" for line in lines)
    return textwrap.dedent(text) if indent else text
