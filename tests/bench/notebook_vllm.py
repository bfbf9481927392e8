"""The example notebook with a real engine: two loads in one process, and a session that keeps the second.

`python -m pytest tests/bench/notebook_vllm.py`, as `make bench` does. The tests run the notebook with the fake engine.
"""

from pathlib import Path

import pytest

from llmbench.results.reader import load_run
from tests.helpers.installed import needs
from tests.helpers.notebooks import executed
from tests.helpers.small_models import first_layers

pytestmark = [needs("vllm"), pytest.mark.real_engine]


def test_the_example_notebook_runs_with_vllm(smollm2: Path, tmp_path: Path) -> None:
    small = first_layers(smollm2, tmp_path / "model")
    shown = executed(tmp_path, {"model.path": str(small), "model.dtype": "float32"})
    assert "\x1b" not in "".join(shown)
    assert "WARNING" not in "".join(shown)
    assert "INFO" not in "".join(shown)
    assert shown[5] == "loaded 1 time\n"
    runs = sorted(map(load_run, (tmp_path / "runs").iterdir()), key=lambda run: run.manifest.started or "")
    assert len(runs) == 3
    for run in runs:
        assert (run.summary.status, len(run.results)) == ("finished", 8)
        assert run.summary.engine is not None
        assert run.summary.engine.name == "vllm"
    assert runs[-1].summary.time_s.load == 0
