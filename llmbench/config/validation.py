"""Checks the settings once, when they come from Hydra."""

import math
import re
from datetime import date
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llmbench.config.bounds import check, check_least
from llmbench.config.choices import KV_CACHE_DTYPES
from llmbench.config.custom import BENCHMARK
from llmbench.config.deterministic import validate_deterministic
from llmbench.config.dump import as_yaml_data
from llmbench.config.endpoint import validate_endpoint
from llmbench.config.engine import EngineConfig
from llmbench.config.groups import EXPORTS, STATIC_BATCHING, StopSettings
from llmbench.config.judge import validate_judge
from llmbench.config.schema import (
    AUTO,
    BenchmarkConfig,
    Config,
    ModelConfig,
    SamplingConfig,
    SamplingOverrides,
)
from llmbench.config.scoring import apply_scoring, check_heading
from llmbench.errors import ConfigError, first_line, own_cause
from llmbench.system import decoding, redaction
from llmbench.system.text import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_REPLICAS = 4096
REPLICATED = ("vllm", "fake")
"""Engines that there may be several of."""
UNQUANTIZED = ("none", "bf16", "bfloat16")
"""Names people give to weights that are not quantised."""


def from_hydra(cfg: DictConfig) -> Config:
    """The composed settings as plain, checked objects.

    Raises:
        ConfigError: A value is missing, does not resolve or is out of range; the message names it.
    """
    try:
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        if (own := own_cause(error)) is not None:
            raise ConfigError(str(own)) from error
        raise ConfigError(_unresolved(error, cfg)) from error
    if not isinstance(config, Config):
        raise ConfigError(
            "The configuration does not follow llmbench's schema; check `defaults` in config.yaml."
        )
    data = as_yaml_data(config)
    try:
        # an interpolation may have led to something of another type
        decoding.build(data, Config)
        decoding.check_numbers(data)
    except TypeError as error:
        name, must, wanted = str(error).partition(" must be ")
        if not must:
            raise ConfigError(f"{error}; give it another value.") from error
        wanted, _, value = wanted.rpartition(", not ")
        raise ConfigError(f"{name}={value} is refused: {name} must be {wanted}.") from error
    _apply_limit(config, cfg)
    _apply_system_prompt(config, cfg)
    for benchmark in config.benchmarks.values():
        benchmark.fewshot = benchmark.fewshot or 0  # so that runs of all versions say the same
    apply_scoring(config, cfg)
    _name_custom(config)
    if config.model.quantization in UNQUANTIZED:
        config.model.quantization = None
    if config.model.kv_cache_dtype == AUTO:
        config.model.kv_cache_dtype = None
    config.export = [config.export] if isinstance(config.export, str) else config.export or []
    redaction.learn(as_yaml_data(config))  # here, since all settings come this way
    validate(config)
    return config


def _apply_limit(config: Config, cfg: DictConfig) -> None:
    """Lets `limit` win over the profile's number of samples in benchmark files that do not know it."""
    if config.limit is None:
        return
    for name, benchmark in config.benchmarks.items():
        if OmegaConf.is_interpolation(cfg.benchmarks[name], "num_samples"):
            benchmark.num_samples = config.limit


def _apply_system_prompt(config: Config, cfg: DictConfig) -> None:
    """Gives the run's system prompt to benchmarks whose own is not typed: they have none, or their file's."""
    if config.system_prompt is None:
        return
    for name, benchmark in config.benchmarks.items():
        if benchmark.system_prompt is None or OmegaConf.is_interpolation(
            cfg.benchmarks[name], "system_prompt"
        ):
            benchmark.system_prompt = config.system_prompt


def _name_custom(config: Config) -> None:
    """Calls the benchmark `custom` after its data, so that tables and comparisons tell one's own data sets apart."""
    name = config.custom.benchmark
    if BENCHMARK not in config.benchmarks or name == BENCHMARK:
        return
    if name in config.benchmarks:
        raise ConfigError(
            f"custom.data={config.custom.data} would be called {name}, as another benchmark of this run; name it with custom.name=NAME."
        )
    config.benchmarks = {name if key == BENCHMARK else key: each for key, each in config.benchmarks.items()}


