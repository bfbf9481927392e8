"""What replicas must have in common, and what travels between their processes."""

import os
import pickle
from dataclasses import replace
from typing import Any

import pytest

from llmbench.config.schema import Config
from llmbench.engine.fake import FakeEngine
from llmbench.engine.replicas import agreement, open_engine
from llmbench.engine.replicas.cluster import Cluster, ProcessPlace
from llmbench.engine.replicas.engine import ReplicatedEngine
from llmbench.engine.replicas.worker import Facts, on_clock
from llmbench.engine.workload import Workload
from llmbench.errors import EngineDiedError, EngineError, OutOfMemoryError, Shortage
from llmbench.system import hardware
from tests.helpers.factories import timing
from tests.helpers.replicas import ended
from tests.helpers.settings import compose

# What they have in common


def facts(host: str, content: str | None = "c", **versions: str | None) -> Facts:
    return Facts(ProcessPlace(host, "space", 1, "node"), (), dict(versions), content)


def test_equal_hosts_agree() -> None:
    agreement.compare([facts("one", vllm="1"), None, facts("two", vllm="1")])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (facts("two", vllm="2", torch="1"), ("one has vllm 1, two has 2", "make them the same")),
        (facts("two", vllm="1"), ("one has torch 1, two has (none)",)),
        (
            facts("two", "other", vllm="1", torch="1"),
            ("one has the checkpoint c, two has other",),
        ),
    ],
)
def test_hosts_that_would_answer_otherwise_are_refused(other: Facts, words: tuple[str, ...]) -> None:
    with pytest.raises(EngineError) as caught:
        agreement.compare([facts("one", vllm="1", torch="1"), other])
    assert all(word in str(caught.value) for word in words)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(1, 9)))
    monkeypatch.setattr(hardware, "gpus", lambda: ())


def of(*overrides: str) -> Config:
    return compose(["benchmark=arithmetic", "engine.replicas=2", *overrides])


@pytest.mark.usefixtures("eight_cores")
def test_replicas_on_the_cpu_have_cores_of_their_own() -> None:
    assert agreement.cores_of(of(), 2) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert agreement.cores_of(of(), 3) == [[1, 2], [3, 4], [5, 6]]
    assert agreement.cores_of(of(), 9) == [[]] * 9  # all have all


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize("other", ["engine=fake", "engine.device=cuda", "engine.ray_address=there:6379"])
def test_others_have_all(other: str) -> None:
    assert agreement.cores_of(of(other), 9) == []


# How many there are


def test_only_one_on_this_machine_is_no_replica() -> None:
    config = of("engine=fake")
    assert isinstance(open_engine(config, None), ReplicatedEngine)
    single = replace(config.engine, replicas=1)
    assert isinstance(open_engine(replace(config, engine=single), None), FakeEngine)
    far = replace(single, ray_address="there:6379")  # as auto may come to one on a cluster
    assert isinstance(open_engine(replace(config, engine=far), None), ReplicatedEngine)


class Hosts:
    """What Ray says of a cluster: the GPUs of each host, and those that are free."""

    def __init__(self, free: float, *gpus: float) -> None:
        self._free, self._gpus = free, gpus

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 7.0, "GPU": self._free}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"GPU": each}} for each in self._gpus] + [
            {"Alive": False, "Resources": {"GPU": 8}}
        ]


@pytest.mark.parametrize(
    ("hosts", "each", "room"),
    [(Hosts(6, 3, 3), 1, 6), (Hosts(6, 3, 3), 2, 2), (Hosts(1, 3, 3), 1, 1), (Hosts(0), 0, 7)],
)
def test_a_cluster_has_room_for_replicas_whose_gpus_are_free_and_of_one_host(
    monkeypatch: pytest.MonkeyPatch, hosts: Hosts, each: int, room: int
) -> None:
    cluster = Cluster("there:6379", 0)
    monkeypatch.setattr(cluster, "_ray", hosts)
    assert cluster.replicas(each) == room


@pytest.mark.parametrize(("requests", "replicas"), [(99, 5), (3, 3)])
def test_auto_takes_the_room_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch, requests: int, replicas: int
) -> None:
    monkeypatch.setattr(agreement, "_room", lambda *_: 5)
    found, why = agreement.choose(
        of("engine.ray_address=there:6379"), None, Workload(requests, 8, 8 * requests)
    )
    assert found == replicas
    assert f"{replicas} replicas, as the cluster has room for 5" in why


def test_a_cluster_that_is_too_small_for_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_room", lambda *_: 0)
    config = of("engine.ray_address=there:6379", "engine.tensor_parallel_size=2")
    with pytest.raises(EngineError, match="there:6379 has no room: a replica needs 2 free GPUs of one host"):
        agreement.choose(config, None, Workload(9, 8, 72))


# What travels between processes


def test_errors_keep_what_they_know_on_their_way() -> None:
    shortage = Shortage("running", size=4)
    memory = pickle.loads(pickle.dumps(OutOfMemoryError("too little", shortage)))  # noqa: S301 - our own
    assert (str(memory), memory.shortage) == ("too little", shortage)
    died = EngineDiedError("dead", needs_new_process=True, running=["b/1/0"])
    again = pickle.loads(pickle.dumps(died))  # noqa: S301 - our own
    assert (str(again), again.needs_new_process, again.running) == ("dead", True, ("b/1/0",))


def test_times_of_another_host_are_put_on_this_clock() -> None:
    completion = replace(ended("b/1/0"), timing=timing(100.0))
    moved = on_clock(completion, -90.0)
    assert moved.timing is not None
    assert completion.timing is not None
    assert (moved.timing.queued, moved.timing.finished) == pytest.approx((10.0, 12.0))
    assert (moved.timing.ttft, moved.timing.e2e) == (completion.timing.ttft, completion.timing.e2e)
    assert on_clock(ended("b/1/0"), 5.0).timing is None
