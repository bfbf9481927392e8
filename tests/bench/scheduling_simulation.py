"""What the order of requests and the admission to vLLM are worth, by simulation: no model, no GPU, fixed seeds.

    python -m tests.bench.scheduling_simulation [--seeds 3]

vLLM's scheduler as in its source (v1/core/sched/scheduler.py, 0.27.1): a request grows by a block of 16 tokens; one that needs a block where none
is free has the last admitted ones preempted, which go to the front of the queue and read prompt and output again. What of their blocks nobody has
taken since is found in the prefix cache. A request is admitted once its prompt and output so far fit. Assumed of a 14B model on an H100:

- a decoding step takes 7.6 ms, 0.06 ms for each running request, and reading the KV cache, 196,608 bytes a token at 3.35 TB/s;
- prompts are read at 20,000 tokens/s; a step that also reads prompts has no CUDA graphs and takes 25.6 ms at least;
- outputs are log-normal, median 2,000, sigma 0.7, at most 8,192; prompts have 100 to 300 tokens.

What is known of a length is another draw for the same question, whose logarithm has the correlation given (1: the length itself; 0: nothing).
`today` is a random order, as that of prompts' lengths, and vLLM's own admission; `watermark` has vLLM keep 5% of the cache free when it admits;
`foreseen` admits as many as will fit at the lengths expected, and expects more after each preemption.
"""

import argparse
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.bench.simulated_kv_cache import BLOCK, Blocks, blocks_of

MEDIAN, SIGMA, LIMIT, PROMPT = 2000, 0.7, 8192, (100, 300)
TOKEN_BYTES, BANDWIDTH = 196_608, 3.35e12
BASE_S, REQUEST_S, NO_GRAPHS_S, PREFILL = 0.0076, 0.00006, 0.0256, 20_000
CHUNK = 16_384
"""vLLM's `max_num_batched_tokens` for `LLM` on such a GPU."""
REFILL = 16
"""As in `engine/vllm/admission`."""
RAISED, LOWERED, HIGHEST = 1.05, 0.995, 2.0
"""What an admission that foresees lengths multiplies them with after a preemption, after each request that ended, and at most."""


@dataclass(slots=True, eq=False)
class Job:
    """A request: `size` tokens are or were in the KV cache, `left` are still to be written, `expected` is what is known of its length."""

    prompt: int
    length: int
    expected: float
    size: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        self.size, self.left = self.prompt, self.length

    def foreseen(self) -> float:
        """Tokens that it will still write: at least a quarter of what it has written, where it was expected to have ended."""
        written = self.length - self.left
        return min(LIMIT - written, max(self.expected - written, written / 4, 1))


def jobs(requests: int, seed: int, correlation: float) -> list[Job]:
    """Returns requests in an order that says nothing of their lengths, as that of prompts' lengths."""
    draw = random.Random(seed)
    made = []
    for _ in range(requests):
        own, other = draw.gauss(), draw.gauss()
        known = correlation * own + math.sqrt(1 - correlation**2) * other
        length, expected = (min(LIMIT, MEDIAN * math.exp(SIGMA * value)) for value in (own, known))
        # without anything known, the mean of earlier answers
        foreseen = expected if correlation else MEDIAN * math.exp(SIGMA**2 / 2)
        made.append(Job(draw.randint(*PROMPT), max(1, round(length)), foreseen))
    return made


def peak(running: Iterable[Job], factor: float) -> float:
    """The most tokens that these will take at one moment, if no other comes: just before one of them ends."""
    rows = np.array([(job.size, job.foreseen() * factor) for job in running], dtype=float)
    rows = rows[np.argsort(-rows[:, 1])]
    taken = np.cumsum(rows[:, 0]) + rows[:, 1] * np.arange(1, len(rows) + 1)
    return float(taken.max())


