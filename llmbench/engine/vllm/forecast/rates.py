"""What a step and a load take: what was measured here or on a machine of this kind, else figures of one H100, scaled.

A step of vLLM reads all weights once, and computes one token for each running request, so that it takes the longer of the two;
beside that it reads the KV cache of each. With three figures this gives the times of any batch size (the roofline model, Williams 2009),
and a measured run tells by which factor they are wrong for a model and a machine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median

import numpy as np

from llmbench.config.choices import Startup
from llmbench.engine.vllm.forecast.demand import Demand
from llmbench.engine.vllm.forecast.gpu_kinds import KNOWN, GpuKind, kind_of
from llmbench.engine.vllm.startup_history import (
    COMPILED_COSTS_S,
    COMPILED_SAVES_S,
    GRAPHS_COST_S,
    GRAPHS_SAVE_S,
    NEWEST,
    HistoryEntry,
    Key,
    Measured,
)

H100, MODEL_B = KNOWN[0], 14.8
"""What the figures below were measured on, and the billions of parameters of the model."""
STEP_S: Mapping[str | None, Mapping[int, float]] = {
    "bitsandbytes": {1: 0.0102, 2: 0.0138, 4: 0.0199, 8: 0.0241, 32: 0.0241, 128: 0.0268, 256: 0.0268},
    None: {1: 0.0117, 256: 0.0120},
    "fp8": {1: 0.0076, 256: 0.0080},
}
"""Seconds of a step by running requests, without what reading prompts and the KV cache takes.

From the output tokens/s at 1 to 256 requests of 128 tokens behind prompts of 200 (`run/preflight.TOKENS_PER_S`), less TOKEN_S for each token
of the prompts and KV_SHARE for the cache: what is left is nearly the same at all batch sizes, except with bitsandbytes, which unpacks its weights.
"""
TOKEN_S: Mapping[str | None, float] = {
    "bitsandbytes": 69e-6,
    None: 50e-6,
    "fp8": 37e-6,
    "awq": 56e-6,
    "gptq": 56e-6,
}
"""Seconds of computing one token, of a prompt or an output: 768 requests at once (BENCHMARKS.md, throughput), less reading the KV cache."""
KV_BYTES_PER_TOKEN, KV_SHARE = 196_608, 0.8
"""Of Qwen2.5-14B, where config.json is not at hand, scaled by parameters; and the part of the memory's bandwidth that reading the cache gets: with
it 310,208 tokens of 128 long outputs come to 137 s in bf16, which took 150."""
LEAST_STEP_S = 0.004
"""What vLLM needs for a step however small the model. An assumption."""
LOAD_S, LOAD_S_PER_B = 7.2, 0.38
"""Seconds of a warm load with CUDA graphs, and for each billion of parameters, whose weights are read: 12.8 s (BENCHMARKS.md, time to score)."""
PARALLEL_LOAD_S = 12.5
"""What loading takes more with tensor or pipeline parallelism, which starts processes: 41.1 s instead of 28.6 (one host with H100s)."""
TENSOR_SPEED, PIPELINE_SPEED = 1.6, 1.27
"""What twice the GPUs do for the speed: 6.74 s of generating came down to 4.21 with tensor parallelism 2, 6.6 to 5.2 with pipeline parallelism
(one host with H100s, 500 requests of 128 tokens, bf16)."""
WARM_SHARE = 0.65
"""Of a first load a warm one takes so much: 12.8 s of 19.6 (BENCHMARKS.md, time to score)."""
POWER_SHARE = 0.78
"""The part of its greatest power that a GPU draws while it generates: 550 of an H100's 700 W (BENCHMARKS.md, monitoring)."""


class Source(StrEnum):
    """Where rates come from."""

    HERE = "measured on this machine"
    KIND = "measured on a machine of this kind"
    STATED = "stated constants"


