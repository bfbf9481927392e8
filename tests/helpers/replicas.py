"""Replicas of the fake engine, in processes that Ray starts; and what a run of them leaves on the machine."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from llmbench.engine.fake import WordTokenizer
from llmbench.engine.replicas import cleaner
from llmbench.engine.replicas.cluster import Cluster
from llmbench.engine.replicas.engine import ReplicatedEngine
from llmbench.engine.replicas.ray_environment import FOLDER
from llmbench.engine.workload import Workload
from llmbench.records import Completion, FinishReason, Request, Sampling
from llmbench.run.engine_pool import EnginePool
from llmbench.system.processes import is_alive
from tests.helpers.commands import lines_in, wait_until
from tests.helpers.settings import compose

TWO = ("benchmark=arithmetic", "engine=fake", "report=false", "engine.replicas=2")


def keep_ray_private(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Ray keeps its files in the folder, and makes no token in the user's home."""
    for name, value in {
        "HOME": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a" * 64,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_enable_metrics_collection": "0",
    }.items():
        patch.setenv(name, value)


@contextmanager
def ray_started() -> Iterator[Cluster]:
    """Ray for many engines, each of which takes it for the caller's own: to start it takes seconds."""
    cluster = Cluster(None, 0)
    cluster.open()
    try:
        yield cluster
    finally:
        cluster.close()


def folder_of(cluster: Cluster) -> str:
    """The folder of Ray, where it was started here."""
    assert cluster._folder is not None
    return cluster._folder.name


def ray_folder(pid: int) -> str | None:
    """The folder of the Ray that a process has started; None before that."""
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            with suppress(psutil.Error):
                if FOLDER in (variables := child.environ()):
                    return variables[FOLDER]
    return None


def nothing_stays(folder: str) -> None:
    """Waits until no process of a folder of Ray's is left, nor the folder."""
    wait_until(lambda: not [each for each in cleaner.users_of(folder) if is_alive(each)])
    wait_until(lambda: not Path(folder).exists())


def engine_of(pool: EnginePool) -> ReplicatedEngine:
    """The engine that a pool holds."""
    assert pool._held is not None
    assert isinstance(pool._held.engine, ReplicatedEngine)
    return pool._held.engine


def workers(engine: ReplicatedEngine) -> list[int]:
    """The numbers of the processes that replicas have now."""
    return [each.remote.facts.place.pid for each in engine._replicas if each.remote.facts is not None]


@contextmanager
def when_answered(journal: Path, answers: int, act: Callable[[], object]) -> Iterator[None]:
    """Does something as soon as a run has so many answers; fails where it never came to that."""
    over, done = threading.Event(), list[object]()

    def watch() -> None:
        while lines_in(journal) < answers:
            if over.wait(0.005):
                return
        done.append(act())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert done


def signal_worker(pool: EnginePool, number: int, sign: int) -> None:
    """Sends a signal to the process that a replica has now."""
    os.kill(workers(engine_of(pool))[number], sign)


def answers(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The lines of a run's journal by sample and repeat, without times; fails where a question has two."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for line in (folder / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        del row["crc32"]
        for completion in row["completions"]:
            del completion["timing"]
        assert (row["id"], row["repeat"]) not in found
        found[row["id"], row["repeat"]] = row
    return found


WORK = Workload(100, 8, 800, batch_size=4)


def request(name: object, suffix: str = "", max_tokens: int = 8) -> Request:
    """A request of the benchmark `b`."""
    return Request(f"b/{name}/0{suffix}", "b", str(name), 0, (0,), Sampling(max_tokens=max_tokens))


def ended(name: str, reason: FinishReason = FinishReason.LENGTH) -> Completion:
    """A completion of one token."""
    return Completion(name, "", (), 1, 1, 0, reason)


@contextmanager
def asked_of_two(count: int, *overrides: str) -> Iterator[ReplicatedEngine]:
    """Two replicas that were given so many requests and have begun with them; closed at the end."""
    engine = ReplicatedEngine(compose([*TWO, *overrides]), None)
    engine.prepare()
    try:
        engine.load(WORK, print)
        engine.begin(WordTokenizer(), WORK, loaded=True, notice=print)
        for number in range(count):
            engine.submit(request(number))
        engine.step()
        yield engine
    finally:
        engine.close()


def until_answered(engine: ReplicatedEngine, wanted: int) -> list[Completion]:
    """Steps until there are so many completions."""
    done: list[Completion] = []

    def enough() -> bool:
        done.extend(engine.step())
        return len(done) >= wanted

    wait_until(enough)
    return done
