"""The library with a real engine: two loads in one process and a session that keeps the second, and an engine in a process of its own.

The first layers of SmolLM2 in float32: most of the time is vLLM's import.
"""

from pathlib import Path

import pytest

from llmbench.results.reader import load_run
from tests.helpers.commands import python
from tests.helpers.notebooks import executed
from tests.helpers.small_models import first_layers


@pytest.fixture(scope="module")
def small(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_layers(smollm2, tmp_path_factory.mktemp("small") / "model")


@pytest.mark.real_engine
def test_the_example_notebook_runs_with_vllm(small: Path, tmp_path: Path) -> None:
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


@pytest.mark.real_engine
def test_a_script_without_a_guard_may_have_an_engine_in_a_process_of_its_own_and_ask_it_from_a_thread(
    small: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, threading, llmbench\nbefore = dict(os.environ)\nprint('begins')\nruns = []\n"
        "def work():\n"
        f"    few = {{'model.path': {str(small)!r}, 'model.dtype': 'float32', 'benchmarks.arithmetic.max_tokens': 8, 'report': False}}\n"
        "    runs.append(llmbench.evaluate('arithmetic', limit=2, folder='run', engine={'multiprocess': True}, **few))\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
        "print(runs[0].summary.status, dict(os.environ) == before)\n"
    )
    done = python(str(script), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "begins\nfinished True\n"), done.stderr
