"""The score of a benchmark in the report of one run: accuracy, interval and bounds, and the figures beside them."""

from collections.abc import Sequence
from typing import Any

from llmbench.report import benchmark_details
from llmbench.report.escaping import visible
from llmbench.results.summary import BenchmarkSummary
from llmbench.system.number_format import interval, number, percent, seconds

RATES = (("no answer", "no_answer"), ("cut off", "truncated"), ("elicited", "elicited"), ("errors", "error"))
OF_WRITING = ("cut off", "elicited", "output tokens/s")
"""Facts that say nothing where only the log-likelihoods of choices were asked for."""


def score_card(
    name: str, benchmark: BenchmarkSummary, notes: Sequence[str], *, client: bool
) -> dict[str, Any]:
    """Returns what the template shows of a benchmark, with `notes` beside its score; `client`: the times are those at the client of a server."""
    latency = "latency at the client" if client else "latency"
    whole = benchmark.n == benchmark.expected
    repeats = benchmark.repeated.named() if benchmark.repeated is not None else {}
    judge = benchmark.judge.facts() if benchmark.judge is not None else []
    facts = [
        ("results", number(benchmark.n) if whole else f"{benchmark.n} of {benchmark.expected}"),
        *(benchmark.likelihood.rows() if benchmark.likelihood else []),
        ("bounds", interval(benchmark.bounds)),
        *((title, percent(getattr(benchmark.rates, name, None))) for title, name in RATES),
        *(benchmark.thinking.facts() if benchmark.thinking else []),
        *((title, visible(value)) for title, value in judge),
        (f"{latency}, mean", seconds(benchmark.latency_s.mean)),
        (f"{latency}, p95", seconds(benchmark.latency_s.p95)),
        ("output tokens/s", number(benchmark.throughput.output_tokens_per_s)),
        ("time", seconds(benchmark.time_s)),
        *benchmark_details.facts(benchmark.details),
    ]
    if benchmark.likelihood is not None:
        facts = [fact for fact in facts if fact[0] not in OF_WRITING]
    return {
        "name": visible(name),
        "accuracy": percent(benchmark.accuracy),
        "interval": f"95% interval {interval(benchmark.ci95)}" if benchmark.ci95 else "",
        "bounds": f"bounds {interval(benchmark.bounds)}",
        "notes": [visible(note) for note in notes],
        "scale": _scale(benchmark),
        "facts": facts,
        "repeats": ", ".join(f"{name} {percent(e.value)}" for name, e in repeats.items()),
    }


def _scale(benchmark: BenchmarkSummary) -> dict[str, Any] | None:
    """Accuracy, interval and bounds as places on a scale of 100; intervals as beginning and width."""
    bounds, ends = benchmark.bounds, benchmark.ci95
    if bounds is None or ends is None or benchmark.accuracy is None:
        return None
    return {
        "bounds": (round(100 * bounds[0], 2), round(100 * (bounds[1] - bounds[0]), 2)),
        "ci": (round(100 * ends[0], 2), round(100 * (ends[1] - ends[0]), 2)),
        "point": round(100 * benchmark.accuracy, 2),
    }
