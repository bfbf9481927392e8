"""The report of one run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmbench.records import Result
from llmbench.report import phases, score_charts, time_charts
from llmbench.report.escaping import visible
from llmbench.report.figures import drawn
from llmbench.report.sample_data import LIMITS, pack
from llmbench.report.template import render
from llmbench.results import attempts, cache_use
from llmbench.results.cache_use import tokens_per_s
from llmbench.system.number_format import interval, joules, memory, number, percent, seconds
from llmbench.system.schema import at
from llmbench.telemetry.records import TelemetrySample

MATH = re.compile(r"\$|\\\(|\\\[|\\boxed|\\frac|[\^_]\{")
CODE = re.compile(r"```|^diff --git|^def |^class |^import ", re.MULTILINE)
WIDE = ("time", "phases", "timeline", "lengths")


@dataclass(frozen=True, slots=True)
class Material:
    """What a report is made of."""

    name: str
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    results: Sequence[Result]
    sealed: frozenset[str] = frozenset()
    trace: Sequence[TelemetrySample] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


def report(material: Material) -> str:
    """The page, as HTML."""
    summary, results = material.summary, material.results
    limits = {
        name: at(material.config, "benchmarks", name, "max_tokens")
        for name in at(summary, "benchmarks") or {}
    }
    figures = drawn(
        [
            time_charts.where_time_went(summary, results),
            phases.over_time(summary, results),
            time_charts.timeline(material.trace),
            score_charts.lengths(results, limits),
            *score_charts.distributions(results),
            *score_charts.by_group(results),
        ]
    )
    figures = [found | {"wide": found["name"] in WIDE} for found in figures]
    packed, limit = pack(results, material.sealed) if results else ("", LIMITS[0])
    shown = [result for result in results if result.benchmark not in material.sealed]
    context = {
        "title": visible(
            f"{summary.get('model')}: {', '.join(at(summary, 'benchmarks') or {}) or 'nothing was asked'}"
        ),
        "about": _about(material),
        "problems": [visible(sentence) for sentence in problems(summary)],
        "scores": [_score(name, found) for name, found in (at(summary, "benchmarks") or {}).items()],
        "cards": cards(summary),
        "sealed": _sealed(material),
        "cut": _cut(shown, limit),
        "facts": _facts(material),
    }
    return render(context, figures, packed, math=has(MATH, shown), code=has(CODE, shown))


def has(pattern: re.Pattern[str], results: Iterable[Result]) -> bool:
    """Whether some prompt, text or answer has what the pattern finds."""
    return any(
        pattern.search(text[:20_000])
        for result in results
        for text in (result.prompt, result.text, result.score.answer or "", result.target)
    )


def _about(material: Material) -> list[str]:
    summary, manifest = material.summary, material.manifest
    gpus = at(manifest, "machine", "gpus") or []
    words = [
        f"profile {summary.get('profile')}",
        str(summary.get("status")),
        str(manifest.get("started") or "")[:16].replace("T", " "),
        _engine(summary),
        str(gpus[0].get("name")) if gpus and isinstance(gpus[0], Mapping) else "no GPU",
        material.name,
    ]
    return [visible(word) for word in words if word]


def _engine(summary: Mapping[str, Any]) -> str:
    engine = at(summary, "engine") or {}
    return " ".join(
        str(word)
        for word in (
            engine.get("name"),
            engine.get("version"),
            engine.get("quantization") or engine.get("dtype"),
        )
        if word
    )


def problems(summary: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing a score."""
    found = []
    status = summary.get("status")
    if status not in ("finished", "running"):
        reason = f": {str(summary['error']).rstrip('.')}" if summary.get("error") else ""
        ended = "failed" if status == "failed" else f"was {status}"
        found.append(f"The run {ended}{reason}. These are the results it had by then.")
    elif status == "running":
        found.append("The run was still going when this was written.")
    found += [str(sentence) for sentence in summary.get("warnings") or []]
    reasons = summary.get("not_comparable") or []
    if reasons:
        found.append(f"Not comparable with published scores: {', '.join(map(str, reasons))}.")
    found += [str(s) for name in ("recovery", "restarts", "notes") for s in summary.get(name) or []]
    cached = cache_use.total(cache_use.of_summary(summary))
    if cached is not None and cached.hits:
        found.append(str(cache_use.sentence(cached)))
    sat = attempts.read(summary.get("sittings"))
    if len(sat) > 1:
        found.append(
            f"The run was done in {attempts.sentence(sat)}; times below are the last one's, and it has no single throughput."
        )
    return found + [str(sentence) for sentence in summary.get("preflight") or []]


