"""The tree of errors as its docstring draws it, against the classes themselves."""

import ast
import re
from pathlib import Path

import llmbench
from llmbench import errors

PACKAGE = Path(llmbench.__file__).parent
BUILT_IN = {"Exception", "BaseException", "KeyboardInterrupt", "Error"}


def classes() -> dict[str, str]:
    """Every exception class at the top of a module, by module and name, with its base."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                if any(base in BUILT_IN or base.endswith("Error") for base in bases):
                    found[f"{module}.{node.name}".removeprefix("errors.")] = bases[0]
    return found


def drawn() -> dict[str, str | None]:
    """The docstring's names, with the one above each in its tree."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in str(errors.__doc__).splitlines():
        entry = re.fullmatch(r"(?P<branch>[│├└─ ]*)(?P<name>[\w.]+)  +\S.*|(?P<long>[\w.]+) an? .*", line)
        if entry is None:
            continue
        depth, name = len(entry["branch"] or ""), entry["name"] or entry["long"]
        above = [(d, n) for d, n in above if d < depth]
        found[name] = above[-1][1] if above else None
        above.append((depth, name))
    return found


def test_the_drawn_tree_is_the_classes_own() -> None:
    defined, tree = classes(), drawn()
    assert set(tree) == set(defined)
    for name, parent in tree.items():
        assert defined[name] == parent if parent else defined[name] in BUILT_IN, name


def test_every_error_for_the_user_has_a_docstring_and_one_root() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BaseException)
    ]
    assert {kind for kind in kinds if not issubclass(kind, errors.LlmbenchError)} == {errors.Interrupted}
    assert all(kind.__doc__ for kind in kinds)
