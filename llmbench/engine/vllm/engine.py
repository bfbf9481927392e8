"""vLLM as an engine: requests go straight to its `LLMEngine`, so that others may be added while some run.

Timing comes from the engine's own monotonic stamps (`RequestOutput.metrics`). vllm is imported
in `prepare`, because that takes seconds and must follow the environment variables set there.
"""

import gc
import logging
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from llmbench.config.choices import Device, Startup
from llmbench.config.deterministic import most_at_once
from llmbench.config.schema import Config
from llmbench.engine import lora
from llmbench.engine.base import Notice
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.vllm import loading
from llmbench.engine.vllm.admission import AdmissionQueue
from llmbench.engine.vllm.checks import pick_device
from llmbench.engine.vllm.determinism import ProcessMode
from llmbench.engine.vllm.errors import log_position, start_error, step_error
from llmbench.engine.vllm.figures import Job, counted, reads, scheduler_state
from llmbench.engine.vllm.internals import engine as internals
from llmbench.engine.vllm.internals import metrics
from llmbench.engine.vllm.internals.worker_timing import GREEDY
from llmbench.engine.vllm.kv_memory import KvMemory
from llmbench.engine.vllm.loading import Loading
from llmbench.engine.vllm.outputs import completion, timing
from llmbench.engine.vllm.package import Package
from llmbench.engine.vllm.processes import EngineProcesses, close, watch_for_death
from llmbench.engine.vllm.scoring import Scoring
from llmbench.engine.vllm.startup import plan_startup
from llmbench.engine.vllm.weights_copy import Copy, as_checkpoint, in_place_of
from llmbench.engine.workload import Took, Workload
from llmbench.errors import EngineDiedError, EngineError, LlmbenchError, clear_traceback
from llmbench.records import Completion, Request
from llmbench.system import hardware
from llmbench.system.processes import blocked_sigint, environment, followed
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import EngineState

log = logging.getLogger(__name__)


