"""What is going to be asked: reads the benchmarks' data, draws the samples, writes the prompts. Loads no weights."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmbench import prompts
from llmbench.benchmarks.base import Module, import_module, unique
from llmbench.config import Config, EarlyStopping, Schedule
from llmbench.data import DataSource, read_rows
from llmbench.engine.base import Source, Workload
from llmbench.prompts import Asked
from llmbench.records import Request, Sample


@dataclass(frozen=True, slots=True)
class Questions:
    """Samples and prompts by benchmark and sample id, and the requests in the order they are asked."""

    modules: Mapping[str, Module]
    data: Mapping[str, DataSource]
    asked: Mapping[tuple[str, str], Asked]
    requests: Sequence[Request]

    def samples_of(self, benchmark: str) -> list[str]:
        """The ids of the samples that a benchmark is asked with."""
        return [sample_id for name, sample_id in self.asked if name == benchmark]

    def totals(self) -> dict[str, int]:
        """How many requests each benchmark makes, continuations not counted."""
        made = [request.benchmark for request in self.requests]
        return {name: made.count(name) for name in self.modules}

    def workload(self) -> Workload:
        """What the engine needs to know before it starts."""
        limits = [request.sampling.max_tokens for request in self.requests]
        return Workload(len(limits), max(limits, default=0))


def import_modules(config: Config) -> dict[str, Module]:
    """The modules of the chosen benchmarks, by the benchmarks' names.

    Raises:
        ConfigError: One does not exist.
    """
    return {name: import_module(name, benchmark.module) for name, benchmark in config.benchmarks.items()}


def read_samples(config: Config, name: str, module: Module) -> tuple[list[Sample], DataSource]:
    """All samples of a benchmark, from its generator where it has one, else from its data set.

    Raises:
        DataError: The data cannot be read.
    """
    benchmark = config.benchmarks[name]
    generate = getattr(module, "generate", None)
    if generate is not None and benchmark.data_files is None and benchmark.hub_id is None:
        begun = time.monotonic()
        rows = generate(benchmark.options, config.seed)
        digest = prompts.text_hash(repr(rows))
        source = DataSource(
            "generated", benchmark.split, None, digest, len(rows), None, time.monotonic() - begun
        )
    else:
        rows, source = read_rows(name, benchmark, module.COLUMNS)
    return unique(module.load(rows, benchmark.options, config.seed), name), source


def write_questions(
    config: Config,
    modules: Mapping[str, Module],
    samples: Mapping[str, Sequence[Sample]],
    data: Mapping[str, DataSource],
    source: Source,
) -> Questions:
    """The prompts and requests of the samples that this run takes.

    Raises:
        ModelError: A prompt does not fit the context, or the model has no chat template.
        DataError: There are fewer worked examples than `fewshot` asks for.
    """
    asked = [
        prompts.ask(
            config, name, module, sample, _examples(config, name, samples[name], sample), source.tokenizer
        )
        for name, module in modules.items()
        for sample in prompts.select(name, samples[name], config)
    ]
    requests = prompts.requests(asked, config)
    prompts.check_lengths(requests, config)
    if config.schedule is Schedule.sequential:
        order = list(modules)
        requests.sort(key=lambda request: order.index(request.benchmark))
    return Questions(modules, data, {(a.benchmark, a.sample.id): a for a in asked}, requests)


def _examples(config: Config, name: str, samples: Sequence[Sample], sample: Sample) -> list[Sample]:
    count = config.benchmarks[name].fewshot
    return prompts.pick_examples(name, samples, sample, count, config.seed) if count else []


def is_comparable(config: Config, questions: Questions) -> bool:
    """Whether the score can stand beside published ones: the profile says so, and nothing is left out or cut."""
    whole = all(len(questions.samples_of(name)) == source.rows for name, source in questions.data.items())
    return config.profile.comparable and whole and config.early_stopping is EarlyStopping.off
