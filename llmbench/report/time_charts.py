"""Where the time went, what the requests were doing meanwhile, and the machine over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmbench.records import Result, Timing
from llmbench.report.figures import axis, colour, figure, scaled
from llmbench.results.generation import tail
from llmbench.results.summary import Phases, Summary
from llmbench.system.number_format import GIB, percent, seconds
from llmbench.telemetry.aggregate import utilization, whole
from llmbench.telemetry.records import EngineState, TelemetrySample

POINTS = 1500
"""Moments of the plot of requests at most."""
GAP = 0.05
"""Between the rows of the timeline, as a share of its height."""
LOADING = {
    "weights": "weights",
    "quantize": "quantize",
    "compile": "compile",
    "profile": "memory profiling",
    "capture": "graph capture",
    "warm_up": "warm-up",
}
PARTS = {
    "import": "import",
    "data": "data",
    "tokenizer": "tokenizer",
    **LOADING,
    "other load": "rest of loading",
    "generate": "generating",
    "tail": "tail of generating",
    "grading": "grading after the last token",
    "other": "everything else",
}
AT_CLIENT = {"decode": "from first to last token", "prefill": "until the first token"}
"""What a client can tell of a server."""
PHASES = {"decode": "writing (decode)", "prefill": "reading the prompt (prefill)", "queue": "waiting (queue)"}


def timings_of(summary: Summary, results: Sequence[Result]) -> list[Timing]:
    """The times of all completions of the last attempt; those before have another clock."""
    attempts = summary.sittings
    own = results[-attempts[-1].results or len(results) :] if len(attempts) > 1 else results
    return [c.timing for r in own for c in r.completions if c.timing is not None]


def stopped_early(summary: Summary) -> bool:
    """Whether `stop_when` ended the run, so that requests in flight were dropped."""
    entries = [found.stopping for found in summary.benchmarks.values()]
    return any(entry is not None and entry.questions < entry.of for entry in entries)


def parts(summary: Summary, results: Sequence[Result]) -> dict[str, float]:
    """Seconds of a run by what they went into, in their order; together `time_s.total`.

    `tail` is the end of generating, in which fewer than half as many requests ran as at most, and `generate` what comes before it. A run that stopped early has no tail.
    """
    times, load = summary.time_s, summary.time_s.load
    found = {"import": times.import_, "data": times.data, "tokenizer": times.tokenizer}
    if load:
        found |= {name: times.load_parts.get(name) for name in LOADING}
        found["other load"] = max(0.0, load - sum(found[name] or 0.0 for name in LOADING))
    timings = timings_of(summary, results)
    stopped = stopped_early(summary)  # the last answers are not the last requests: others were dropped
    late = tail(timings)[0] if times.generate and timings and not stopped else 0.0
    found |= {"generate": max(0.0, (times.generate or 0.0) - late), "tail": late}
    found["grading"] = times.grade_tail
    known = {name: value for name, value in found.items() if value}
    rest = (times.total or 0.0) - sum(known.values())
    return known | ({"other": rest} if rest > 0 else {})


def where_time_went(summary: Summary, results: Sequence[Result]) -> dict[str, Any] | None:
    """One bar from the start of the process to the summary."""
    found = parts(summary, results)
    if not found:
        return None
    total = sum(found.values())
    order = list(PARTS)
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": f"{PARTS[name]} {seconds(taken)}",
            "x": [taken],
            "y": [""],
            "marker": {"color": colour(order.index(name))},
            "hovertemplate": f"{PARTS[name]}: {seconds(taken)}, {percent(taken / total)}<extra></extra>",
        }
        for name, taken in found.items()
    ]
    layout = {"barmode": "stack", "xaxis": axis("seconds"), "yaxis": {"visible": False}}
    note = (
        "The tail is the end of generating, in which fewer than half as many requests ran as at most. Below is what the requests "
        "were doing meanwhile."
    )
    return figure("time", "Where the time went", traces, note=note, height=170, layout=layout, wide=True)


def _running(timings: Sequence[Timing]) -> tuple[list[float], dict[str, list[int]]]:
    """Moments in seconds since the first request was queued, and how many requests were in each phase from each of them on."""
    stamps = np.sort([(t.queued, t.queued + t.queue, t.queued + t.ttft, t.finished) for t in timings], axis=0)
    moments = np.unique(stamps)
    shown = np.unique(np.append(moments[:: max(1, -(-len(moments) // POINTS))], moments[-1]))
    begun = [np.searchsorted(column, shown, side="right") for column in stamps.T]
    phases = zip(("queue", "prefill", "decode"), begun, begun[1:], strict=False)
    return np.round(shown - moments[0], 4).tolist(), {
        name: (begins - ends).tolist() for name, begins, ends in phases
    }


def requests_over_time(summary: Summary, results: Sequence[Result]) -> dict[str, Any] | None:
    """Requests in each phase over the seconds of generating, one upon the other, with each phase's share of their time."""
    timings = timings_of(summary, results)
    spent = Phases.of(timings)
    if spent is None:
        return None
    total = (spent.queue + spent.prefill + spent.decode) or 1.0
    moments, running = _running(timings)
    client = summary.engine is not None and summary.engine.server is not None
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "requests",
            "line": {"shape": "hv", "width": 0.5, "color": colour(place)},
            "name": f"{title} {percent(getattr(spent, name) / total)}",
            "x": moments,
            "y": running[name],
        }
        for place, (name, title) in enumerate((AT_CLIENT if client else PHASES).items())
    ]
    note = (
        f"Shares are of the {seconds(total)} that all requests together spent in the engine. Requests that llmbench held back "
        "until a place of the batch was free are not among them."
    )
    if client:
        note = (
            f"Shares are of the {seconds(total)} of all requests together, from sending each to the last piece of its answer, as this "
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
    return figure("phases", "What the requests were doing", traces, note=note, layout=layout, wide=True)


MOST_GPUS = 16
"""More than so many have one line together."""
OF_THIS_MACHINE = ("GPU memory", "memory of the process", "GPU", "CPU cores", "power")
"""Lines that say nothing of a server's machine."""


def _values(sample: TelemetrySample, gpus: int) -> dict[str, dict[str, float | None]]:
    """The values of the lines of each row at one moment; several GPUs have a line each for their use."""
    own, state = sample.gpus, sample.engine or EngineState()
    use = {"GPU": utilization(own)}
    if 1 < gpus <= MOST_GPUS:
        use = {f"GPU {n + 1}": own[n].utilization if n < len(own) else None for n in range(gpus)}
    return {
        "memory, GiB": {
            "GPU memory": scaled(whole(gpu.memory_bytes for gpu in own), GIB),
            "memory of the process": scaled(sample.rss_bytes, GIB),
        },
        "share in use": use | {"KV cache": state.kv_cache_use},
        "CPU cores in use": {"CPU cores": None if own else sample.cpu_share},
        "power, W": {"power": whole(gpu.power_w for gpu in own)},
        "requests": {"running": state.running, "waiting": state.waiting},
        "held back": {"queued by llmbench": state.queued},
    }


def timeline(samples: Sequence[TelemetrySample], *, client: bool = False) -> dict[str, Any] | None:
    """Memory, use, power and requests over the run's seconds, one below the other; only what was measured, and for the `client` of a server only the server's own figures."""
    if len(samples) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    gpus, rows = max(len(sample.gpus) for sample in samples), []
    read = [_values(sample, gpus) for sample in samples]
    for title, names in read[0].items():
        own = [name for name in names if not (client and name in OF_THIS_MACHINE)]
        lines = [(name, [values[title][name] for values in read]) for name in own]
        present = [(name, line) for name, line in lines if any(value is not None for value in line)]
        if present:
            rows.append((title, present))
    if not rows:
        return None
    times = [round(sample.t, 2) for sample in samples]
    free = {"anchor": "free", "position": 0} if len(rows) > 1 else {}
    layout: dict[str, Any] = {"xaxis": axis("seconds since the run began", **free), "hovermode": "x unified"}
    traces: list[dict[str, Any]] = []
    height = (1 - GAP * (len(rows) - 1)) / len(rows)
    for number, (title, drawn) in enumerate(rows):
        suffix = "" if number == 0 else str(number + 1)
        top = 1 - number * (height + GAP)
        layout[f"yaxis{suffix}"] = axis(title, domain=[max(0.0, top - height), top], rangemode="tozero")
        for name, values in drawn:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "x": times,
                    "y": values,
                    "yaxis": f"y{suffix}",
                    "line": {"color": colour(len(traces)), "width": 1.5},
                }
            )
    note = (
        "Running and waiting requests are the engine's scheduler's; the batch size keeps the queued ones from it. "
        "Requests that wait while the KV cache is full wait for its memory."
    )
    states = [sample.engine for sample in samples if sample.engine is not None]
    if any(state.running is not None and state.waiting is None for state in states):
        note += " It is not known which of the running ones waited in the scheduler."
    if client:
        note = (
            "Running and waiting requests and the KV cache are of all the server's clients, as its metrics say; without metrics, running "
            "is what this client had in flight."
        )
    title = "The server over time" if client else "The machine over time"
    return figure("timeline", title, traces, note=note, height=160 * len(rows) + 80, layout=layout, wide=True)
