"""What a step and a load take: what was measured here or on a machine of this kind, else figures of one H100, scaled.

A step of vLLM reads all weights once, and computes one token for each running request, so that it takes the longer of the two;
beside that it reads the KV cache of each. With three figures this gives the times of any batch size (the roofline model, Williams 2009),
and a measured run tells by which factor they are wrong for a model and a machine.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Self

import numpy as np

from llmbench.config.choices import Startup
from llmbench.engine.vllm.forecast.gpu_kinds import KNOWN, GpuKind, kind_of
from llmbench.engine.vllm.startup_history import (
    COMPILED_COSTS_S,
    COMPILED_SAVES_S,
    GRAPHS_COST_S,
    GRAPHS_SAVE_S,
    NEWEST,
    HistoryEntry,
    Key,
    Start,
    medians,
    of_weights,
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
it 128 outputs drawn like those of a run that took 150 s in bf16 come to 144."""
LEAST_STEP_S = 0.004
"""What vLLM needs for a step however small the model. An assumption."""
LOAD_S, LOAD_S_PER_B = 7.2, 0.38
"""Seconds of a warm load with CUDA graphs, and for each billion of parameters, whose weights are read: 12.8 s (BENCHMARKS.md, time to score)."""
PARALLEL_LOAD_S = 22.0
"""What loading takes more with tensor or pipeline parallelism, which starts processes: with TP 2 it took 35.0 and 37.3 s instead of 11 to 18 on two
hosts with four H100s (BENCHMARKS.md, replicas); 41.1 instead of 28.6 on an earlier one."""
TENSOR_SPEED, PIPELINE_SPEED = 1.6, 1.27
"""What twice the GPUs do for the speed: 6.74 s of generating came down to 4.21 with tensor parallelism 2, 6.6 to 5.2 with pipeline parallelism
(one host with H100s, 500 requests of 128 tokens, bf16)."""
POWER_SHARE = 0.78
"""The part of its greatest power that a GPU draws while it generates: 550 of an H100's 700 W (BENCHMARKS.md, monitoring)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a replica takes.

    Attributes:
        steps: Seconds of a step by running requests, without the rest.
        token_s: Seconds of computing one token, of a prompt or an output.
        context_token_s: Seconds in which a step reads the KV cache of one token.
        load_s: Seconds of loading one replica, imports left out.
        watts: Of one GPU while it generates.
    """

    steps: Mapping[int, float]
    token_s: float
    context_token_s: float
    load_s: float
    watts: float

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


def stated(parameters_b: float, quantization: str | None, kv_bytes_per_token: int, gpu: GpuKind) -> Rates:
    """Returns the rates of one GPU for a model by the figures of an H100: steps by its memory's bandwidth, computing by its arithmetic."""
    size, reads = parameters_b / MODEL_B, H100.bandwidth_gb_s / gpu.bandwidth_gb_s
    four_bit = next((name for name in ("awq", "gptq") if (quantization or "").startswith(name)), None)
    weights = quantization if quantization in STEP_S else "fp8" if four_bit else None
    return Rates(
        steps={
            running: max(LEAST_STEP_S, seconds * size * reads) for running, seconds in STEP_S[weights].items()
        },
        token_s=TOKEN_S[four_bit or weights] * size * H100.bf16_tflops / gpu.bf16_tflops,
        context_token_s=kv_bytes_per_token / (gpu.bandwidth_gb_s * 1e9 * KV_SHARE),
        load_s=LOAD_S + LOAD_S_PER_B * parameters_b,
        watts=POWER_SHARE * gpu.power_w,
    )


def adjusted(rates: Rates, start: Start, quantization: str | None, tensor: int, pipeline: int) -> Rates:
    """Returns rates of one GPU with CUDA graphs, made those of several GPUs with another start."""
    speed: float = TENSOR_SPEED ** math.log2(tensor) * PIPELINE_SPEED ** math.log2(pipeline)
    saved, compiled = (of_weights(table, quantization) for table in (GRAPHS_SAVE_S, COMPILED_SAVES_S))
    more_s = {Startup.eager: saved, Startup.full: -compiled}.get(start[0], 0.0)
    load_s = rates.load_s + load_more(start, quantization, tensor * pipeline)
    return replace(rates.times(1 / speed, more_s), load_s=max(0.0, load_s))


