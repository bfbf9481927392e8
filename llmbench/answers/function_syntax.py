"""Python's syntax trees of what a model wrote: which of its statements define a function, and which that function needs."""

import ast
import builtins
import re
import warnings
from collections.abc import Collection, Sequence

_DEFINING = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign,
    ast.Try,
)  # fmt: skip
MARGIN = re.compile(r"[^\s#]")
"""A line that is not a continuation of a function: neither indented, nor empty, nor a comment."""
_CUTS = 20
"""Most attempts to find where code ends."""


def parsed(source: str) -> ast.Module:
    """Returns the syntax tree of a program, without Python's warnings, such as of an escape that is none.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: Python cannot read it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _parsed(source: str) -> ast.Module | SyntaxError | None:
    """The tree, or what is wrong; None where Python itself gives up."""
    try:
        return parsed(source)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError):
        return None


def statements_of(source: str) -> list[ast.stmt]:
    """The statements at the margin; none where the source does not parse."""
    tree = _parsed(source)
    return tree.body if isinstance(tree, ast.Module) else []


def defining(node: ast.stmt, name: str) -> ast.stmt | None:
    """The statement if it gives the function a body: a definition that is more than a stub, or an assignment to its name."""
    if isinstance(node, ast.ClassDef) and node.name == "Solution":
        return next((inner for inner in node.body if defining(inner, name)), None)
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


def gives(source: str, name: str) -> bool:
    """Whether the source gives the function a body."""
    return any(defining(node, name) for node in statements_of(source))


def longest(source: str) -> str:
    """The longest beginning of whole statements at the margin that parses; empty where the first does not."""
    lines = source.split("\n")
    for _ in range(_CUTS):
        error = _parsed("\n".join(lines) + "\n")
        if isinstance(error, ast.Module):
            return "\n".join(lines)
        wrong = len(lines) if error is None else min(error.lineno or 1, len(lines))
        cut = max((place for place in range(wrong) if MARGIN.match(lines[place])), default=0)
        if not cut:
            break
        lines = lines[:cut]
    return ""


def returns(function: ast.stmt) -> bool:
    """Whether it returns a value itself, not only functions within it."""
    inner: list[ast.AST] = [function]
    while inner:
        node = inner.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            return True
        inner += [n for n in ast.iter_child_nodes(node) if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return False


def trimmed(source: str, name: str, *, last: bool) -> str:
    """The code without examples before the function, and without what stands behind it and is not needed.

    `last` says which definition of the function counts: a model corrects itself, but a base model that continues a function
    goes on with the next task.
    """
    nodes = statements_of(source)
    places = [place for place, node in enumerate(nodes) if defining(node, name)]
    place = places[-1 if last else 0]
    kept = [node for node in nodes[: place + 1] if isinstance(node, _DEFINING) or _is_call_of_method(node)]
    behind: list[ast.stmt] = [node for node in nodes[place + 1 :] if isinstance(node, _DEFINING)]
    kept += _of_use(behind, kept)
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


def binds(node: ast.stmt) -> set[str]:
    """The names that a statement at the margin gives a value; `*` for those that nobody can know."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    return {name for n in ast.walk(node) for name in _bound(n)}


def _bound(node: ast.AST) -> set[str]:
    """The names that a node itself gives a value, parameters left out."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
        case (
            ast.FunctionDef(name=str(name))
            | ast.AsyncFunctionDef(name=str(name))
            | ast.ClassDef(name=str(name))
        ):
            return {name}
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return {name}
        case ast.MatchMapping(rest=str(name)):
            return {name}
    return set()


def needed(code: str, before: str, blocks: Sequence[str]) -> str:
    """The definitions in blocks that the code needs, and that neither it nor what stands `before` it has; of several the last."""
    nodes = [
        (place, node)
        for place, block in enumerate(blocks)
        for node in statements_of(block)
        if isinstance(node, _DEFINING)
    ]
    useful, written = [*statements_of(before), *statements_of(code)], [block.split("\n") for block in blocks]
    found = set(_of_use([node for _, node in reversed(nodes)], useful, known={"*", *vars(builtins)}))
    lines = {(place, n) for place, node in nodes if node in found for n in _lines(node)}
    return "".join(f"{written[place][n - 1]}\n" for place, n in sorted(lines))


def _of_use(
    nodes: Sequence[ast.stmt], useful: Sequence[ast.stmt], known: Collection[str] = ()
) -> list[ast.stmt]:
    """Those of the statements that the `useful` ones need, and that these need in turn.

    They give values to names that are read, neither defined nor `known`; of several statements the first counts.
    """
    bound = [(node, binds(node)) for node in nodes]
    has = {name for node in useful for name in binds(node)}.union(known)
    missing, found = {"*"}.union(*map(_free, useful)) - has, []
    while following := next((pair for pair in bound if pair[1] & missing), None):
        found.append(following[0])
        has |= following[1]
        missing = (missing | _free(following[0])) - has
    return found


def _free(node: ast.stmt) -> set[str]:
    """The names that a statement reads and that nothing in it binds."""
    inner = list(ast.walk(node))
    read = {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return read.difference(*map(_bound, inner)) - {n.arg for n in inner if isinstance(n, ast.arg)}
