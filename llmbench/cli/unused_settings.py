"""What is said before a run of typed settings that change nothing in it, or that count in place of others."""

import re
from collections.abc import Sequence

from llmbench.config.choices import EarlyStopping
from llmbench.config.custom import BENCHMARK
from llmbench.config.groups import STATIC_BATCHING
from llmbench.config.schema import Config
from llmbench.errors import shortened
from llmbench.system.console import Terminal


def say_unused(config: Config, overrides: Sequence[str], terminal: Terminal) -> None:
    """Warns about settings that change nothing in this run.

    Args:
        config: The settings.
        overrides: What was typed.
        terminal: Where the warnings are printed.
    """
    for name in STATIC_BATCHING:
        if config.engine.name != "transformers" and any(
            override.startswith(f"{name}=") for override in overrides
        ):
            terminal.notice(
                f"{name} has no effect with engine={config.engine.name}, which batches continuously; batch_size does."
            )
    _say_idle(config, overrides, terminal)
    _say_incomplete(config, overrides, terminal)
    _say_overruled(config, terminal)
    bound = config.engine.args.get("max_num_seqs")
    if isinstance(bound, int) and config.batch_size is not None and bound < config.batch_size:
        terminal.notice(
            f"At most {bound} requests run at once: engine.args.max_num_seqs={bound} bounds batch_size={config.batch_size}."
        )
    if config.sampling.repeats > 1 and config.sampling.temperature == 0:
        terminal.notice(
            "sampling.repeats asks for several answers, but at temperature 0 they are all the same; set sampling.temperature."
        )
    if config.engine.name == "fake" and config.model.chat_template is not None:
        terminal.notice("model.chat_template changes no prompt with engine=fake, which has no template.")
    if config.engine.name == "fake":
        terminal.say("engine=fake answers nonsense: the scores mean nothing.")
    if config.engine.speculative.get("rejection_sample_method") == "synthetic":
        terminal.notice(
            "engine.speculative.rejection_sample_method=synthetic accepts drafted tokens by chance: the scores mean nothing."
        )
    if config.early_stopping is EarlyStopping.off and any(".stop=" in override for override in overrides):
        terminal.notice("stop strings are ignored because early_stopping=off.")


def _say_idle(config: Config, overrides: Sequence[str], terminal: Terminal) -> None:
    """Warns about a benchmark's typed settings that nothing reads."""
    for name, benchmark in config.benchmarks.items():
        own = BENCHMARK if name == config.custom.benchmark and config.custom.data is not None else name
        key = re.compile(
            rf"\+*benchmarks\.{re.escape(own)}\.(likelihood_of|likelihood_heading|fewshot_split)=(?!null$)"
        )
        for setting in [match[1] for match in map(key.match, overrides) if match]:
            if setting.startswith("likelihood") and not benchmark.asks_likelihoods:
                terminal.notice(
                    f"benchmarks.{name}.{setting} has no effect with scoring=generate; scoring=loglikelihood compares likelihoods."
                )
            if setting == "fewshot_split" and benchmark.data_files is not None:
                terminal.notice(
                    f"benchmarks.{name}.fewshot_split has no effect beside a file: worked examples are other questions of "
                    f"{benchmark.data_files}."
                )


def _say_incomplete(config: Config, overrides: Sequence[str], terminal: Terminal) -> None:
    """Warns about typed settings that need another one, which is not set."""
    stops, why = config.stop_when.is_set, "stop_when.ci_width or stop_when.compare"
    for name, counts, needed in (
        ("sampling.answer_tokens", config.sampling.thinking_budget is not None, "sampling.thinking_budget"),
        ("engine.speculative_max_running", bool(config.engine.speculative), "engine.speculative"),
        ("stop_when.min_questions", stops, why),
        ("stop_when.level", stops, why),
    ):
        if not counts and any(override.startswith(f"{name}=") for override in overrides):
            terminal.notice(f"{name} has no effect without {needed}.")


def _say_overruled(config: Config, terminal: Terminal) -> None:
    """Says where a benchmark's own setting counts, and not the run's."""
    for name, benchmark in config.benchmarks.items():
        if config.limit is not None and benchmark.num_samples != config.limit:
            terminal.notice(
                f"benchmarks.{name}.num_samples={benchmark.num_samples} counts for {name}, not limit={config.limit}."
            )
        if config.system_prompt is not None and benchmark.system_prompt != config.system_prompt:
            terminal.notice(
                f"benchmarks.{name}.system_prompt counts for {name}, not the run's system_prompt={shortened(config.system_prompt)}."
            )
        window = benchmark.options.get("windows", {}).get(benchmark.options.get("window"), {})
        changed = [key for key, value in window.items() if benchmark.options.get(key) != value]
        if changed:
            typed = ", ".join(f"{key}={benchmark.options.get(key)}" for key in changed)
            terminal.notice(
                f"benchmarks.{name}.options: {typed} counts, not what window={benchmark.options['window']} says."
            )
