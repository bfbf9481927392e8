"""How long the answers of a run will be: from earlier runs of its model, else from a stated distribution."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from llmbench.config.schema import Config
from llmbench.engine.vllm.forecast.demand import (
    MEDIAN_SHARE,
    PROMPT_TOKENS,
    SIGMA,
    Demand,
    resampled,
    stated_lengths,
    stated_limit,
)
from llmbench.engine.workload import token_limit
from llmbench.errors import LlmbenchError
from llmbench.report.run_list import list_runs
from llmbench.results.reader import Run, load_run
from llmbench.results.settings import benchmark_settings, read_config
from llmbench.results.stats import percentile
from llmbench.system.number_format import count, listed, number

NEWEST = 3
"""Earlier runs of a benchmark that are read."""
CUT_OFF = 0.01
"""A run with a lower token limit counts too where no larger part of its outputs reached it."""


@dataclass(frozen=True, slots=True)
class BenchmarkLengths:
    """Output lengths of one benchmark's requests.

    Attributes:
        source: In words.
        n, median, p90, longest: Of the lengths as they are planned, in tokens.
    """

    benchmark: str
    source: str
    n: int
    median: float
    p90: float
    longest: int

    def sentence(self) -> str:
        """What is taken for how long the answers will be."""
        return (
            f"{self.benchmark}: {count(self.n, 'answer')}, median {number(self.median)} tokens, 90% up to {number(self.p90)}, longest "
            f"{self.longest:,} ({self.source})."
        )


@dataclass(slots=True)
class Earlier:
    """What earlier runs of a model tell.

    Attributes:
        lengths: Output tokens of each answer, by benchmark.
        folders: The runs that they come from, by benchmark.
        prompts: Tokens of the prompts, one for each answer.
    """

    lengths: dict[str, list[int]] = field(default_factory=dict)
    folders: dict[str, list[str]] = field(default_factory=dict)
    prompts: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, config: Config) -> "Earlier":
        """What the newest runs of this model in `runs_dir` tell; nothing where there are none, or they cannot be read."""
        earlier = cls()
        try:
            runs = list_runs(config.runs_dir)
        except LlmbenchError:
            return earlier
        for listed_run in runs:
            names = [name for name in config.benchmarks if name in listed_run.scores]
            names = [name for name in names if len(earlier.folders.get(name, ())) < NEWEST]
            if names and listed_run.model == config.model.name and listed_run.status == "finished":
                with contextlib.suppress(LlmbenchError):
                    earlier.add(config, load_run(listed_run.folder), names)
        return earlier

    def add(self, config: Config, run: Run, names: Sequence[str]) -> None:
        """Adds what a run tells of these benchmarks.

        Raises:
            RunError: Its settings cannot be read.
        """
        engine, settings = run.summary.engine, read_config(run.folder)
        if engine is None or engine.name == "fake" or settings is None:
            return
        for name in names:
            self._add_lengths(config, run, settings, name)

    def _add_lengths(self, config: Config, run: Run, settings: Mapping[str, Any], name: str) -> None:
        own, sampling = benchmark_settings(settings, name), settings.get("sampling") or {}
        alike = (
            settings.get("early_stopping") == config.early_stopping.value
            and sampling.get("thinking_budget") == config.sampling.thinking_budget
            and sampling.get("answer_tokens") == config.sampling.answer_tokens
            and not sampling.get("ignore_eos")
        )
        made = [
            result.completions for result in run.results if result.benchmark == name and result.completions
        ]
        if not alike or not made:
            return
        limit = int(own.get("max_tokens") or 0)
        cut_off = sum(completions[0].output_tokens >= limit for completions in made) / len(made)
        if limit < config.benchmarks[name].max_tokens and cut_off > CUT_OFF:
            return
        outputs = [sum(each.output_tokens for each in completions) for completions in made]
        self.lengths.setdefault(name, []).extend(outputs)
        self.folders.setdefault(name, []).append(str(run.folder))
        self.prompts += [completions[0].prompt_tokens for completions in made]


def expected(
    config: Config, counts: dict[str, int], earlier: Earlier
) -> tuple[Demand, list[BenchmarkLengths]]:
    """Returns the demand of a run that asks each benchmark so many requests, and where its lengths come from."""
    everything: list[int] = []
    described = []
    for name, requests in counts.items():
        known = earlier.lengths.get(name)
        if config.sampling.ignore_eos:
            source = "sampling.ignore_eos: each runs to its limit"
        elif known:
            source = f"{count(len(known), 'answer')} of {listed(earlier.folders[name])}"
        else:
            tokens = config.model.finish_tokens_by_benchmark.get(name, config.model.finish_tokens)
            source = (
                f"no earlier run: log-normal, median {MEDIAN_SHARE:.0%} of the {tokens:,} tokens in which this model ends, sigma {SIGMA}, cut at "
                f"{stated_limit(config, name):,}"
            )
        if known and not config.sampling.ignore_eos:
            lengths = resampled(known, requests, token_limit(config, name))
        else:
            lengths = stated_lengths(config, name, requests)
        ordered = sorted(lengths)
        described.append(
            BenchmarkLengths(
                name, source, requests, percentile(ordered, 50), percentile(ordered, 90), ordered[-1]
            )
        )
        everything += lengths
    prompt_tokens = fmean(earlier.prompts) if earlier.prompts else PROMPT_TOKENS
    return Demand.of(config, everything, prompt_tokens), described
