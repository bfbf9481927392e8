"""What vLLM's `LLM` is called with, and what loading it gave."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmbench.config.choices import Device, Startup
from llmbench.config.deterministic import STEP_TOKENS
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.vllm import adapters, speculation
from llmbench.engine.vllm.admission import WATERMARK
from llmbench.engine.vllm.checks import cpu_kv_cache_bytes, graph_sizes
from llmbench.engine.vllm.internals import engine as internals
from llmbench.engine.vllm.internals.worker_timing import PARTS
from llmbench.engine.vllm.kv_memory import KvMemory
from llmbench.engine.vllm.startup import StartupPlan
from llmbench.engine.workload import Workload
from llmbench.errors import EngineError

log = logging.getLogger(__name__)

WORKERS = {
    Device.cuda: "llmbench.engine.vllm.internals.gpu_worker.GpuWorker",
    Device.cpu: "llmbench.engine.vllm.internals.cpu_worker.CpuWorker",
}


@dataclass(slots=True)
class Loading:
    """How an engine was loaded.

    Attributes:
        plan: The start-up and why.
        log_begins: Where the engine's log begins, in bytes.
        free_bytes: Free on the first GPU before.
        only_greedy: Whether nothing but greedy decoding was warmed up.
        capacity: Requests that can run at once.
        facts: What the worker says of itself, empty where it could not be asked.
        parts: The seconds by what they went into.
        kv_memory: The KV cache's size at earlier starts; None where none is remembered.
    """

    plan: StartupPlan
    log_begins: int
    free_bytes: int | None
    only_greedy: bool
    capacity: int
    facts: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, float | None] = field(default_factory=dict)
    kv_memory: KvMemory | None = None

    @property
    def startup(self) -> Startup:
        """The start-up, never `auto`."""
        return self.plan.startup

    @property
    def graph_sizes(self) -> list[int] | None:
        """Batch sizes with CUDA graphs; None where there are none."""
        return graph_sizes(self.capacity) if self.startup is Startup.graphs else None

    def finished(self, begun: float, until: float, facts: dict[str, Any]) -> None:
        """Takes when loading began and ended, and the worker's facts with its own times; remembers the size of the KV cache.

        The part `other` is what no part accounts for.
        """
        self.facts = facts
        if self.kv_memory is not None:
            self.kv_memory.learn(facts.get("kv_cache_bytes"))
        created, seconds = facts.get("created"), facts.get("seconds", {})
        if created is None:
            self.parts = {"other": until - begun}
            return
        self.parts = {"config": created - begun} | {name: seconds.get(name) for name in PARTS}
        self.parts["other"] = until - created - sum(seconds.values())

    def recall_kv_memory(
        self, config: Config, checkpoint: Checkpoint, arguments: Mapping[str, Any]
    ) -> dict[str, int]:
        """What these arguments of `LLM` lack for a KV cache of the size that it had at an earlier start."""
        self.kv_memory = KvMemory.of(config, checkpoint, arguments, self.free_bytes)
        return {} if self.kv_memory is None else self.kv_memory.arguments

    @property
    def kv_remembered(self) -> bool:
        """Whether the KV cache has the size of an earlier start."""
        return self.kv_memory is not None and self.kv_memory.remembered is not None

    def explained(self, error: EngineError) -> EngineError:
        """The error of this engine, after the size of the KV cache is forgotten where memory ran out with it."""
        return error if self.kv_memory is None else self.kv_memory.blamed(error)

    @property
    def attention_backend(self) -> str | None:
        """The attention backends' names, with FlashAttention's version."""
        names, version = self.facts.get("attention_backends"), self.facts.get("flash_attention")
        if not names:
            return None
        return "+".join(names) + (f" (FlashAttention {version})" if version else "")


def worker_facts(llm: Any) -> dict[str, Any]:  # noqa: ANN401 - vLLM's class
    """What the worker says of itself; empty where it cannot be asked."""
    try:
        return internals.worker_facts(llm)
    except (AttributeError, NotImplementedError, RuntimeError):
        log.exception("vLLM's worker could not be asked; attention backend and weight size stay unknown")
        return {}


def arguments(
    config: Config, checkpoint: Checkpoint, device: Device, workload: Workload, loading: Loading
) -> dict[str, Any]:
    """What `LLM` is called with; `engine.args` has the last word."""
    in_process = {
        "disable_log_stats": False,  # otherwise requests carry no timing
        "skip_tokenizer_init": True,  # `VllmEngine.begin` brings one
        "use_tqdm_on_load": False,
        "worker_cls": WORKERS[device],
    }
    return model_arguments(config, checkpoint, device, workload, loading) | in_process | config.engine.args


def particulars(arguments: Mapping[str, Any], *, from_copy: bool) -> list[str]:
    """What the line about a start says of these arguments of `LLM`: weights from a copy, an fp8 KV cache."""
    found = ["quantised weights from a copy"] if from_copy else []
    cache = str(arguments.get("kv_cache_dtype"))
    return [*found, f"KV cache in {cache}"] if cache.startswith("fp8") else found


def model_arguments(
    config: Config, checkpoint: Checkpoint, device: Device, workload: Workload, loading: Loading
) -> dict[str, Any]:
    """What vLLM loads a model with, in this process or as a server, by the names of its `EngineArgs`."""
    model, engine = config.model, config.engine
    chosen: dict[str, Any] = {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "dtype": model.dtype,
        "quantization": model.quantization,
        "max_model_len": model.max_length,
        "gpu_memory_utilization": model.gpu_memory_utilization,
        "max_num_seqs": loading.capacity,
        "watermark": WATERMARK,
        "tensor_parallel_size": engine.tensor_parallel_size,
        "pipeline_parallel_size": engine.pipeline_parallel_size,
        "trust_remote_code": model.trust_remote_code,
        "seed": config.seed,
        "enforce_eager": loading.startup is Startup.eager,
    }
    if loading.graph_sizes is not None:
        chosen["compilation_config"] = {
            "mode": 0,
            "cudagraph_mode": "FULL_DECODE_ONLY",
            "cudagraph_capture_sizes": loading.graph_sizes,
        } | speculation.graphs(engine, loading.graph_sizes)
    chosen |= adapters.arguments(model)
    if engine.deterministic:
        chosen["max_num_batched_tokens"] = STEP_TOKENS
    if model.attention_backend is not None and device is Device.cuda:
        chosen["attention_backend"] = model.attention_backend
    if model.kv_cache_dtype is not None:
        chosen["kv_cache_dtype"] = model.kv_cache_dtype
    chosen |= speculation.arguments(engine, loading.capacity)
    cache = engine.kv_cache_memory_bytes
    if cache is None and device is Device.cpu:
        cache = cpu_kv_cache_bytes(workload, loading.capacity, settings(checkpoint))
    if cache is not None:
        chosen["kv_cache_memory_bytes"] = cache
    return chosen
