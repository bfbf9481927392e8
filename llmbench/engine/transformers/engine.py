"""The engine: see the package."""

import gc
import importlib
import importlib.util
import inspect
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmbench.config.schema import Config, Device
from llmbench.engine import prefetch
from llmbench.engine.base import Notice
from llmbench.engine.batching import Batching, batches
from llmbench.engine.checkpoint import (
    REFUSED_PICKLE,
    Checkpoint,
    context_length,
    needs_code,
    pickle_refused,
    settings,
    weights_lack,
)
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.transformers.batch import Batch, Row
from llmbench.engine.transformers.checks import BITSANDBYTES, check_settings, pick_device
from llmbench.engine.transformers.sampling import GREEDY_BELOW, draw, penalised, penalises
from llmbench.engine.transformers.text import PRIMER, Text, find_stop
from llmbench.engine.vllm.errors import explain_import, spoils
from llmbench.engine.workload import Took, Workload
from llmbench.errors import (
    EngineDiedError,
    EngineError,
    LlmbenchError,
    OutOfMemoryError,
    Shortage,
    clear_traceback,
    first_line,
)
from llmbench.records import Completion, EngineReport, FinishReason, Request, Timing
from llmbench.system import hardware
from llmbench.telemetry.records import EngineState

if TYPE_CHECKING:
    from torch import Generator, Tensor

log = logging.getLogger(__name__)

NO_BOUND = 1 << 30
"""Requests that can run at once: nothing is set aside for them at the start, so no batch size asks for another load."""