def _score(name: str, benchmark: Mapping[str, Any]) -> dict[str, Any]:
    rates = benchmark.get("rates") or {}
    bounds, ends, accuracy = benchmark.get("bounds"), benchmark.get("ci95"), benchmark.get("accuracy")
    expected = benchmark.get("expected")
    asked = (
        number(benchmark.get("n"))
        if benchmark.get("n") == expected
        else f"{benchmark.get('n')} of {expected}"
    )
    facts = [
        ("results", asked),
        ("bounds", interval(bounds)),
        ("no answer", percent(rates.get("no_answer"))),
        ("cut off", percent(rates.get("truncated"))),
        ("elicited", percent(rates.get("elicited"))),
        ("errors", percent(rates.get("error"))),
        ("latency, mean", seconds(at(benchmark, "latency_s", "mean"))),
        ("latency, p95", seconds(at(benchmark, "latency_s", "p95"))),
        ("output tokens/s", number(at(benchmark, "throughput", "output_tokens_per_s"))),
        ("time", seconds(benchmark.get("time_s"))),
    ]
    scale = None
    if bounds and ends and accuracy is not None:
        scale = {
            "bounds": (round(100 * bounds[0], 2), round(100 * (bounds[1] - bounds[0]), 2)),
            "ci": (round(100 * ends[0], 2), round(100 * (ends[1] - ends[0]), 2)),
            "point": round(100 * accuracy, 2),
        }
    return {
        "name": visible(name),
        "accuracy": percent(accuracy),
        "interval": f"95% interval {interval(ends)}" if ends else "",
        "bounds": f"bounds {facts[1][1]}",
        "scale": scale,
        "facts": facts,
        "repeats": _repeats(benchmark.get("repeated")),
    }


def _repeats(repeated: Mapping[str, Any] | None) -> str:
    named = [
        ("avg", at(repeated, "avg")),
        ("pass", (at(repeated, "pass_at") or [None])[-1]),
        ("maj", at(repeated, "maj")),
    ]
    return ", ".join(f"{name}@{e['k']} {percent(e['value'])}" for name, e in named if isinstance(e, Mapping))


def cards(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The run in numbers."""
    times, engine = summary.get("time_s") or {}, summary.get("engine") or {}
    gpu = at(summary, "memory", "peak_gpu_bytes")
    start = f"start-up {engine['startup']}" if engine.get("startup") else ""
    made = [
        ("time to score", seconds(times.get("total")), "from the command to the summary"),
        ("loading", seconds(times.get("load")), start),
        (
            "generating",
            seconds(times.get("generate")),
            f"batch size {engine['batch_size']}" if engine.get("batch_size") else "",
        ),
        ("output tokens/s", number(tokens_per_s(summary)), "all benchmarks together"),
        (
            "peak memory",
            memory(gpu if gpu is not None else at(summary, "memory", "peak_rss_bytes")),
            "of the GPU" if gpu is not None else "of the process",
        ),
    ]
    busy, energy = at(summary, "gpu", "utilization_mean"), at(summary, "gpu", "energy_j")
    if busy is not None or energy is not None:
        made.append(
            (
                "GPU",
                percent(busy),
                f"busy while requests ran{', ' + joules(energy) if energy is not None else ''}",
            )
        )
    return [{"name": name, "value": value, "note": note} for name, value, note in made]


def _sealed(material: Material) -> str:
    names = sorted({r.benchmark for r in material.results} & material.sealed)
    if not names:
        return ""
    return (
        f"Of {', '.join(map(visible, names))} only ids, outcomes and times stand here, as its authors ask; "
        "python -m llmbench.report --show-sealed writes a page with the questions, for your eyes only."
    )


def _cut(shown: Sequence[Result], limit: int) -> str:
    longest = max((max(len(r.text), len(r.prompt)) for r in shown), default=0)
    return (
        f"Texts of more than {limit:,} characters are cut in this page; samples.jsonl has all."
        if longest > limit
        else ""
    )


def _facts(material: Material) -> list[tuple[str, str]]:
    manifest, summary = material.manifest, material.summary
    machine, engine = manifest.get("machine") or {}, summary.get("engine") or {}
    gpus = ", ".join(str(at(gpu, "name")) for gpu in machine.get("gpus") or []) or "none"
    versions = {name: value for name, value in (manifest.get("versions") or {}).items() if value}
    sampling = manifest.get("sampling") or {}
    found = [
        ("typed", " ".join(map(str, manifest.get("overrides") or [])) or "nothing: the defaults"),
        ("checkpoint", str(at(manifest, "checkpoint", "name") or "-")),
        ("GPU", gpus),
        (
            "machine",
            f"{machine.get('platform')}, {machine.get('cpu_count')} cores, {memory(machine.get('memory_bytes'))}",
        ),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        ("git commit", str(manifest.get("git_commit") or "-")),
        ("sampling", ", ".join(f"{name} {value}" for name, value in sampling.items())),
        ("start-up", str(engine.get("startup_reason") or "-")),
        ("attention", str(engine.get("attention_backend") or "-")),
        (
            "KV cache",
            f"{number(engine.get('kv_cache_tokens'))} tokens, prefix hits {percent(engine.get('prefix_cache_hit_rate'))}, {number(engine.get('preemptions'))} preemptions",
        ),
    ]
    for name, source in (manifest.get("data") or {}).items():
        found.append(
            (
                f"data of {name}",
                f"{at(source, 'source')}, {at(source, 'rows')} rows, revision {at(source, 'revision') or '-'}, SHA-256 {str(at(source, 'fingerprint'))[:16]}…",
            )
        )
    return [(visible(name), visible(value)) for name, value in found]
