"""An engine's processes: their death is told to who waits, and their end is waited for only so long."""

import logging
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from llmbench.engine.vllm.internals.processes import started_processes
from llmbench.engine.vllm.processes import EngineProcesses, close, watch_for_death
from llmbench.system.processes import is_alive

SPAWN = multiprocessing.get_context("spawn")


def stubborn(ready: Any) -> None:  # noqa: ANN401 - an Event of that context
    """An engine's process that hears nothing, and has a process of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork():
        ready.set()
    while True:
        time.sleep(60)


@pytest.fixture
def core() -> Iterator[BaseProcess]:
    ready = SPAWN.Event()
    process = SPAWN.Process(target=stubborn, args=(ready,))
    process.start()
    assert ready.wait(60)
    members = EngineProcesses.of(engine(process)).members
    yield process
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.join()


def engine(core: BaseProcess) -> Any:  # noqa: ANN401 - stands for vLLM's LLM
    resources = SimpleNamespace(engine_manager=SimpleNamespace(processes=[core]), engine_dead=False)
    client = SimpleNamespace(resources=resources, outputs_queue=queue.Queue(), utility_results={})
    return around(client)


def around(core: object) -> Any:  # noqa: ANN401 - stands for vLLM's LLM
    return SimpleNamespace(llm_engine=SimpleNamespace(engine_core=core))


def test_a_death_is_reported_to_who_waits(core: BaseProcess) -> None:
    made = engine(core)
    asked: Future[None] = Future()
    client = made.llm_engine.engine_core
    client.utility_results[1] = asked
    watch_for_death(made)
    assert client.outputs_queue.empty()
    core.kill()
    assert isinstance(client.outputs_queue.get(timeout=60), RuntimeError)
    with pytest.raises(RuntimeError, match="gone"):
        asked.result(timeout=60)
    assert client.resources.engine_dead


def test_what_does_not_shut_down_is_killed_with_its_own_processes(core: BaseProcess) -> None:
    members = EngineProcesses.of(engine(core)).members
    assert len(members) == 2

    def hangs() -> None:
        core.terminate()
        core.join()

    close(hangs, members, limit_s=0.5)
    assert not any(map(is_alive, members))


def test_a_slow_shutdown_puts_no_line_of_vllms_before_the_user(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = logging.getLogger("vllm.v1.utils")
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)  # whatever vLLM has set
    close(lambda: lines.warning("force killing remaining process"), [])
    assert not caplog.records
    lines.warning("later")
    assert [record.message for record in caplog.records] == ["later"]


def test_a_shutdown_that_fails_leaves_nothing_either(core: BaseProcess) -> None:
    members = EngineProcesses.of(engine(core)).members

    def fails() -> None:
        raise RuntimeError("as a test has it")

    close(fails, members)
    assert not any(map(is_alive, members))


def test_an_engine_of_this_process_has_the_workers_of_its_executor(core: BaseProcess) -> None:
    executor = SimpleNamespace(workers=[SimpleNamespace(proc=core)])
    inside = around(SimpleNamespace(engine_core=SimpleNamespace(model_executor=executor)))
    assert started_processes(inside) == [core]
    alone = around(SimpleNamespace(engine_core=SimpleNamespace(model_executor=object())))
    assert started_processes(alone) == []
    watch_for_death(alone)  # which has nobody to wait for
