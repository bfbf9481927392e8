"""Measured runs: which tell of a replica, and how they correct the stated rates."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Self

from llmbench.engine.vllm.forecast.gpu_kinds import GpuKind, kind_of
from llmbench.engine.vllm.forecast.rates import Rates, load_more
from llmbench.engine.vllm.startup_history import NEWEST, HistoryEntry, Key, Start, medians

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
        factor: Their time of generating in terms of that by the stated rates, the median.
        load_s: Seconds of a warm load, by how it was started.
        watts: Of one GPU while it generates; None where that was not measured.
        source: What they are.
        runs: How many.
    """

    factor: float
    load_s: Mapping[Start, float]
    watts: float | None
    source: Source
    runs: int

    @classmethod
    def of(
        cls, entries: Sequence[HistoryEntry], key: Key, predicted: Callable[[HistoryEntry], float]
    ) -> Self | None:
        """From runs of one key, oldest first; None where none of them generated anything.

        The first is left out where there are more, since it was a cold one; of one alone the load is shortened to that of a warm one.

        Args:
            entries: The runs.
            key: What they are to tell of.
            predicted: Gives the seconds of generating of a run by the stated rates.
        """
        later = entries[1:] or entries
        newest = [run for run in later if run.steps and run.generate_s and run.output_tokens][-NEWEST:]
        if not newest:
            return None
        watts = [run.energy_j / run.generate_s / _gpus(run.key.device) for run in newest if run.energy_j]
        shorter = WARM_SHARE if len(entries) == 1 else 1.0
        return cls(
            factor=median(run.generate_s / predicted(run) for run in newest),
            load_s=medians((run.start, shorter * run.load_s) for run in newest),
            watts=median(watts) if watts else None,
            source=Source.HERE if newest[0].key == key else Source.KIND,
            runs=len(newest),
        )

    def apply(self, rates: Rates, start: Start, quantization: str | None, greatest_watts: float) -> Rates:
        """Returns the stated rates as these runs correct them.

        Args:
            rates: With that start.
            start: Where it was not measured, another that was tells of its load.
            quantization: Of the weights.
            greatest_watts: Of one GPU; more was measured where other GPUs of the host were, too.
        """
        known = start if start in self.load_s else next(iter(self.load_s))
        more_s = load_more(start, quantization) - load_more(known, quantization)
        return replace(
            rates.times(self.factor),
            load_s=max(0.0, self.load_s[known] + more_s),
            watts=rates.watts if self.watts is None else min(self.watts, greatest_watts),
        )
