"""The plan of a run's requests: which samples are asked, and in which words. Loads no weights.

    plan = RequestPlan.read(config)      # reads the data, draws the samples, renders their questions: each once
    plan.workload()                      # what the engine needs to know before it loads
    questions = plan.write(tokenizer)    # the prompts and requests

`plan.samples[NAME]` holds a benchmark's samples and where they came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.dataset import read_rows
from llmbench.benchmarks.importing import import_benchmark
from llmbench.config.schema import BenchmarkConfig, Config
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.records import FinishReason, Request, Result, Sample
from llmbench.run import order, prompts, selection
from llmbench.run.likelihood_prompts import LikelihoodWriter, check_choices
from llmbench.run.prompts import Asked, PromptWriter
from llmbench.run.samples import SampleSet, read_samples

CHARACTERS_A_TOKEN, AROUND_A_QUESTION = 2.0, 200
"""For guessing a prompt's length: digits and formulas come to two characters a token; template and instruction are added."""


def import_benchmarks(config: Config) -> dict[str, Benchmark]:
    """Returns the chosen benchmarks by their names.

    Raises:
        ConfigError: A module does not exist, or is not a benchmark.
    """
    return {name: import_benchmark(name, settings.module) for name, settings in config.benchmarks.items()}


def graders_need(config: Config) -> set[str]:
    """Returns what grading workers import for these settings: the benchmarks' modules and what those ask for.

    Raises:
        ConfigError: A module does not exist, or is not a benchmark.
    """
    heavy = {name for benchmark in import_benchmarks(config).values() for name in benchmark.preload}
    return heavy | {settings.module for settings in config.benchmarks.values()}


@dataclass(frozen=True, slots=True)
class Questions:
    """Samples by benchmark, prompts by benchmark and sample id, and the requests in the order they are asked."""

    benchmarks: Mapping[str, Benchmark]
    samples: Mapping[str, SampleSet]
    asked: Mapping[tuple[str, str], Asked]
    requests: Sequence[Request]
    order: str | None = None  # what decided when each is asked, in words

    def samples_of(self, benchmark: str) -> list[str]:
        """Returns the ids of the samples that a benchmark is asked with."""
        return [sample_id for name, sample_id in self.asked if name == benchmark]

    def totals(self) -> dict[str, int]:
        """Returns how many requests each benchmark makes, continuations not counted."""
        made = [request.benchmark for request in self.requests]
        return {name: made.count(name) for name in self.benchmarks}

    def shortest_of(self, results: Sequence[Result]) -> tuple[int, Request] | None:
        """Returns the request with the shortest answer of an earlier process, which shows that an engine works, and its tokens."""
        requests = {request.key: request for request in self.requests}
        answered = [
            (made[0].output_tokens, requests[result.key])
            for result in results
            if (made := result.completions) and made[0].finish_reason is not FinishReason.ABORT
        ]
        return min(answered, key=lambda pair: pair[0], default=None)


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a run asks: the settings, and the samples of each benchmark by its name."""

    config: Config
    samples: Mapping[str, SampleSet]

    @classmethod
    def read(cls, config: Config, asked: Mapping[str, Sequence[str]] | None = None) -> Self:
        """Reads the data of all benchmarks and draws the samples; those that an earlier part of the run `asked`, by benchmark, stay chosen.

        Raises:
            ConfigError: A benchmark's module or an option is refused.
            DataError: The data cannot be read, or a question cannot be asked.
        """
        benchmarks, before = import_benchmarks(config), asked or {}
        check_choices(config, benchmarks)
        samples = {n: read_samples(config, n, each, before.get(n, ())) for n, each in benchmarks.items()}
        return cls(config, samples)

    def workload(self) -> Workload:
        """Returns what the engine needs to know before it loads; prompts need not be written for it."""
        counts, longest = {}, 0.0
        for name, part in self.samples.items():
            settings = self.config.benchmarks[name]
            counts[name] = len(part.chosen) * settings.repeats
            characters = (1 + (settings.fewshot or 0)) * max(map(len, part.questions), default=0)
            longest = max(longest, characters / CHARACTERS_A_TOKEN)
        prompt_tokens = min(int(longest) + AROUND_A_QUESTION, self.config.model.max_length)
        return replace(Workload.of(self.config, counts), prompt_tokens=prompt_tokens)

    def draw_order(self, name: str) -> list[str]:
        """Returns the ids of a benchmark's questions as they are asked with `stop_when`."""
        part = self.samples[name]
        return selection.draw_order(self.config.seed, name, part.available, part.chosen)

    def write(self, tokenizer: Tokenizer, known: order.Lengths | None = None) -> Questions:
        """Writes the prompts and makes the requests, in an order that depends on the `known` lengths of earlier answers.

        Raises:
            ModelError: A prompt does not fit the context, or the model has no chat template.
            DataError: There are fewer worked examples than `fewshot` asks for.
        """
        asked = [each for name in self.samples for each in self._asked(name, tokenizer)]
        requests = prompts.requests(asked, self.config)
        prompts.check_lengths(requests, self.config)
        requests, basis = order.ordered(requests, self.config, known or {})
        if self.config.stop_when.is_set:
            basis = f"in the order of the draw (stop_when); the answers to one question {basis}"
            places = {
                (name, i): place for name in self.samples for place, i in enumerate(self.draw_order(name))
            }
            asked.sort(key=lambda each: places[each.benchmark, each.sample.id])
            requests.sort(key=lambda request: places[request.benchmark, request.sample_id])
        benchmarks = {name: part.benchmark for name, part in self.samples.items()}
        by_sample = {(each.benchmark, each.sample.id): each for each in asked}
        return Questions(benchmarks, self.samples, by_sample, requests, basis)

    def _asked(self, name: str, tokenizer: Tokenizer) -> list[Asked]:
        """Returns the prompts of one benchmark."""
        part, settings = self.samples[name], self.config.benchmarks[name]
        made = LikelihoodWriter if settings.asks_likelihoods else PromptWriter
        writer: PromptWriter | LikelihoodWriter = made(self.config, name, part.benchmark, tokenizer)
        pool = self._example_pool(name) if settings.fewshot else ()
        examples = selection.ExamplePicker.of(self.config, name, part.benchmark, pool)
        return [
            writer.ask(sample, question, examples.pick(sample))
            for sample, question in zip(part.chosen, part.questions, strict=True)
        ]

    def _example_pool(self, name: str) -> Sequence[Sample]:
        """Returns what worked examples are taken from: the hub's `fewshot_split` if there is one, else the questions themselves."""
        part, settings = self.samples[name], self.config.benchmarks[name]
        if settings.fewshot_split is None or shows_evaluated(settings):
            return part.available
        rows, _ = read_rows(name, replace(settings, split=settings.fewshot_split), part.benchmark.columns)
        return part.benchmark.load(rows, settings.options, self.config.seed)


def shows_evaluated(benchmark: BenchmarkConfig) -> bool:
    """Returns whether worked examples come from the evaluated questions, for want of a split of their own."""
    return benchmark.data_files is not None or benchmark.fewshot_split in (None, benchmark.split)
