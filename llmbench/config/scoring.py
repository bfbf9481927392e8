"""What `scoring=loglikelihood` makes of a benchmark's other settings."""

import re

from omegaconf import DictConfig, OmegaConf

from llmbench.config.choices import Scoring
from llmbench.config.schema import BenchmarkConfig, Config, SamplingOverrides
from llmbench.errors import ConfigError

ENGINES = ("vllm", "fake")
"""Engines that give log-likelihoods of prompts."""
SUBJECT = "subject"
"""What `likelihood_heading` may name in braces."""


def apply_scoring(config: Config, cfg: DictConfig) -> None:
    """Settles how each benchmark is scored; where nothing is written, the settings of answers are those of one token that nobody reads.

    Raises:
        ConfigError: The engine cannot do it, or several answers to each question are asked for.
    """
    for name, benchmark in config.benchmarks.items():
        benchmark.scoring = benchmark.scoring or config.scoring
        untyped = all(OmegaConf.is_interpolation(each, "chat") for each in (cfg.benchmarks[name], cfg))
        if not benchmark.asks_likelihoods:
            benchmark.chat |= untyped  # whatever the run's other benchmarks do
            continue
        _check(config, name, benchmark)
        benchmark.max_tokens, benchmark.stop, benchmark.cue_tokens = 1, [], 0
        benchmark.instruction = benchmark.cue = ""
        benchmark.sampling = SamplingOverrides(0.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0)
        if untyped:
            benchmark.chat = False


def check_heading(where: str, heading: str | None) -> None:
    """Refuses a heading with a name in braces that nothing fills in; those of LaTeX's commands are let pass.

    Raises:
        ConfigError: Names it, and the one that there is.
    """
    for name in re.findall(r"(?<![\w{}])\{([^\W\d]\w*)\}(?!\})", heading or ""):
        if name != SUBJECT:
            raise ConfigError(
                f"{where}={heading} is refused: nothing fills in {{{name}}}; did you mean {{{SUBJECT}}}, the question's subject?"
            )


def _check(config: Config, name: str, benchmark: BenchmarkConfig) -> None:
    where = "" if config.scoring is Scoring.loglikelihood else f"benchmarks.{name}."
    if config.engine.name not in ENGINES:
        raise ConfigError(
            f"{where}scoring=loglikelihood is refused: engine={config.engine.name} gives no log-likelihoods of a question's choices; "
            "use engine=vllm, or scoring=generate."
        )
    if benchmark.repeats > 1:
        raise ConfigError(
            f"benchmarks.{name}.repeats={benchmark.repeats} is refused: log-likelihoods are the same each time; set "
            f"sampling.repeats=1 with {where}scoring=loglikelihood."
        )
