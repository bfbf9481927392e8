"""Checks of the settings `judge.*`, and what they come to as those of an engine that asks a server."""

import math
import re

from llmbench.config.bounds import check, check_least
from llmbench.config.endpoint import validate_endpoint
from llmbench.config.engine import EngineConfig
from llmbench.config.groups import SAME, JudgeSettings
from llmbench.errors import ConfigError


def validate_judge(judge: JudgeSettings) -> None:
    """Refuses settings that no judge could be asked with.

    Raises:
        ConfigError: Names the setting, the value and what it may be.
    """
    if not judge.is_served and judge.model not in (None, SAME):
        raise ConfigError(
            f"judge.model={judge.model} is refused without judge.base_url: type the address of the server that has it "
            f"(`python -m llmbench.serve model=NAME` starts one), or judge.model={SAME} for the evaluated model itself."
        )
    if judge.is_served and judge.model == SAME:
        raise ConfigError(
            f"judge.model={SAME} is refused with judge.base_url={judge.base_url}: the evaluated model needs no server of a judge; leave one out."
        )
    check_least("judge.", judge, 1, "max_tokens", "concurrency")
    drawn = judge.temperature
    check(math.isfinite(drawn) and drawn >= 0, "judge.temperature", drawn, "0 (greedy) or above")
    try:
        validate_endpoint(engine_of(judge))
    except ConfigError as error:
        raise ConfigError(of_judge(str(error))) from error


def engine_of(judge: JudgeSettings) -> EngineConfig:
    """Returns the settings of `engine=endpoint` that ask the judge's server."""
    return EngineConfig(
        name="endpoint",
        base_url=judge.base_url,
        api_key_env=judge.api_key_env,
        served_model=judge.model,
        extra_body=judge.extra_body,
        retry_s=judge.retry_s,
        price=judge.price,
    )


def of_judge(message: str) -> str:
    """Returns a sentence about an endpoint's settings with the names that the judge's have.

    >>> of_judge("engine.served_model=a is refused, see engine.base_url")
    'judge.model=a is refused, see judge.base_url'
    """
    return re.sub(r"\bengine\.(?=\w)", "judge.", message.replace("engine.served_model", "judge.model"))