class TransformersEngine:
    """One model in this process, on one device."""

    def __init__(self, config: Config, checkpoint: Checkpoint | None) -> None:
        """Decides on the device; loads nothing yet.

        Raises:
            EngineError: The engine was given no checkpoint.
            ConfigError: A setting is of no use to this engine.
        """
        if checkpoint is None:
            raise EngineError("engine=transformers needs a checkpoint.")
        check_settings(config)
        self._config, self._checkpoint = config, checkpoint
        self._device = pick_device(config)
        self._batching = Batching.of(config)
        self._waiting: list[Request] = []
        self._continuations: list[Request] = []
        self._batch: Batch | None = None
        self._torch: Any = None
        self._transformers: Any = None
        self._model: Any = None
        self._tokenizer: Tokenizer | None = None
        self._ends: frozenset[int] = frozenset()
        self._random: Any = None
        self._last_only: dict[str, int] = {}
        self._load_parts: dict[str, float | None] = {}
        self._free_bytes: int | None = None
        self._weights_bytes: int | None = None
        self._loads = self._tokens = 0
        self.capacity = 0

    def prepare(self) -> None:
        """Imports transformers, while the kernel reads the weights."""
        begun = time.monotonic()
        if self._checkpoint.local:
            prefetch.read_weights(Path(self._checkpoint.name))
        try:
            self._torch = importlib.import_module("torch")
            self._transformers = importlib.import_module("transformers")
            _ = self._transformers.AutoModelForCausalLM  # imported only now
        except (ImportError, RuntimeError, AttributeError) as error:
            raise EngineError(explain_import(error, "transformers")) from error
        self._load_parts = {"import": time.monotonic() - begun}

    def preferred_batch_size(self, workload: Workload) -> int:
        """The most that a batch may hold: `batch_size`, else `max_batch_size` or `static_batch_size`."""
        return (workload.batching or self._batching).most

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model in evaluation mode."""
        self._check_context()
        begun = time.monotonic()
        arguments = self._arguments()
        kind = "sorted by length" if self._batching.dynamic else "in the order given"
        notice(
            f"Loading with transformers on {self._device.value}: {self._config.model.quantization or self._config.model.dtype}, "
            f"{arguments['attn_implementation']}, batches of up to {self.preferred_batch_size(workload)} {kind}."
        )
        try:
            self._ready_device()
            ready = time.monotonic()
            auto = self._transformers.AutoModelForCausalLM
            self._model, loading = auto.from_pretrained(
                self._checkpoint.name, output_loading_info=True, **arguments
            )
            self._check_loaded(loading)
            self._model.eval()
            self._weights_bytes = int(self._model.get_memory_footprint())
            loaded = time.monotonic()
            self._warm_up()
        except (KeyboardInterrupt, LlmbenchError) as error:
            clear_traceback(error)
            self._forget()
            raise
        except Exception as error:
            log.exception("transformers could not load the model")
            told = self._start_error(error)
            clear_traceback(error)
            self._forget()
            raise told from None
        forward = inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in forward else {}
        parts = {"device": ready - begun, "weights": loaded - ready, "warm_up": time.monotonic() - loaded}
        self._load_parts |= parts
        self.capacity = NO_BOUND

    def _check_loaded(self, loading: Mapping[str, Any]) -> None:
        """Refuses a model of which tensors were not in the checkpoint, since transformers fills them with random numbers."""
        missing = sorted(str(name) for name in loading.get("missing_keys") or ())
        if missing:
            raise EngineError(weights_lack(self._config.model.name, missing))

    def _warm_up(self) -> None:
        """One small step, so that the first batch does not pay for kernels that are made or chosen on first use."""
        ids = self._torch.zeros((1, 8), dtype=self._torch.long, device=self._model.device)
        with self._torch.inference_mode():
            self._model(input_ids=ids)

    def _arguments(self) -> dict[str, Any]:
        """What `from_pretrained` is called with; `engine.args` has the last word."""
        model, device = self._config.model, self._device.value
        arguments: dict[str, Any] = {
            "revision": self._checkpoint.revision,
            "dtype": model.dtype if model.dtype == "auto" else getattr(self._torch, model.dtype),
            "attn_implementation": "flash_attention_2" if self._flash_attention() else "sdpa",
            "device_map": device,
            "trust_remote_code": model.trust_remote_code,
            "local_files_only": self._checkpoint.local,
        }
        if model.quantization == BITSANDBYTES:
            arguments["quantization_config"] = self._transformers.BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=self._torch.bfloat16,
            )
        return arguments | self._config.engine.args

    def _flash_attention(self) -> bool:
        """FlashAttention 2 computes in 16 bits only."""
        installed = importlib.util.find_spec("flash_attn") is not None
        return self._device is Device.cuda and installed and self._config.model.dtype != "float32"

    def _check_context(self) -> None:
        """Refuses more context than the model has; what scales its positions may have more."""
        context = context_length(settings(self._checkpoint))
        if context is not None and self._config.model.max_length > context:
            raise EngineError(
                f"model.max_length={self._config.model.max_length} is more than the model's context; "
                f"set model.max_length={context}."
            )

    def _ready_device(self) -> None:
        if self._device is not Device.cuda:
            return
        if not self._torch.cuda.is_available():
            raise EngineError(
                "torch cannot use the GPU; check nvidia-smi and torch's build, or use engine.device=cpu."
            )
        self._free_bytes = next(map(hardware.free_bytes, hardware.gpus()), None)
        self._torch.cuda.set_per_process_memory_fraction(self._config.model.gpu_memory_utilization)

    def _start_error(self, error: Exception) -> EngineError:
        if isinstance(error, self._torch.OutOfMemoryError):
            return OutOfMemoryError(
                "The GPU ran out of memory while loading; use model.quantization=bitsandbytes, a smaller model, or a higher "
                "model.gpu_memory_utilization.",
                Shortage("weights", needs_new_process=True),
            )
        text = str(error)
        if REFUSED_PICKLE in text:
            return EngineError(pickle_refused(self._config.model.name))
        if "trust_remote_code" in text:
            return EngineError(needs_code(self._config.model.name))
        if "unexpected keyword argument" in text and self._config.engine.args:
            return EngineError(f"engine.args holds what from_pretrained does not take: {first_line(error)}.")
        return EngineError(f"transformers could not load the model: {first_line(error)}; the log has more.")

    def serves(self, workload: Workload) -> bool:  # noqa: ARG002
        """Always: nothing is set aside at the start."""
        return True

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool) -> None:
        """Takes the run's batch size and tokenizer, whose ends of text and the model's own end a row."""
        if not isinstance(tokenizer, HubTokenizer):
            raise EngineError("engine=transformers needs the model's own tokenizer.")
        self._tokenizer, self._loads, self._tokens = tokenizer, int(loaded), 0
        self._batching = workload.batching or self._batching
        own = getattr(self._model.generation_config, "eos_token_id", None)
        ends = own if isinstance(own, list) else [own]
        self._ends = frozenset(end for end in (*ends, tokenizer.hub.eos_token_id) if end is not None)
        self._random = self._generator(self._config.seed)

    def _generator(self, seed: int) -> "Generator":
        return self._torch.Generator(device=self._device.value).manual_seed(seed)

    def learn(self, took: Took) -> None:
        """Nothing: there is no start-up to choose."""

    def close(self, *, process_ends: bool = False) -> None:
        """Drops the model and gives its memory back; the process's end does that too."""
        if not process_ends:
            self._forget()

    def _forget(self) -> None:
        self._model = self._tokenizer = self._batch = None
        gc.collect()
        if self._torch is not None and self._device is Device.cuda and self._torch.cuda.is_available():
            self._torch.cuda.empty_cache()
            self._torch.cuda.set_per_process_memory_fraction(1.0)  # the next engine has its own share

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; it waits, untimed, until a batch is formed with it."""
        (self._continuations if first else self._waiting).append(request)

    @property
    def unfinished(self) -> int:
        """Waiting requests and rows that have not ended."""
        return len(self._waiting) + len(self._continuations) + len(self._running())

    def _running(self) -> list[Row]:
        return [row for row in self._batch.rows if not row.ended] if self._batch else []

    def generated_tokens(self) -> int:
        """Tokens of all rows since `begin`, less those of rows that had ended."""
        return self._tokens

    def kill(self, reason: str) -> bool:  # noqa: ARG002
        """It computes in this process."""
        return False

    def abort(self) -> list[Completion]:
        """Drops the batch with its cache, and everything that waits."""
        dropped = [row.request for row in self._running()] + self._continuations + self._waiting
        self._batch = None
        self._continuations, self._waiting = [], []
        return [Completion.aborted(request, None) for request in dropped]

    def step(self) -> list[Completion]:
        """One token for every row: for a new batch, which is formed where none runs, the first one."""
        refused: list[Completion] = []
        if self._batch is None:
            refused = self._refuse()
            self._batch = self._next_batch()
        if self._batch is None:
            return refused
        try:
            with self._torch.inference_mode():
                return refused + self._decode(self._batch)
        except self._torch.OutOfMemoryError as error:
            raise OutOfMemoryError(
                self._too_much(self._batch),
                Shortage("running", needs_new_process=True, size=self._batch.mask.shape[0]),
            ) from error
        except (KeyboardInterrupt, LlmbenchError):
            raise
        except Exception as error:
            log.exception("transformers stopped working")
            raise EngineDiedError(
                f"transformers stopped working: {type(error).__name__}: {first_line(error)}; the log has more.",
                needs_new_process=spoils(error),
                running=tuple(row.request.id for row in self._running()),
            ) from error

    def _refuse(self) -> list[Completion]:
        """What no batch can take: prompts that fill the context, or hold nothing."""
        context = self._config.model.max_length
        refused = []
        for queue in (self._continuations, self._waiting):
            for request in [r for r in queue if not 0 < len(r.prompt_ids) < context]:
                queue.remove(request)
                reason = f"the prompt has {len(request.prompt_ids)} tokens; model.max_length={context} leaves room for 1 to {context - 1}"
                log.warning("refused %s: %s", request.id, reason)
                refused.append(Completion.aborted(request, reason))
        return refused

    def _next_batch(self) -> Batch | None:
        """The first batch of what waits, continuations before the rest; all have the limit of the one that waits longest."""
        queue = self._continuations or self._waiting
        if not queue:
            return None
        limit = queue[0].sampling.max_tokens
        like = [request for request in queue if request.sampling.max_tokens == limit]
        places = batches([len(request.prompt_ids) for request in like], self._batching)[0]
        chosen = [like[place] for place in places]
        taken = {request.id for request in chosen}
        queue[:] = [request for request in queue if request.id not in taken]
        return self._padded(chosen)

    def _padded(self, requests: Sequence[Request]) -> Batch:
        """The prompts beside each other, their ends aligned; positions count from each prompt's own beginning."""
        formed = time.monotonic()
        longest = max(len(request.prompt_ids) for request in requests)
        padding = [longest - len(request.prompt_ids) for request in requests]
        filler = min(self._ends, default=0)
        rows = list(zip(padding, requests, strict=True))
        tensor = self._tensor
        return Batch(
            rows=[self._row(request) for request in requests],
            formed=formed,
            ids=tensor([[filler] * pad + list(request.prompt_ids) for pad, request in rows]),
            mask=tensor([[0] * pad + [1] * (longest - pad) for pad, _ in rows]),
            positions=tensor([[0] * pad + list(range(longest - pad)) for pad, _ in rows]),
        )

    def _tensor(self, numbers: Sequence[Any]) -> "Tensor":
        return self._torch.tensor(numbers, device=self._device.value)

    def _row(self, request: Request) -> Row:
        sampling = request.sampling
        generator = None
        if sampling.temperature >= GREEDY_BELOW:
            generator = self._random if sampling.seed is None else self._generator(sampling.seed)
        seen = written = None
        if penalises(sampling):
            size = self._model.get_output_embeddings().weight.shape[0]
            seen = self._torch.zeros(size, dtype=self._torch.bool, device=self._device.value)
            seen[self._tensor(request.prompt_ids)] = True
            written = self._torch.zeros(size, dtype=self._torch.int32, device=self._device.value)
        if self._tokenizer is None:
            raise RuntimeError("begin was not called")
        return Row(
            request=request,
            limit=min(sampling.max_tokens, self._config.model.max_length - len(request.prompt_ids)),
            text=Text(self._tokenizer, list(request.prompt_ids[-PRIMER:])),
            generator=generator,
            seen=seen,
            written=written,
        )

    def _decode(self, batch: Batch) -> list[Completion]:
        """One pass through the model; rows that end with it come back."""
        output = self._model(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=batch.cache,
            use_cache=True,
            **self._last_only,
        )
        tokens = self._choose(output.logits[:, -1].float(), batch.rows)
        now = time.monotonic()
        finished = []
        for row, token in zip(batch.rows, tokens, strict=True):
            if not row.ended:
                completion = self._advance(row, token, batch.formed, now)
                finished += [completion] if completion else []
        if all(row.ended for row in batch.rows):
            self._batch = None
            return finished
        batch.cache = output.past_key_values
        batch.ids = self._tensor(tokens)[:, None]
        batch.mask = self._torch.cat([batch.mask, self._torch.ones_like(batch.ids)], dim=1)
        batch.positions = batch.positions[:, -1:] + 1
        return finished

    def _choose(self, logits: "Tensor", rows: Sequence[Row]) -> list[int]:
        """The next token of every row; those that ended get one that nobody reads."""
        tokens: list[int] = logits.argmax(-1).tolist()
        for place, row in enumerate(rows):
            if row.ended or (row.generator is None and row.seen is None):
                continue
            own = logits[place]
            if row.seen is not None and row.written is not None:
                own = penalised(own, row.seen, row.written, row.request.sampling)
            greedy = row.generator is None
            tokens[place] = int(own.argmax()) if greedy else draw(own, row.request.sampling, row.generator)
            if row.seen is not None and row.written is not None:
                row.seen[tokens[place]] = True
                row.written[tokens[place]] += 1
        return tokens

    def _advance(self, row: Row, token: int, formed: float, now: float) -> Completion | None:
        """Adds a token to a row; its completion if it ends: by an end of text, else a stop string, else its limit."""
        sampling = row.request.sampling
        row.output.append(token)
        row.first_token = row.first_token or now
        self._tokens += 1
        reason, found = None, None
        if token in self._ends and not sampling.ignore_eos:
            reason = FinishReason.STOP
        else:
            found = self._stop(row, token)
            if found:
                reason = FinishReason.STOP_STRING
            elif len(row.output) >= row.limit:
                reason = FinishReason.LENGTH
        if reason is None:
            return None
        row.ended = True
        if not found:
            row.text.read()
        stop, end = found or (None, None)
        count = len(row.output)
        return Completion(
            request_id=row.request.id,
            text=row.text.text[:end],
            output_ids=tuple(row.output),
            output_tokens=count,
            prompt_tokens=len(row.request.prompt_ids),
            cached_tokens=0,
            finish_reason=reason,
            stop_string=stop,
            timing=Timing.of(
                formed, formed, row.first_token, now, count
            ),  # a row runs from when its batch is formed
        )

    def _stop(self, row: Row, token: int) -> tuple[str, int] | None:
        """The stop string that the token completes; without any, the text is decoded at the end alone."""
        stops = row.request.sampling.stop
        if not stops:
            row.text.ids.append(token)
            return None
        new = row.text.add(token)
        return find_stop(row.text.text, stops, new)

    def _too_much(self, batch: Batch) -> str:
        size, length = batch.mask.shape
        name = "max_batch_size" if self._batching.dynamic else "static_batch_size"
        name = "batch_size" if self._config.batch_size is not None else name
        remedy = f"set {name}={max(1, size // 2)}" if size > 1 else "set a smaller model.max_length"
        where = "GPU" if self._device.value == "cuda" else "machine"
        return f"The {where} ran out of memory with {size} requests of {length} tokens at once; {remedy}."

    def state(self) -> EngineState:
        """Rows of the batch that have not ended, requests that are in no batch yet, and tokens given; nothing waits in a batch."""
        return EngineState(
            running=len(self._running()),
            waiting=0,
            queued=len(self._continuations) + len(self._waiting),
            generated_tokens=self.generated_tokens(),
        )

    def report(self) -> EngineReport:
        """How the model was loaded; `batch_size` is what a batch may hold."""
        model = self._model
        own = settings(self._checkpoint).get("quantization_config")
        quantized = own.get("quant_method") if isinstance(own, Mapping) else None
        return EngineReport(
            name="transformers",
            version=self._transformers.__version__,
            device=self._device.value,
            quantization=self._config.model.quantization or quantized,
            dtype=str(model.dtype).removeprefix("torch.") if model is not None else None,
            attention_backend=getattr(model.config, "_attn_implementation", None)
            if model is not None
            else None,
            batch_size=self._batching.most,
            weights_bytes=self._weights_bytes,
            loads=self._loads,
            load_parts=dict(self._load_parts) if self._loads else {},
            free_bytes_before_load=self._free_bytes if self._loads else None,
        )
