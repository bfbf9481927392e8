"""Which start-up of vLLM finishes the work first, and what earlier runs on this machine took.

Capturing CUDA graphs costs seconds once and saves milliseconds at every decoding step, and so does compiling. Each is done where the
steps ahead save more than it costs. BENCHMARKS.md has the figures for an H100; this machine's own, where it has measured them,
replace them. They stand in the cache folder, in `startup.jsonl`, one line a run, shared by all runs of a user.
"""

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Self, TypeVar

import orjson

from llmbench.config.choices import Startup
from llmbench.engine.bundled_model import cache_folder
from llmbench.engine.workload import Took
from llmbench.system import decoding, files
from llmbench.system.number_format import seconds

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")
Start = tuple[Startup, str | None]
"""A start-up, never `auto`, and the compile cache before it: `filled`, `empty`, or None where nothing was compiled."""

FILE = "startup.jsonl"
KEPT_LINES = 200
"""The newest lines are read."""
NEWEST = 5
"""Runs of one kind that a median is taken of."""
GRAPHS_SAVE_S: Mapping[str | None, float] = {"bitsandbytes": 0.075, None: 0.018, "fp8": 0.025}
"""Seconds that graphs save at each step, by weights: 160 steps of a 14B model at batch size 40 (BENCHMARKS.md, one H100)."""
GRAPHS_COST_S = 4.2
"""What capturing them adds to loading: 23.2 s instead of 19.0 (same table)."""
COMPILED_SAVES_S: Mapping[str | None, float] = {None: 0.0005, "fp8": 0.0009}
"""What a compiled step saves beside one with graphs alone, by weights: within 2% of 15 to 31 ms (same table); 13.1 ms of 14.0 with fp8
(BENCHMARKS.md, "Long outputs on one H100", warm)."""
COMPILED_COSTS_S: Mapping[str | None, Mapping[bool, float]] = {
    None: {False: 55.6, True: 4.8},
    "fp8": {False: 103.9, True: 21.6},
}
"""What compiling adds to the start, by weights, with an empty and with a filled compile cache: 78.8 s of loading instead of 23.2 (same table); with
fp8 the time to score less that of generating, beside vLLM's defaults ("Long outputs on one H100", cold and warm)."""


@dataclass(frozen=True, slots=True)
class Work:
    """What lies ahead.

    Attributes:
        requests: How many there are.
        batch_size: Requests that run at once.
        output_tokens: The sum of their lengths, or of their limits where lengths are not known yet.
        longest: The largest among them.
    """

    requests: int
    batch_size: int
    output_tokens: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], batch_size: int) -> Self:
        """The work of requests with these output lengths, or limits."""
        return cls(len(lengths), batch_size, sum(lengths), max(lengths, default=0))

    def steps(self) -> int:
        """Decoding steps, about: a step gives every running request one token; prompts are not counted.

        Where all run at once it is the longest output. Where some wait, no order needs fewer than tokens / batch size, and none
        that leaves no place idle needs more than that plus longest · (1 - 1 / batch size), the batch draining at the end (Graham
        1969). The middle is taken, which for outputs of one length is the exact number on average over the number of requests.
        """
        if self.requests <= self.batch_size:
            return self.longest
        batch_size = max(1, self.batch_size)
        draining = self.longest * (1 - 1 / batch_size) / 2
        return max(self.longest, math.ceil(self.output_tokens / batch_size + draining))


@dataclass(frozen=True, slots=True)
class Key:
    """What times may be compared across: `device` is the GPU's name or `cpu`, `version` is vLLM's."""

    device: str
    model: str
    quantization: str | None
    dtype: str
    version: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One run, a line of the history.

    Attributes:
        startup, compile_cache: How it was started, as in `Start`.
        batch_size: Requests that ran at once, at most.
        load_s: Seconds of loading, importing left out.
        generate_s: Seconds of generating.
        steps: Decoding steps by the lengths that were generated.
        output_tokens: How many were generated.
        prompt_tokens: How many were read.
        energy_j: Joules of all GPUs while requests ran; None where that was not measured.
    """

    key: Key
    startup: Startup
    compile_cache: str | None
    batch_size: int
    load_s: float
    generate_s: float
    steps: int
    output_tokens: int
    prompt_tokens: int
    energy_j: float | None

    @property
    def start(self) -> Start:
        """How it was started."""
        return self.startup, self.compile_cache


@dataclass(frozen=True, slots=True)
class Measured:
    """What a model takes on this machine: medians of its newest warm runs, empty where there were none.

    Attributes:
        load_s: Seconds of loading, by start-up and whether the compile cache was filled.
        step_s: Seconds of a decoding step, by start-up and batch size.
    """

    load_s: Mapping[Start, float]
    step_s: Mapping[tuple[Startup, int], float]

    @classmethod
    def of(cls, key: Key, history: Iterable[HistoryEntry]) -> Self:
        """From a history, oldest first. A key's first run is left out: its weights came from a cold disk, its kernels were compiled."""
        warm = [run for run in history if run.key == key][1:]
        return cls(
            medians((run.start, run.load_s) for run in warm),
            medians(
                ((run.startup, run.batch_size), run.generate_s / run.steps)
                for run in warm
                if run.steps and run.generate_s
            ),
        )


