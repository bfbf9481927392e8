"""How vLLM is going to be started."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields

from llmbench.config.choices import Device, Startup
from llmbench.config.engine import StartSettings
from llmbench.config.schema import AUTO, Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm import startup_history
from llmbench.engine.vllm.checks import graph_sizes
from llmbench.engine.vllm.internals.process_state import compile_cache_folder
from llmbench.engine.vllm.startup_history import Key, Measured, Work
from llmbench.engine.vllm.versions import installed, untested
from llmbench.engine.workload import Took, Workload
from llmbench.system import hardware


@dataclass(frozen=True, slots=True)
class StartupPlan:
    """The chosen start-up, never `auto`, and why; `capacity` is the number of requests that can run at once."""

    startup: Startup
    reason: str
    key: Key
    compile_cache: str | None
    capacity: int

    @property
    def graph_sizes(self) -> list[int] | None:
        """Batch sizes with CUDA graphs; None where there are none."""
        return graph_sizes(self.capacity) if self.startup is Startup.graphs else None

    def announcement(self, *loaded: str) -> str:
        """A sentence for the person who is going to wait, with what is loaded, and one about a vLLM that was not tried."""
        start = ", ".join((f"Start-up {self.startup.value} ({self.reason})", *loaded))
        return f"{start}. {untested(self.key.version)}".rstrip()

    def learn(self, batch_size: int, took: Took) -> None:
        """Remembers what a run took in which so many requests ran at once."""
        startup_history.remember(
            startup_history.observed(self.key, self.startup, self.compile_cache, batch_size, took)
        )


def plan_startup(
    config: Config,
    checkpoint: Checkpoint,
    device: Device,
    workload: Workload,
    batch_size: Callable[[Workload], int],
) -> StartupPlan:
    """The start-up that `engine.startup` asks for, or that finishes first; `batch_size` is of the requests that run at once in a job."""
    works = [
        Work(job.requests, batch_size(job), job.output_tokens, job.longest)
        for job in workload.jobs or (workload,)
    ]
    key = history_key(config, checkpoint, device)
    filled = compile_cache_filled()
    chosen: Startup
    if config.engine.startup is not Startup.auto:
        chosen, reason = config.engine.startup, "as engine.startup asks"
    elif config.engine.deterministic:
        chosen, reason = Startup.graphs, "as all deterministic runs"
    elif device is Device.cpu:
        chosen, reason = Startup.eager, "compiling takes a minute and more on a CPU"
    else:
        history = startup_history.read_history()
        known = filled and any(entry.key == key and entry.startup is Startup.full for entry in history)
        chosen, reason = startup_history.choose(
            works, key, Measured.of(key, history), compile_cache_filled=known
        )
    state = ("filled" if filled else "empty") if chosen is Startup.full else None
    return StartupPlan(chosen, reason, key, state, batch_size(workload))


def compile_cache_filled() -> bool:
    """Whether vLLM has compiled anything here before; what it can use of that shows only when it starts."""
    try:
        return any(compile_cache_folder().iterdir())
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return False


def history_key(config: Config, checkpoint: Checkpoint, device: Device) -> Key:
    """What the history knows a run by; runs of one replica and of many share it."""
    gpus = hardware.gpus() if device is Device.cuda else ()
    parallel = config.engine.gpus_each
    name = gpus[0].name if gpus else "cpu"
    version = installed()
    where = f"{parallel}x {name}" if parallel > 1 else name
    others = (
        "startup",
        "device",
        "replicas",
        "ray_address",
        *(each.name for each in fields(StartSettings)),
    )
    own = {name: value for name, value in config.engine.in_force.items() if name not in others}
    model = config.model
    cache = None if model.kv_cache_dtype == AUTO else model.kv_cache_dtype
    decides = (own, model.max_length, cache, model.attention_backend, *((model.lora,) if model.lora else ()))
    settings = hashlib.sha256(repr(decides).encode()).hexdigest()[:8]
    return Key(
        device=where,
        model=f"{checkpoint.name} {settings}",
        quantization=config.model.quantization,
        dtype=config.model.dtype,
        version=version,
    )
