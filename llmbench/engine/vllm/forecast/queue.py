"""How long a replica takes for its requests, the longest first."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from llmbench.engine.vllm.forecast.demand import Demand
from llmbench.engine.vllm.forecast.rates import Rates

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
