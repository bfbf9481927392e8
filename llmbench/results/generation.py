"""How generating went: its full part and its tail, its decode steps, and the least time that the GPU's memory needs for them.

A decode step gives each running request one token. It reads the weights once and the keys and values of each running request, so it cannot
take less than those bytes over the memory's bandwidth (the roofline model, Williams 2009). All of it is worked out of the completions' times
and token counts.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmbench.records import Completion, Timing
from llmbench.telemetry.engine_report import EngineReport

TENTH = 10
"""The last of so many parts of the requests is timed; fewer requests than these have none."""


@dataclass(frozen=True, slots=True)
class StepLimit:
    """What the memory's bandwidth allows.

    Attributes:
        step: Seconds that a step takes at least, on average.
        share: Of the seconds of generating, those that all steps take at least: 1 is as fast as the memory.
        bandwidth_gb_s: The memory's, in GB (10⁹ bytes) a second, by the GPU's data sheet.
        weights_bytes: Of the weights that each step reads.
        kv_bytes_per_token: Of the keys and values of a token.
    """

    step: float
    share: float
    bandwidth_gb_s: float
    weights_bytes: int
    kv_bytes_per_token: int


@dataclass(frozen=True, slots=True)
class Generation:
    """How generating went, in seconds of the engine's clock.

    Attributes:
        full: From the first request until fewer than half as many ran as at most.
        tail: From there to the last token.
        last_tenth: From where nine tenths of the requests had ended to the last token; None with fewer than ten.
        most_running: Requests that ran at once, at most.
        steps: Decode steps, by the tokens of requests that ran one after the other; None of a server and of several replicas.
        step: Seconds of one, on average over the time in which some request decoded.
        limit: None where the GPU's bandwidth, or what a step reads, is not known, and of several GPUs.
    """

    full: float
    tail: float
    last_tenth: float | None
    most_running: int
    steps: int | None = None
    step: float | None = None
    limit: StepLimit | None = None


def generation(
    completions: Sequence[Completion],
    report: EngineReport,
    generate_s: float | None,
    bandwidth_gb_s: float | None,
) -> Generation | None:
    """Returns how the completions of one process were generated; None where nothing was timed.

    Args:
        completions: All of them; those without times, as from the cache, are left out.
        report: What the engine says of itself.
        generate_s: Seconds of generating.
        bandwidth_gb_s: Of the memory of the GPU that it ran on, in GB a second; None where that is not known.
    """
    timed = [(c, c.timing) for c in completions if c.timing is not None]
    if not timed:
        return None
    timings = [timing for _, timing in timed]
    late, most = tail(timings)
    ends = sorted(timing.finished for timing in timings)
    span = ends[-1] - min(timing.queued for timing in timings)
    last = ends[-1] - ends[-1 - len(ends) // TENTH] if len(ends) >= TENTH else None
    if report.replicas or report.server is not None:
        return Generation(span - late, late, last, most)
    drafted = _drafted_share(completions, report)
    spans = [(t.queued + t.ttft, t.finished, (c.output_tokens - 1) * (1 - drafted)) for c, t in timed]
    steps, decode_s = decode_steps([span for span in spans if span[2] > 0])
    if not steps:
        return Generation(span - late, late, last, most)
    limit = None
    weights, per_token = report.step_weights_bytes, report.kv_bytes_per_token
    if generate_s and bandwidth_gb_s and weights is not None and per_token is not None:
        context = sum(map(context_read, (c for c, _ in timed))) * (1 - drafted)
        least_s = (steps * weights + context * per_token) / (bandwidth_gb_s * 1e9)
        limit = StepLimit(least_s / steps, least_s / generate_s, bandwidth_gb_s, weights, per_token)
    return Generation(span - late, late, last, most, round(steps), decode_s / steps, limit)


def tail(timings: Sequence[Timing]) -> tuple[float, int]:
    """Returns the seconds at the end in which fewer than half as many requests ran as at most, and how many that were."""
    events = sorted([(t.queued + t.queue, 1) for t in timings] + [(t.finished, -1) for t in timings])
    running, levels = 0, []
    for at, change in events:
        running += change
        levels.append((at, running))
    most = max(level for _, level in levels)
    thin = last = levels[-1][0]
    for at, level in reversed(levels):
        if level >= most / 2:
            break
        thin = at
    return last - thin, most


def decode_steps(spans: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Returns about how many steps an engine made, and the seconds in which some request decoded.

    A request takes as many steps as it has tokens after the first. Requests are counted in the order of their last tokens. One that began while an
    earlier one ran starts at the step that the earlier one had reached; if it began after all earlier ones had ended, its own pace fills the gap.
    Where all begin together this is exact.

    Args:
        spans: Of each request the times of its first and its last token, and the steps between them.
    """
    if not spans:
        return 0.0, 0.0
    edges, busy = _busy(spans)
    ordered = sorted(spans, key=lambda span: span[1])
    at, made = [0.0], [0.0]
    for begins, ends, steps in ordered:
        first, last = _between(begins, edges, busy), _between(ends, edges, busy)
        ahead = max(0.0, first - at[-1]) * steps / (last - first) if last > first else 0.0
        made.append(_between(first, at, made) + ahead + steps)
        at.append(last)
    return made[-1], busy[-1]


def _between(at: float, times: Sequence[float], values: Sequence[float]) -> float:
    """The value at a time, between the two that are known beside it; outside of all the nearest."""
    place = bisect_right(times, at)
    if place in (0, len(times)):
        return values[min(place, len(times) - 1)]
    share = (at - times[place - 1]) / (times[place] - times[place - 1])
    return values[place - 1] + share * (values[place] - values[place - 1])


def _busy(spans: Sequence[tuple[float, float, float]]) -> tuple[list[float], list[float]]:
    """Times at which some request begins or ceases to decode, and the seconds until each in which one did."""
    merged: list[list[float]] = []
    for first, last, _ in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    edges = [edge for pair in merged for edge in pair]
    busy = [0.0]
    for place, (before, after) in enumerate(pairwise(edges)):
        busy.append(busy[-1] + (after - before if place % 2 == 0 else 0.0))
    return edges, busy


def context_read(completion: Completion) -> float:
    """Returns the tokens whose keys and values the steps of a completion read, added up.

    The step that gives token n + 1 reads those of the prompt and of n tokens.
    """
    steps = max(0, completion.output_tokens - 1)
    return steps * completion.prompt_tokens + steps * (steps + 1) / 2


def _drafted_share(completions: Sequence[Completion], report: EngineReport) -> float:
    """The part of the tokens that cost no step of their own, since speculative decoding had drafted them; 0 without it."""
    decoded = sum(max(0, c.output_tokens - 1) for c in completions if c.timing is not None)
    if report.speculation is None or not decoded:
        return 0.0
    return min(report.speculation.accepted_tokens, decoded - 1) / decoded
