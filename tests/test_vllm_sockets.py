"""The folder of vLLM's sockets: it goes with its process, or with the next one where that was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbench.engine import vllm_sockets
from llmbench.engine.vllm_sockets import LONGEST, PREFIX

CODE = """
import sys
from llmbench.engine.vllm_sockets import socket_folder
folder = socket_folder()
(folder / "0268e0ff-8b84-46ff-9b79-5d35079528cb").touch()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a short path
        yield Path(folder)


def start(base: Path, code: str = CODE) -> "tuple[subprocess.Popen[str], Path]":
    environment = {**os.environ, "TMPDIR": str(base), "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_goes_with_its_process(base: Path) -> None:
    process, folder = start(base)
    assert folder.parent == base
    assert folder.stat().st_mode & 0o777 == 0o700
    process.communicate()
    assert process.returncode == 0
    assert not list(base.iterdir())


def test_it_goes_with_a_process_that_leaves_at_once(base: Path) -> None:
    left = f"{CODE}from llmbench.signals import leave\nleave(3)"
    process, _ = start(base, left)
    process.communicate()
    assert process.returncode == 3
    assert not list(base.iterdir())


def test_what_a_killed_process_left_is_taken_away_and_what_is_in_use_is_not(base: Path) -> None:
    killed, left = start(base)
    living, used = start(base)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.is_dir()
    later, own = start(base)
    assert not left.exists()
    assert list(used.iterdir())
    assert own != used
    for process in (living, later):
        process.communicate()
    assert not list(base.iterdir())


def test_what_only_looks_like_one_is_left_alone(base: Path) -> None:
    elsewhere = base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (base / f"{PREFIX}link").symlink_to(elsewhere)
    (base / f"{PREFIX}file").touch()
    vllm_sockets.sweep(base)
    assert (elsewhere / "kept").exists()
    assert len(list(base.iterdir())) == 3


def test_a_socket_in_it_has_a_path_that_is_short_enough(base: Path) -> None:
    long = base / ("d" * LONGEST)
    long.mkdir()
    process, folder = start(long)
    process.communicate()
    assert long not in folder.parents
    assert len(str(folder / "0268e0ff-8b84-46ff-9b79-5d35079528cb")) <= LONGEST
