"""The library with a real engine in a process of its own. In the caller's process: tests/bench/notebook_vllm.py."""

from pathlib import Path

import pytest

from tests.helpers.commands import python
from tests.helpers.small_models import first_layers


@pytest.mark.real_engine
def test_a_script_without_a_guard_may_have_an_engine_in_a_process_of_its_own_and_ask_it_from_a_thread(
    smollm2: Path, tmp_path: Path
) -> None:
    small = first_layers(smollm2, tmp_path / "model")
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
