"""A run's work in parts for replicas, and what they did as a whole."""

from collections.abc import Sequence
from dataclasses import replace

from llmbench.engine.workload import Took, Workload
from llmbench.telemetry.engine_report import EngineReport, Speculation
from llmbench.telemetry.records import EngineState

DRAFTS = ("drafts", "draft_tokens", "accepted_tokens")


def share(workload: Workload, replicas: int) -> Workload:
    """Returns the work that one of so many replicas gets."""

    def part(amount: int) -> int:
        return -(-amount // replicas)

    return replace(
        workload,
        requests=part(workload.requests),
        output_tokens=part(workload.output_tokens),
        at_once=part(workload.at_once),
        counts=tuple((name, part(amount)) for name, amount in workload.counts),
        jobs=tuple(share(job, replicas) for job in workload.jobs),
    )


def share_of(took: Took, replicas: int, load_s: float) -> Took:
    """Returns what one of so many replicas took, each of which loaded the model in so many seconds."""
    return replace(
        took,
        outputs=sorted(took.outputs, reverse=True)[::replicas],
        prompt_tokens=took.prompt_tokens // replicas,
        load_s=load_s,
        energy_j=None if took.energy_j is None else took.energy_j / replicas,
    )


def of_states(states: Sequence[EngineState]) -> EngineState:
    """Adds up what replicas are doing; the KV cache's use is the mean."""
    uses = [state.kv_cache_use for state in states if state.kv_cache_use is not None]
    names = ("running", "waiting", "preemptions", "prefix_cache_hits", "generated_tokens", "queued")
    sums = {name: _sum([getattr(state, name) for state in states]) for name in names}
    return EngineState(**sums, kv_cache_use=sum(uses) / len(uses) if uses else None)


def of_reports(reports: Sequence[EngineReport]) -> EngineReport:
    """Returns the first report with the sums of all."""
    rates = [each.prefix_cache_hit_rate for each in reports if each.prefix_cache_hit_rate is not None]
    preemptions = _sum([each.preemptions for each in reports])
    drafted = [each.speculation for each in reports if each.speculation is not None]
    drafts = (_sum([getattr(each, name) for each in drafted]) or 0 for name in DRAFTS)
    steps = (_sum([getattr(each, name) for each in drafted]) for name in ("steps", "drafted_steps"))
    return replace(
        reports[0],
        speculation=Speculation.of(*drafts, *steps) if drafted else None,
        preemptions=None if preemptions is None else int(preemptions),
        prefix_cache_hit_rate=sum(rates) / len(rates) if rates else None,
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
