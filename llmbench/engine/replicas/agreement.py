"""How many replicas there are, what each gets of a machine, and what they must have in common."""

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from llmbench.config.choices import Device
from llmbench.config.schema import Config, ModelConfig
from llmbench.engine import checkpoint_record, lora
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.replicas.cluster import Cluster
from llmbench.engine.replicas.worker import ADAPTER, CHECKPOINT, Facts
from llmbench.engine.vllm.checks import pick_device
from llmbench.engine.workload import Workload
from llmbench.errors import EngineError
from llmbench.system import hardware
from llmbench.system.number_format import count


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """What all processes of a run's replicas have in common.

    Attributes:
        config: The settings of one replica.
        leader: The run's process space and number.
        gpus: GPUs of each.
        silence_s: How long a call may take (`engine_wait_s`); None: for ever.
    """

    cluster: Cluster
    config: Config
    checkpoint: Checkpoint | None
    leader: tuple[str, int]
    gpus: int
    silence_s: float | None


def gpus_of(config: Config) -> int:
    """Returns the GPUs of each replica; none where it computes on the CPU, or nothing."""
    engine = config.engine
    if engine.name == "fake" or engine.device is Device.cpu:
        return 0
    elsewhere = engine.ray_address is not None  # what is there, the replicas themselves look for
    return engine.gpus_each if elsewhere or pick_device(config) is Device.cuda else 0


def cores_of(config: Config, replicas: int) -> list[list[int]]:
    """Returns the CPU cores for each replica, an equal part of this machine's; none where replicas have GPUs or compute nothing."""
    if gpus_of(config) or config.engine.name == "fake" or config.engine.ray_address is not None:
        return []
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // replicas
    return [cores[number * each : (number + 1) * each] for number in range(replicas)]


def compare(facts: Sequence[Facts | None], *, same_gpus: bool = False) -> None:
    """Refuses replicas that would not give the same answers.

    Args:
        facts: Of the replicas.
        same_gpus: Whether their GPUs must be of one kind too, since kernels of others round otherwise.

    Raises:
        EngineError: Names the hosts, and what differs.
    """
    first, *others = [each for each in facts if each is not None]
    for other in others:
        ours, theirs = (each.decisive(gpus=same_gpus) for each in (first, other))
        _refuse_difference(first.place.host, ours, other.place.host, theirs)


def compare_with_driver(facts: Facts | None, checkpoint: Checkpoint | None, model: ModelConfig) -> None:
    """Refuses replicas whose packages, checkpoint or adapter are not those that prompts are written with here.

    Raises:
        EngineError: Names what differs. Packages that are missing here are left out.
    """
    if facts is None:
        return
    installed = hardware.versions(*hardware.TOKENIZER_PACKAGES)
    content = checkpoint_record.row(checkpoint).get("content") if checkpoint is not None else None
    here = {CHECKPOINT: content, ADAPTER: lora.content_of(model)}
    here |= {name: version for name, version in installed.items() if version is not None}
    _refuse_difference(f"{socket.gethostname()} (this one)", here, facts.place.host, facts.decisive())


def _refuse_difference(
    host: str, here: Mapping[str, str | None], other: str, there: Mapping[str, str | None]
) -> None:
    for name, ours in here.items():
        if there.get(name) != ours:
            raise EngineError(
                f"Replicas are refused: {host} has {name} {ours or '(none)'}, {other} has {there.get(name) or '(none)'}; make them the same."
            )


def choose(config: Config, checkpoint: Checkpoint | None, workload: Workload) -> tuple[int, str]:
    """Returns the number and a sentence with the reasons: all GPUs of a cluster, or as many of this machine's as are worth loading.

    Raises:
        EngineError: There is no such cluster, or it has too few GPUs for one.
    """
    engine = config.engine
    if engine.ray_address is not None:
        gpus = gpus_of(config)
        room = _room(engine.ray_address, gpus)
        if not room:
            needs = f"{count(gpus, 'free GPU')} of one host" if gpus else "a free CPU core"
            raise EngineError(f"The cluster at {engine.ray_address} has no room: a replica needs {needs}.")
        replicas = max(1, min(room, workload.requests))
        return (
            replicas,
            f"{count(replicas, 'replica')}, as the cluster has room for {room} (engine.replicas=auto).",
        )
    from llmbench.engine.vllm.forecast.forecast import replicas_worth

    return replicas_worth(config, checkpoint, workload, len(hardware.gpus()))


def _room(address: str, gpus: int) -> int:
    with closing(Cluster(address, 0)) as cluster:
        cluster.open()
        return cluster.replicas(gpus)
