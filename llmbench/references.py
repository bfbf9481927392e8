"""Published scores beside ours, each with what differs in protocol. None is called comparable while anything does."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmbench.config import Config, Reference
from llmbench.prompts import sampling
from llmbench.summary import Summary


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published score of the model that was run.

    Attributes:
        ours: Our accuracy, None where there is none.
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


def comparisons(config: Config, found: Summary) -> Iterator[Comparison]:
    """The published scores of this model on the benchmarks of this run."""
    for name, benchmark in config.benchmarks.items():
        for reference in benchmark.reference:
            if reference.model != config.model.hub_id:
                continue
            ours = found.benchmarks[name].accuracy if name in found.benchmarks else None
            differences, unknown = _differences(config, found, name, reference)
            yield Comparison(name, reference, ours, tuple(differences), tuple(unknown))


def _differences(
    config: Config, found: Summary, name: str, reference: Reference
) -> tuple[list[str], list[str]]:
    benchmark, drawn = config.benchmarks[name], sampling(config, name, "", 0)
    settings = {
        "max_tokens": benchmark.max_tokens,
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "repeats": benchmark.repeats,
        "fewshot": benchmark.fewshot,
        "chat": benchmark.chat,
    }
    differences, unknown = [], []
    for setting, here in settings.items():
        there = getattr(reference, setting)
        if there is None:
            unknown.append(setting)
        elif there != here:
            differences.append(f"{setting} {here} here, {there} there")
    if config.model.quantization is not None:
        differences.append(f"{config.model.quantization} weights here")
    if config.model.path is not None:
        differences.append("a local checkpoint here")
    differences += [
        reason
        for reason in found.not_comparable
        if not _about_another(reason, name, config)
        and not reason.startswith(("sampling.temperature", "sampling.top_p"))
    ]
    return differences, unknown


def _about_another(reason: str, name: str, config: Config) -> bool:
    """Whether a reason is another benchmark's."""
    others = [other for other in config.benchmarks if other != name]
    return any(f"benchmarks.{other}." in reason or f" of {other}'s " in reason for other in others)


def sentence(comparison: Comparison) -> str:
    """The comparison as a line under the table."""
    reference = comparison.reference
    ours = "no score" if comparison.ours is None else f"{100 * comparison.ours:.1f} %"
    text = (
        f"{comparison.benchmark}: published {100 * reference.value:.1f} % ({reference.metric}; {reference.protocol}; "
        f"{reference.source}), ours {ours}"
    )
    if comparison.comparable:
        return f"{text}; the settings agree."
    reasons = [*comparison.differences]
    if comparison.unknown:
        reasons.append(f"not stated there: {', '.join(comparison.unknown)}")
    return f"{text}; not comparable: {'; '.join(reasons)}."