def load_more(start: Start, quantization: str | None, gpus: int) -> float:
    """Returns the seconds that loading takes more than with CUDA graphs on one GPU."""
    how, compile_cache = start
    compiled = of_weights(COMPILED_COSTS_S, quantization)[compile_cache == "filled"]
    more_s = {Startup.eager: -GRAPHS_COST_S, Startup.full: compiled}.get(how, 0.0)
    return more_s + (PARALLEL_LOAD_S if gpus > 1 else 0.0)


WARM_SHARE = 0.65
"""Of a first load a warm one takes so much: 12.8 s of 19.6 (BENCHMARKS.md, time to score)."""


class Source(StrEnum):
    """Where rates come from."""

    HERE = "measured on this machine"
    KIND = "measured on a machine of this kind"
    STATED = "stated constants"


def matching(history: Sequence[HistoryEntry], key: Key, gpu: GpuKind) -> list[HistoryEntry]:
    """Returns the runs of a history that tell most of a key, of one key: its own, else the newest of that model on as many such GPUs."""

    def shared(one: Key, kind: GpuKind | None) -> tuple[object, ...]:
        return one.quantization, one.dtype, one.model.rpartition(" ")[0], _gpus(one.device), kind

    alike = [entry for entry in history if shared(entry.key, kind_of(entry.key.device)) == shared(key, gpu)]
    own = [entry for entry in alike if entry.key == key]
    return own or [entry for entry in alike if entry.key == alike[-1].key]


def _gpus(device: str) -> int:
    """The number of GPUs that stands before a device's name; 1 where none does."""
    found = re.match(r"(\d+)x ", device)
    return int(found[1]) if found else 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """What measured runs of one key tell.

    Attributes:
        key: Theirs.
        factor: Their time of generating in terms of that by the stated rates, the median.
        load_s: Seconds of a warm load, by how it was started.
        watts: Of one GPU while it generates; None where that was not measured.
        runs: How many.
    """

    key: Key
    factor: float
    load_s: Mapping[Start, float]
    watts: float | None
    runs: int

    @classmethod
    def of(cls, entries: Sequence[HistoryEntry], predicted: Callable[[HistoryEntry], float]) -> Self | None:
        """From runs of one key, oldest first; None where none of them generated anything.

        The first is left out where there are more, since it was a cold one; of one alone the load is shortened to that of a warm one.

        Args:
            entries: The runs.
            predicted: Gives the seconds of generating of a run by the stated rates.
        """
        later = entries[1:] or entries
        newest = [run for run in later if run.steps and run.generate_s and run.output_tokens][-NEWEST:]
        if not newest:
            return None
        key, shorter = newest[0].key, WARM_SHARE if len(entries) == 1 else 1.0
        watts = [run.energy_j / run.generate_s / _gpus(key.device) for run in newest if run.energy_j]
        return cls(
            key,
            factor=median(run.generate_s / predicted(run) for run in newest),
            load_s=medians((run.start, shorter * run.load_s) for run in newest),
            watts=median(watts) if watts else None,
            runs=len(newest),
        )

    def apply(self, rates: Rates, start: Start, gpus: int, greatest_watts: float) -> Rates:
        """Returns the stated rates as these runs correct them.

        Args:
            rates: With that start on so many GPUs.
            start: Where it was not measured, another that was tells of its load.
            gpus: Of a replica.
            greatest_watts: Of one GPU; more was measured where other GPUs of the host were, too.
        """
        known, quantization = (
            start if start in self.load_s else next(iter(self.load_s)),
            self.key.quantization,
        )
        before_s = load_more(known, quantization, _gpus(self.key.device))
        load_s = self.load_s[known] + load_more(start, quantization, gpus) - before_s
        return replace(
            rates.times(self.factor),
            load_s=max(0.0, load_s),
            watts=rates.watts if self.watts is None else min(self.watts, greatest_watts),
        )