def _unresolved(error: OmegaConfBaseException, cfg: DictConfig) -> str:
    """Why settings are no settings of ours; of a name that leads nowhere, as that of a profile's column, with the nearest there is."""
    where = str(error.full_key or "The configuration")
    missing = re.search(r"Interpolation key '(.+)' not found", str(error))
    here: Any = OmegaConf.to_container(cfg, resolve=False)
    profile = here.get("profile") or {}
    names = missing[1].split(".") if missing else []
    if names and names[0] not in here:  # it is relative to where it stands
        names = [*where.split(".")[:-1], *names]
    for place, name in enumerate(names):
        if not isinstance(here, dict) or name not in here:
            axes = [f"profile.{axis}={name}: " for axis in profile if profile[axis] == name]
            typed = axes[0] if len(axes) == 1 else ""
            within = ".".join(names[:place]) or "the settings"
            return f"{typed}{where} finds no {name!r} in {within}{suggest(name, here)}"
        here = here[name]
    return f"{where}: {first_line(error)}."


def validate(config: Config) -> None:
    """Refuses values that no run could use.

    Raises:
        ConfigError: Names the setting, the value and what it may be.
    """
    check(config.benchmarks, "benchmark", None, "at least one benchmark, such as benchmark=aime")
    check_least("", config, 1, "batch_size", "limit", *STATIC_BATCHING[:3])
    check_least("", config, 0, "oom_retries", "engine_restarts", "show_prompts", "fewshot", "seed")
    check(
        config.min_batch_size <= config.max_batch_size,
        "min_batch_size",
        config.min_batch_size,
        f"at most max_batch_size, which is {config.max_batch_size}",
    )
    wait_s = config.engine_wait_s
    check(
        wait_s is None or wait_s > 0,
        "engine_wait_s",
        wait_s,
        "a number of seconds above 0, or null to wait for ever",
    )
    least = 1 << 20
    check(
        config.cache_max_bytes >= least, "cache_max_bytes", config.cache_max_bytes, f"at least {least} bytes"
    )
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    check(config.log_level in levels, "log_level", config.log_level, f"one of {', '.join(levels)}")
    check(isinstance(config.export, list), "export", config.export, f"a list of {', '.join(EXPORTS)}")
    for name in config.export:
        if name not in EXPORTS:
            raise ConfigError(f"export={name} is refused: there is no such form{suggest(str(name), EXPORTS)}")
    _validate_model(config.model)
    whole = (
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "weights_copies_max_bytes",
        "speculative_max_running",
    )
    check_least("engine.", config.engine, 1, *whole)
    _validate_replicas(config.engine)
    kv = config.engine.kv_cache_memory_bytes
    check(kv is None or kv > 0, "engine.kv_cache_memory_bytes", kv, "a number of bytes above 0, or null")
    drafted = config.engine.speculative.get("num_speculative_tokens")
    whole_number = type(drafted) is int and drafted >= 1
    check(
        drafted is None or whole_number,
        "engine.speculative.num_speculative_tokens",
        drafted,
        "a whole number from 1",
    )
    if config.engine.name == "endpoint":
        validate_endpoint(config.engine)
    validate_deterministic(config)
    validate_judge(config.judge)
    _validate_stopping(config.stop_when)
    _validate_sampling("sampling", config.sampling)
    _check_system_prompt("system_prompt", config.system_prompt)
    for name, benchmark in config.benchmarks.items():
        _validate_benchmark(f"benchmarks.{name}", benchmark)


def _validate_stopping(stop: StopSettings) -> None:
    if stop.ci_width is not None and stop.compare is not None:
        raise ConfigError(
            f"stop_when.ci_width={stop.ci_width} is refused with stop_when.compare={stop.compare}: a run stops for one of both; leave one out."
        )
    if stop.margin is not None and stop.compare is None:
        raise ConfigError(
            f"stop_when.margin={stop.margin} is refused without stop_when.compare=RUN, the run whose difference it is a margin of."
        )
    share = "a share between 0 and 1, such as 0.05 for 5 points, or null"
    for name, value in (("ci_width", stop.ci_width), ("margin", stop.margin)):
        check(value is None or 0 < value < 1, f"stop_when.{name}", value, share)
    check(0.5 <= stop.level < 1, "stop_when.level", stop.level, "at least 0.5 and below 1, such as 0.95")  # noqa: PLR2004
    check_least("stop_when.", stop, 1, "min_questions")


