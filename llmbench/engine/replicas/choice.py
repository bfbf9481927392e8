"""How many replicas `engine.replicas=auto` means."""

from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.replicas.agreement import gpus_of
from llmbench.engine.replicas.cluster import Cluster
from llmbench.engine.workload import Workload
from llmbench.errors import EngineError
from llmbench.system import hardware
from llmbench.system.number_format import count


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
