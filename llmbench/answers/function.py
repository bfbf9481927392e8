"""The program that a model's text makes of a function's head, whatever form the model gives it.

The first of these that gives the function a body counts:

1. the text as a continuation of the head, where it begins with indented code;
2. the last closed fenced block that defines the function, as it stands but for examples that read input, behind the helpers of earlier
   blocks that it needs and lacks; or the body that replaces that function's behind words of correction ("should be");
3. the function outside fences, with prose before and behind it;
4. the last closed block as the function's body, else indented code between prose as its body. A body may have lost the
   indentation of its first line or of all its lines. The marks of a quotation ("> ") are left out.

Where none does, a fence that a complete text leaves open ends with the text, if the function then returns a value.

Outside fences nothing says where code ends: the longest run of whole statements counts. Of what stands behind the function only
what it needs is kept, so that neither examples nor another task that a base model goes on with can break it.
"""

import ast
import itertools
import re
import textwrap
from collections.abc import Iterator

from llmbench.answers import function_syntax
from llmbench.answers.code import blocks_behind_prose, outside_blocks, with_last_fence_closed
from llmbench.answers.text import strip_thinking

_CODE_BEGINS = re.compile(r"(?:def|async def|class|import|from|@)\b|@\w|[A-Za-z_]\w*\s*=[^=]")
_BODY_BEGINS = re.compile(
    r"(?:^|(?<=[.!:])[ \t]+)(?=(?:return|for|while|if|try|with|assert|raise|global|nonlocal|def|import|from)\b|[A-Za-z_][\w.\[\], ]{0,100}[-+*/|&^%]?=[^=]|[A-Za-z_][\w.]*\([^\n]{0,500}\)[ \t]*$)",
    re.MULTILINE,
)
"""Where a body may begin that lost the indentation of its first line, also behind words in that line ("Sure! return x")."""
_QUOTE = re.compile(r"^> ?(?!>)", re.MULTILINE)
_CORRECTS = re.compile(
    r"\b(?:wait|actually|oops|sorry|mistake\w*|wrong|incorrect|error|bug\w*|fix\w*|correct\w*|should|instead|rather|hmm|body)\b",
    re.IGNORECASE,
)
"""What stands before a block that replaces the function's body."""
_READS = {"input", "stdin", "argv", "ArgumentParser", "fileinput"}
_STARTS = 50
"""Most lines of a text at which code is looked for."""
_MAX_LINES = 200
"""Lines of a body that is looked for in prose; trying many starts of a long text takes seconds."""
_FUTURE = re.compile(r"^from __future__ import (?:\([^)]*\)|[^\n;]*);?[ \t]*\n?", re.MULTILINE)


def function_program(head: str, name: str, text: str, *, complete: bool) -> str | None:
    """The program, or None where the text holds no function of this name and no body for it.

    Args:
        head: Code that ends with the function's signature and docstring.
        name: The function's name.
        text: What the model wrote.
        complete: Whether the text came to its end. If not, its last statement outside fences does not count.
    """
    text = _QUOTE.sub("", code_text(text))
    found = _found(head, name, text, complete=complete)
    closed = with_last_fence_closed(text) if found is None and complete else None
    ended = _found(head, name, closed, complete=True) if closed else None
    is_whole = ended and any(
        function_syntax.returns(node)
        for node in function_syntax.statements_of(ended)
        if function_syntax.defining(node, name)
    )
    return ended if is_whole else found


def _found(head: str, name: str, text: str, *, complete: bool) -> str | None:
    """The program that the closed blocks of a text, or what is outside of blocks, make."""
    opened = outside_blocks(text)
    found = blocks_behind_prose(text)
    blocks = [block for _, block in found]
    if not complete:
        opened = _without_last_statement(opened)
    if re.match(rf"\s*def\s+{re.escape(name)}\b", opened):
        opened = _outdented(opened, name)
    if _is_indented(opened.lstrip("\n")) and (
        program := _continued(head, name, opened, must_return=not complete)
    ):
        return program
    is_given = any(function_syntax.gives(block, name) for block in blocks)
    for place, (prose, block) in reversed(list(enumerate(found))):
        if function_syntax.gives(block, name):
            before, whole = _before(head, name), _without_input(block, name)
            return _joined(f"{before}\n{function_syntax.needed(whole, before, blocks[:place])}", whole)
        if (
            is_given
            and _CORRECTS.search(prose)
            and (program := _continued(head, name, block, must_return=True))
        ):
            return program
    if code := _in_the_open(opened, name) or _in_the_open(_outdented(opened, name), name):
        return _joined(_before(head, name), code)
    for body, is_block in _bodies(blocks, opened):
        if program := _continued(head, name, body, must_return=not is_block):
            return program
    defines = re.compile(rf"^\s*def\s+{re.escape(name)}\b", re.MULTILINE)
    broken = next((block for block in reversed(blocks) if defines.search(block)), None)
    return None if broken is None else _joined(_before(head, name), broken)


