"""The order of the packages, as docs/architecture.md has it and the contracts in pyproject.toml say."""

import pytest
from importlinter.cli import lint_imports

from tests.helpers.paths import ROOT


def test_no_package_imports_one_above_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out
