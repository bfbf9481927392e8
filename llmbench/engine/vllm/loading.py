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
from llmbench.engine.vllm.checks import cpu_kv_cache_bytes
from llmbench.engine.vllm.internals import engine as internals
from llmbench.engine.vllm.internals.worker_timing import PARTS
from llmbench.engine.vllm.kv_memory import KvMemory
from llmbench.engine.vllm.startup import StartupPlan
from llmbench.engine.workload import Workload

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
        kv_memory: The KV cache's size at earlier starts.
        facts: What the worker says of itself, empty where it could not be asked.
        parts: The seconds by what they went into.
    """

    plan: StartupPlan
    log_begins: int
    free_bytes: int | None
    only_greedy: bool
    kv_memory: KvMemory
    facts: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, float | None] = field(default_factory=dict)

    def finished(self, begun: float, until: float, facts: dict[str, Any]) -> None:
        """Takes when loading began and ended, and the worker's facts with its own times; remembers the size of the KV cache.

        The part `other` is what no part accounts for.
        """
        self.facts = facts
        self.kv_memory.learn(facts.get("kv_cache_bytes"))
        created, seconds = facts.get("created"), facts.get("seconds", {})
        if created is None:
            self.parts = {"other": until - begun}
            return
        self.parts = {"config": created - begun} | {name: seconds.get(name) for name in PARTS}
        self.parts["other"] = until - created - sum(seconds.values())


def worker_facts(llm: Any) -> dict[str, Any]:  # noqa: ANN401 - vLLM's class
    """What the worker says of itself; empty where it cannot be asked."""
    try:
        return internals.worker_facts(llm)
    except (AttributeError, NotImplementedError, RuntimeError):
        log.exception("vLLM's worker could not be asked; attention backend and weight size stay unknown")
        return {}


def arguments(
    config: Config, checkpoint: Checkpoint, device: Device, workload: Workload, plan: StartupPlan
) -> dict[str, Any]:
    """What `LLM` is called with; `engine.args` has the last word."""
    in_process = {
        "disable_log_stats": False,  # otherwise requests carry no timing
        "skip_tokenizer_init": True,  # `VllmEngine.begin` brings one
        "use_tqdm_on_load": False,
        "worker_cls": WORKERS[device],
    }
    return model_arguments(config, checkpoint, device, workload, plan) | in_process | config.engine.args


def particulars(arguments: Mapping[str, Any], *, from_copy: bool) -> list[str]:
    """What the line about a start says of these arguments of `LLM`: weights from a copy, an fp8 KV cache."""
    found = ["quantised weights from a copy"] if from_copy else []
    cache = str(arguments.get("kv_cache_dtype"))
    return [*found, f"KV cache in {cache}"] if cache.startswith("fp8") else found


def model_arguments(
    config: Config, checkpoint: Checkpoint, device: Device, workload: Workload, plan: StartupPlan
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
        "max_num_seqs": plan.capacity,
        "watermark": WATERMARK,
        "tensor_parallel_size": engine.tensor_parallel_size,
        "pipeline_parallel_size": engine.pipeline_parallel_size,
        "trust_remote_code": model.trust_remote_code,
        "seed": config.seed,
        "enforce_eager": plan.startup is Startup.eager,
    }
    if plan.graph_sizes is not None:
        chosen["compilation_config"] = {
            "mode": 0,
            "cudagraph_mode": "FULL_DECODE_ONLY",
            "cudagraph_capture_sizes": plan.graph_sizes,
        } | speculation.graphs(engine, plan.graph_sizes)
    chosen |= adapters.arguments(model)
    if engine.deterministic:
        chosen["max_num_batched_tokens"] = STEP_TOKENS
    if model.attention_backend is not None and device is Device.cuda:
        chosen["attention_backend"] = model.attention_backend
    if model.kv_cache_dtype is not None:
        chosen["kv_cache_dtype"] = model.kv_cache_dtype
    chosen |= speculation.arguments(engine, plan.capacity)
    cache = engine.kv_cache_memory_bytes
    if cache is None and device is Device.cpu:
        cache = cpu_kv_cache_bytes(workload, plan.capacity, settings(checkpoint))
    if cache is not None:
        chosen["kv_cache_memory_bytes"] = cache
    return chosen
