"""Judging a run's answers again with another judge: which judge, from settings typed beside `llmbench.regrade RUN`, and its verdicts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import yaml

from llmbench.benchmarks.base import Benchmark
from llmbench.config.groups import SAME, JudgeSettings
from llmbench.config.judge import validate_judge
from llmbench.config.schema import Config
from llmbench.engine.messages import NoTokenizer
from llmbench.errors import ConfigError
from llmbench.records import Result, Sample
from llmbench.run import judging
from llmbench.run.judging import Judging
from llmbench.system import decoding
from llmbench.system.text import suggest

PREFIX = "judge."
IDLE_S = 0.005


def settings_of(config: Config, typed: Sequence[str], benchmarks: Mapping[str, Benchmark]) -> Config:
    """Returns the run's settings with another judge, `typed` as `judge.NAME=VALUE` and `cache=on`; its name its server says.

    Raises:
        ConfigError: A setting is refused, none says where the judge is, or the run has nothing that is judged.
        EngineError: The judge's server does not answer.
    """
    given, known = dict[str, Any](), [f"{PREFIX}{field.name}" for field in fields(JudgeSettings)]
    for setting in typed:
        name, equals, value = setting.partition("=")
        if name == "cache":
            config = replace(config, cache=_value(setting, value) is True)
        elif not equals or name not in known:
            raise ConfigError(
                f"{setting} is refused: beside the run stand settings of another judge{suggest(name, known)}"
            )
        else:
            given[name.removeprefix(PREFIX)] = _value(setting, value)
    if "base_url" in given:
        given.setdefault("model", None)
    try:
        decoding.check_numbers(given)
        judge = decoding.build(asdict(config.judge) | given, JudgeSettings)
    except TypeError as error:
        raise ConfigError(f"{PREFIX}{error}; give it another value.") from error
    if not judge.is_served or (judge.model == SAME and "base_url" not in given):
        raise ConfigError(
            "llmbench.regrade loads no model that could judge; type judge.base_url=URL, the address of a judge's server."
        )
    validate_judge(judge)
    if not judging.judged(benchmarks):
        raise ConfigError("This run has no answers that a judge grades; leave the settings of a judge out.")
    return judging.complete(replace(config, judge=judge), benchmarks)


def _value(setting: str, text: str) -> Any:  # noqa: ANN401 - a setting of any type
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{setting} cannot be read; quote its value.") from error


def judge_again(
    config: Config, benchmarks: Mapping[str, Benchmark], answers: Mapping[int, Result], notes: list[str]
) -> dict[int, Result]:
    """Returns the answers, by their places in the journal, with the verdicts of the judge of these settings; `notes` gets what is doubtful of its server.

    Raises:
        ConfigError, EngineError: The judge cannot be asked.
        StoppedError: Its server is gone.
    """
    done: dict[int, Result] = {}
    places = {result.key: place for place, result in answers.items()}
    with judging.judge_engine(config, benchmarks, lambda _: None) as engine:
        asked = Judging(config, benchmarks, NoTokenizer(), engine)
        for result in answers.values():
            asked.ask(result, Sample(result.sample_id, result.fields, result.target))
        while len(done) < len(answers):
            for completion in asked.step():
                result = asked.judged(completion)
                done[places[result.key]] = result
            time.sleep(IDLE_S)
        notes += judging.remarks(engine)
    return done
