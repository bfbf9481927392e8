"""What the package's own source never uses, and the few places that may."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.compose import compose
from llmbench.config.paths import config_folder

PACKAGE = Path(llmbench.__file__).parent
ALLOWED = {
    # A pickled text, the form in which LiveCodeBench's private tests come; `find_class` refuses every class and function.
    ("benchmarks/livecodebench.py", "pickle"),
    # Programs that a model wrote are what this process inside the sandbox is for.
    ("sandbox/runner/job.py", "exec"),
    ("sandbox/runner/job.py", "compile"),
    ("sandbox/runner/check.py", "exec"),
    ("sandbox/runner/main.py", "__import__"),
    # Both loaders are safe ones: with libyaml, or without.
    ("system/files.py", "yaml.load"),
    # A setting of the user's, false unless asked for.
    ("engine/factory.py", "trust_remote_code"),
    ("engine/vllm/loading.py", "trust_remote_code"),
    ("engine/transformers/loading.py", "trust_remote_code"),
    ("engine/tokenizer.py", "trust_remote_code"),
    ("engine/cache/keys.py", "trust_remote_code"),
}
KEYWORDS = {"trust_remote_code", "shell", "allow_pickle"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "torch.load",
    "tempfile.mktemp",
}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def used(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            )
            yield from {name.split(".")[0] for name in modules} & MODULES
        elif isinstance(node, ast.Call):
            yield from {dotted(node.func)} & CALLS
            yield from (
                word.arg for word in node.keywords if word.arg in KEYWORDS and not is_false(word.value)
            )
        elif isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
            yield from KEYWORDS & {str(key) for key in keys}


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_nothing_dangerous_is_used_but_where_it_is_named_above() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for name in used(ast.parse(path.read_text()))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "eval('1')", "import os; os.system('x')", "import yaml; yaml.load(x, L)",
        "run('x', shell=True)", "f(trust_remote_code=True)", "f({'trust_remote_code': 1})", "import torch; torch.load(x)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(used(ast.parse(source)))


def test_remote_code_is_trusted_only_where_asked_for() -> None:
    for path in (config_folder() / "model").glob("*.yaml"):
        assert compose([f"model={path.stem}", "model.hub_id=org/name"]).model.trust_remote_code is False
