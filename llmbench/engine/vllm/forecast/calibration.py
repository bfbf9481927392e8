"""Measured runs: which tell of a replica, and the factor between what they took and what the stated rates say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Self

from llmbench.config.choices import Startup
from llmbench.engine.vllm.forecast.gpu_kinds import GpuKind, kind_of
from llmbench.engine.vllm.forecast.rates import Rates, load_more
from llmbench.engine.vllm.startup_history import NEWEST, HistoryEntry, Key, medians

WARM_SHARE = 0.65
"""Of a first load a warm one takes so much: 12.8 s of 19.6 (BENCHMARKS.md, time to score)."""


class Source(StrEnum):
    """Where rates come from."""

    HERE = "measured on this machine"
    KIND = "measured on a machine of this kind"
    STATED = "stated constants"


def matching(history: Sequence[HistoryEntry], key: Key, gpu: GpuKind) -> tuple[list[HistoryEntry], Source]:
    """Returns the runs of a history that tell most of a key, and what they are called.

    Those with the key itself; without any those of the same model on the same number of GPUs of that kind, with other settings or
    another vLLM. Whether these shared layers or had some of them each is not known.
    """
    same = [entry for entry in history if entry.key == key]
    if same and kind_of(key.device) == gpu:
        return same, Source.HERE

    def shared(other: Key) -> tuple[object, ...]:
        return other.quantization, other.dtype, other.model.rpartition(" ")[0], _gpus(other.device)

    found = [
        entry for entry in history if shared(entry.key) == shared(key) and kind_of(entry.key.device) == gpu
    ]
    if not found:
        return [], Source.STATED
    newest = found[-1].key  # of one key, since its first run is a cold one
    return [entry for entry in found if entry.key == newest], Source.KIND


def _gpus(device: str) -> str:
    """The number of GPUs that stands before a device's name; empty for one."""
    number, by, _ = device.partition("x ")
    return number if by and number.isdigit() else ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What measured runs of one key tell.

    Attributes:
        factor: Their time of generating in terms of that by the stated rates, the median.
        load_s: Seconds of loading, by start-up and compile cache, as in `HistoryEntry`.
        watts: Of one GPU while it generates; None where that was not measured.
        source: What they are.
        runs: How many.
        quantization: Of their weights.
    """

    factor: float
    load_s: Mapping[tuple[Startup, str | None], float]
    watts: float | None
    source: Source
    runs: int
    quantization: str | None

    @classmethod
    def of(
        cls, entries: Sequence[HistoryEntry], source: Source, predicted: Callable[[HistoryEntry], float]
    ) -> Self | None:
        """From runs of one key, oldest first; None where none of them generated anything.

        The first is left out where there are more, since it was a cold one; of one alone the load is shortened to that of a warm one.

        Args:
            entries: The runs.
            source: What they are.
            predicted: Gives the seconds of generating of a run by the stated rates.
        """
        later = entries[1:] or entries
        newest = [run for run in later if run.steps and run.generate_s and run.output_tokens][-NEWEST:]
        if not newest:
            return None
        gpus = int(_gpus(newest[0].key.device) or 1)
        watts = [run.energy_j / run.generate_s / gpus for run in newest if run.energy_j]
        loads = medians(((run.startup, run.compile_cache), run.load_s) for run in newest)
        shorter = WARM_SHARE if len(entries) == 1 else 1.0
        return cls(
            median(run.generate_s / predicted(run) for run in newest),
            {start: shorter * load_s for start, load_s in loads.items()},
            median(watts) if watts else None,
            source,
            len(newest),
            newest[0].key.quantization,
        )

    def apply(self, rates: Rates, startup: tuple[Startup, str | None], greatest_watts: float) -> Rates:
        """Returns the stated rates for a start-up as these runs correct them.

        Args:
            rates: With that start-up.
            startup: The start-up, and the compile cache before it, as in `HistoryEntry`.
            greatest_watts: Of one GPU; more was measured where other GPUs of the host were, too.
        """
        other, load_s = startup, self.load_s.get(startup)
        if load_s is None:
            other, load_s = next(iter(self.load_s.items()))
        more_s = load_more(startup, self.quantization) - load_more(other, self.quantization)
        return replace(
            rates.times(self.factor),
            load_s=max(0.0, load_s + more_s),
            watts=rates.watts if self.watts is None else min(self.watts, greatest_watts),
        )
