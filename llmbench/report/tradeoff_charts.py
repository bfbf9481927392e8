"""What several runs cost and what they brought: speed, score, memory and energy against one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmbench.report.escaping import label, short, visible
from llmbench.report.figures import axis, colour, figure, scaled
from llmbench.report.point_labels import BELOW, ROOM, accuracy_axis, intervals, label_positions, named_points
from llmbench.report.run_entry import NO_SECONDS, RunEntry, benchmarks_of, differing, unlike
from llmbench.system.number_format import GIB, number, percent, seconds


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of those points (time, score) that no other beats in both, by time."""
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    front: list[int] = []
    for place in order:
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A run in the plot of a benchmark: its place among the runs, seconds of generating, accuracy and its interval in percent."""

    place: int
    time_s: float
    accuracy: float
    ends: tuple[float, float]


def accuracy(entries: Sequence[RunEntry], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each benchmark accuracy with its interval against the time of generating; the Pareto front is a line."""
    shown, labels = labels_of(names)
    untimed = any(entry.generate_s is None and entry.summary.time_s.generate for entry in entries)
    note = f"Loading is not in it; the table has it. {NO_SECONDS if untimed else ''} {labels}"
    found = []
    for benchmark in benchmarks_of(entries):
        runs = _scored(entries, benchmark)
        if not runs:
            continue
        longest = max(run.time_s for run in runs) or 1.0
        layout = {
            "xaxis": axis("seconds of generating", range=[0, longest * ROOM]),
            "yaxis": accuracy_axis(),
            "hovermode": "closest",
            "margin": {"t": 28},
        }
        title, traces = (
            f"{visible(benchmark)}: accuracy and time",
            _front_and_runs(runs, names, shown, longest),
        )
        found.append(
            figure(
                f"pareto-{benchmark}", title, traces, note=" ".join(note.split()), height=380, layout=layout
            )
        )
    return found


def _scored(entries: Sequence[RunEntry], benchmark: str) -> list[ScoredRun]:
    found = []
    for place, entry in enumerate(entries):
        time_s, score = entry.generate_s, entry.benchmark(benchmark)
        if time_s is not None and score.accuracy is not None:
            low, high = score.ci95 or (score.accuracy, score.accuracy)
            found.append(ScoredRun(place, time_s, 100 * score.accuracy, (100 * low, 100 * high)))
    return found


def _front_and_runs(
    runs: Sequence[ScoredRun], names: Sequence[str], shown: Sequence[str], longest: float
) -> list[dict[str, Any]]:
    """The line of the Pareto front, and a mark for each run."""
    points = [(run.time_s, run.accuracy) for run in runs]
    front = pareto(points)
    texts = [shown[run.place] for run in runs]
    positions = label_positions(points, texts, front, longest * ROOM)
    hover = [f"{names[run.place]}: {percent(run.accuracy / 100)} in {seconds(run.time_s)}" for run in runs]
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front: none is faster and better",
        "x": [points[place][0] for place in front],
        "y": [points[place][1] for place in front],
        "line": {"color": colour(1), "shape": "hv", "dash": "dash"},
        "hoverinfo": "skip",
    }
    marks = named_points(points, texts, positions, hover) | {
        "name": "runs",
        "marker": {"size": 9, "color": [colour(int(place in front)) for place in range(len(runs))]},
        "error_y": intervals([run.accuracy for run in runs], [run.ends for run in runs]),
    }
    return [line, marks]


BATCH = frozenset({"batch_size", "static_batch_size"})
"""The settings of it, vLLM's and that of engine=transformers."""


def labels_of(names: Sequence[str]) -> tuple[list[str], str]:
    """Names for labels, none twice, and a sentence that explains them: where all have the same settings, their values alone."""
    settings = [[word.partition("=") for word in name.split(" ")] for name in names]
    keys = {tuple(key for key, _, _ in of_one) for of_one in settings}
    if len(names) > 1 and len(keys) == 1 and all(mark for of_one in settings for _, mark, _ in of_one):
        values = [", ".join(short(value, 20) for _, _, value in of_one) for of_one in settings]
        return unlike(map(label, values)), f"Labels are values of {', '.join(keys.pop())}."
    return unlike(label(short(name, 24)) for name in names), ""


