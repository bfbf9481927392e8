"""What several runs cost and what they brought: speed, score, memory and energy against one another."""

from collections.abc import Sequence
from typing import Any

from llmbench.report.escaping import label, short, visible
from llmbench.report.figures import LABELS, axis, bars, colour, figure, intervals, scaled
from llmbench.report.point_labels import BELOW, ROOM, accuracy_axis, named_points
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


def accuracy(entries: Sequence[RunEntry], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each benchmark accuracy with its interval against the time of generating; the Pareto front is a line."""
    shown, labels = labels_of(names)
    untimed = any(entry.generate_s is None and entry.summary.time_s.generate for entry in entries)
    note = " ".join(
        f"Loading is not in it; the table has it. {NO_SECONDS if untimed else ''} {labels}".split()
    )
    found = []
    for benchmark in benchmarks_of(entries):
        runs = [
            (time_s, 100 * score.accuracy, score.ci95, name, text)
            for entry, name, text in zip(entries, names, shown, strict=True)
            for time_s, score in [(entry.generate_s, entry.benchmark(benchmark))]
            if time_s is not None and score.accuracy is not None
        ]
        if not runs:
            continue
        points = [(time_s, score) for time_s, score, *_ in runs]
        front, widest = pareto(points), (max(points)[0] or 1.0) * ROOM
        hover = [f"{name}: {percent(score / 100)} in {seconds(time_s)}" for time_s, score, _, name, _ in runs]
        ends = [(100 * ends[0], 100 * ends[1]) if ends else (score, score) for _, score, ends, *_ in runs]
        line = {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front: none is faster and better",
            "x": [points[place][0] for place in front],
            "y": [points[place][1] for place in front],
            "line": {"color": colour(1), "shape": "hv", "dash": "dash"},
            "hoverinfo": "skip",
        }
        marks = named_points(points, [text for *_, text in runs], hover, first=front, widest=widest) | {
            "name": "runs",
            "marker": {"size": 9, "color": [colour(int(place in front)) for place in range(len(runs))]},
            "error_y": intervals([score for _, score in points], ends),
        }
        layout = {
            "xaxis": axis("seconds of generating", range=[0, widest]),
            "yaxis": accuracy_axis(),
            "margin": {"t": 28},
        }
        title = f"{visible(benchmark)}: accuracy and time"
        found.append(
            figure(f"pareto-{benchmark}", title, [line, marks], note=note, height=380, layout=layout)
        )
    return found


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


def speed(entries: Sequence[RunEntry], names: Sequence[str]) -> dict[str, Any] | None:
    """Throughput against latency; where nothing but the batch size differs, with a line through the runs by it."""
    varied = BATCH.issuperset(differ) if (differ := differing(entries)) else False
    shown, explained = labels_of(names)
    points = sorted(
        (size or 0, latency, speed, name, str(size or "") if varied else text)
        for entry, name, text in zip(entries, names, shown, strict=True)
        for size in [entry.summary.engine.batch_size if entry.summary.engine is not None else None]
        for latency, speed in [(entry.summary.latency_s, entry.summary.tokens_per_s)]
        if latency is not None and speed is not None
    )
    if len(points) < 2:  # noqa: PLR2004 - one point is no curve
        return None
    widest = (max(latency for _, latency, *_ in points) or 1.0) * ROOM
    most = max(speed for _, _, speed, *_ in points) or 1.0
    trace = named_points(
        [(latency, speed) for _, latency, speed, *_ in points],
        [text for *_, text in points],
        [
            f"{name}: {number(speed)} tokens/s, latency {seconds(latency)}"
            for _, latency, speed, name, _ in points
        ],
        widest=widest,
        highest=most,
    )
    trace |= {"mode": "lines+markers+text" if varied else "markers+text", "showlegend": False}
    layout = {
        "xaxis": axis("mean latency of a sample, seconds", range=[0, widest]),
        "yaxis": axis("output tokens per second", range=[-most * BELOW / 100, most * (100 + BELOW) / 100]),
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
    return [
        figure(
            name,
            title,
            [bars(labels, values, place, f"%{{y}}: %{{x:.4g}} {unit}")],
            note=note,
            height=130 + 30 * len(labels),
            layout={"xaxis": axis(unit, rangemode="tozero"), "yaxis": LABELS},
        )
        for place, (name, title, unit, values) in enumerate(kinds)
        if any(value is not None for value in values)
    ]
