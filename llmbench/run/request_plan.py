"""What is going to be asked: reads the benchmarks' data, draws the samples, writes the prompts. Loads no weights."""

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from llmbench.benchmarks.base import Benchmark, unique
from llmbench.benchmarks.dataset import DataSource, Row, read_rows, written
from llmbench.benchmarks.importing import import_benchmark
from llmbench.config.schema import DRAWN_BY, BenchmarkConfig, Config, EarlyStopping, Schedule
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError, DataError
from llmbench.records import Request, Sample
from llmbench.run import prompts
from llmbench.run.prompts import Asked
from llmbench.system.text import one_line


@dataclass(frozen=True, slots=True)
class Questions:
    """Samples and prompts by benchmark and sample id, and the requests in the order they are asked."""

    benchmarks: Mapping[str, Benchmark]
    data: Mapping[str, DataSource]
    asked: Mapping[tuple[str, str], Asked]
    requests: Sequence[Request]
    available: Mapping[str, int]  # questions to choose from; options such as a window of dates leave some out

    def samples_of(self, benchmark: str) -> list[str]:
        """The ids of the samples that a benchmark is asked with."""
        return [sample_id for name, sample_id in self.asked if name == benchmark]

    def totals(self) -> dict[str, int]:
        """How many requests each benchmark makes, continuations not counted."""
        made = [request.benchmark for request in self.requests]
        return {name: made.count(name) for name in self.benchmarks}


def import_benchmarks(config: Config) -> dict[str, Benchmark]:
    """Returns the chosen benchmarks by their names.

    Raises:
        ConfigError: A module does not exist, or is not a benchmark.
    """
    return {name: import_benchmark(name, benchmark.module) for name, benchmark in config.benchmarks.items()}


def graders_need(config: Config) -> set[str]:
    """What grading workers import for these settings: the benchmarks' modules and what those ask for.

    Raises:
        ConfigError: A module does not exist.
    """
    heavy = {name for module in import_benchmarks(config).values() for name in module.preload}
    return heavy | {benchmark.module for benchmark in config.benchmarks.values()}


def runs_code(benchmarks: Mapping[str, Benchmark]) -> bool:
    """Whether grading runs what the model wrote."""
    return any(benchmark.runs_code for benchmark in benchmarks.values())


def read_samples(config: Config, name: str, module: Benchmark) -> tuple[list[Sample], DataSource]:
    """All samples of a benchmark, from its generator where it has one, else from its data set.

    Raises:
        DataError: The data cannot be read.
    """
    benchmark = config.benchmarks[name]
    begun, rows = time.monotonic(), None
    if benchmark.data_files is None and benchmark.hub_id is None:
        rows = module.generate(benchmark.options, config.seed)
    if rows is not None:
        digest = prompts.text_hash(repr(rows))
        source = DataSource(
            "generated", benchmark.split, None, digest, len(rows), None, time.monotonic() - begun
        )
    else:
        rows, source = read_rows(name, benchmark, module.columns, module.hub_files(benchmark.options))
    return _usable(config, name, module, rows, source.source), source


BAD_ROW = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
"""What code that expects other rows fails with."""


def _usable(config: Config, name: str, module: Benchmark, rows: Sequence[Row], source: str) -> list[Sample]:
    """The samples of rows, of which those that this run takes can be asked and written down."""
    try:
        options = config.benchmarks[name].options
        samples = [_with_text(s) for s in unique(module.load(rows, options, config.seed), name)]
        taken = prompts.select(name, samples, config)
    except SystemExit as error:
        raise DataError(
            f"{name}: {_where(module, error)} ends the program (SystemExit: {error}); fix the module."
        ) from error
    except DataError as error:
        said = " ".join(str(error).split()).rstrip(".")  # an id of the data's may hold line breaks
        raise DataError(f"{said} ({source}; rows are counted from 0).") from error
    except ConfigError:  # of its options
        raise
    except Exception as error:
        if not isinstance(error, BAD_ROW) and not _is_own(module):
            raise
        raise DataError(
            f"{name}: the rows of {source} are not as {_where(module, error)} expects them ({_reason(config, name, error)}); "
            "check the file and the module."
        ) from error
    for sample in taken:
        _check_asked(config, name, module, sample, source)
    return samples


