"""What ends Ray and its processes."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llmbench.engine.replicas import cleaner, cluster
from llmbench.engine.replicas.engine import ReplicatedEngine
from llmbench.errors import EngineDiedError, EngineError
from llmbench.system import processes
from tests.helpers.settings import compose

# What a killed run leaves


def test_the_cleaner_ends_who_has_a_file_of_the_folder_open_and_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "llmbench-ray-x"
    folder.mkdir()
    (folder / "log").touch()
    sleeping = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    with (folder / "log").open() as file:
        having = subprocess.Popen(sleeping, stdout=subprocess.PIPE, stdin=file)
    # as a process of the run's own that began while Ray was started
    other = subprocess.Popen(sleeping, stdout=subprocess.PIPE, env=os.environ | {"LLMBENCH_RAY": str(folder)})
    try:
        for process in (having, other):
            assert process.stdout is not None
            process.stdout.readline()
        assert [each.pid for each in cleaner.users_of(str(folder))] == [having.pid]
        cleaner.clean(str(folder))
        assert having.wait() == -9
        assert other.poll() is None
        assert not folder.exists()
    finally:
        for process in (having, other):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_the_cleaner_waits_for_the_end_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "llmbench-ray-y"
    folder.mkdir()
    run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    waiting = subprocess.Popen([sys.executable, "-I", cleaner.__file__, str(run.pid), str(folder)])
    assert folder.exists()
    run.kill()
    run.wait()
    assert run.stdin is not None
    run.stdin.close()
    assert waiting.wait(60) == 0
    assert not folder.exists()


def test_a_family_is_killed_as_a_whole() -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print(flush=True); input()"
    one = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert one.stdout is not None
    assert one.stdin is not None
    one.stdout.readline()
    (child,) = psutil.Process(one.pid).children()
    processes.kill_family(one.pid)
    one.wait()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    for stream in (one.stdout, one.stdin):
        stream.close()
    processes.kill_family(one.pid)


def test_without_ray_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"needs the package ray .*; `pip install 'llmbench\[replicas\]'`"):
        cluster.Cluster(None, 0).open()


def test_a_ray_that_is_gone_asks_for_a_new_process() -> None:
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    engine = ReplicatedEngine(compose(["benchmark=arithmetic", "engine=fake", "engine.replicas=2"]), None)
    engine._cluster._servers = [psutil.Process(server.pid)]
    assert engine._cluster.alive()
    server.kill()
    server.wait()
    assert server.stdin is not None
    server.stdin.close()
    with pytest.raises(EngineDiedError, match="Ray, which has the replicas, ended") as caught:
        engine.step()
    assert caught.value.needs_new_process
    engine.close()