def _validate_replicas(engine: EngineConfig) -> None:
    replicas = engine.replicas
    whole = isinstance(replicas, int) and not isinstance(replicas, bool) and 1 <= replicas <= MOST_REPLICAS
    wanted = f"a whole number from 1 to {MOST_REPLICAS}, or auto"
    check(whole or replicas == AUTO, "engine.replicas", replicas, wanted)
    if replicas != 1 and engine.name not in REPLICATED:
        raise ConfigError(
            f"engine.replicas={replicas} is refused: only engine={' and engine='.join(REPLICATED)} have replicas, "
            f"and this is engine={engine.name}."
        )
    if engine.ray_address is not None and replicas == 1:
        raise ConfigError(
            f"engine.ray_address={engine.ray_address} is refused: a single engine runs on this machine; "
            "set engine.replicas=auto, or a number above 1."
        )


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _validate_model(model: ModelConfig) -> None:
    use = model.gpu_memory_utilization
    check(0 < use <= 1, "model.gpu_memory_utilization", use, "above 0 and at most 1, such as 0.95")
    day = model.template_date
    check(day is None or _is_date(day), "model.template_date", day, "a date such as 2026-01-31, or null")
    check_least("model.", model, 1, "max_length")
    dtypes = ("bfloat16", "float16", "float32", "auto")
    check(model.dtype in dtypes, "model.dtype", model.dtype, f"one of {', '.join(dtypes)}")
    check(
        model.kv_cache_dtype in (None, *KV_CACHE_DTYPES),
        "model.kv_cache_dtype",
        model.kv_cache_dtype,
        f"one of {', '.join(KV_CACHE_DTYPES)}, or null; engine.args={{kv_cache_dtype: NAME}} gives vLLM another",
    )
    check(
        model.quantization not in ("4bit", "nf4", "bnb"),
        "model.quantization",
        model.quantization,
        "bitsandbytes for 4-bit weights at load (vLLM's name for it)",
    )
    source = model.path or model.hub_id or model.embedded
    check(
        source,
        "model",
        model.name,
        "a model with model.path=FOLDER or model.hub_id=ORG/NAME, or one of conf/model",
    )


def _validate_sampling(where: str, sampling: SamplingConfig | SamplingOverrides) -> None:
    """Bounds are those of vLLM's SamplingParams."""
    bounds: dict[str, tuple[Callable[[float], bool], str]] = {
        "temperature": (lambda v: v >= 0, "0 (greedy) or above"),
        "top_p": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
        "top_k": (lambda v: v >= 0, "0 (off) or above"),
        "min_p": (lambda v: 0 <= v <= 1, "from 0 to 1"),
        "repetition_penalty": (lambda v: v > 0, "above 0; 1 is off"),
        "presence_penalty": (lambda v: abs(v) <= 2, "from -2 to 2; 0 is off"),  # noqa: PLR2004 - OpenAI's and vLLM's bounds
        "frequency_penalty": (lambda v: abs(v) <= 2, "from -2 to 2; 0 is off"),  # noqa: PLR2004
    }
    for name, (holds, wanted) in bounds.items():
        value = getattr(sampling, name)
        check(value is None or (math.isfinite(value) and holds(value)), f"{where}.{name}", value, wanted)
    if isinstance(sampling, SamplingConfig):
        check_least(f"{where}.", sampling, 1, "repeats", "answer_tokens")
        check_least(f"{where}.", sampling, 0, "thinking_budget")


def _check_system_prompt(where: str, text: str | None) -> None:
    """Refuses `false`, which is meant for `model.system_prompt` and would be the prompt's text."""
    wanted = "a text, or '' for none (model.system_prompt=false: the model takes none)"
    check(text is None or text.lower() not in ("true", "false"), where, text, wanted)


def _validate_benchmark(where: str, benchmark: BenchmarkConfig) -> None:
    _check_system_prompt(f"{where}.system_prompt", benchmark.system_prompt)
    check_heading(f"{where}.likelihood_heading", benchmark.likelihood_heading)
    check_least(f"{where}.", benchmark, 1, "num_samples", "max_tokens", "repeats")
    check_least(f"{where}.", benchmark, 0, "cue_tokens", "fewshot")
    check(all(benchmark.stop), f"{where}.stop", benchmark.stop, "a list of strings none of which is empty")
    _validate_sampling(f"{where}.sampling", benchmark.sampling)
