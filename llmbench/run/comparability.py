"""What keeps a run's scores from standing beside published ones."""

from collections.abc import Mapping
from pathlib import Path

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.importing import import_benchmark
from llmbench.config.choices import EarlyStopping
from llmbench.config.engine import EngineConfig
from llmbench.config.schema import DRAWN_BY, BenchmarkConfig, BenchmarkProfile, Config, ModelConfig
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_settings import name_of
from llmbench.errors import shortened
from llmbench.run import prompts
from llmbench.run.judging import unlike_published
from llmbench.run.request_plan import Questions, shows_evaluated


def few_shot_from_evaluated(config: Config) -> list[str]:
    """A sentence for each benchmark whose worked examples come from the very questions that are evaluated."""
    return [
        f"{name}: the {config.benchmarks[name].fewshot} worked examples come from the evaluated questions themselves, with their gold answers; "
        "the score does not compare with others."
        for name in _showing_evaluated(config)
    ]


def _showing_evaluated(config: Config) -> list[str]:
    """Returns the benchmarks whose worked examples are evaluated questions."""
    return [
        name
        for name, each in config.benchmarks.items()
        if each.fewshot
        and shows_evaluated(each)
        and type(import_benchmark(name, each.module)).own_examples is Benchmark.own_examples
    ]


def why_not_comparable(config: Config, questions: Questions, checkpoint: Checkpoint | None) -> list[str]:
    """What keeps the scores from standing beside published ones; nothing where the profile's protocol was followed."""
    examples = [f"worked examples out of {name}'s evaluated questions" for name in _showing_evaluated(config)]
    if config.asks_own_data_alone:
        return ["questions of your own", *examples]
    if not config.profile.comparable:
        return [f"profile={config.profile.name}", *examples]
    found = examples + of_the_engine(config.engine)
    found += added_files(config.model)
    found += other_endings(config)
    found += unlike_published_weights(config, settings(checkpoint))
    found += unlike_published(config, questions.benchmarks)
    own = config.model.sampling.get(config.profile.sampling)
    drawn = {name: getattr(config.sampling, name) for name in DRAWN_BY}
    found += [
        f"sampling.{name}={drawn[name]}" for name in DRAWN_BY if own and drawn[name] != getattr(own, name)
    ]
    for name, benchmark in config.benchmarks.items():
        found += [f"benchmarks.{name}.{change}" for change in _changes(benchmark, config.profile.tokens)]
        found += other_system_prompt(config, name)
        asked = len(questions.samples_of(name))
        whole = benchmark.size or len(questions.samples[name].available)
        copied = "file" if benchmark.data_files is not None else "folder" if _is_folder(benchmark) else None
        if copied is not None:
            found.append(f"{name}'s questions out of a {copied}, which may be others than the published ones")
        if asked != whole:
            found.append(f"{asked} of {name}'s {whole} questions")
    return found


def other_endings(config: Config) -> list[str]:
    """Settings that end texts, or their thinking, otherwise than the model does."""
    stopping, budget = config.early_stopping, config.sampling.thinking_budget
    found = [] if stopping is EarlyStopping.off else [f"early_stopping={stopping.value}"]
    if config.sampling.ignore_eos:
        found.append("sampling.ignore_eos=true")
    return found if budget is None else [*found, f"sampling.thinking_budget={budget}"]


def of_the_engine(engine: EngineConfig) -> list[str]:
    """An engine whose answers are not, or may not be, the model's own."""
    found = []
    if engine.name == "fake":
        found.append("engine=fake")
    if engine.name == "endpoint":
        found.append("engine=endpoint, whose weights are not known")
    if engine.speculative.get("rejection_sample_method") == "synthetic":
        found.append("engine.speculative.rejection_sample_method=synthetic")
    return found


def _is_folder(benchmark: BenchmarkConfig) -> bool:
    """Whether what is called the hub's is a folder on this machine."""
    return benchmark.hub_id is not None and Path(benchmark.hub_id).is_dir()


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
    where, cache = typed.get("kv_cache_dtype", ("model", model.kv_cache_dtype))
    if cache not in (None, "auto", dtype, published):
        found.append(f"{where}.kv_cache_dtype={cache}")
    return found


PUBLISHED_DTYPE = "bfloat16"
"""Of a checkpoint that does not say: all models of conf/model/ but those quantised beforehand are published in it."""


def added_files(model: ModelConfig) -> list[str]:
    """Files that make another model of it."""
    found = [] if model.chat_template is None else [f"model.chat_template={Path(model.chat_template).name}"]
    return found if model.lora is None else [*found, f"model.lora={name_of(model.lora, None)}"]


def other_system_prompt(config: Config, name: str) -> list[str]:
    """A system prompt that is not the protocol's; one that the model takes no part of is left out of both."""
    protocol = config.benchmarks[name].profiles.get("published", BenchmarkProfile()).system_prompt or ""
    found = prompts.system_prompt(config, name) or ""
    if not config.model.system_prompt or found == protocol:
        return []
    return [f"benchmarks.{name}.system_prompt={shortened(found) or 'null'}"]


def _changes(benchmark: BenchmarkConfig, column: str) -> list[str]:
    """Settings of a benchmark that its protocol has otherwise."""
    changes = ["scoring=loglikelihood"] if benchmark.asks_likelihoods else []
    protocol = benchmark.profiles[column]
    if not benchmark.asks_likelihoods and protocol.max_tokens not in (None, benchmark.max_tokens):
        changes.append(f"max_tokens={benchmark.max_tokens}")
    if benchmark.stop:
        changes.append("stop")
    if (benchmark.fewshot or 0) != (benchmark.profiles.get("published", protocol).fewshot or 0):
        changes.append(f"fewshot={benchmark.fewshot}")
    if benchmark.chat is benchmark.asks_likelihoods:  # mostly without the template where choices are scored
        changes.append(f"chat={str(benchmark.chat).lower()}")
    if not benchmark.asks_likelihoods and any(v is not None for v in vars(benchmark.sampling).values()):
        changes.append("sampling")
    return changes
