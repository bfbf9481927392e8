"""Several copies of an engine, each in a process of its own with GPUs of its own, on this machine or on the hosts of a Ray cluster.

`engine` is the engine that the run asks; it holds the queue. `replica` is its side of one copy, `remote` of the copy's process, `worker` is what
that process runs. `cluster` starts, joins and leaves Ray, `cleaner` ends what a killed run left of it. `agreement` says how many copies
`engine.replicas=auto` means and compares hosts, `sums` adds up. Only `cluster` imports Ray, when it starts.
"""

from llmbench.config.schema import Config
from llmbench.engine import factory
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint


def open_engine(config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
    """The chosen engine, or replicas of it, not yet prepared."""
    if config.engine.replicas == 1 and config.engine.ray_address is None:
        return factory.open_engine(config, checkpoint)
    from llmbench.engine.replicas.engine import ReplicatedEngine

    return ReplicatedEngine(config, checkpoint)
