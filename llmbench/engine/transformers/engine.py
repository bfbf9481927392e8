"""The engine: a queue that forms batches, and a decoder that works on one at a time."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.batching import Batching, batches
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.transformers.checks import pick_device
from llmbench.engine.transformers.decoding import Batch, Decoder
from llmbench.engine.transformers.loading import Loaded, Loader
from llmbench.engine.vllm.errors import spoils
from llmbench.engine.workload import Workload
from llmbench.errors import (
    EngineDiedError,
    EngineError,
    LlmbenchError,
    OutOfMemoryError,
    Shortage,
    first_line,
)
from llmbench.records import Completion, Request
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import EngineState

log = logging.getLogger(__name__)

NO_BOUND = 1 << 30
"""Requests that can run at once: nothing is set aside for them at the start, so no batch size asks for another load."""


class BatchQueue:
    """Continuations go before everything else; a batch holds requests of one token limit."""

    def __init__(self, batching: Batching, context: int) -> None:
        """Takes how batches are formed, and the tokens of prompt and output together that a row may have."""
        self.batching, self._context = batching, context
        self._waiting: list[Request] = []
        self._continuations: list[Request] = []

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting) + len(self._continuations)

    def submit(self, request: Request, *, first: bool) -> None:
        """Adds a request; `first` makes it a continuation."""
        (self._continuations if first else self._waiting).append(request)

    def refuse(self) -> list[Completion]:
        """Takes out what no batch can take, prompts that fill the context or hold nothing, and returns it as aborted."""
        context = self._context
        refused = []
        for queue in (self._continuations, self._waiting):
            for request in [r for r in queue if not 0 < len(r.prompt_ids) < context]:
                queue.remove(request)
                reason = f"the prompt has {len(request.prompt_ids)} tokens; model.max_length={context} leaves room for 1 to {context - 1}"
                log.warning("refused %s: %s", request.id, reason)
                refused.append(Completion.aborted(request, reason))
        return refused

    def next(self) -> list[Request]:
        """Takes out the first batch of what waits, all with the limit of the one that waits longest; empty where nothing waits."""
        queue = self._continuations or self._waiting
        if not queue:
            return []
        limit = queue[0].sampling.max_tokens
        like = [request for request in queue if request.sampling.max_tokens == limit]
        places = batches([len(request.prompt_ids) for request in like], self.batching)[0]
        chosen = [like[place] for place in places]
        taken = {request.id for request in chosen}
        queue[:] = [request for request in queue if request.id not in taken]
        return chosen

    def clear(self) -> list[Request]:
        """Drops all requests and returns them."""
        dropped = self._continuations + self._waiting
        self._continuations, self._waiting = [], []
        return dropped


class TransformersEngine(ModelEngine):
    """One model in this process, on one device."""

    def __init__(self, config: Config, checkpoint: Checkpoint | None) -> None:
        """Decides on the device; loads nothing yet.

        Raises:
            EngineError: The engine was given no checkpoint.
        """
        if checkpoint is None:
            raise EngineError("engine=transformers needs a checkpoint.")
        self._config, self._checkpoint = config, checkpoint
        self._device = pick_device(config)
        self._loader = Loader(config, checkpoint, self._device)
        self._loaded: Loaded | None = None
        self._decoder: Decoder | None = None
        self._queue = BatchQueue(Batching.of(config, config.model.max_length), config.model.max_length)
        self._batch: Batch | None = None
        self._loads = 0
        self.capacity = 0

    def prepare(self) -> None:
        """Imports transformers, while the kernel reads the weights."""
        self._loader.prepare()

    def preferred_batch_size(self, workload: Workload) -> int:
        """The most that a batch may hold: `batch_size`, else `max_batch_size` or `static_batch_size`."""
        return (workload.batching or self._queue.batching).most

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model in evaluation mode."""
        self._loader.check_context()
        arguments = self._loader.arguments()
        kind = "sorted by length" if self._queue.batching.dynamic else "in the order given"
        notice(
            f"Loading with transformers on {self._device.value}: {self._config.model.quantization or self._config.model.dtype}, "
            f"{arguments['attn_implementation']}, batches of up to {self.preferred_batch_size(workload)} {kind}."
        )
        self._loaded = self._loader.load(arguments)
        self.capacity = NO_BOUND

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool, notice: Notice) -> None:  # noqa: ARG002 - nothing happens to it unasked
        """Takes the run's batch size and tokenizer, whose ends of text and the model's own end a row."""
        if not isinstance(tokenizer, HubTokenizer):
            raise EngineError("engine=transformers needs the model's own tokenizer.")
        if self._loaded is None:
            raise RuntimeError("load was not called")
        self._loads = int(loaded)
        self._queue.batching = workload.batching or self._queue.batching
        self._decoder = Decoder(self._loader.torch, self._loaded, tokenizer, self._config, self._device)

    def close(self, *, process_ends: bool = False) -> None:
        """Drops the model and gives its memory back; the process's end does that too."""
        if not process_ends:
            self._decoder = self._batch = None
            if self._loaded is not None:
                self._loaded = replace(self._loaded, model=None)
            self._loader.free_memory()

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; it waits, untimed, until a batch is formed with it."""
        self._queue.submit(request, first=first)

    def _running(self) -> list[Request]:
        return [row.request for row in self._batch.running] if self._batch else []

    @property
    def unfinished(self) -> int:
        """Waiting requests and rows that have not ended."""
        return len(self._queue) + len(self._running())

    def kill(self, reason: str) -> bool:  # noqa: ARG002
        """It computes in this process."""
        return False

    def abort(self) -> list[Completion]:
        """Drops the batch with its cache, and everything that waits."""
        dropped = self._running() + self._queue.clear()
        self._batch = None
        return [Completion.aborted(request, None) for request in dropped]

    def step(self) -> list[Completion]:
        """One token for every row: for a new batch, which is formed where none runs, the first one."""
        if self._decoder is None:
            raise RuntimeError("begin was not called")
        refused: list[Completion] = []
        if self._batch is None:
            refused = self._queue.refuse()
            chosen = self._queue.next()
            if not chosen:
                return refused
            self._batch = self._decoder.batch(chosen)
        try:
            finished = self._decoder.step(self._batch)
        except (KeyboardInterrupt, LlmbenchError):
            raise
        except Exception as error:
            raise self._failed(error, self._batch) from error
        if not self._batch.running:
            self._batch = None
        return refused + finished

    def _failed(self, error: Exception, batch: Batch) -> EngineError:
        if isinstance(error, self._loader.torch.OutOfMemoryError):
            size, length = batch.mask.shape
            remedy = f"batch_size={size // 2}" if size > 1 else "a smaller model.max_length"
            return OutOfMemoryError(
                f"Memory ran out with {size} requests of {length} tokens at once on {self._device.value}; set {remedy}.",
                Shortage("running", needs_new_process=True, size=size),
            )
        log.error("transformers stopped working", exc_info=error)
        return EngineDiedError(
            f"transformers stopped working: {type(error).__name__}: {first_line(error)}; the log has more.",
            needs_new_process=spoils(error),
            running=tuple(request.id for request in self._running()),
        )

    def state(self) -> EngineState:
        """Rows of the batch that have not ended, requests that are in no batch yet, and tokens given; nothing waits in a batch."""
        return EngineState(
            running=len(self._running()),
            waiting=0,
            queued=len(self._queue),
            generated_tokens=self._decoder.tokens if self._decoder else 0,
        )

    def report(self) -> EngineReport:
        """How the model was loaded; `batch_size` is what a batch may hold."""
        own = settings(self._checkpoint).get("quantization_config")
        quantized = own.get("quant_method") if isinstance(own, Mapping) else None
        loaded = self._loaded
        model = loaded.model if loaded else None
        return EngineReport(
            name="transformers",
            version=self._loader.transformers.__version__,
            device=self._device.value,
            quantization=self._config.model.quantization or quantized,
            dtype=str(model.dtype).removeprefix("torch.") if model else None,
            attention_backend=getattr(model.config, "_attn_implementation", None) if model else None,
            batch_size=self._queue.batching.most,
            weights_bytes=loaded.weights_bytes if loaded else None,
            loads=self._loads,
            load_parts=dict(loaded.parts) if loaded and self._loads else {},
            free_bytes_before_load=loaded.free_bytes if loaded and self._loads else None,
        )