def _check_asked(config: Config, name: str, module: Benchmark, sample: Sample, source: str) -> None:
    """Refuses a question that cannot be asked or written down."""
    try:
        question = module.question(sample)
        orjson.dumps([sample.id, question, sample.target, module.stored_fields(sample)])
    except (Exception, SystemExit) as error:
        if not isinstance(error, BAD_ROW) and not _is_own(module):
            raise
        where = f" in {_where(module, error)}" if _is_own(module) else ""
        raise DataError(
            f"{name}: question {sample.id[:SHOWN]!r} of {source} cannot be asked or written down{where} ({_reason(config, name, error)}); "
            f"{'fix the module or the row' if _is_own(module) else 'fix its row'}."
        ) from error
    if len(question) > MOST_CHARACTERS * config.model.max_length:  # tokenizing it would take minutes
        raise DataError(
            f"{name}: question {sample.id[:SHOWN]!r} of {source} has {len(question):,} characters, far more than "
            f"model.max_length={config.model.max_length} tokens; fix its row."
        )


def _is_own(module: Benchmark) -> bool:
    """Whether a benchmark's module is a user's, whose mistakes may raise anything."""
    return not module.module.__name__.startswith("llmbench.")


def _where(module: Benchmark, error: BaseException) -> str:
    """The module, and of a user's the file and line where an error came from."""
    file = vars(module.module).get("__file__")
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if file and _is_own(module) and frame.filename == file
    ]
    return f"{file}, line {lines[-1]}," if lines else module.module.__name__


def _with_text(sample: Sample) -> Sample:
    """The sample with its gold answer as text: numbers and truth values as JSON writes them."""
    if isinstance(sample.target, int | float):  # a module of a user's may hand on what the row holds
        return replace(sample, target=written(sample.target))
    return sample


def _reason(config: Config, name: str, error: BaseException) -> str:
    """What went wrong; of a sealed benchmark its kind alone, since the message may hold a question."""
    return type(error).__name__ if config.benchmarks[name].sealed else one_line(error)


SHOWN = 80
"""Characters of an id that a sentence shows."""
MOST_CHARACTERS = 1000
"""Characters of a question for each token of the context, from which on it cannot fit."""
CHARACTERS_A_TOKEN, AROUND_A_QUESTION = 2.0, 200
"""For guessing a prompt's length: digits and formulas come to two characters a token; template and instruction are added."""


def workload(config: Config, read: Mapping[str, tuple[Sequence[Sample], DataSource]]) -> Workload:
    """What the engine needs to know before it starts; no prompt has to be written for it."""
    counts, longest = {}, 0.0
    modules = import_benchmarks(config)
    for name, (samples, _) in read.items():
        chosen = prompts.select(name, samples, config)
        counts[name] = len(chosen) * config.benchmarks[name].repeats
        texts = [len(modules[name].question(sample)) for sample in chosen]
        shown = 1 + config.benchmarks[name].fewshot
        longest = max(longest, shown * max(texts, default=0) / CHARACTERS_A_TOKEN)
    prompt_tokens = min(int(longest) + AROUND_A_QUESTION, config.model.max_length)
    return replace(Workload.of(config, counts), prompt_tokens=prompt_tokens)


def write_questions(
    config: Config,
    benchmarks: Mapping[str, Benchmark],
    read: Mapping[str, tuple[Sequence[Sample], DataSource]],
    tokenizer: Tokenizer,
) -> Questions:
    """The prompts and requests of the samples that this run takes, from what `read_samples` gave for each benchmark.

    Raises:
        ModelError: A prompt does not fit the context, or the model has no chat template.
        DataError: There are fewer worked examples than `fewshot` asks for.
    """
    samples = {name: of_one for name, (of_one, _) in read.items()}
    data = {name: source_of_one for name, (_, source_of_one) in read.items()}
    pools = {name: example_pool(config, name, module, samples[name]) for name, module in benchmarks.items()}
    asked = [
        prompts.ask(config, name, module, sample, _examples(config, name, pools[name], sample), tokenizer)
        for name, module in benchmarks.items()
        for sample in prompts.select(name, samples[name], config)
    ]
    requests = prompts.requests(asked, config)
    prompts.check_lengths(requests, config)
    if config.schedule is Schedule.sequential:
        order = list(benchmarks)
        requests.sort(key=lambda request: order.index(request.benchmark))
    available = {name: len(of_one) for name, of_one in samples.items()}
    return Questions(benchmarks, data, {(a.benchmark, a.sample.id): a for a in asked}, requests, available)


def few_shot_from_evaluated(config: Config) -> list[str]:
    """A sentence for each benchmark whose worked examples come from the very questions that are evaluated."""
    return [
        f"{name}: the {benchmark.fewshot} worked examples come from the evaluated questions themselves, with their gold answers; "
        "the score does not compare with others."
        for name, benchmark in config.benchmarks.items()
        if benchmark.fewshot and _evaluated_split(benchmark)
    ]


