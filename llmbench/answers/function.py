"""The program that a model's text makes of a function's head, whatever form the model gives it.

The first of these that gives the function a body counts:

1. the text as a continuation of the head, where it begins with indented code;
2. the last closed fenced block that defines the function, as it stands but for examples that read input; or the body that replaces
   that function's behind words of correction ("should be");
3. the function outside fences, with prose before and behind it;
4. the last closed block as the function's body, else indented code between prose as its body. A body may have lost the
   indentation of its first line or of all its lines. The marks of a quotation ("> ") are left out.

Outside fences nothing says where code ends: the longest run of whole statements counts. Of what stands behind the function only
what it needs is kept, so that neither examples nor another task that a base model goes on with can break it.
"""

import ast
import itertools
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence

from llmbench.answers.code import blocks_behind_prose, outside_blocks
from llmbench.answers.code_text import code_text

_DEFINING = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AugAssign, ast.Try,
)  # fmt: skip
_CODE_BEGINS = re.compile(r"(?:def|async def|class|import|from|@)\b|@\w|[A-Za-z_]\w*\s*=[^=]")
_BODY_BEGINS = re.compile(
    r"(?:^|(?<=[.!:])[ \t]+)(?=(?:return|for|while|if|try|with|assert|raise|global|nonlocal|def|import|from)\b|[A-Za-z_][\w.\[\], ]{0,100}[-+*/|&^%]?=[^=]|[A-Za-z_][\w.]*\([^\n]{0,500}\)[ \t]*$)",
    re.MULTILINE,
)
"""Where a body may begin that lost the indentation of its first line, also behind words in that line ("Sure! return x")."""
_QUOTE = re.compile(r"^> ?(?!>)", re.MULTILINE)
_MARGIN = re.compile(r"[^\s#]")
"""A line that is not a continuation of a function: neither indented, nor empty, nor a comment."""
_CORRECTS = re.compile(
    r"\b(?:wait|actually|oops|sorry|mistake\w*|wrong|incorrect|error|bug\w*|fix\w*|correct\w*|should|instead|rather|hmm|body)\b",
    re.IGNORECASE,
)
"""What stands before a block that replaces the function's body."""
_READS = {"input", "stdin", "argv", "ArgumentParser", "fileinput"}
_STARTS, _CUTS = 50, 20
"""Most lines of a text at which code is looked for, and most attempts to find where it ends."""
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
    is_given = any(_gives(block, name) for block in blocks)
    for prose, block in reversed(found):
        if _gives(block, name):
            return _joined(_before(head, name), _without_input(block, name))
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


def _parsed(source: str) -> ast.Module | SyntaxError | None:
    """The tree, or what is wrong; None where Python itself gives up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a "\d" that should be "\\d" is no matter of ours
        try:
            return ast.parse(source)
        except SyntaxError as error:
            return error
        except (ValueError, RecursionError, MemoryError):
            return None


def _statements(source: str) -> list[ast.stmt]:
    tree = _parsed(source)
    return tree.body if isinstance(tree, ast.Module) else []


def _function(node: ast.stmt, name: str) -> ast.stmt | None:
    """The statement if it gives the function a body: a definition that is more than a stub, or an assignment to its name."""
    if isinstance(node, ast.ClassDef) and node.name == "Solution":
        return next((inner for inner in node.body if _function(inner, name)), None)
    if isinstance(node, ast.Assign):
        return node if any(isinstance(t, ast.Name) and t.id == name for t in node.targets) else None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name != name:
        return None
    return node if any(not _is_stub(statement) for statement in node.body) else None


def _is_stub(node: ast.stmt) -> bool:
    """Whether a head may have it, too: a docstring, an import, `pass` or `...`."""
    return isinstance(node, (ast.Pass, ast.Import, ast.ImportFrom)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _gives(source: str, name: str) -> bool:
    return any(_function(node, name) for node in _statements(source))


def _without_input(source: str, name: str) -> str:
    """The code without its examples, if those read what a user types or hands over: nobody does here."""
    nodes = _statements(source)
    places = [place for place, node in enumerate(nodes) if _function(node, name)]
    examples = [
        node for node in nodes[places[-1] + 1 :] if not isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    names = (getattr(n, "id", None) or getattr(n, "attr", None) for node in examples for n in ast.walk(node))
    return _trimmed(source, name, last=True) if _READS & set(names) else source


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
    last = max((place for place, line in enumerate(lines) if _MARGIN.match(line)), default=0)
    return "\n".join(lines[:last])


def _longest(source: str) -> str:
    """The longest beginning of whole statements at the margin that parses; empty where the first does not."""
    lines = source.split("\n")
    for _ in range(_CUTS):
        error = _parsed("\n".join(lines) + "\n")
        if isinstance(error, ast.Module):
            return "\n".join(lines)
        wrong = len(lines) if error is None else min(error.lineno or 1, len(lines))
        cut = max((place for place in range(wrong) if _MARGIN.match(lines[place])), default=0)
        if not cut:
            break
        lines = lines[:cut]
    return ""


def _in_the_open(text: str, name: str) -> str | None:
    """All code at the margin up to the last definition of the function, and what the function needs of the rest."""
    lines, pieces, at, tries = text.split("\n"), [], 0, 0
    while at < len(lines) and tries < _STARTS:
        piece = ""
        if _CODE_BEGINS.match(lines[at]):
            piece, tries = _longest("\n".join(lines[at:])), tries + 1
        if piece:
            pieces.append(piece)
        at += piece.count("\n") + 1
    code = "\n".join(pieces)
    return _trimmed(code, name, last=True) if _gives(code, name) else None


def _bodies(blocks: list[str], opened: str) -> Iterator[tuple[str, bool]]:
    """What may be the function's body, and whether it is a whole block."""
    for block in reversed(blocks):
        yield block, True
    yield opened, False
    lines = opened.split("\n")
    starts = [match.end() for match in itertools.islice(_BODY_BEGINS.finditer(opened), _STARTS)]
    owner, offset = "", 0  # the last line at the margin: what is indented below a statement is part of that
    for place, line in enumerate(lines):
        if _MARGIN.match(line):
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


