"""The example notebook, with an engine that answers at once."""

from pathlib import Path

import nbformat
import pytest

from llmbench.results.reader import load_run
from tests.helpers.notebooks import EXAMPLE, executed


@pytest.mark.slow
def test_the_example_notebook_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    shown = executed(tmp_path, {"engine": "fake"})
    assert "\x1b" not in "".join(shown)
    _, run, summary, rows, levels, session, comparison, refusal = shown
    assert "arithmetic 8/8" in run
    assert ": fake, profile documented, finished" in run
    assert "% right" in summary
    assert "output_tokens" in rows
    assert "product1" in levels
    assert session == "loaded 1 time\n"
    assert "arithmetic: B and A on 8 questions" in comparison
    assert refusal == "There is no setting called 'limt'; did you mean limit or suite or point?\n"
    runs = [load_run(folder) for folder in (tmp_path / "runs").iterdir()]
    assert [run.summary.status for run in runs] == ["finished"] * 3


def test_the_example_notebook_is_kept_without_outputs() -> None:
    cells = nbformat.read(EXAMPLE, as_version=4).cells
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
