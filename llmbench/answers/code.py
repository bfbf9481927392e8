"""Programs and patches in a model's text."""

import re
import textwrap

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
    return [body for _, body in _fenced(strip_thinking(text), closed_only=True) if body.strip()]


def patch(text: str) -> str | None:
    """The first `<patch>` or `<diff>`, else the first fenced diff, else a diff that stands in the open; None without one.

    SWE-bench's order. What holds neither a hunk nor a file header is no patch: SWE-bench would hand on prose and plain code.
    A patch cut off before its closing tag or fence is still one (it will hardly apply). It ends in a newline, as git asks.
    """
    text = strip_thinking(text)
    candidates = [_innermost(match["body"]) for match in _TAG.finditer(text)]
    candidates += [body for _, body in _fenced(text, closed_only=False)]
    candidates += [text[match.start() :] for match in _BARE_START.finditer(text)][:1]
    for candidate in candidates:
        if _is_diff(candidate):
            return candidate.strip("\n") + "\n"
    return None


def _innermost(body: str) -> str:
    """A tag mentioned in prose swallows the real one; a fence may stand inside the tag."""
    body = re.split(r"<(?:patch|diff)>", body, flags=re.IGNORECASE)[-1]
    fenced = [content for _, content in _fenced(body, closed_only=False) if _is_diff(content)]
    return fenced[0] if fenced else body


def _is_diff(text: str) -> bool:
    return bool(_FILE_HEADER.search(text))


def _fenced(text: str, *, closed_only: bool) -> list[tuple[str, str]]:
    """Info string and content of the fenced blocks; the last may be open."""
    blocks: list[tuple[str, str]] = []
    opening: re.Match[str] | None = None
    content: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        fence = _FENCE.match(line)
        if opening is None:
            if fence:
                opening, content = fence, []
            continue
        if fence and not fence["info"].strip() and fence["marks"].startswith(opening["marks"]):
            blocks.append((opening["info"].strip(), _dedented(content, opening["indent"])))
            opening = None
            continue
        content.append(line)
    if opening is not None and not closed_only:
        blocks.append((opening["info"].strip(), _dedented(content, opening["indent"])))
    return blocks


def _dedented(lines: list[str], indent: str) -> str:
    text = "\n".join(lines)
    if indent and all(line.startswith(indent) for line in lines if line.strip()):
        return "\n".join(line.removeprefix(indent) for line in lines)
    return textwrap.dedent(text) if indent else text