def _returns(function: ast.stmt) -> bool:
    """Whether it returns a value itself, not only functions within it."""
    inner: list[ast.AST] = [function]
    while inner:
        node = inner.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            return True
        inner += [n for n in ast.iter_child_nodes(node) if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return False


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
        source = _longest(start + reading)
        functions = [node for node in _statements(source) if _function(node, name)]
        if functions and (_returns(functions[0]) or not (must_return or reading is not body)):
            return _trimmed(source, name, last=False).rstrip("\n") + "\n"
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
    return textwrap.indent(_longest("\n".join(dedented)), _INDENT)


def _trimmed(source: str, name: str, *, last: bool) -> str:
    """The code without examples before the function, and without what stands behind it and is not needed.

    `last` says which definition of the function counts: a model corrects itself, but a base model that continues a function
    goes on with the next task.
    """
    nodes = _statements(source)
    places = [place for place, node in enumerate(nodes) if _function(node, name)]
    place = places[-1 if last else 0]
    kept = [node for node in nodes[: place + 1] if isinstance(node, _DEFINING) or _is_call_of_method(node)]
    behind: list[ast.stmt] = [node for node in nodes[place + 1 :] if isinstance(node, _DEFINING)]
    while needed := _of_use(behind, kept):
        kept.append(needed)
        behind.remove(needed)
    lines = {n for node in kept for n in _lines(node)}
    dropped = {n for node in nodes if node not in kept for n in _lines(node)} - lines
    return "\n".join(line for n, line in enumerate(source.split("\n"), 1) if n not in dropped)


def _is_call_of_method(node: ast.stmt) -> bool:
    """Such as sys.setrecursionlimit(…); print(…) and main() are examples."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
    )


def _lines(node: ast.stmt) -> range:
    decorators = getattr(node, "decorator_list", [])
    return range(min([node.lineno, *(d.lineno for d in decorators)]), (node.end_lineno or node.lineno) + 1)


def _binds(node: ast.stmt) -> set[str]:
    """The names that a statement at the margin gives a value; `*` for those that nobody can know."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    inner = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return inner.union(*(_binds(n) for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))))


def _of_use(nodes: Sequence[ast.stmt], useful: list[ast.stmt]) -> ast.stmt | None:
    """The first of these statements that gives a value to a name that the `useful` ones use and does not define."""
    missing = {"*"}.union(*map(_free, useful)) - {name for node in useful for name in _binds(node)}
    return next((node for node in nodes if _binds(node) & missing), None)


def _free(node: ast.stmt) -> set[str]:
    """The names that a statement reads and that nothing in it binds."""
    inner = list(ast.walk(node))
    read = {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    stored = {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return read - stored - {n.arg for n in inner if isinstance(n, ast.arg)}
