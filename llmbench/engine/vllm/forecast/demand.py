"""The requests of a run: how long their outputs will be, and how long a replica takes for them, the longest first."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import NormalDist
from typing import Self

from llmbench.config.schema import Config
from llmbench.config.thinking import answer_tokens
from llmbench.engine.vllm.forecast.rates import Rates
from llmbench.engine.workload import Workload, token_limit

MEDIAN_SHARE, SIGMA = 0.25, 0.8
"""Lengths of a model that was never run are taken as log-normal: a quarter of `model.finish_tokens` is the median and 0.8 the standard deviation
of the logarithm, so that 96% end within `finish_tokens` and the longest tenth is 2.8 times the median and more. An assumption."""
MOST = 10_000
"""Requests of a benchmark that are told apart; a job to come whose size is not known counts as so many."""
PROMPT_TOKENS = 150
"""Of a prompt, where none was ever counted. An assumption: questions of MATH and GSM8K come to 60 to 120, template and instruction to 50."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The requests that a run makes, as far as their time depends on them.

    Attributes:
        lengths: Output tokens of each request, continuations included; the longest first.
        prompt_tokens: The mean of a prompt.
        batch_size: Requests that are to run at once on a replica; None: as many as vLLM takes.
        read_share: The part of the prompts that is computed; the rest comes from the prefix cache.
    """

    lengths: tuple[int, ...]
    prompt_tokens: float = PROMPT_TOKENS
    batch_size: int | None = None
    read_share: float = 1.0

    @property
    def longest(self) -> int:
        """The longest output; 0 where nothing is asked."""
        return self.lengths[0] if self.lengths else 0

    @property
    def held(self) -> float:
        """The tokens of a prompt and its output, on average."""
        return self.prompt_tokens + sum(self.lengths) / max(1, len(self.lengths))

    @classmethod
    def of(cls, config: Config, lengths: Sequence[int], prompt_tokens: float = PROMPT_TOKENS) -> Self:
        """The demand of so many outputs under these settings. Of several answers to one question the first reads its prompt."""
        repeats = max((benchmark.repeats for benchmark in config.benchmarks.values()), default=1)
        ordered = tuple(sorted(lengths, reverse=True))
        return cls(ordered, prompt_tokens, config.batch_size, 1 / max(1, repeats))


def stated_limit(config: Config, benchmark: str) -> int:
    """Returns where stated lengths are cut: at the token limit, and under a budget of thinking where the answer behind it ends."""
    limit, budget = token_limit(config, benchmark), config.sampling.thinking_budget
    if budget is None or config.sampling.ignore_eos:
        return limit
    return min(limit, budget + answer_tokens(config, benchmark))


def stated_lengths(config: Config, benchmark: str, count: int) -> list[int]:
    """Returns output lengths of a benchmark's requests by the stated distribution, the longest first.

    They are the distribution's quantiles, so that the same settings give the same lengths, cut at `stated_limit`. With
    `sampling.ignore_eos` each is the limit.
    """
    limit, model = stated_limit(config, benchmark), config.model
    if config.sampling.ignore_eos:
        return [limit] * count
    median = MEDIAN_SHARE * model.finish_tokens_by_benchmark.get(benchmark, model.finish_tokens)
    deviates = (NormalDist().inv_cdf((count - place - 0.5) / count) for place in range(count))
    return [max(1, min(limit, round(median * math.exp(SIGMA * deviate)))) for deviate in deviates]


def stated_demand(config: Config, workload: Workload) -> Demand:
    """Returns the demand of a workload; what is not known of its benchmarks is spread evenly over those of the settings."""
    names = list(config.benchmarks)
    counts = [(name, min(number, MOST)) for name, number in workload.counts if name in names]
    if not counts:
        counts = [
            (name, workload.requests // len(names) + (place < workload.requests % len(names)))
            for place, name in enumerate(names)
        ]
    lengths = [length for name, number in counts for length in stated_lengths(config, name, number)]
    prompt_tokens = min(workload.prompt_tokens or PROMPT_TOKENS, PROMPT_TOKENS)
    return Demand.of(config, lengths, prompt_tokens)


def resampled(lengths: Sequence[int], count: int, limit: int) -> list[int]:
    """Returns as many lengths as asked with the distribution of those given, cut at the limit; the longest first."""
    ordered = sorted(lengths, reverse=True)
    return [min(limit, ordered[int((place + 0.5) * len(ordered) / count)]) for place in range(count)]


DRAINED = 0.5
"""The tail begins when fewer than this part of the requests that ran together at the beginning still run."""


@dataclass(frozen=True, slots=True)
class Drained:
    """Seconds that requests took, and how many of them at the end were the tail, in which most places were empty."""

    seconds: float
    tail_s: float


def share(lengths: Sequence[int], replicas: int) -> list[int]:
    """Returns what the busiest of so many replicas gets of requests that are dealt out, the longest first.

    They are dealt to and fro, as a queue that each replica pulls from comes out: the replica with the longest gets the shortest of the next round.
    """
    rounds = range(0, len(lengths), replicas)
    places = (begin + (index % 2) * (replicas - 1) for index, begin in enumerate(rounds))
    return [lengths[place] for place in places if place < len(lengths)]


def drain(lengths: Sequence[int], places: int, rates: Rates, demand: Demand) -> Drained:
    """Computes step by step how a replica works requests off; a place that becomes free takes the next.

    Args:
        lengths: Output tokens of each, in the order in which they are taken.
        places: Requests that run at once, at most.
        rates: What reading prompts and a step take.
        demand: Says how long prompts are.
    """
    read_s = demand.prompt_tokens * demand.read_share * rates.token_s
    first = min(places, len(lengths))
    ends = list(lengths[:first])
    heapq.heapify(ends)
    starts = 0  # the sum of the steps at which the running requests began
    begun: dict[int, list[int]] = {}
    for length in ends:
        begun.setdefault(length, []).append(0)
    following = iter(lengths[first:])
    step, clock, full_until = 0, first * read_s, 0.0
    while ends:
        until, running = ends[0], len(ends)
        middle = (step + until) / 2
        context = running * (demand.prompt_tokens + middle) - starts
        clock += (until - step) * rates.step_s(running, context)
        step = until
        if running >= DRAINED * first:
            full_until = clock
        while ends and ends[0] == step:
            heapq.heappop(ends)
            starts -= begun[step].pop()
            for taken in islice(following, 1):
                heapq.heappush(ends, step + taken)
                begun.setdefault(step + taken, []).append(step)
                starts += step
                clock += read_s
    return Drained(clock, clock - full_until)
