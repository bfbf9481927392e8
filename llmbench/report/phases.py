"""What the requests were doing while they were generated: waiting in the engine's scheduler, reading their prompts, writing answers."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from llmbench.records import Result, Timing
from llmbench.report.figures import axis, colour, figure
from llmbench.results.summary import Phases, Summary
from llmbench.system.number_format import percent, seconds

POINTS = 1500
"""Moments of the picture at most."""
AT_CLIENT = {"decode": "from first to last token", "prefill": "until the first token"}
"""What a client can tell of a server."""
NAMES = {"decode": "writing (decode)", "prefill": "reading the prompt (prefill)", "queue": "waiting (queue)"}


def timings_of(summary: Summary, results: Sequence[Result]) -> list[Timing]:
    """The times of all completions of the last attempt; those before have another clock."""
    attempts = summary.sittings
    own = results[-attempts[-1].results or len(results) :] if len(attempts) > 1 else results
    return [c.timing for r in own for c in r.completions if c.timing is not None]


def counts(timings: Sequence[Timing]) -> dict[str, list[float]]:
    """How many requests were in each phase from each moment `t` on, in seconds since the first was queued."""
    stamps = [
        sorted(stamp)
        for stamp in zip(
            *((t.queued, t.queued + t.queue, t.queued + t.ttft, t.finished) for t in timings), strict=True
        )
    ]
    moments = sorted({stamp for of_one in stamps for stamp in of_one})
    shown = moments[:: max(1, -(-len(moments) // POINTS))]
    if shown[-1] != moments[-1]:
        shown.append(moments[-1])
    found: dict[str, list[float]] = {"t": [round(at - moments[0], 4) for at in shown]}
    for name, begins, ends in zip(("queue", "prefill", "decode"), stamps, stamps[1:], strict=False):
        found[name] = [bisect_right(begins, at) - bisect_right(ends, at) for at in shown]
    return found


def stopped_early(summary: Summary) -> bool:
    """Whether `stop_when` ended the run, so that requests in flight were dropped."""
    entries = [found.stopping for found in summary.benchmarks.values()]
    return any(entry is not None and entry.questions < entry.of for entry in entries)


def over_time(summary: Summary, results: Sequence[Result]) -> dict[str, Any] | None:
    """Requests in each phase over the seconds of generating, one upon the other, with each phase's share of their time."""
    timings = timings_of(summary, results)
    spent = Phases.of(timings)
    if spent is None:
        return None
    whole = (spent.queue + spent.prefill + spent.decode) or 1.0
    found = counts(timings)
    client = summary.engine is not None and summary.engine.server is not None
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "requests",
            "line": {"shape": "hv", "width": 0.5, "color": colour(place)},
            "name": f"{title} {percent(getattr(spent, name) / whole)}",
            "x": found["t"],
            "y": found[name],
        }
        for place, (name, title) in enumerate((AT_CLIENT if client else NAMES).items())
    ]
    note = (
        f"Shares are of the {seconds(whole)} that all requests together spent in the engine. Requests that llmbench held back "
        "until a place of the batch was free are not among them."
    )
    if client:
        note = (
            f"Shares are of the {seconds(whole)} of all requests together, from sending each to the last piece of its answer, as this "
            "client saw it. Network and the server's own queue stand before the first token; waiting for a place among those in "
            "flight, failed tries and pauses are not among them."
        )
    if stopped_early(summary):
        note += " The run stopped early: requests that it dropped have no times, so they are missing from the end of the plot."
    layout = {
        "xaxis": axis("seconds since the first request"),
        "yaxis": axis("requests", rangemode="tozero"),
        "hovermode": "x unified",
    }
    return figure("phases", "What the requests were doing", traces, note=note, height=280, layout=layout)
