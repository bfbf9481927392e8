"""What is said before a run of typed settings that change nothing in it, or that count in place of others."""

import re
from collections.abc import Iterator, Sequence

from llmbench.config.choices import EarlyStopping
from llmbench.config.custom import BENCHMARK
from llmbench.config.groups import STATIC_BATCHING
from llmbench.config.schema import Config
from llmbench.errors import shortened
from llmbench.system.console import Terminal


def say_unused(config: Config, overrides: Sequence[str], terminal: Terminal) -> None:
    """Warns about settings that change nothing in this run; `overrides` were typed."""
    for sentence in (
        *_unused(config, overrides),
        *_idle(config, overrides),
        *_overruled(config),
        *_meaningless(config),
    ):
        terminal.notice(sentence)
    if config.engine.name == "fake":
        terminal.say("engine=fake answers nonsense: the scores mean nothing.")


def _meaningless(config: Config) -> Iterator[str]:
    """What keeps scores from meaning anything."""
    if config.sampling.repeats > 1 and config.sampling.temperature == 0:
        yield "sampling.repeats asks for several answers, but at temperature 0 they are all the same; set sampling.temperature."
    if config.engine.speculative.get("rejection_sample_method") == "synthetic":
        yield "engine.speculative.rejection_sample_method=synthetic accepts drafted tokens by chance: the scores mean nothing."


def _unused(config: Config, overrides: Sequence[str]) -> Iterator[str]:
    """About typed settings that need another one, which is not set."""
    engine, stops, why = config.engine, config.stop_when.is_set, "stop_when.ci_width or stop_when.compare"
    batches = engine.name == "transformers", f"engine=transformers; engine={engine.name} batches continuously"
    for name, counts, needed in (
        *((name, *batches) for name in STATIC_BATCHING),
        ("sampling.answer_tokens", config.sampling.thinking_budget is not None, "sampling.thinking_budget"),
        ("engine.speculative_max_running", bool(engine.speculative), "engine.speculative"),
        ("stop_when.min_questions", stops, why),
        ("stop_when.level", stops, why),
    ):
        if not counts and any(override.startswith(f"{name}=") for override in overrides):
            yield f"{name} has no effect without {needed}."


def _idle(config: Config, overrides: Sequence[str]) -> Iterator[str]:
    """About a benchmark's typed settings that nothing reads."""
    if config.early_stopping is EarlyStopping.off and any(".stop=" in override for override in overrides):
        yield "stop strings are ignored because early_stopping=off."
    for name, benchmark in config.benchmarks.items():
        own = BENCHMARK if name == config.custom.benchmark and config.custom.data is not None else name
        key = re.compile(
            rf"\+*benchmarks\.{re.escape(own)}\.(likelihood_of|likelihood_heading|fewshot_split)=(?!null$)"
        )
        for setting in [match[1] for match in map(key.match, overrides) if match]:
            if setting.startswith("likelihood") and not benchmark.asks_likelihoods:
                yield f"benchmarks.{name}.{setting} has no effect with scoring=generate; scoring=loglikelihood compares likelihoods."
            if setting == "fewshot_split" and benchmark.data_files is not None:
                yield (
                    f"benchmarks.{name}.fewshot_split has no effect beside a file: worked examples are other questions of "
                    f"{benchmark.data_files}."
                )


def _overruled(config: Config) -> Iterator[str]:
    """Where one setting bounds another, or a benchmark's own counts in place of the run's."""
    bound = config.engine.args.get("max_num_seqs")
    if isinstance(bound, int) and config.batch_size is not None and bound < config.batch_size:
        yield f"At most {bound} requests run at once: engine.args.max_num_seqs={bound} bounds batch_size={config.batch_size}."
    for name, benchmark in config.benchmarks.items():
        if config.limit is not None and benchmark.num_samples != config.limit:
            yield f"benchmarks.{name}.num_samples={benchmark.num_samples} counts for {name}, not limit={config.limit}."
        if config.system_prompt is not None and benchmark.system_prompt != config.system_prompt:
            yield f"benchmarks.{name}.system_prompt counts for {name}, not the run's system_prompt={shortened(config.system_prompt)}."
        window = benchmark.options.get("windows", {}).get(benchmark.options.get("window"), {})
        changed = [
            f"{key}={benchmark.options.get(key)}"
            for key, value in window.items()
            if benchmark.options.get(key) != value
        ]
        if changed:
            yield f"benchmarks.{name}.options: {', '.join(changed)} counts, not what window={benchmark.options['window']} says."