def _without_input(source: str, name: str) -> str:
    """The code without its examples, if those read what a user types or hands over: nobody does here."""
    nodes = function_syntax.statements_of(source)
    places = [place for place, node in enumerate(nodes) if function_syntax.defining(node, name)]
    examples = [
        node for node in nodes[places[-1] + 1 :] if not isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    names = (getattr(n, "id", None) or getattr(n, "attr", None) for node in examples for n in ast.walk(node))
    return function_syntax.trimmed(source, name, last=True) if _READS & set(names) else source


def _before(head: str, name: str) -> str:
    """What stands in the head before the function: imports, and functions that it may use."""
    starts = list(re.finditer(rf"^def\s+{re.escape(name)}\b", head, re.MULTILINE))
    return head[: starts[-1].start()] if starts else ""


def _joined(before: str, code: str) -> str:
    """Both as one program, which imports from `__future__` first."""
    futures = "".join(match[0].rstrip("; \t\n") + "\n" for match in _FUTURE.finditer(code))
    return f"{futures}{before}\n{_FUTURE.sub('', code).rstrip()}\n"


def _without_last_statement(text: str) -> str:
    lines = text.split("\n")
    last = max((place for place, line in enumerate(lines) if function_syntax.MARGIN.match(line)), default=0)
    return "\n".join(lines[:last])


def _in_the_open(text: str, name: str) -> str | None:
    """All code at the margin up to the last definition of the function, and what the function needs of the rest."""
    lines, pieces, at, tries = text.split("\n"), [], 0, 0
    while at < len(lines) and tries < _STARTS:
        piece = ""
        if _CODE_BEGINS.match(lines[at]):
            piece, tries = function_syntax.longest("\n".join(lines[at:])), tries + 1
        if piece:
            pieces.append(piece)
        at += piece.count("\n") + 1
    code = "\n".join(pieces)
    return function_syntax.trimmed(code, name, last=True) if function_syntax.gives(code, name) else None


def _bodies(blocks: list[str], opened: str) -> Iterator[tuple[str, bool]]:
    """What may be the function's body, and whether it is a whole block."""
    for block in reversed(blocks):
        yield block, True
    yield opened, False
    lines = opened.split("\n")
    starts = [match.end() for match in itertools.islice(_BODY_BEGINS.finditer(opened), _STARTS)]
    owner, offset = "", 0  # the last line at the margin: what is indented below a statement is part of that
    for place, line in enumerate(lines):
        if function_syntax.MARGIN.match(line):
            owner = line
        elif (
            _is_indented(line)
            and place
            and not _is_indented(lines[place - 1])
            and not _CODE_BEGINS.match(owner)
        ):
            starts.append(offset)
        offset += len(line) + 1
    for start in sorted(starts)[:_STARTS]:
        yield opened[start:], False


def _is_indented(line: str) -> bool:
    return bool(line.strip()) and line[0].isspace()


def _outdented(text: str, name: str) -> str:
    """The lines without the indentation of the function's first definition, where they have it."""
    found = re.search(rf"^([ \t]*)def\s+{re.escape(name)}\b", text, re.MULTILINE)
    return "\n".join(line.removeprefix(found[1] if found else "") for line in text.split("\n"))


def _continued(head: str, name: str, body: str, *, must_return: bool) -> str | None:
    """The head with this body; `must_return` where the body may be prose that happens to parse."""
    body = "\n".join(body.strip("\n").split("\n")[:_MAX_LINES]) if must_return else body.strip("\n")
    if not body.strip() or (must_return and "return" not in body):
        return None
    start = head if head.endswith("\n") else head + "\n"
    for reading in (body, _INDENT + body.lstrip(), _indented(body)):
        source = function_syntax.longest(start + reading)
        functions = [
            node for node in function_syntax.statements_of(source) if function_syntax.defining(node, name)
        ]
        if functions and (function_syntax.returns(functions[0]) or not (must_return or reading is not body)):
            return function_syntax.trimmed(source, name, last=False).rstrip("\n") + "\n"
    return None


_INDENT = "    "


def _indented(body: str) -> str:
    """The body as far as it is code, with the indentation that a function's body has."""
    lines = body.split("\n")
    width = len(lines[0]) - len(lines[0].lstrip())
    for place, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#") and len(line) - len(line.lstrip()) < width:
            lines = lines[:place]
            break
    dedented = (line[width:] if not line[:width].strip() else line.lstrip() for line in lines)
    return textwrap.indent(function_syntax.longest("\n".join(dedented)), _INDENT)


_CONTROL_TOKEN = re.compile(r"<[|｜][a-z_▁ ]{2,40}[|｜]>|<(?:start|end)_of_turn>|</s>|<eos>", re.IGNORECASE)
_FENCE_BEHIND_CODE = re.compile(r"^([^`\n]*[^`\s])[ \t]*(`{3,})[ \t]*$", re.MULTILINE)
_LANGUAGE = re.compile(r"\A\s*(?:python3?|py)[ \t]*:?[ \t]*\n", re.IGNORECASE)
_PROMPT = re.compile(r"^(?:>>>|> > >|\.\.\.|\. \. \.)(?: |$)")
_SESSION = re.compile(r"^(?:>>>|> > >) (?=(?:def|class|from|import)\b|@)", re.MULTILINE)


def code_text(text: str) -> str:
    """The text less thinking, other turns, a lone language tag and a session's prompts; fences behind code go to the next line."""
    text = strip_thinking(text)
    text = next((turn for turn in _CONTROL_TOKEN.split(text) if turn.strip()), text)
    text = _FENCE_BEHIND_CODE.sub(r"\1\n\2", _LANGUAGE.sub("", text))
    return "\n".join(_unprompted(text.split("\n"))) if _SESSION.search(text) else text


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
