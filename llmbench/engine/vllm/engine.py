"""vLLM as an engine: requests go straight to its `LLMEngine`, so that others may be added while some run.

Timing comes from the engine's own monotonic stamps (`RequestOutput.metrics`). vllm is imported
in `prepare`, because that takes seconds and must follow the environment variables set here.
"""

import gc
import importlib
import importlib.util
import itertools
import logging
import os
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmbench.config.schema import Config, Device, Startup
from llmbench.engine import prefetch
from llmbench.engine.base import Notice
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.vllm.checks import DEFAULT_BATCH, cpu_kv_cache_bytes, graph_sizes, pick_device
from llmbench.engine.vllm.errors import explain_import, log_position, start_error, step_error
from llmbench.engine.vllm.internals import engine as internals
from llmbench.engine.vllm.internals import metrics, process_state
from llmbench.engine.vllm.internals.worker_timing import GREEDY, PARTS
from llmbench.engine.vllm.processes import close, family, kill, tell_of_death
from llmbench.engine.vllm.startup import StartupPlan, plan_startup
from llmbench.engine.vllm.state import State, scheduler_state
from llmbench.engine.workload import Took, Workload
from llmbench.errors import EngineDiedError, EngineError, LlmbenchError, clear_traceback
from llmbench.records import Completion, EngineReport, FinishReason, Request, Sampling, Timing
from llmbench.system import hardware
from llmbench.system.processes import blocked_sigint, environment, followed

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)

WORKERS = {
    Device.cuda: "llmbench.engine.vllm.internals.gpu_worker.GpuWorker",
    Device.cpu: "llmbench.engine.vllm.internals.cpu_worker.CpuWorker",
}
REFILL = 16
"""Share of the batch (one in so many) that is admitted together where only decoding has graphs: a step that also reads a prompt
runs without them and takes about three times as long (eager against graphs in BENCHMARKS.md), so fewer such steps are worth
a few idle places."""


