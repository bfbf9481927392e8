"""How long the outputs of a run will be, and the prompts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

from llmbench.config.schema import Config
from llmbench.config.thinking import answer_tokens
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