def _evaluated_split(benchmark: BenchmarkConfig) -> bool:
    """Whether worked examples are taken from the evaluated questions, for want of a split of their own."""
    return benchmark.data_files is not None or benchmark.fewshot_split in (None, benchmark.split)


def example_pool(config: Config, name: str, module: Benchmark, samples: Sequence[Sample]) -> Sequence[Sample]:
    """Where worked examples are taken from: the hub's `fewshot_split` where there is one, else the questions themselves."""
    benchmark = config.benchmarks[name]
    split = benchmark.fewshot_split
    if not benchmark.fewshot or split is None or _evaluated_split(benchmark):
        return samples
    rows, _ = read_rows(name, replace(benchmark, split=split), module.columns)
    return module.load(rows, benchmark.options, config.seed)


def _examples(config: Config, name: str, samples: Sequence[Sample], sample: Sample) -> list[Sample]:
    count = config.benchmarks[name].fewshot
    return prompts.pick_examples(name, samples, sample, count, config.seed) if count else []


def why_not_comparable(config: Config, questions: Questions, checkpoint: Checkpoint | None) -> list[str]:
    """What keeps the scores from standing beside published ones; nothing where the profile's protocol was followed."""
    examples = [
        f"worked examples out of {name}'s evaluated questions"
        for name, benchmark in config.benchmarks.items()
        if benchmark.fewshot and _evaluated_split(benchmark)
    ]
    if not config.profile.comparable:
        return [f"profile={config.profile.name}", *examples]
    found = examples
    if config.engine.name == "fake":
        found.append("engine=fake")
    if config.early_stopping is not EarlyStopping.off:
        found.append(f"early_stopping={config.early_stopping.value}")
    if config.sampling.ignore_eos:
        found.append("sampling.ignore_eos=true")
    found += unlike_published_weights(config, settings(checkpoint))
    own = config.model.sampling.get(config.profile.sampling)
    drawn = {name: getattr(config.sampling, name) for name in DRAWN_BY}
    found += [
        f"sampling.{name}={drawn[name]}" for name in DRAWN_BY if own and drawn[name] != getattr(own, name)
    ]
    for name, benchmark in config.benchmarks.items():
        found += [f"benchmarks.{name}.{change}" for change in _changes(benchmark, config.profile.tokens)]
        asked = len(questions.samples_of(name))
        whole = benchmark.size or questions.available[name]
        if benchmark.size is None and benchmark.data_files is not None:
            found.append(f"{name}'s questions out of a file, which may be others than the published ones")
        if asked != whole:
            found.append(f"{asked} of {name}'s {whole} questions")
    return found


def unlike_published_weights(config: Config, checkpoint: Mapping[str, object]) -> list[str]:
    """What makes the weights and the KV cache less exact than the published model's.

    Args:
        config: The settings; what `engine.args` says wins, as it does in the engine.
        checkpoint: The checkpoint's config.json; empty where there is none.
    """
    model = config.model
    typed = {name: ("engine.args", value) for name, value in config.engine.args.items()}
    where, quantization = typed.get("quantization", ("model", model.quantization))
    found = [] if quantization is None else [f"{where}.quantization={quantization}"]
    stored = checkpoint.get("quantization_config")
    if quantization is None and isinstance(stored, Mapping):
        found.append(f"a checkpoint quantised with {stored.get('quant_method', 'an unknown method')}")
    where, dtype = typed.get("dtype", ("model", model.dtype))
    published = checkpoint.get("dtype") or checkpoint.get("torch_dtype") or PUBLISHED_DTYPE
    if dtype not in ("auto", published):
        found.append(f"{where}.dtype={dtype} (published in {published})")
    where, cache = typed.get("kv_cache_dtype", ("engine.args", "auto"))
    if cache not in ("auto", dtype, published):
        found.append(f"{where}.kv_cache_dtype={cache}")
    return found


PUBLISHED_DTYPE = "bfloat16"
"""Of a checkpoint that does not say: all models of conf/model/ but those quantised beforehand are published in it."""


def _changes(benchmark: BenchmarkConfig, column: str) -> list[str]:
    """Settings of a benchmark that its protocol has otherwise."""
    changes = []
    protocol = benchmark.profiles[column]
    if protocol.max_tokens not in (None, benchmark.max_tokens):
        changes.append(f"max_tokens={benchmark.max_tokens}")
    if benchmark.stop:
        changes.append("stop")
    if benchmark.fewshot:
        changes.append(f"fewshot={benchmark.fewshot}")
    if not benchmark.chat:
        changes.append("chat=false")
    if any(value is not None for value in vars(benchmark.sampling).values()):
        changes.append("sampling")
    return changes