def batch_size(entry: RunEntry) -> int | None:
    """Requests that could run at once in a run's engine."""
    return entry.summary.engine.batch_size if entry.summary.engine is not None else None


def batch_varied(entries: Sequence[RunEntry]) -> bool:
    """Whether the runs differ in batch size and in nothing else."""
    names = differing(entries) or ()
    return len(names) > 0 and BATCH.issuperset(names)


def speed(entries: Sequence[RunEntry], names: Sequence[str]) -> dict[str, Any] | None:
    """Throughput against latency; where nothing but the batch size differs, with a line through the runs by it."""
    varied = batch_varied(entries)
    shown, explained = labels_of(names)
    points = sorted(
        (size or 0, latency, speed, name, str(size or "") if varied else text)
        for entry, name, text in zip(entries, names, shown, strict=True)
        for size, latency, speed in [(batch_size(entry), entry.summary.latency_s, entry.summary.tokens_per_s)]
        if latency is not None and speed is not None
    )
    if len(points) < 2:  # noqa: PLR2004 - one point is no curve
        return None
    longest = max(latency for _, latency, *_ in points) or 1.0
    most = max(rate for _, _, rate, *_ in points) or 1.0
    texts = [text for *_, text in points]
    shares = [(latency, 100 * rate / most) for _, latency, rate, *_ in points]
    positions = label_positions(shares, texts, [], longest * ROOM)
    places = [(round(latency, 4), round(speed, 2)) for _, latency, speed, *_ in points]
    hover = [
        f"{name}: {number(speed)} tokens/s, latency {seconds(latency)}"
        for _, latency, speed, name, _ in points
    ]
    trace = named_points(places, texts, positions, hover) | {
        "mode": "lines+markers+text" if varied else "markers+text",
        "line": {"color": colour(0), "width": 1},
        "marker": {"size": 9, "color": colour(0)},
        "showlegend": False,
    }
    layout = {
        "xaxis": axis("mean latency of a sample, seconds", range=[0, longest * ROOM]),
        "yaxis": axis("output tokens per second", range=[-most * BELOW / 100, most * (100 + BELOW) / 100]),
        "hovermode": "closest",
        "margin": {"t": 28},
    }
    note = "The numbers are batch sizes." if varied else explained
    return figure("speed", "Throughput and latency", [trace], note=note, height=380, layout=layout)


def costs(entries: Sequence[RunEntry], names: Sequence[str]) -> list[dict[str, Any]]:
    """Peak memory and energy of each run, as far as they were measured."""
    peaks = [entry.summary.memory for entry in entries]
    on_gpu = any(peak.peak_gpu_bytes is not None for peak in peaks)
    memory = [scaled(peak.peak_gpu_bytes if on_gpu else peak.peak_rss_bytes, GIB) for peak in peaks]
    energy = [entry.summary.gpu.energy_j for entry in entries]
    labels, note = labels_of(names)
    kinds = (
        ("memory", "Peak GPU memory" if on_gpu else "Peak memory of the process", "GiB", memory),
        ("energy", "Energy while requests ran", "J", energy),
    )
    found = []
    for place, (name, title, unit, values) in enumerate(kinds):
        trace = {
            "type": "bar",
            "orientation": "h",
            "y": labels,
            "x": values,
            "marker": {"color": colour(place)},
            "hovertemplate": f"%{{y}}: %{{x:.4g}} {unit}<extra></extra>",
            "showlegend": False,
        }
        layout = {
            "xaxis": axis(unit, rangemode="tozero"),
            "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        }
        if any(value is not None for value in values):
            height = 130 + 30 * len(labels)
            found.append(figure(name, title, [trace], note=note, height=height, layout=layout))
    return found
