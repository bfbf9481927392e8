"""Published scores beside ours, each with what differs in protocol. None is called comparable while anything does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmbench.config.choices import Scoring
from llmbench.config.schema import Config, Reference, drawing
from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.run import prompts
from llmbench.system.number_format import percent

MAJORITY = re.compile(r"(maj|cons)@\d+")
"""A metric that scores the answer which most of a question's answers agree on."""
ACC_NORM = "acc_norm"
"""The accuracy of the choice with the largest log-likelihood for each character."""


@dataclass(frozen=True, slots=True)
class PublishedComparison:
    """One published score of the model that was run.

    Attributes:
        ours: Our score of the same metric, None where there is none.
        differences: What is known to differ, in words; empty where nothing known does.
        unknown: Settings that the source does not state.
    """

    benchmark: str
    reference: Reference
    ours: float | None
    differences: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether every stated setting is ours and none is left unstated."""
        return not self.differences and not self.unknown


def comparisons(config: Config, summary: Summary) -> Iterator[PublishedComparison]:
    """The published scores of this model, in the mode it ran in, on the benchmarks of this run."""
    mode = config.model.chat_template_kwargs
    for name, benchmark in config.benchmarks.items():
        for reference in benchmark.reference:
            if reference.model != config.model.hub_id or not reference.mode.items() <= mode.items():
                continue
            differences, unknown = _differences(config, summary, name, reference)
            ours = _ours(summary.benchmarks.get(name), reference)
            yield PublishedComparison(name, reference, ours, tuple(differences), tuple(unknown))


def _ours(summary: BenchmarkSummary | None, reference: Reference) -> float | None:
    if summary is None:
        return None
    if reference.metric == ACC_NORM:
        return summary.likelihood.acc_norm if summary.likelihood else None
    if MAJORITY.match(reference.metric) is None:
        return summary.accuracy
    return summary.repeated.maj.value if summary.repeated and summary.repeated.maj else None


def _settings(config: Config, name: str, reference: Reference) -> Iterator[tuple[str, object, object]]:
    """What is compared: the setting's name, what it is here and what the source states."""
    benchmark, model = config.benchmarks[name], config.model
    if benchmark.subset is not None:
        yield "subset", benchmark.subset, reference.subset
    if "start_date" in benchmark.options:
        here = _window(benchmark.options["start_date"], benchmark.options["end_date"])
        stated = reference.start_date or reference.end_date
        yield "dates", here, _window(reference.start_date, reference.end_date) if stated else None
    yield "weights", model.quantization or model.dtype, reference.weights
    scoring = benchmark.scoring or Scoring.generate
    yield "scoring", scoring.value, reference.scoring and reference.scoring.value
    if not benchmark.asks_likelihoods:
        yield "max_tokens", benchmark.max_tokens, reference.max_tokens
        drawn = drawing(config, name)
        for setting in ("temperature", "top_p", "top_k", "presence_penalty"):
            yield setting, drawn[setting], getattr(reference, setting)
    yield "system_prompt", prompts.system_prompt(config, name) is not None, reference.system_prompt
    yield "repeats", benchmark.repeats, reference.answers
    yield "fewshot", benchmark.fewshot or 0, reference.fewshot
    yield "chat", benchmark.chat, reference.chat


def _window(start: object, end: object) -> str:
    return f"{start or 'the first'} to {end or 'the last'}"


def _differences(
    config: Config, summary: Summary, name: str, reference: Reference
) -> tuple[list[str], list[str]]:
    differences, unknown, stated = [], [], set()
    for setting, here, there in _settings(config, name, reference):
        if there is None:
            unknown.append(setting)
            continue
        # of a system prompt sources state whether there was one, not its text
        if setting != "system_prompt" or there != here:
            stated.add(setting)
        if there != here:
            differences.append(f"{setting} {_shown(here)} here, {_shown(there)} there")
    differences += reference.otherwise
    if config.model.path is not None:
        differences.append("a local checkpoint here")
    differences += [
        reason
        for reason in summary.not_comparable
        if not _about_another(reason, name, config) and _about(reason) not in stated
    ]
    return differences, unknown


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _about(reason: str) -> str:
    """The setting that a reason is about, by the name that it is compared under; one that is compared need not be said twice."""
    setting = reason.partition("=")[0].rpartition(".")[2]
    return "weights" if setting in ("quantization", "dtype") and reason.startswith("model.") else setting


def _about_another(reason: str, name: str, config: Config) -> bool:
    """Whether a reason is another benchmark's."""
    others = [other for other in config.benchmarks if other != name]
    return any(f"benchmarks.{other}." in reason or f" of {other}'s " in reason for other in others)


def sentence(comparison: PublishedComparison) -> str:
    """The comparison as a line under the table."""
    reference = comparison.reference
    ours = "no score" if comparison.ours is None else percent(comparison.ours)
    text = (
        f"{comparison.benchmark}: published {percent(reference.value)} ({reference.metric}; {reference.protocol}; "
        f"{reference.source}), ours {ours}"
    )
    if comparison.comparable:
        return f"{text}; the settings agree."
    unstated = f"not stated there: {', '.join(comparison.unknown)}"
    if not comparison.differences:
        return f"{text}; what the source states agrees; {unstated}."
    reasons = [*comparison.differences, *([unstated] if comparison.unknown else [])]
    return f"{text}; not comparable: {'; '.join(reasons)}."