class VllmEngine:
    """One vLLM engine, in this process unless `engine.multiprocess` says otherwise."""

    _shows_special = False  # whether the marks of thinking are special tokens

    def __init__(self, config: Config, checkpoint: Checkpoint | None) -> None:
        """Decides on the device; loads nothing yet.

        Raises:
            EngineError: The engine was given no checkpoint.
        """
        if checkpoint is None:
            raise EngineError("engine=vllm needs a checkpoint.")
        self._config, self._checkpoint = config, checkpoint
        self._device = pick_device(config)
        self._startup, self._reason = Startup.eager, ""
        self._plan: StartupPlan | None = None
        self._waiting: deque[Request] = deque()
        self._running: dict[str, Request] = {}  # by the id given to add_request
        self._internal: dict[str, str] = {}  # to the id vLLM gave
        self._early: deque[str] = deque()  # admitted before a place was free
        self._free_since: dict[str, float] = {}  # when their place fell free, on vLLM's clock
        self._numbers = itertools.count()
        self._llm: Any = None
        self._tokenizer: Any = None
        self._surroundings: ExitStack | None = None  # environment and sockets, until the engine is closed
        self._load_parts: dict[str, float | None] = {}
        self._facts: dict[str, Any] = {}
        self._graph_sizes: list[int] | None = None
        self._loads = 0
        self._only_greedy = False
        self._free_bytes: int | None = None
        self._limit = DEFAULT_BATCH
        self.capacity = 0
        self._batch_size = self._ahead = 0
        self.refill = 1
        self._before: dict[str, float] = {}
        self._family: list[psutil.Process] = []
        self._log_begins = 0
        self._killed: str | None = None

    @property
    def _in_process(self) -> bool:
        engine = self._config.engine
        parallel = engine.tensor_parallel_size * engine.pipeline_parallel_size
        return parallel == 1 and not engine.multiprocess

    def prepare(self) -> None:
        """Imports vLLM, while the kernel reads the weights."""
        if self._checkpoint.local:
            prefetch.read_weights(Path(self._checkpoint.name))
        self._set_environment()
        gc.disable()  # importing and loading make millions of objects that stay; `load` turns it on again
        model = settings(self._checkpoint)
        try:
            with prefetch.text_only(model):
                for name in ("torch", "transformers", "transformers.models.auto.tokenization_auto"):
                    importlib.import_module(name)
                self._vllm = importlib.import_module("vllm")
                self._params = importlib.import_module("vllm.sampling_params")
                _ = self._vllm.LLM  # vllm imports the larger part of itself only now
                if self._in_process:
                    names = model.get("architectures")
                    process_state.register_models(self._vllm, names if isinstance(names, list) else ())
        except (ImportError, RuntimeError, AttributeError) as error:
            gc.enable()
            raise EngineError(explain_import(error)) from error
        engine = self._config.engine
        parallel = engine.tensor_parallel_size * engine.pipeline_parallel_size
        self._limit = process_state.default_max_num_seqs(parallel, otherwise=DEFAULT_BATCH)

    def _set_environment(self) -> None:
        """What vLLM and torch read from the environment; what was there before comes back when the engine is closed."""
        if self._surroundings is not None:
            return
        self._surroundings = ExitStack()
        config = self._config
        wanted = {
            **process_state.environment_variables(
                multiprocess=config.engine.multiprocess, log_level=config.log_level
            ),
            "TOKENIZERS_PARALLELISM": os.environ.get("TOKENIZERS_PARALLELISM", "false"),
        }
        if not self._in_process and process_state.SOCKET_FOLDER not in os.environ:
            short = len(os.fsencode(tempfile.gettempdir())) <= process_state.LONGEST_TEMPORARY
            sockets = tempfile.TemporaryDirectory(prefix="llmbench-", dir=None if short else "/tmp")  # noqa: S108
            wanted[process_state.SOCKET_FOLDER] = self._surroundings.enter_context(sockets)
        if self._device is Device.cpu and config.engine.startup in (Startup.auto, Startup.eager):
            wanted["TORCHDYNAMO_DISABLE"] = "1"  # otherwise the first log probabilities compile for 15 s
        self._surroundings.enter_context(environment(wanted))

    def preferred_batch_size(self, workload: Workload) -> int:
        """`batch_size`, else the smaller of the requests at hand and vLLM's own default; at most `engine.args.max_num_seqs`."""
        wanted = max(1, workload.batch_size, min(workload.at_once, self._limit))
        bound = self._config.engine.args.get("max_num_seqs")
        return min(wanted, bound) if isinstance(bound, int) and bound > 0 else wanted

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model, without vLLM's own tokenizer: `begin` brings the one that the prompts were made with."""
        begun = time.monotonic()
        self._log_begins = log_position()
        gc.disable()
        self._free_bytes = next(map(hardware.free_bytes, hardware.gpus()), None)
        self.capacity = self.preferred_batch_size(workload)
        self._plan = plan_startup(
            self._config, self._checkpoint, self._device, workload, self.preferred_batch_size
        )
        self._startup, self._reason = self._plan.startup, self._plan.reason
        notice(self._plan.announcement())
        arguments = self._arguments(workload)
        self._only_greedy = workload.greedy and self._device is Device.cuda
        # the worker need not warm up what sampling would use
        only_greedy = environment({GREEDY: "1"} if workload.greedy else {})
        try:
            with (
                only_greedy,
                followed(),
                blocked_sigint() if self._config.engine.multiprocess else nullcontext(),
            ):
                self._llm = self._vllm.LLM(**arguments)
            loaded = time.monotonic()
            tell_of_death(self._llm)
            self._family = family(self._llm)
            self._facts = self._ask_worker()
        except (KeyboardInterrupt, LlmbenchError) as error:
            clear_traceback(error)
            self._forget()
            raise
        except BaseException as error:  # vLLM also leaves with SystemExit
            log.exception("vLLM could not start")
            told = start_error(error, self._config)
            clear_traceback(error)
            self._forget()
            raise told from None
        finally:
            gc.enable()
        gc.freeze()  # what is there now stays: no collection looks at it again
        self._load_parts = self._parts(begun, loaded)
        self._tokenizer = None

    def _parts(self, begun: float, loaded: float) -> dict[str, float | None]:
        """The seconds of a start, by what they went into; `other` is what no part accounts for."""
        parts: dict[str, float | None] = {}
        created, seconds = self._facts.get("created"), self._facts.get("seconds", {})
        if created is None:
            return parts | {"other": loaded - begun}
        parts["config"] = created - begun
        for name in PARTS:
            parts[name] = seconds.get(name)
        parts["other"] = loaded - created - sum(seconds.values())
        return parts

    def serves(self, workload: Workload) -> bool:
        """Whether enough run at once, and whether sampling was warmed up where it is asked for."""
        warm = workload.greedy or not self._only_greedy
        return warm and self.preferred_batch_size(workload) <= self.capacity

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool) -> None:
        """Sets the batch size in place, empties the prefix cache and puts the counters at zero."""
        self._loads = int(loaded)
        if tokenizer is not self._tokenizer:
            self._use_tokenizer(tokenizer)
        self._batch_size = min(self.preferred_batch_size(workload), self.capacity)
        limited = internals.limit_running(self._llm, self._batch_size)
        in_place = limited or self._batch_size == self.capacity
        self._ahead = max(1, self._batch_size // 8) if in_place else 0
        self.refill = max(1, self._batch_size // REFILL) if self._startup is Startup.graphs else 1
        if not loaded:
            internals.empty_prefix_cache(self._llm)
        self._before = metrics.counters(self._llm)

    def _use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Gives vLLM the tokenizer of the prompts, for the ends of texts and for stop strings.

        vLLM would read its own from the same files and copy it twice, which takes longer than reading the weights of a small model.
        """
        self._tokenizer = tokenizer
        self._shows_special = isinstance(tokenizer, HubTokenizer) and tokenizer.marks_thinking
        if internals.has_tokenizer(self._llm):  # engine.args asked for vLLM's own
            return
        if not isinstance(tokenizer, HubTokenizer):
            raise EngineError("engine=vllm needs the model's own tokenizer.")
        internals.set_tokenizer(self._llm, tokenizer.hub)

    def _arguments(self, workload: Workload) -> dict[str, Any]:
        """What `LLM` is called with; `engine.args` has the last word."""
        config, model, engine = self._config, self._config.model, self._config.engine
        arguments: dict[str, Any] = {
            "model": self._checkpoint.name,
            "revision": self._checkpoint.revision,
            "dtype": model.dtype,
            "quantization": model.quantization,
            "max_model_len": model.max_length,
            "gpu_memory_utilization": model.gpu_memory_utilization,
            "max_num_seqs": self.capacity,
            "tensor_parallel_size": engine.tensor_parallel_size,
            "pipeline_parallel_size": engine.pipeline_parallel_size,
            "trust_remote_code": model.trust_remote_code,
            "seed": config.seed,
            "disable_log_stats": False,  # otherwise requests carry no timing
            "enforce_eager": self._startup is Startup.eager,
            "skip_tokenizer_init": True,
            "use_tqdm_on_load": False,
            "worker_cls": WORKERS[self._device],
        }
        if self._startup is Startup.graphs:
            self._graph_sizes = graph_sizes(self.capacity)
            arguments["compilation_config"] = {
                "mode": 0,
                "cudagraph_mode": "FULL_DECODE_ONLY",
                "cudagraph_capture_sizes": self._graph_sizes,
            }
        if model.attention_backend is not None and self._device is Device.cuda:
            arguments["attention_backend"] = model.attention_backend
        if engine.speculative:
            arguments["speculative_config"] = engine.speculative
        cache = engine.kv_cache_memory_bytes
        if cache is None and self._device is Device.cpu:
            cache = cpu_kv_cache_bytes(workload, self.capacity, settings(self._checkpoint))
        if cache is not None:
            arguments["kv_cache_memory_bytes"] = cache
        return arguments | engine.args

    def _ask_worker(self) -> dict[str, Any]:
        try:
            return internals.worker_facts(self._llm)
        except (AttributeError, NotImplementedError, RuntimeError):
            log.exception("vLLM's worker could not be asked; attention backend and weight size stay unknown")
            return {}

    def learn(self, took: Took) -> None:
        """Adds a line to the history of starts; only a run that loaded the engine for itself tells what a start costs."""
        if self._plan is not None and self._loads:
            self._plan.learn(self._batch_size, took)

    def close(self, *, process_ends: bool = False) -> None:
        """Shuts the engine down and gives its memory back; the process's end does that too, and faster."""
        if process_ends and self._in_process:
            return
        if self._llm is not None:
            logging.getLogger("vllm").setLevel(logging.WARNING)  # the run's log is closed by now
            close(partial(internals.shut_down, self._llm), self._family)
        self._family = []
        self._forget()

    def _forget(self) -> None:
        """Drops every reference to vLLM's objects and has their memory returned."""
        self._llm = self._tokenizer = None
        gc.enable()
        gc.unfreeze()
        gc.collect()
        if self._in_process and "vllm" in sys.modules:  # else it was never prepared
            process_state.clean_up_distributed()
            process_state.forget_graph_pool()
        if self._surroundings is not None:
            self._surroundings.close()
            self._surroundings = None

    @property
    def unfinished(self) -> int:
        """Waiting and running requests."""
        return len(self._waiting) + len(self._running)

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; it is admitted to vLLM when a place is near."""
        if first:
            self._waiting.appendleft(request)
        else:
            self._waiting.append(request)

    def step(self) -> list[Completion]:
        """One step of vLLM's, after filling the places that are free."""
        refused = self._admit()
        if not self._running:
            return refused
        try:
            outputs = internals.step(self._llm)
        except (KeyboardInterrupt, LlmbenchError):
            raise
        except Exception as error:
            raise self._died(error) from error
        return refused + [self._completion(output) for output in outputs if output.finished]

    def _died(self, error: Exception) -> EngineError:
        log.error("vLLM stopped working", exc_info=error)
        if self._killed is not None:
            return EngineDiedError(self._killed)
        return step_error(error, self._log_begins, in_process=self._in_process)

    def _admit(self) -> list[Completion]:
        """Fills the places that are free: a few ahead, so that none idles a step, or several at a time (`REFILL`).

        Those that wait inside vLLM are not timed until a place is free: what they wait before is ours, not the engine's.
        """
        room = self._batch_size + self._ahead
        if self.refill > 1:
            room = self._batch_size
            if room - len(self._running) < self.refill:
                return []
        refused = []
        while self._waiting and len(self._running) < room:
            request = self._waiting.popleft()
            key = f"{next(self._numbers)}"  # vLLM wants ids that it never saw
            try:
                params = self._sampling_params(request.sampling)
                internal = internals.add_request(self._llm, key, request.prompt_ids, params)
            except Exception as error:
                if internals.is_engine_dead(error):
                    raise self._died(error) from error
                log.warning("vLLM refused %s: %s", request.id, error)
                refused.append(Completion.aborted(request, f"{type(error).__name__}: {error}"))
                continue
            if len(self._running) >= self._batch_size:
                self._early.append(key)
            self._running[key] = request
            self._internal[key] = internal
        return refused

    def _sampling_params(self, sampling: Sampling) -> Any:  # noqa: ANN401 - vLLM's class
        return self._params.SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            stop=list(sampling.stop),
            seed=sampling.seed,
            ignore_eos=sampling.ignore_eos,
            skip_special_tokens=not self._shows_special,
            output_kind=self._params.RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, output: Any) -> Completion:  # noqa: ANN401 - vLLM's class
        request = self._running.pop(output.request_id)
        self._internal.pop(output.request_id, None)
        free_since = self._free_since.pop(output.request_id, 0.0)
        stamps = internals.stamps(output)
        if self._early and stamps is not None:
            self._free_since[self._early.popleft()] = stamps.last_token
        made = output.outputs[0]
        ids = tuple(made.token_ids)
        stop = made.stop_reason if isinstance(made.stop_reason, str) else None
        return Completion(
            request_id=request.id,
            text=self._tokenizer.visible(made.text) if self._shows_special else made.text,
            output_ids=ids,
            output_tokens=len(ids),
            prompt_tokens=len(request.prompt_ids),
            cached_tokens=output.num_cached_tokens or 0,
            finish_reason=_finish_reason(made.finish_reason, stop),
            stop_string=stop,
            timing=_timing(stamps, len(ids), free_since),
            error=None
            if made.finish_reason in ("stop", "length")
            else f"vLLM ended it: {made.finish_reason}",
        )

    def running(self) -> list[str]:
        """What was given to vLLM, the few that it has queued included."""
        return [request.id for request in self._running.values()]

    def kill(self, reason: str) -> bool:
        """Kills its processes; where there are none, it computes in this one."""
        if not self._family:
            return False
        self._killed = reason
        kill(self._family)
        return True

    def abort(self) -> list[Completion]:
        """Drops everything unfinished, in vLLM too."""
        if self._running and self._llm is not None:
            internals.abort_requests(self._llm, list(self._internal.values()))
        dropped = [*self._running.values(), *self._waiting]
        for kept in (self._running, self._internal, self._waiting, self._early, self._free_since):
            kept.clear()
        return [Completion.aborted(request, None) for request in dropped]

    def generated_tokens(self) -> int | None:
        """VLLM's own counter, less what it showed at the start."""
        tokens = metrics.counters(self._llm).get("generated_tokens")
        return None if tokens is None else int(tokens - self._before.get("generated_tokens", 0))

    def state(self) -> State:
        """The figures of vLLM's scheduler, and as `queued` the requests that it was not given yet."""
        told = scheduler_state(self._llm, self._before, len(self._running))
        return {**told, "queued": len(self._waiting)}

    def report(self) -> EngineReport:
        """What vLLM says of itself; counters since the start of this engine."""
        now = metrics.counters(self._llm)
        counters = {name: value - self._before.get(name, 0) for name, value in now.items()}
        settled = internals.settled(self._llm)
        queries = counters.get("prefix_cache_queries")
        preemptions = counters.get("preemptions")
        return EngineReport(
            name="vllm",
            version=self._vllm.__version__,
            device=self._device.value,
            quantization=settled.quantization,
            dtype=settled.dtype,
            attention_backend=_attention(self._facts),
            startup=self._startup.value,
            startup_reason=self._reason,
            batch_size=self._batch_size,
            weights_bytes=self._facts.get("weights_bytes"),
            kv_cache_tokens=settled.kv_cache_tokens,
            preemptions=None if preemptions is None else int(preemptions),
            prefix_cache_hit_rate=counters.get("prefix_cache_hits", 0) / queries if queries else None,
            loads=self._loads,
            free_bytes_before_load=self._free_bytes if self._loads else None,
            load_parts=dict(self._load_parts) if self._loads else {},
            graph_sizes=self._graph_sizes if self._startup is Startup.graphs else None,
            compile_cache=self._plan.compile_cache if self._plan else None,
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


def _timing(stamps: internals.Stamps | None, tokens: int, free_since: float) -> Timing | None:
    """The stamps' differences; a request that was admitted early counts as queued from when a place was free."""
    if stamps is None or not stamps.first_token:
        return None
    queued = min(max(stamps.queued, free_since), stamps.scheduled)
    return Timing.of(queued, stamps.scheduled, stamps.first_token, stamps.last_token, tokens)