class VllmEngine:
    """One vLLM engine, in this process unless `engine.multiprocess` says otherwise."""

    remote_gpus = ()

    def __init__(self, config: Config, checkpoint: Checkpoint | None) -> None:
        """Decides on the device; loads nothing yet.

        Raises:
            EngineError: The engine was given no checkpoint.
        """
        if checkpoint is None:
            raise EngineError("engine=vllm needs a checkpoint.")
        self._config, self._checkpoint = config, checkpoint
        self._device = pick_device(config)
        self._package = Package(config, self._device)
        self._loading: Loading | None = None
        self._copy: Copy | None = None  # loaded in the checkpoint's place
        self._llm: Any = None
        self._lora: Any = None  # vLLM's request for the adapter
        self._processes = EngineProcesses()
        self._tokenizer: Tokenizer | None = None
        self._job = Job()
        self._queue, self._scoring = AdmissionQueue(), Scoring(config.model.max_length)
        self.capacity = 0

    def prepare(self) -> None:
        """Imports vLLM, while the kernel reads the weights."""
        self._copy = in_place_of(self._config, self._checkpoint, self._device)
        self._package.load(self._source)

    @property
    def _source(self) -> Checkpoint:
        """What is loaded: a copy of the checkpoint with its weights quantised, or the checkpoint itself."""
        return self._checkpoint if self._copy is None else as_checkpoint(self._copy.folder)

    def preferred_batch_size(self, workload: Workload) -> int:
        """`batch_size`, else the smaller of the requests at hand and vLLM's own default; at most `engine.args.max_num_seqs`."""
        wanted = max(1, workload.batch_size, min(workload.at_once, self._package.default_batch))
        return most_at_once(self._config.engine, wanted)

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model, without vLLM's own tokenizer: `begin` brings the one that the prompts were made with."""
        begun = time.monotonic()
        log_begins = log_position()
        gc.disable()
        free_bytes = next(map(hardware.free_bytes, hardware.gpus()), None)
        plan = plan_startup(self._config, self._checkpoint, self._device, workload, self.preferred_batch_size)
        self.capacity = plan.capacity
        if self._copy is not None and Copy.read(self._copy.folder) is None:  # removed meanwhile
            self._copy = None
        only_greedy = workload.greedy and self._device is Device.cuda
        arguments = loading.arguments(self._config, self._source, self._device, workload, plan)
        memory = KvMemory.of(self._config, self._source, arguments, free_bytes)
        self._loading = Loading(plan, log_begins, free_bytes, only_greedy, memory)
        notice(plan.announcement(*loading.particulars(arguments, from_copy=self._copy is not None)))
        try:
            with (
                # the worker need not warm up what sampling would use
                environment({GREEDY: "1"} if workload.greedy else {}),
                followed(),
                blocked_sigint() if self._config.engine.multiprocess else nullcontext(),
            ):
                self._llm = self._package.vllm.LLM(**arguments, **memory.arguments)
                if (adapter := lora.read(self._config.model)) is not None:
                    self._lora = internals.load_adapter(self._llm, adapter.name, adapter.path)
            until = time.monotonic()
            watch_for_death(self._llm)
            self._processes = EngineProcesses.of(self._llm)
            self._loading.finished(begun, until, loading.worker_facts(self._llm))
        except (KeyboardInterrupt, LlmbenchError) as error:
            clear_traceback(error)
            self._forget()
            raise
        except BaseException as error:  # vLLM also leaves with SystemExit
            log.exception("vLLM could not start")
            failure = memory.blamed(start_error(error, self._config))
            clear_traceback(error)
            self._forget()
            raise failure from None
        finally:
            gc.enable()
        gc.freeze()  # what is there now stays: no collection looks at it again
        self._tokenizer = None

    def serves(self, workload: Workload) -> bool:
        """Whether enough run at once, and whether sampling was warmed up where it is asked for."""
        warm = workload.greedy or self._loading is None or not self._loading.only_greedy
        return warm and self.preferred_batch_size(workload) <= self.capacity

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool, notice: Notice) -> None:  # noqa: ARG002 - nothing happens to it unasked
        """Sets the batch size in place, empties the prefix cache and puts the counters at zero."""
        if tokenizer is not self._tokenizer:
            self._use_tokenizer(tokenizer)
        batch_size = min(self.preferred_batch_size(workload), self.capacity)
        limited = internals.limit_running(self._llm, batch_size)
        graphs = self._loading is not None and self._loading.plan.startup is Startup.graphs
        self._queue.begin(batch_size, ahead=limited or batch_size == self.capacity, refill=graphs)
        if not loaded:
            internals.empty_prefix_cache(self._llm)
        visible = (
            tokenizer.visible if isinstance(tokenizer, HubTokenizer) and tokenizer.marks_thinking else None
        )
        self._job = Job(int(loaded), metrics.counters(self._llm), visible)

    def _use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Gives vLLM the tokenizer of the prompts, for the ends of texts and for stop strings.

        vLLM would read its own from the same files and copy it twice, which takes longer than reading the weights of a small model.
        """
        self._tokenizer = tokenizer
        if not isinstance(tokenizer, HubTokenizer):
            raise EngineError("engine=vllm needs the model's own tokenizer.")
        internals.set_tokenizer(self._llm, tokenizer.hub)

    def learn(self, took: Took) -> None:
        """Adds a line to the history of starts; only a run that loaded the engine for itself tells what a start costs."""
        if self._loading is not None and self._job.loads:
            self._loading.plan.learn(self._queue.batch_size, took)

    def close(self, *, process_ends: bool = False) -> None:
        """Shuts the engine down and gives its memory back; the process's end does that too, and faster."""
        if process_ends and self._package.in_process:
            return
        if self._llm is not None:
            close(partial(internals.shut_down, self._llm), self._processes.members)
        self._processes.members = []
        self._forget()

    def _forget(self) -> None:
        """Drops every reference to vLLM's objects and has their memory returned."""
        self._llm = self._lora = self._tokenizer = None
        self._package.restore()

    @property
    def unfinished(self) -> int:
        """Waiting and running requests."""
        return len(self._queue)

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; it is admitted to vLLM when a place is near."""
        for part in self._scoring.split(request):
            self._queue.submit(part, first=first)

    def step(self) -> list[Completion]:
        """One step of vLLM's, after filling the places that are free."""
        refused = self._admit()
        if not self._queue.running:
            return self._scoring.join(refused)
        try:
            outputs = internals.step(self._llm)
        except (KeyboardInterrupt, LlmbenchError):
            raise
        except Exception as error:
            raise self._died(error) from error
        made = [self._completion(output) for output in outputs if output.finished]
        return self._scoring.join([*refused, *(completion for completion in made if completion is not None)])

    def _died(self, error: Exception) -> EngineError:
        log.error("vLLM stopped working", exc_info=error)
        # with the few that vLLM has queued
        running = tuple(request.id for request in self._scoring.questions(self._queue.running.values()))
        if self._processes.killed is not None:
            return EngineDiedError(self._processes.killed, running=running)
        begins = self._loading.log_begins if self._loading is not None else 0
        failure = step_error(error, begins, in_process=self._package.in_process, running=running)
        return failure if self._loading is None else self._loading.kv_memory.blamed(failure)

    def _admit(self) -> list[Completion]:
        """Gives vLLM the requests that there is room for; returns those that it refused."""
        refused = []
        for key, request in self._queue.admissible():
            try:
                vllm, ids = self._package.vllm, self._scoring.prompt(request)
                params = self._scoring.params(vllm, request, skip_special_tokens=self._job.visible is None)
                internal = internals.add_request(self._llm, key, ids, params, self._lora)
            except Exception as error:
                if internals.is_engine_dead(error):
                    raise self._died(error) from error
                log.warning("vLLM refused %s: %s", request.id, error)
                refused.append(Completion.aborted(request, f"{type(error).__name__}: {error}"))
                continue
            self._queue.admitted(key, request, internal)
        return refused

    def _completion(self, output: Any) -> Completion | None:  # noqa: ANN401 - vLLM's class
        stamps = internals.stamps(output)
        request, free_since = self._queue.finished(output.request_id, stamps and stamps.last_token)
        if not request.choices:
            return completion(request, output, stamps, free_since, self._job.visible)
        made = self._scoring.completion(request, output, timing(stamps, 1, free_since))
        if made is None:
            self._queue.submit(request, first=True)
        return made

    @property
    def weights_digest(self) -> str | None:
        """SHA-256 of the weights as the engine holds them, where the environment asked for it (`internals.quantized_weights`)."""
        return None if self._loading is None else self._loading.facts.get("weights_digest")

    def kill(self, reason: str) -> bool:
        """Kills its processes; where there are none, it computes in this one."""
        return self._processes.kill(reason)

    def abort(self) -> list[Completion]:
        """Drops everything unfinished, in vLLM too."""
        if self._queue.running and self._llm is not None:
            internals.abort_requests(self._llm, list(self._queue.internal.values()))
        dropped = self._scoring.questions(self._queue.clear())
        self._scoring.clear()
        return [Completion.aborted(request, None) for request in dropped]

    def state(self) -> EngineState:
        """The figures of vLLM's scheduler, and as `queued` the requests that it was not given yet."""
        state = scheduler_state(self._llm, self._job.counters, len(self._queue.running))
        return replace(state, queued=len(self._queue.waiting))

    def report(self) -> EngineReport:
        """What vLLM says of itself; counters since the start of this engine."""
        loads, settled = self._job.loads, internals.settled(self._llm)
        if self._loading is None:
            raise RuntimeError("load was not called")
        plan, facts = self._loading.plan, self._loading.facts
        return EngineReport(
            name="vllm",
            version=self._package.vllm.__version__,
            device=self._device.value,
            quantization=settled.quantization,
            dtype=settled.dtype,
            attention_backend=facts.get("attention_backend"),
            batch_invariant=ProcessMode.invariant,
            startup=plan.startup.value,
            startup_reason=plan.reason,
            batch_size=self._queue.batch_size,
            weights_bytes=facts.get("weights_bytes"),
            kv_cache_tokens=settled.kv_cache_tokens,
            kv_cache_dtype=settled.kv_cache_dtype,
            kv_cache_remembered=self._loading.kv_memory.remembered is not None,
            weights_copy=None if self._copy is None else self._copy.digest,
            **reads(settled, facts.get("weights_bytes"), self._config.engine.gpus_each),
            **counted(metrics.counters(self._llm), self._job.counters),
            loads=loads,
            free_bytes_before_load=self._loading.free_bytes if loads else None,
            load_parts=dict(self._loading.parts) if loads else {},
            graph_sizes=plan.graph_sizes,
            compile_cache=plan.compile_cache,
        )