@dataclass(frozen=True, slots=True)
class Rates:
    """What a replica takes.

    Attributes:
        steps: Seconds of a step by running requests, without the rest.
        token_s: Seconds of computing one token, of a prompt or an output.
        context_token_s: Seconds in which a step reads the KV cache of one token.
        load_s: Seconds of loading one replica, imports left out.
        watts: Of one GPU while it generates; None where that is not known.
        source: Where they come from.
        runs: Measured runs that they were set by.
    """

    steps: Mapping[int, float]
    token_s: float
    context_token_s: float
    load_s: float
    watts: float | None
    source: Source = Source.STATED
    runs: int = 0

    def step_s(self, running: int, context_tokens: float) -> float:
        """Returns the seconds of a step of so many requests, whose prompts and outputs so far have so many tokens together."""
        base_s = float(np.interp(running, list(self.steps), list(self.steps.values())))
        return max(base_s, running * self.token_s) + context_tokens * self.context_token_s

    def times(self, factor: float, step_more_s: float = 0.0) -> "Rates":
        """Returns rates of a replica that takes so many times as long, and then so many seconds more at each step."""
        return replace(
            self,
            steps={running: factor * seconds + step_more_s for running, seconds in self.steps.items()},
            token_s=factor * self.token_s,
            context_token_s=factor * self.context_token_s,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """What the rates of a model depend on: its parameters in billions, its weights' form, bytes of a token in the KV cache."""

    parameters_b: float
    quantization: str | None
    kv_bytes_per_token: int


def stated(model: Model, gpu: GpuKind) -> Rates:
    """Returns the rates of one GPU by the figures of an H100: steps by its memory's bandwidth, computing by its arithmetic."""
    size, reads = model.parameters_b / MODEL_B, H100.bandwidth_gb_s / gpu.bandwidth_gb_s
    four_bit = next((name for name in ("awq", "gptq") if (model.quantization or "").startswith(name)), None)
    weights = model.quantization if model.quantization in STEP_S else "fp8" if four_bit else None
    return Rates(
        steps={
            running: max(LEAST_STEP_S, seconds * size * reads) for running, seconds in STEP_S[weights].items()
        },
        token_s=TOKEN_S[four_bit or weights] * size * H100.bf16_tflops / gpu.bf16_tflops,
        context_token_s=model.kv_bytes_per_token / (gpu.bandwidth_gb_s * 1e9 * KV_SHARE),
        load_s=LOAD_S + LOAD_S_PER_B * model.parameters_b,
        watts=POWER_SHARE * gpu.power_w,
    )


def spread(rates: Rates, gpus: tuple[int, int], before: tuple[int, int] = (1, 1)) -> Rates:
    """Returns the rates of a replica over other GPUs than before; each pair is the tensor and the pipeline parallel size."""
    more_s = PARALLEL_LOAD_S * ((math.prod(gpus) > 1) - (math.prod(before) > 1))
    changed = rates.times(_speed(*before) / _speed(*gpus))
    return replace(changed, load_s=max(0.0, rates.load_s + more_s))


def _speed(tensor: int, pipeline: int) -> float:
    """How many times as fast as one GPU so many are."""
    speed: float = TENSOR_SPEED ** math.log2(tensor) * PIPELINE_SPEED ** math.log2(pipeline)
    return speed


def matching(
    history: Sequence[HistoryEntry], key: Key, gpu: GpuKind | None
) -> tuple[list[HistoryEntry], Source]:
    """Returns the runs of a history that tell most of a key, and what they are called.

    Those with the key itself; without any those of the same model on the same number of GPUs of that kind, with other settings or
    another vLLM. Whether these shared layers or had some of them each is not known.
    """
    same = [entry for entry in history if entry.key == key]
    if same and (gpu is None or kind_of(key.device) == gpu):
        return same, Source.HERE
    name, parallel = key.model.rpartition(" ")[0], _gpus(key.device)

    def alike(other: Key) -> bool:
        return (
            (other.quantization, other.dtype, other.model.rpartition(" ")[0], _gpus(other.device))
            == (key.quantization, key.dtype, name, parallel)
            and gpu is not None
            and kind_of(other.device) == gpu
        )

    found = [entry for entry in history if alike(entry.key)]
    if not found:
        return [], Source.STATED
    newest = found[-1].key  # of one key, since its first run is a cold one
    return [entry for entry in found if entry.key == newest], Source.KIND


def _gpus(device: str) -> str:
    """The number of GPUs that stands before a device's name; empty for one."""
    number, by, _ = device.partition("x ")
    return number if by and number.isdigit() else ""


def calibrated(
    rates: Rates,
    measured_runs: tuple[Sequence[HistoryEntry], Source],
    demand: Demand,
    startup: tuple[Startup, str | None],
    quantization: str | None,
) -> Rates:
    """Returns rates that fit measured runs of one key, oldest first.

    The first is left out where there are more, since it was a cold one; of one alone the load is shortened to that of a warm one.

    Args:
        rates: The stated ones for the GPUs of those runs, with CUDA graphs.
        measured_runs: The runs and what they are, as `matching` gives them.
        demand: Its prompts are taken for those of the runs.
        startup: The start-up to have the rates of, and the compile cache before it, as in `HistoryEntry`.
        quantization: Of the weights.
    """
    entries, source = measured_runs
    warm = [
        entry
        for entry in (entries[1:] or entries)
        if entry.steps and entry.generate_s and entry.output_tokens
    ]
    if not warm:
        return _with_startup(rates, startup, quantization)
    newest = warm[-NEWEST:]
    factor = median(entry.generate_s / _predicted(rates, entry, demand) for entry in newest)
    gpus = int(_gpus(warm[-1].key.device) or 1)
    watts = [entry.energy_j / entry.generate_s / gpus for entry in newest if entry.energy_j]
    measured = Measured.of(warm[0].key, [warm[0], *warm])  # the first is left out
    rates = replace(
        _with_startup(rates, startup, quantization).times(factor),
        watts=_at_most(median(watts), rates.watts) if watts else rates.watts,
        source=source,
        runs=len(newest),
    )
    other, load_s = startup, measured.load_s.get(startup)
    if load_s is None:
        other, load_s = next(iter(measured.load_s.items()))
    load_s *= WARM_SHARE if len(entries) == 1 else 1
    return replace(rates, load_s=max(0.0, load_s + _load_more(startup) - _load_more(other)))


def _at_most(watts: float, stated_watts: float | None) -> float:
    """Measured watts, at most the GPU's greatest power: other GPUs of the host may have been measured too, idle."""
    return watts if stated_watts is None else min(watts, stated_watts / POWER_SHARE)


def _with_startup(rates: Rates, startup: tuple[Startup, str | None], quantization: str | None) -> Rates:
    """Rates with CUDA graphs, made those of another start-up."""
    saved = GRAPHS_SAVE_S.get(quantization, GRAPHS_SAVE_S[None])
    more_s = {Startup.eager: saved, Startup.full: -COMPILED_SAVES_S}.get(startup[0], 0.0)
    return replace(rates.times(1, more_s), load_s=max(0.0, rates.load_s + _load_more(startup)))


def _load_more(startup: tuple[Startup, str | None]) -> float:
    """Seconds that loading takes more than with CUDA graphs."""
    how, compile_cache = startup
    return {Startup.eager: -GRAPHS_COST_S, Startup.full: COMPILED_COSTS_S[compile_cache == "filled"]}.get(
        how, 0.0
    )


def _predicted(rates: Rates, entry: HistoryEntry, demand: Demand) -> float:
    """Seconds of generating of a measured run by these rates, as if the same number of requests ran at each of its steps."""
    requests = entry.prompt_tokens / max(1.0, demand.prompt_tokens) or 1.0
    running = entry.output_tokens / entry.steps
    context = running * (demand.prompt_tokens + entry.output_tokens / requests / 2)
    started = _with_startup(rates, (entry.startup, entry.compile_cache), entry.key.quantization)
    read_s = entry.prompt_tokens * demand.read_share * rates.token_s
    return read_s + entry.steps * started.step_s(math.ceil(running), context)