def medians(seconds: Iterable[tuple[K, float]]) -> dict[K, float]:
    """Returns the median of the newest figures of each kind."""
    kinds: dict[K, list[float]] = {}
    for kind, value in seconds:
        kinds.setdefault(kind, []).append(value)
    return {kind: median(values[-NEWEST:]) for kind, values in kinds.items()}


def choose(
    works: Sequence[Work], key: Key, measured: Measured, *, compile_cache_filled: bool
) -> tuple[Startup, str]:
    """The start-up that finishes the work first on a GPU, and why."""
    steps, weights = sum(work.steps() for work in works), key.quantization
    eager, graphs = (Startup.eager, None), (Startup.graphs, None)
    full = (Startup.full, "filled" if compile_cache_filled else "empty")

    def gain(before: Start, after: Start, saves: float, costs: float) -> tuple[float, float]:
        """Seconds that a start-up saves at all steps beside the one before, and those that it costs; where nothing was measured as stated."""
        saved = sum(
            work.steps()
            * _difference(measured.step_s, (before[0], work.batch_size), (after[0], work.batch_size), saves)
            for work in works
        )
        return saved, _difference(measured.load_s, after, before, costs)

    saved, cost = gain(eager, graphs, of_weights(GRAPHS_SAVE_S, weights), GRAPHS_COST_S)
    if saved <= cost:
        reason = f"about {steps:,} steps: CUDA graphs would save {seconds(saved)} and cost {seconds(cost)}"
        return Startup.eager, reason
    reason = f"about {steps:,} steps: CUDA graphs save {seconds(saved)} for {seconds(cost)}"
    costs = of_weights(COMPILED_COSTS_S, weights)[compile_cache_filled]
    saved, cost = gain(graphs, full, of_weights(COMPILED_SAVES_S, weights), costs)
    if saved <= cost:
        return Startup.graphs, reason
    return Startup.full, f"about {steps:,} steps: compiling saves {seconds(saved)} for {seconds(cost)}"


def of_weights(table: Mapping[str | None, V], quantization: str | None) -> V:
    """Returns the figure of these weights, or that under None where theirs was not measured."""
    return table.get(quantization, table[None])


def _difference(seconds: Mapping[K, float], more: K, less: K, otherwise: float) -> float:
    """What one takes more than the other, at least nothing; `otherwise` where one of the two was never measured."""
    return max(0.0, seconds[more] - seconds[less]) if more in seconds and less in seconds else otherwise


def history_file() -> Path:
    """Where the history stands."""
    return cache_folder() / FILE


def read_history(path: Path | None = None) -> list[HistoryEntry]:
    """The newest runs, oldest first. Lines that cannot be read are left out; without a file there are none."""
    entries: list[HistoryEntry] = []
    try:
        for line in files.read(path or history_file()).split(b"\n")[-KEPT_LINES - 1 :]:
            with suppress(TypeError, ValueError):  # empty, torn, or of another version
                entries.append(decoding.decode(line, HistoryEntry))
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        log.debug("the start-up history cannot be read: %s", error)
    return entries


def remember(entry: HistoryEntry, path: Path | None = None) -> None:
    """Appends a run to the history in one write, so that processes may do so side by side.

    What cannot be written is logged and forgotten: it costs a choice, nothing else.
    """
    try:
        file = path or history_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        # where a pipe stands in its place, open would wait for a reader
        descriptor = files.opened_to_add(file)
        with os.fdopen(descriptor, "ab", buffering=0) as opened:
            # behind a line that a killed process left
            begins = b"\n" if files.torn(descriptor) else b""
            opened.write(begins + orjson.dumps(asdict(entry)) + b"\n")
    except (OSError, RuntimeError) as error:
        log.debug("the start-up history cannot be written: %s", error)


def observed(
    key: Key, startup: Startup, compile_cache: str | None, batch_size: int, took: Took
) -> HistoryEntry:
    """The line of a run that finished."""
    made = Work.of(took.outputs, batch_size)
    return HistoryEntry(
        key,
        startup,
        compile_cache,
        batch_size,
        took.load_s,
        took.generate_s,
        made.steps(),
        made.output_tokens,
        took.prompt_tokens,
        took.energy_j,
    )
