"""One replica: what it takes, how much it runs at once, and how much memory that needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from llmbench.config.choices import Device, Startup
from llmbench.config.deterministic import most_at_once
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_files import weights_bytes
from llmbench.engine.memory import (
    RESERVE_BYTES,
    kv_bytes_per_token,
    kv_tokens,
    planned_element_bytes,
    weights_on_gpu,
)
from llmbench.engine.vllm.forecast.demand import Demand, drain, resampled
from llmbench.engine.vllm.forecast.gpu_kinds import GpuKind
from llmbench.engine.vllm.forecast.rates import (
    KV_BYTES_PER_TOKEN,
    MODEL_B,
    Calibration,
    Rates,
    Source,
    adjusted,
    matching,
    stated,
)
from llmbench.engine.vllm.startup import history_key
from llmbench.engine.vllm.startup_history import HistoryEntry, Key, Measured, Start, Work, choose
from llmbench.errors import ConfigError
from llmbench.system.number_format import GIB

AT_LOAD = (None, "bitsandbytes", "fp8")
"""Forms of the weights that vLLM makes of a bf16 checkpoint."""
BEGIN_S = 10.0
"""Python, imports, data, tokenizer, and the page at the end (BENCHMARKS.md, time to score: 8.1 s of imports, 0.7 of the tokenizer)."""
RAY_S, BESIDE_S = 8.0, 1.0
"""What starting Ray takes, and how much longer loading takes for each further replica of a host. The second is an assumption."""
TENSOR_SIZES = (1, 2, 4, 8)
"""Tensor parallel sizes whose runs tell of another size too."""
GPUS_PER_HOST = 8
"""Replicas of one host load side by side; with more GPUs than these there are several hosts."""
LARGE_BATCH, BATCH, LARGE_GPU_GIB = 1024, 256, 70
"""Requests that vLLM runs at once by itself, on GPUs with more memory than the third, and elsewhere (`EngineArgs.get_batch_defaults`, 0.26)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run is planned for.

    Attributes:
        gpu: The kind of GPU.
        memory_bytes: Of one.
        history: Measured runs, oldest first.
    """

    gpu: GpuKind
    memory_bytes: int
    history: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica.

    Attributes:
        config: The settings, with the tensor parallel size of this replica.
        key: What the history knows its runs by, or those that tell of it.
        entries: Measured runs that tell of it, oldest first.
        measured_tensor: The tensor parallel size that these had: this one's, or the nearest that was measured.
        calibration, source: What they tell, and what they are; without any None and `STATED`.
        weights: Bytes of the weights, all its GPUs together; None where that was not measured for their form.
    """

    config: Config
    parameters_b: float
    kv_bytes_per_token: int
    place: Place
    key: Key
    weights: int | None
    measured_tensor: int
    entries: Sequence[HistoryEntry] = ()
    calibration: Calibration | None = None
    source: Source = Source.STATED

    @classmethod
    def of(
        cls,
        config: Config,
        checkpoint: Checkpoint | None,
        place: Place,
        tensor: int,
        demand: Demand,
    ) -> Self:
        """A replica over so many GPUs; measured runs are taken to have had lengths as the demand has.

        Raises:
            ConfigError: The model's number of parameters is not known.
            ModelError: Its config.json is broken.
        """
        config = _over(config, tensor)
        quantization, parameters_b = config.model.quantization, config.model.parameters_b
        made_at_load = quantization in AT_LOAD
        own = weights_bytes(Path(checkpoint.folder)) if checkpoint is not None and checkpoint.folder else 0
        if parameters_b is None and own and made_at_load:
            parameters_b = own / 2e9
        if parameters_b is None:
            raise ConfigError(
                f"The size of {config.model.name} is not known here; set model.parameters_b to its billions of parameters."
            )
        weights: int | None = own
        if made_at_load or not own:
            weights = weights_on_gpu(own or int(parameters_b * 2e9), quantization)
        element_bytes = planned_element_bytes(config)
        guess = max(1, round(KV_BYTES_PER_TOKEN * element_bytes / 2 * parameters_b / MODEL_B))
        kv_bytes = kv_bytes_per_token(settings(checkpoint), element_bytes) or guess
        named = checkpoint or Checkpoint(config.model.hub_id or config.model.name, None, local=False)
        own_key = history_key(config, named, Device.cuda)
        replica = cls(config, parameters_b, kv_bytes, place, own_key, weights, tensor)
        for size in sorted({tensor, *TENSOR_SIZES}, key=lambda size: (abs(math.log2(size / tensor)), size)):
            other = replace(replica, config=_over(config, size))
            key = history_key(other.config, named, Device.cuda)
            entries = matching(place.history, key, place.gpu)
            calibration = Calibration.of(entries, partial(other.predicted, demand))
            if calibration is not None:
                source = Source.HERE if calibration.key == key else Source.KIND
                return replace(
                    replica,
                    key=calibration.key,
                    entries=entries,
                    measured_tensor=size,
                    calibration=calibration,
                    source=source,
                )
        return replica

    @property
    def gpus(self) -> int:
        """How many it has."""
        return self.config.engine.gpus_each

    def start_s(self, rates: Rates, replicas: int) -> tuple[float, float]:
        """Returns seconds before loading and of loading, where so many replicas load side by side."""
        beside = min(replicas, max(1, GPUS_PER_HOST // self.gpus)) - 1
        return BEGIN_S + (RAY_S if replicas > 1 else 0), rates.load_s + BESIDE_S * beside

    def rates(self, works: Sequence[Work]) -> tuple[Rates, Startup]:
        """Returns the rates under the start-up that `engine.startup` asks for, or that finishes first."""
        engine = self.config.engine
        startup, filled = engine.startup, any(entry.startup is Startup.full for entry in self.entries)
        if startup is Startup.auto:
            measured = Measured.of(self.key, self.entries)
            startup, _ = choose(works, self.key, measured, compile_cache_filled=filled)
        start = startup, ("filled" if filled else "empty") if startup is Startup.full else None
        rates = self._stated(start)
        if self.calibration is not None:
            rates = self.calibration.apply(rates, start, self.gpus, self.place.gpu.power_w)
        return rates, startup

    def _stated(self, start: Start) -> Rates:
        engine, quantization = self.config.engine, self.config.model.quantization
        rates = stated(self.parameters_b, quantization, self.kv_bytes_per_token, self.place.gpu)
        sizes = engine.tensor_parallel_size, engine.pipeline_parallel_size
        return adjusted(rates, start, quantization, *sizes)

    def predicted(self, demand: Demand, entry: HistoryEntry) -> float:
        """Returns the seconds of generating of a measured run by the stated rates, with lengths that are distributed as the demand's.

        The history does not say how many requests there were: it is the batch size where that was left open, else the prompts tell.
        """
        by_prompts = round(entry.prompt_tokens / max(1.0, demand.prompt_tokens))
        typed = entry.batch_size in (demand.batch_size, default_batch(self.place))
        requests = max(1, by_prompts if typed else entry.batch_size)
        shape = resampled(demand.lengths or (1,), requests, max(1, demand.longest))
        scale = entry.output_tokens / sum(shape)
        lengths = tuple(max(1, round(length * scale)) for length in shape)
        work = Demand(lengths, entry.prompt_tokens / requests, entry.batch_size, demand.read_share)
        rates = self._stated(entry.start)
        return drain(lengths, self.running(work, requests), rates, work).seconds

    def running(self, demand: Demand, requests: int) -> int:
        """Returns how many of its requests run at once: the batch size, or what the KV cache holds."""
        running = most_at_once(self.config.engine, demand.batch_size or default_batch(self.place))
        room = self.kv_tokens()
        if room is not None:
            running = min(running, int(room // demand.held))
        return max(1, min(running, requests))

    def kv_tokens(self) -> int | None:
        """Returns how many tokens its KV cache holds; None where that is not known."""
        per_token = self.kv_bytes_per_token
        if self.config.engine.kv_cache_memory_bytes is not None:
            return self.config.engine.kv_cache_memory_bytes // per_token
        if self.weights is None:
            return None
        use = self.config.model.gpu_memory_utilization
        return kv_tokens(self.place.memory_bytes, use, self.weights, per_token, self.gpus)

    def memory_bytes(self, tokens: float) -> int | None:
        """Returns the bytes of one GPU for the weights, so many tokens in the KV cache and the rest; None where that is not known."""
        if self.weights is None:
            return None
        return int((self.weights + tokens * self.kv_bytes_per_token) / self.gpus) + RESERVE_BYTES

    def fits(self, tokens: float) -> bool | None:
        """Returns whether its GPUs have room for the weights and a request of so many tokens; None where that is not known."""
        needed = self.memory_bytes(tokens)
        room = self.place.memory_bytes * self.config.model.gpu_memory_utilization
        return None if needed is None else needed <= room


def default_batch(place: Place) -> int:
    """Returns how many requests vLLM runs at once by itself."""
    large = place.memory_bytes >= LARGE_GPU_GIB * GIB and not place.gpu.name.startswith("A100")
    return LARGE_BATCH if large else BATCH


def _over(config: Config, tensor: int) -> Config:
    """The settings with another tensor parallel size."""
    return replace(config, engine=replace(config.engine, tensor_parallel_size=tensor))