@dataclass(slots=True)
class Simulation:
    """One run.

    Attributes:
        foreseen: Whether as many are admitted as will fit at the lengths expected; else as many as the batch has places.
        watermark: The share of the cache that vLLM keeps free when it admits.
        read_again_s: Seconds of reading again what was preempted.
        tail_s: Seconds with fewer than half of the batch running, after the last request was admitted.
        factor: What lengths are multiplied with that are foreseen.
    """

    kv_tokens: int
    batch: int
    foreseen: bool = False
    watermark: float = 0.0
    seconds: float = 0.0
    read_again_s: float = 0.0
    preemptions: int = 0
    tail_s: float = 0.0
    factor: float = 1.0
    running: list[Job] = field(default_factory=list)
    waiting: deque[Job] = field(default_factory=deque)
    preempted: set[Job] = field(default_factory=set)

    def run(self, order: Sequence[Job]) -> "Simulation":
        """Runs requests in this order to their ends."""
        outside, blocks = deque(order), Blocks(self.kv_tokens)
        while outside or self.waiting or self.running:
            self._let_in(outside)
            if not self._grow(blocks, 1, dry=True):
                self._preempt(blocks)
                prompts = again = 0
            else:
                prompts, again = self._admit(blocks)
            steps = 1 if prompts or again else self._steps(blocks)
            self._pass(blocks, steps, prompts, again, tail=not outside)
        return self

    def _let_in(self, outside: deque[Job]) -> None:
        """Gives vLLM what llmbench's own queue lets through."""
        inside = len(self.running) + len(self.waiting)
        if not self.foreseen:
            if self.batch - inside >= max(1, self.batch // REFILL):
                for _ in range(min(self.batch - inside, len(outside))):
                    self.waiting.append(outside.popleft())
            return
        if self.waiting:
            return
        group: list[Job] = []
        while outside and inside + len(group) < self.batch:
            if (inside or group) and peak([*self.running, *group, outside[0]], self.factor) > self.kv_tokens:
                break
            group.append(outside.popleft())
        self.waiting.extend(group)

    def _grow(self, blocks: Blocks, steps: int, *, dry: bool) -> bool:
        """Whether every running request may write so many tokens; takes their blocks, unless `dry`."""
        if not self.running:
            return True
        sizes = np.array([job.size for job in self.running])
        needed = int((-(-(sizes + steps) // BLOCK) - -(-sizes // BLOCK)).sum())
        if needed > blocks.free:
            return False
        if not dry:
            blocks.take(needed)
        return True

    def _preempt(self, blocks: Blocks) -> None:
        while not self._grow(blocks, 1, dry=True):
            job = self.running.pop()
            blocks.give(blocks_of(job.size), job)
            self.waiting.appendleft(job)
            self.preempted.add(job)
            self.preemptions += 1
        self.factor = min(HIGHEST, self.factor * RAISED)

    def _admit(self, blocks: Blocks) -> tuple[int, int]:
        """Admits from vLLM's queue; returns tokens to read of prompts, and again of what was preempted."""
        prompts = again = 0
        kept = int(self.watermark * self.kv_tokens / BLOCK)
        while self.waiting and len(self.running) < self.batch and prompts + again < CHUNK:
            job = self.waiting[0]
            # the running ones' next tokens come first
            growing = sum(one.size % BLOCK == 0 for one in self.running)
            if blocks_of(job.size + 1) + growing + (kept if self.running else 0) > blocks.free:
                break
            found = blocks.found(job)
            blocks.take(blocks_of(job.size) - found)
            read = max(1, job.size - found * BLOCK)
            if job in self.preempted:
                again += read
                self.preempted.remove(job)
            else:
                prompts += read
            self.running.append(self.waiting.popleft())
        return prompts, again

    def _steps(self, blocks: Blocks) -> int:
        """Steps until a request ends or a block is missing, whichever is first."""
        most = min(job.left for job in self.running)
        fits, misses = 1, most + 1
        while misses - fits > 1:
            middle = (fits + misses) // 2
            fits, misses = (middle, misses) if self._grow(blocks, middle, dry=True) else (fits, middle)
        return fits

    def _pass(self, blocks: Blocks, steps: int, prompts: int, again: int, *, tail: bool) -> None:
        if not self._grow(blocks, steps, dry=False):
            raise AssertionError("a step was taken that has no room")
        count, tokens = len(self.running), sum(job.size for job in self.running)
        read = (steps * tokens + count * steps * (steps - 1) / 2) * TOKEN_BYTES / BANDWIDTH
        seconds = steps * (BASE_S + count * REQUEST_S) + read
        if prompts or again:
            alone = max(NO_GRAPHS_S, seconds + prompts / PREFILL) if prompts else seconds
            whole = max(NO_GRAPHS_S, seconds + (prompts + again) / PREFILL)
            self.read_again_s += whole - alone
            seconds = whole
        self.seconds += seconds
        if tail and not self.waiting and count < self.batch / 2:
            self.tail_s += seconds
        for job in self.running:
            job.size += steps
            job.left -= steps
        for job in [job for job in self.running if not job.left]:
            blocks.give(blocks_of(job.size), None)
            self.factor = max(1.0, self.factor * LOWERED)
        self.running = [job for job in self.running if job.left]


VARIANTS = {
    "watermark": (0.0, "random", False, 0.05),
    "foreseen": (1.0, "random", True, 0.0),
    "foreseen, 0.7": (0.7, "random", True, 0.0),
    "foreseen, 0": (0.0, "random", True, 0.0),
    "longest first": (1.0, "longest", False, 0.05),
    "longest first, 0.7": (0.7, "longest", False, 0.05),
    "in turn": (1.0, "in turn", False, 0.05),
    "in turn, 0.7": (0.7, "in turn", False, 0.05),
}
"""By name the correlation of what is known, the order, and the admission; all orders but `random` have the watermark."""
CASES = (
    (512, 64, 1_000_000), (512, 128, 1_000_000), (512, 256, 1_000_000), (512, 256, 345_000), (512, 512, 345_000), (512, 512, 225_000),
    (512, 512, 100_000), (2048, 256, 1_000_000), (2048, 1024, 345_000), (2048, 1024, 225_000), (2048, 1024, 100_000),
)  # fmt: skip
"""Requests, at once, tokens of the KV cache."""


def in_order(made: list[Job], order: str) -> list[Job]:
    """Returns the jobs in an order: as they are, the longest expected first, or these and the others in turn."""
    longest = sorted(made, key=lambda job: -job.expected)
    if order != "in turn":
        return longest if order == "longest" else made
    chosen: dict[int, Job] = {}
    left = [(job for job in side if id(job) not in chosen) for side in (longest, made)]
    for side in itertools.cycle(left):
        if len(chosen) == len(made):
            break
        job = next(side)
        chosen[id(job)] = job
    return list(chosen.values())


def measure(
    case: tuple[int, int, int], variant: tuple[float, str, bool, float], seeds: int
) -> tuple[float, ...]:
    """Returns the means of seconds, preemptions, seconds of reading again, and seconds of the tail."""
    (requests, batch, kv_tokens), (correlation, order, foreseen, watermark) = case, variant
    rows = []
    for seed in range(seeds):
        made = in_order(jobs(requests, seed, correlation), order)
        done = Simulation(kv_tokens, batch, foreseen, watermark).run(made)
        rows.append((done.seconds, done.preemptions, done.read_again_s, done.tail_s))
    return tuple(statistics.mean(column) for column in zip(*rows, strict=True))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.scheduling_simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(
        f"| requests | at once | KV cache, tokens | today | of it again | preemptions | tail | {' | '.join(VARIANTS)} |"
    )
    print(f"|{'---|' * (7 + len(VARIANTS))}")
    for case in CASES:
        whole, preemptions, again, tail = measure(case, (0.0, "random", False, 0.0), seeds)
        cells = [f"{whole:,.0f} s", f"{again:.0f} s", f"{preemptions:,.0f}", f"{tail:.0f} s"]
        cells += [f"{measure(case, variant, seeds)[0] / whole:.2f}" for variant in VARIANTS.values()]
        print(f"| {' | '.join([*(f'{number:,}' for number in case), *cells])} |", flush=True)


if __name__ == "__main__":
    main()
