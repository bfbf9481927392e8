"""How many replicas there are, what each gets of a machine, and what they must have in common."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmbench.config.choices import Device
from llmbench.config.schema import Config, ModelConfig
from llmbench.engine import checkpoint_record, lora
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.replicas.cluster import Cluster
from llmbench.engine.replicas.worker import Facts
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
    known = [each for each in facts if each is not None]
    first = known[0]
    for other in known[1:]:
        ours, theirs = ({gpu.name for gpu in each.gpus} for each in (first, other))
        if same_gpus and ours != theirs:
            raise EngineError(
                f"Replicas are refused with engine.deterministic=true: {first.place.host} has {', '.join(sorted(ours))}, "
                f"{other.place.host} has {', '.join(sorted(theirs))}; use GPUs of one kind."
            )
        for name, version in first.versions.items():
            if other.versions.get(name) != version:
                raise EngineError(
                    f"Replicas are refused: {first.place.host} has {name} {version or '(none)'}, "
                    f"{other.place.host} has {other.versions.get(name) or '(none)'}; install the same on both."
                )
        what = "checkpoint" if other.content != first.content else "LoRA adapter"
        if (other.content, other.adapter) != (first.content, first.adapter):
            raise EngineError(
                f"Replicas are refused: the {what} on {other.place.host} is not the one on {first.place.host}; copy it again."
            )


def compare_with_driver(facts: Facts | None, checkpoint: Checkpoint | None, model: ModelConfig) -> None:
    """Refuses replicas whose packages, checkpoint or adapter are not those that prompts are written with here.

    Raises:
        EngineError: Names what differs. Packages that are missing here are left out.
    """
    if facts is None:
        return
    here = hardware.versions(*hardware.TOKENIZER_PACKAGES)
    known = {name: facts.versions.get(name) if version is None else version for name, version in here.items()}
    content = checkpoint_record.row(checkpoint).get("content") if checkpoint is not None else None
    place = replace(facts.place, host=f"{socket.gethostname()} (this one)")
    here_too = replace(facts, place=place, versions=known, content=content)
    compare([replace(here_too, adapter=lora.content_of(model)), facts])


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
    cluster = Cluster(address, 0)
    cluster.open()
    try:
        return cluster.replicas(gpus)
    finally:
        cluster.close()
