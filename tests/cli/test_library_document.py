"""docs/how-to/python.md: its examples run as they stand, but for the engine, and the questions that would come from the hub."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmbench.cli import session
from llmbench.cli.python_settings import as_arguments
from llmbench.results.reader import load_run
from tests.helpers.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "python.md"
ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "1 + 1?", "answer": "It is. #### 2"},
    "math": {"problem": "1 + 1?", "answer": "2", "subject": "Algebra", "level": 1},
}


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_examples_of_the_page_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_fake_engine(settings: Mapping[str, Any]) -> list[str]:
        added = [] if "resume" in settings else ["engine=fake"]
        chosen = settings.get("benchmark") or []
        for name in [chosen] if isinstance(chosen, str) else chosen:
            if name in ROWS:
                path = tmp_path / f"{name}.jsonl"
                path.write_text(
                    "".join(json.dumps(ROWS[name] | {"unique_id": str(n)}) + "\n" for n in range(4))
                )
                added.append(f"benchmarks.{name}.data_files={path}")
        return [*as_arguments(settings), *added]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "as_arguments", with_fake_engine)
    assert examples()
    names: dict[str, Any] = {}
    for example in examples():
        exec(example, names)  # noqa: S102 - the page's own
    said = capsys.readouterr().out
    assert "There is no setting called 'limt'; did you mean limit or suite or point?" in said
    assert "\n1\n" in said  # the session's loads
    assert "arithmetic: B and A on 20 questions" in said
    assert names["run"].folder == tmp_path / "my-run"
    assert load_run(tmp_path / "my-run").results
