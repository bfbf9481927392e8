"""Importing transformers, and loading a model with it."""

import gc
import importlib
import importlib.util
import inspect
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmbench.config.choices import Device
from llmbench.config.schema import Config
from llmbench.engine import prefetch
from llmbench.engine.checkpoint import (
    REFUSED_PICKLE,
    Checkpoint,
    context_length,
    needs_code,
    pickle_refused,
    settings,
    weights_lack,
)
from llmbench.engine.transformers.checks import BITSANDBYTES
from llmbench.engine.vllm.determinism import ProcessMode
from llmbench.engine.vllm.errors import explain_import
from llmbench.errors import (
    EngineError,
    LlmbenchError,
    OutOfMemoryError,
    Shortage,
    clear_traceback,
    first_line,
)
from llmbench.system import hardware

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready.

    Attributes:
        model: transformers' own object; None when the engine was closed.
        last_only: The argument of its `forward` that asks for the scores of the last token alone, where it takes one.
        weights_bytes: What the weights take.
        free_bytes: Free on the first GPU before; None on a CPU.
        parts: The seconds of importing and loading, by what they went into.
    """

    model: Any
    last_only: Mapping[str, int]
    weights_bytes: int
    free_bytes: int | None
    parts: Mapping[str, float | None]


class Loader:
    """Loads one checkpoint, on one device. `torch` and `transformers` are None before `prepare`."""

    def __init__(self, config: Config, checkpoint: Checkpoint, device: Device) -> None:
        """Imports nothing yet."""
        self._config, self._checkpoint, self._device = config, checkpoint, device
        self.torch: Any = None
        self.transformers: Any = None
        self._import_s = 0.0

    def prepare(self) -> None:
        """Imports transformers, while the kernel reads the weights; refused after `engine.deterministic` in this process."""
        ProcessMode.refuse_after("engine=transformers")
        begun = time.monotonic()
        if self._checkpoint.local:
            prefetch.read_weights(Path(self._checkpoint.name))
        try:
            self.torch = importlib.import_module("torch")
            self.transformers = importlib.import_module("transformers")
            _ = self.transformers.AutoModelForCausalLM  # imported only now
        except (ImportError, RuntimeError, AttributeError) as error:
            raise EngineError(explain_import(error, "transformers")) from error
        self._import_s = time.monotonic() - begun

    def load(self, arguments: Mapping[str, Any]) -> Loaded:
        """Loads the model in evaluation mode, with these `arguments` of `from_pretrained`.

        Raises:
            EngineError: It cannot be loaded; the message says what would help.
        """
        try:
            return self._load(arguments)  # whose locals hold the model, and can be cleared when it failed
        except (KeyboardInterrupt, Exception) as error:
            failure = error
            if isinstance(error, Exception) and not isinstance(error, LlmbenchError):
                log.exception("transformers could not load the model")
                failure = self._start_error(error)
            clear_traceback(error)
            self.free_memory()
            raise failure from None

    def _load(self, arguments: Mapping[str, Any]) -> Loaded:
        begun = time.monotonic()
        free_bytes = None
        if self._device is Device.cuda:
            free_bytes = next(map(hardware.free_bytes, hardware.gpus()), None)
            self.torch.cuda.set_per_process_memory_fraction(self._config.model.gpu_memory_utilization)
        ready = time.monotonic()
        auto = self.transformers.AutoModelForCausalLM
        model, loading = auto.from_pretrained(self._checkpoint.name, output_loading_info=True, **arguments)
        missing = sorted(str(name) for name in loading.get("missing_keys") or ())
        if missing:  # transformers fills them with random numbers
            raise EngineError(weights_lack(self._config.model.name, missing))
        if self._config.model.lora is not None:
            model.load_adapter(self._config.model.lora)
        model.eval()
        weights_bytes = int(model.get_memory_footprint())
        loaded = time.monotonic()
        # the first batch is not to pay for kernels that are made or chosen on first use
        ids = self.torch.zeros((1, 8), dtype=self.torch.long, device=model.device)
        with self.torch.inference_mode():
            model(input_ids=ids)
        forward = inspect.signature(model.forward).parameters
        parts = {
            "import": self._import_s,
            "device": ready - begun,
            "weights": loaded - ready,
            "warm_up": time.monotonic() - loaded,
        }
        last_only = {"logits_to_keep": 1} if "logits_to_keep" in forward else {}
        return Loaded(model, last_only, weights_bytes, free_bytes, parts)

    def free_memory(self) -> None:
        """Collects what nobody refers to any more, and gives its memory back to the GPU."""
        gc.collect()
        if self.torch is not None and self._device is Device.cuda and self.torch.cuda.is_available():
            self.torch.cuda.empty_cache()
            self.torch.cuda.set_per_process_memory_fraction(1.0)  # the next engine has its own share

    def arguments(self) -> dict[str, Any]:
        """What `from_pretrained` is called with; `engine.args` has the last word."""
        model, on_gpu = self._config.model, self._device is Device.cuda
        # FlashAttention 2 computes in 16 bits only
        flash = on_gpu and model.dtype != "float32" and importlib.util.find_spec("flash_attn") is not None
        chosen: dict[str, Any] = {
            "revision": self._checkpoint.revision,
            "dtype": model.dtype if model.dtype == "auto" else getattr(self.torch, model.dtype),
            "attn_implementation": "flash_attention_2" if flash else "sdpa",
            "device_map": self._device.value,
            "trust_remote_code": model.trust_remote_code,
            "local_files_only": self._checkpoint.local,
        }
        if model.quantization == BITSANDBYTES:
            chosen["quantization_config"] = self.transformers.BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=self.torch.bfloat16,
            )
        return chosen | self._config.engine.args

    def check_context(self) -> None:
        """Refuses more context than the model has; what scales its positions may have more."""
        context = context_length(settings(self._checkpoint))
        if context is not None and self._config.model.max_length > context:
            raise EngineError(
                f"model.max_length={self._config.model.max_length} is more than the model's context; "
                f"set model.max_length={context}."
            )

    def _start_error(self, error: Exception) -> EngineError:
        if isinstance(error, self.torch.OutOfMemoryError):
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
        return EngineError(f"transformers could not load the model: {first_line(error)}; the log has more.")
