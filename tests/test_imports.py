"""The order of the packages, as docs/architecture.md has it and the contracts in pyproject.toml say."""

from tests.helpers.commands import python
from tests.helpers.paths import ROOT


def test_no_package_imports_one_above_it() -> None:
    """In a process of its own, since import-linter silences the loggers of the one it runs in."""
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = python("-c", code, folder=ROOT)
    assert done.returncode == 0, done.stdout
