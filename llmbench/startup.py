"""Which start-up of vLLM finishes the work first, by what earlier runs on this machine took.

Preparing more costs time once and saves some at every decoding step, so the choice hangs on how many steps lie ahead. Without
history the figures of BENCHMARKS.md and FACTS.md stand in; every run that is recorded corrects them. The history is a file of
JSON lines in the cache folder, `startup.jsonl`, shared by all runs of a user.
"""

import logging
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any, Self

import orjson

from llmbench import files
from llmbench.config import Startup
from llmbench.embedded import cache_folder

log = logging.getLogger(__name__)

FILE = "startup.jsonl"
KEPT_LINES, MOST_LINES = 200, 1000
"""The newest lines are read; a file longer than the second is cut to them."""
NEWEST = 5
"""Runs of one start-up that its median is taken of."""

TOKENS_PER_S: Mapping[str | None, Mapping[int, float]] = {
    "bitsandbytes": {1: 97, 2: 142, 4: 197, 8: 318, 32: 1145, 128: 2963, 256: 4373},
    None: {1: 85, 2: 166, 4: 326, 8: 634, 32: 2135, 128: 5330, 256: 6832},
    "fp8": {1: 131, 2: 257, 4: 497, 8: 978, 32: 3112, 128: 7468, 256: 8940},
}
"""Output tokens/s by weights and requests in flight: a 14B model on one H100, vLLM 0.26 (FACTS.md)."""
CPU_TOKENS_PER_S: Mapping[int, float] = {1: 34, 8: 222, 32: 485}
"""The same for SmolLM2-135M on two CPU cores, eager, bf16 (FACTS.md)."""
EAGER_LOAD_S: Mapping[str | None, float] = {"bitsandbytes": 19.0, None: 16.7, "fp8": 17.9}
"""Seconds of loading on the H100 without preparation, from the second start on (BENCHMARKS.md, one H100)."""
EAGER_STEP_S: Mapping[str | None, float] = {"bitsandbytes": 0.075, None: 0.018, "fp8": 0.025}
"""What a step takes longer without graphs: 160 steps at batch size 40 took 14.8 to 18.9, 5.4 and 5.8 s (same table)."""
GRAPHS_LOAD_S = 4.2
"""What capturing graphs adds to loading: 23.2 s instead of 19.0 (same table)."""
COMPILED_LOAD_S = {False: 59.8, True: 9.0}
"""What compiling and capturing add, with an empty (same table) and with a filled compile cache (FACTS.md)."""
COMPILED_STEP = 0.98
"""A compiled step in terms of one with graphs alone: within 2 % (same table)."""
CPU_EAGER_LOAD_S = 4.5
CPU_COMPILED_LOAD_S = {False: 99.0, True: 67.0}
CPU_COMPILED_STEP = 0.9
"""FACTS.md, two CPU cores: a compiled step takes 0.7 to 0.9 of an eager one."""


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

    @property
    def at_once(self) -> int:
        """Requests that really run at once, at least 1."""
        return max(1, min(self.batch_size, self.requests))

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
class Entry:
    """One run, a line of the history.

    Attributes:
        startup: The start-up it had, never `auto`.
        work: What lay ahead, in token limits.
        load_s: Seconds of loading, importing left out.
        generate_s: Seconds of generating.
        output_tokens: How many were generated.
        steps: Decoding steps by the lengths that were generated.
        compile_cache: `filled` or `empty` before the start; None where nothing was compiled.
        ignore_eos: Every output ran to its limit because it had to.
        time: When, in seconds of the epoch.
    """

    key: Key
    startup: Startup
    work: Work
    load_s: float
    generate_s: float
    output_tokens: int
    steps: int
    compile_cache: str | None
    ignore_eos: bool
    time: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds that loading and generating will take."""

    load_s: float
    generate_s: float

    @property
    def total_s(self) -> float:
        """Seconds of both."""
        return self.load_s + self.generate_s


@dataclass(frozen=True, slots=True)
class Choice:
    """The start-up that finishes first, why in a few words, what each would take, and what that is known from."""

    startup: Startup
    reason: str
    predictions: Mapping[Startup, Prediction]
    basis: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """A prediction beside what came: seconds of loading and generating; error = (predicted - took) / took."""

    startup: Startup
    basis: str
    predicted_s: float
    took_s: float
    relative_error: float | None


def candidates(device: str) -> tuple[Startup, ...]:
    """Start-ups that exist there, the least prepared first; CUDA graphs need CUDA."""
    return (Startup.eager, Startup.full) if device == "cpu" else (Startup.eager, Startup.graphs, Startup.full)


def choose(  # noqa: PLR0913 - work, where it runs, and what is known of both
    work: Work,
    key: Key,
    history: Iterable[Entry],
    *,
    compile_cache_filled: bool,
    ignore_eos: bool = False,
    also: Sequence[Work] = (),
) -> Choice:
    """The start-up that finishes the work first; of equals the least prepared.

    Args:
        work: What lies ahead, in token limits.
        key: What runs where.
        history: Earlier runs, oldest first; only those of the same key count.
        compile_cache_filled: Whether compiling would find its results in vLLM's cache.
        ignore_eos: Every output will run to its limit.
        also: What comes after that work, on the same engine.
    """
    history = list(history)
    predictions = predict(
        work, key, history, compile_cache_filled=compile_cache_filled, ignore_eos=ignore_eos, also=also
    )
    best = min(predictions, key=lambda startup: predictions[startup].total_s)
    runs = len(_known(key, history))
    basis = _basis(key, runs)
    source = f"by {basis} here" if runs else f"as {basis}"
    return Choice(best, f"{_reason(best, predictions)}, {source}", predictions, basis)


def predict(  # noqa: PLR0913 - as above
    work: Work,
    key: Key,
    history: Iterable[Entry],
    *,
    compile_cache_filled: bool,
    ignore_eos: bool = False,
    also: Sequence[Work] = (),
) -> dict[Startup, Prediction]:
    """What each start-up would take; the arguments are those of `choose`."""
    history = list(history)
    known = _known(key, history)
    shares = {one: 1.0 if ignore_eos else _share_made(one, key, history) for one in (work, *also)}
    return {
        startup: Prediction(
            _load_s(startup, key, known, filled=compile_cache_filled),
            sum(
                one.steps() * shares[one] * _step_s(startup, key, known, one.at_once) for one in (work, *also)
            ),
        )
        for startup in candidates(key.device)
    }


def observed(  # noqa: PLR0913 - a run is made of all these
    key: Key,
    startup: Startup,
    work: Work,
    outputs: Sequence[int],
    *,
    load_s: float,
    generate_s: float,
    compile_cache: str | None = None,
    ignore_eos: bool = False,
) -> Entry:
    """The line of a run that finished; `outputs` are the tokens that each request generated, continuations included."""
    made = Work.of(outputs, work.batch_size)
    return Entry(
        key,
        startup,
        work,
        load_s,
        generate_s,
        made.output_tokens,
        made.steps(),
        compile_cache,
        ignore_eos,
        time.time(),
    )


def forecast(choice: Choice, startup: Startup, *, load_s: float, generate_s: float) -> Forecast | None:
    """How near the prediction came, for summary.json; None for a start-up that was not predicted."""
    predicted = choice.predictions.get(startup)
    if predicted is None:
        return None
    took_s = load_s + generate_s
    error = (predicted.total_s - took_s) / took_s if took_s > 0 else None
    return Forecast(startup, choice.basis, predicted.total_s, took_s, error)


def tokens_per_s(table: Mapping[int, float], requests: int) -> float:
    """Output tokens/s with so many requests in flight: straight lines between a table's points, both axes logarithmic.

    Beyond its ends the table's first step time, and its last rate, hold.
    """
    points = sorted(table.items())
    if requests <= points[0][0]:
        return points[0][1] * requests / points[0][0]
    for (low, below), (high, above) in pairwise(points):
        if requests <= high:
            part = math.log(requests / low) / math.log(high / low)
            return float(below * (above / below) ** part)
    return points[-1][1]


def duration(seconds: float, more_digits: int = 0) -> str:
    """Seconds as a person reads them: `4.2 s`, `38 s`, `12 min`, `3.5 h`, or with more digits behind the point."""
    if seconds < 9.95:  # noqa: PLR2004 - rounds to one digit before the point
        return f"{seconds:.{1 + more_digits}f} s"
    if seconds < 600:  # noqa: PLR2004 - ten minutes
        return f"{seconds:.{more_digits}f} s"
    if seconds < 7200:  # noqa: PLR2004 - two hours
        return f"{seconds / 60:.{more_digits}f} min"
    return f"{seconds / 3600:.{1 + more_digits}f} h"


def _known(key: Key, history: Iterable[Entry]) -> list[Entry]:
    """The newest runs of each start-up with this key, without the key's first where there are others.

    The first run reads the weights from a cold disk and compiles kernels: 57 s of loading instead of 19 (BENCHMARKS.md).
    """
    runs = [run for run in history if run.key == key and run.startup in candidates(key.device)]
    kinds: dict[tuple[Startup, str | None], list[Entry]] = {}
    for run in runs[1:] or runs:
        kinds.setdefault((run.startup, run.compile_cache), []).append(run)
    return [run for kind in kinds.values() for run in kind[-NEWEST:]]


def _share_made(work: Work, key: Key, history: Iterable[Entry]) -> float:
    """Steps made per step that the limits allowed, in runs whose limits were at most twice or half as long; 1 without any."""
    shares = [
        run.steps / run.work.steps()
        for run in history
        if run.key == key
        and not run.ignore_eos
        and run.steps > 0
        and 0 < run.work.longest <= 2 * work.longest <= 4 * run.work.longest
    ]
    return median_low(shares[-NEWEST:]) if shares else 1.0


def _prior_load_s(startup: Startup, key: Key, *, filled: bool) -> float:
    if key.device == "cpu":
        return CPU_COMPILED_LOAD_S[filled] if startup is Startup.full else CPU_EAGER_LOAD_S
    more = {Startup.eager: 0.0, Startup.graphs: GRAPHS_LOAD_S, Startup.full: COMPILED_LOAD_S[filled]}
    return EAGER_LOAD_S.get(key.quantization, EAGER_LOAD_S[None]) + more[startup]


def _prior_step_s(startup: Startup, key: Key, at_once: int) -> float:
    if key.device == "cpu":
        eager = at_once / tokens_per_s(CPU_TOKENS_PER_S, at_once)
        return eager * CPU_COMPILED_STEP if startup is Startup.full else eager
    graphs = at_once / tokens_per_s(TOKENS_PER_S.get(key.quantization, TOKENS_PER_S[None]), at_once)
    if startup is Startup.eager:
        return graphs + EAGER_STEP_S.get(key.quantization, EAGER_STEP_S[None])
    return graphs * COMPILED_STEP if startup is Startup.full else graphs


def _load_s(startup: Startup, key: Key, known: Sequence[Entry], *, filled: bool) -> float:
    """The median of this start-up's own runs; without any, the prior, off by as much as the nearest start-up's was.

    A full start counts only where the compile cache was in the state that it is in now.
    """
    prior = _prior_load_s(startup, key, filled=filled)
    runs = [run for run in known if run.startup is not Startup.full or run.compile_cache is not None]
    if not runs:
        return prior
    priors = [_prior_load_s(run.startup, key, filled=run.compile_cache == "filled") for run in runs]
    distance = min(abs(there - prior) for there in priors)
    near = [
        run.load_s - there for run, there in zip(runs, priors, strict=True) if abs(there - prior) == distance
    ]
    moved = prior + median_low(near)
    return moved if distance == 0 else max(moved, prior / 10)  # a shift must not end below zero


def _step_s(startup: Startup, key: Key, known: Sequence[Entry], at_once: int) -> float:
    """The prior, times what it was wrong by in this start-up's own runs, or without any in the nearest start-up's."""
    prior = _prior_step_s(startup, key, at_once)
    runs = [run for run in known if run.steps > 0 and run.generate_s > 0]
    if not runs:
        return prior
    distances = [abs(_prior_step_s(run.startup, key, at_once) - prior) for run in runs]
    near = [
        run.generate_s / run.steps / _prior_step_s(run.startup, key, run.work.at_once)
        for run, distance in zip(runs, distances, strict=True)
        if distance == min(distances)
    ]
    return prior * median_low(near)


def _basis(key: Key, runs: int) -> str:
    if runs:
        return f"{runs} earlier run{'s' if runs > 1 else ''}"
    return "measured on two CPU cores" if key.device == "cpu" else "measured on an H100"


_FIRST = {
    Startup.eager: "eager mode finishes first",
    Startup.graphs: "CUDA graphs finish first",
    Startup.full: "compiling finishes first",
}
_OTHERS = {Startup.eager: "eager", Startup.graphs: "with CUDA graphs", Startup.full: "compiled"}


def _reason(best: Startup, predictions: Mapping[Startup, Prediction]) -> str:
    totals = {startup: predictions[startup].total_s for startup in predictions}
    shown = {startup: duration(total) for startup, total in totals.items()}
    if list(shown.values()).count(shown[best]) > 1:
        shown = {startup: duration(total, 1) for startup, total in totals.items()}
    others = " and ".join(f"{shown[other]} {_OTHERS[other]}" for other in totals if other is not best)
    return f"{_FIRST[best]}: {shown[best]} against {others}"


def history_file() -> Path:
    """Where the history stands."""
    return cache_folder() / FILE


def read_history(path: Path | None = None) -> list[Entry]:
    """The newest runs, oldest first. Lines that cannot be read are left out; without a file there are none."""
    try:
        lines = _lines(path or history_file())
    except FileNotFoundError:
        return []
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        log.debug("the start-up history cannot be read: %s", error)
        return []
    entries = (_entry(line) for line in lines[-KEPT_LINES:])
    return [entry for entry in entries if entry is not None]


def remember(entry: Entry, path: Path | None = None) -> None:
    """Appends a run to the history in one write, so that processes may do so side by side.

    What cannot be written is logged and forgotten: it costs a prediction, nothing else. A file that has grown too long is cut to
    its newest lines; one that another process appends in that very moment may be lost.
    """
    try:
        file = path or history_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        _append(file, orjson.dumps(asdict(entry)))
        lines = _lines(file)
        if len(lines) > MOST_LINES:
            part = file.with_name(f".{file.name}.{os.getpid()}.part")
            files.write_new(part, (line + b"\n" for line in lines[-KEPT_LINES:]))
            part.replace(file)
    except (OSError, RuntimeError) as error:
        log.debug("the start-up history cannot be written: %s", error)


def _append(file: Path, line: bytes) -> None:
    """Adds a line, and an end to the one before where that has none: its writer died, or is only just writing it."""
    opened = files.opened_to_add(file)
    try:
        os.write(opened, (b"\n" if files.torn(opened) else b"") + line + b"\n")
    finally:
        os.close(opened)


def _lines(file: Path) -> list[bytes]:
    return [line for line in files.read(file).split(b"\n") if line.strip()]


def _entry(line: bytes) -> Entry | None:
    """The run that a line tells of; None where it is torn or of another make."""
    try:
        row = orjson.loads(line)
        key, work = Key(**row["key"]), row["work"]
        if row["compile_cache"] not in (None, "filled", "empty"):
            return None
        return Entry(
            key=key,
            startup=Startup(row["startup"]),
            work=Work(**{name: int(_amount(work, name)) for name in Work.__slots__}),
            load_s=_amount(row, "load_s"),
            generate_s=_amount(row, "generate_s"),
            output_tokens=int(_amount(row, "output_tokens")),
            steps=int(_amount(row, "steps")),
            compile_cache=row["compile_cache"],
            ignore_eos=bool(row["ignore_eos"]),
            time=_amount(row, "time"),
        )
    except (KeyError, TypeError, ValueError):  # orjson's error is a ValueError
        return None


def _amount(row: Mapping[str, Any], name: str) -> float:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise TypeError(f"{name}={value!r} is no amount")
    return float(value)
