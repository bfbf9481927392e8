"""The example notebook with a real engine: two loads in one process, and a session that keeps the second."""

from pathlib import Path

import pytest

from llmbench.results.reader import load_run
from tests.helpers.notebooks import executed


@pytest.mark.real_engine
@pytest.mark.usefixtures("smollm2")
def test_the_example_notebook_runs_with_the_model_that_it_names(tmp_path: Path) -> None:
    shown = executed(tmp_path, {"model": "smollm2"})
    assert "\x1b" not in "".join(shown)
    assert "WARNING" not in "".join(shown)
    assert "INFO" not in "".join(shown)
    assert shown[5] == "loaded 1 time\n"
    for name in ("first", "greedy", "drawn"):
        run = load_run(tmp_path / name)
        assert (run.summary.status, len(run.results)) == ("finished", 8)
        assert run.summary.engine is not None
        assert run.summary.engine.name == "vllm"
    assert load_run(tmp_path / "drawn").summary.time_s.load == 0
