"""The page of several runs: what each found, speed against score, and the questions on which they differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from llmbench.cache.use import generated_tokens
from llmbench.compare.settings import flat, read_config
from llmbench.records import Result
from llmbench.report.differences import compared
from llmbench.report.one import CODE, MATH, has, problems
from llmbench.report.page import render
from llmbench.report.plots import axis, colour, drawn, figure
from llmbench.report.samples import LIMITS, pack_rows, row
from llmbench.report.text import clipped, label, visible
from llmbench.report.words import at, gib, joules, number, percent, seconds
from llmbench.store import Run, load_run

MOST_COMPARED = 12
"""Runs whose questions are compared with the first's; of more only table and plots are drawn."""

MOST_PROBLEMS = 12
"""Sentences at the top of the page."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run, its settings, and which of its benchmarks stay sealed."""

    name: str
    run: Run
    config: Mapping[str, Any] | None
    sealed: frozenset[str]

    @classmethod
    def read(cls, folder: Path, *, show_sealed: bool = False) -> Self:
        """From a run's folder.

        Raises:
            RunError: It holds no run.
        """
        run = load_run(folder)
        return cls(
            folder.resolve().name, run, read_config(folder), frozenset() if show_sealed else run.sealed
        )

    def get(self, *names: str) -> Any:  # noqa: ANN401 - whatever the summary holds
        """What the summary holds at a path of names."""
        return at(self.run.summary, *names)

    def tokens_per_s(self) -> float | None:
        """Output tokens of all benchmarks for each second of generating."""
        generate = self.get("time_s", "generate")
        tokens = generated_tokens(self.run.summary)
        return tokens / generate if generate and tokens else None


def report_of_many(entries: Sequence[Entry], failed: Mapping[str, str]) -> str:
    """The page, as HTML."""
    names = names_of(entries)
    pairs = [] if len(entries) > MOST_COMPARED else compared([entry.run.folder for entry in entries], names)
    flipped = {(number, key) for number, pair in enumerate(pairs, 1) for key in pair.keys}
    rows, shown = _samples(entries, names, flipped)
    figures = drawn(
        [*_accuracy(entries, names), _speed(entries, names), _batch(entries), _costs(entries, names)]
    )
    context = {
        "title": f"{len(entries)} runs" if len(entries) != 1 else "1 run",
        "about": [visible(word) for word in sorted({str(entry.get("model")) for entry in entries})],
        "problems": _problems(entries, names, failed),
        "table": _table(entries, names),
        "comparisons": [pair.context for pair in pairs],
        "several_runs": True,
        "cut": "The samples are those on which a run differs from the first.",
    }
    packed = pack_rows(rows) if rows else ""
    return render(context, figures, packed, math=has(MATH, shown), code=has(CODE, shown))


def names_of(entries: Sequence[Entry]) -> list[str]:
    """A short name for each run: the settings in which they differ, as typed; the folder's name where that tells them apart no better."""
    typed = [[str(o) for o in entry.run.manifest.get("overrides") or []] for entry in entries]
    common = set(typed[0]).intersection(*typed[1:]) if typed else set()
    own = [" ".join(o.removeprefix("+ablation/") for o in of_one if o not in common) for of_one in typed]
    if len(set(own)) == len(own) and all(own):
        return [visible(clipped(name, 80)).replace("\n", " ") for name in own]
    return [
        visible(f"{entry.name}{' ' + name if name else ''}"[:100])
        for entry, name in zip(entries, own, strict=True)
    ]


def _problems(entries: Sequence[Entry], names: Sequence[str], failed: Mapping[str, str]) -> list[str]:
    found = [visible(f"{name}: {reason}") for name, reason in failed.items()]
    for entry, name in zip(entries, names, strict=True):
        own = [sentence for sentence in problems(entry.run.summary) if "Not comparable" not in sentence]
        found += [f"{name}: {visible(sentence)}" for sentence in own[:2]]
    more = [f"… and {len(found) - MOST_PROBLEMS} more; each run's own report has them."]
    return found[:MOST_PROBLEMS] + (more if len(found) > MOST_PROBLEMS else [])


def _samples(
    entries: Sequence[Entry], names: Sequence[str], flipped: set[tuple[int, tuple[str, str, int]]]
) -> tuple[list[list[dict[str, Any]]], list[Result]]:
    """The rows of the questions that flipped, in both runs, for every limit of characters; and the results themselves."""
    wanted: list[tuple[str, Result, bool]] = []
    for place, (entry, name) in enumerate(zip(entries, names, strict=True)):
        for result in entry.run.results:
            key = (result.benchmark, result.sample_id, result.repeat)
            here = (place, key) in flipped if place else any(other == key for _, other in flipped)
            if here:
                wanted.append((name, result, result.benchmark in entry.sealed))
    made = (
        [[row(r, limit, sealed=sealed, run=name) for name, r, sealed in wanted] for limit in LIMITS]
        if wanted
        else []
    )
    return made, [result for _, result, sealed in wanted if not sealed]


def _table(entries: Sequence[Entry], names: Sequence[str]) -> dict[str, Any]:
    benchmarks = list(dict.fromkeys(name for entry in entries for name in entry.get("benchmarks") or {}))
    columns = [
        "run",
        "status",
        *benchmarks,
        "time to score",
        "loading",
        "generating",
        "tokens/s",
        "peak memory",
        "energy",
    ]
    rows = []
    for entry, name in zip(entries, names, strict=True):
        memory = entry.get("memory", "peak_gpu_bytes") or entry.get("memory", "peak_rss_bytes")
        cells = [_cell(name), _cell(str(entry.get("status")))]
        for benchmark in benchmarks:
            share = entry.get("benchmarks", benchmark, "accuracy")
            ends = entry.get("benchmarks", benchmark, "ci95")
            text = percent(share) + (f" ({100 * ends[0]:.0f} to {100 * ends[1]:.0f})" if ends else "")
            cells.append(_cell(text, share))
        speed = entry.tokens_per_s()
        for text, value in (
            (seconds(entry.get("time_s", "total")), entry.get("time_s", "total")),
            (seconds(entry.get("time_s", "load")), entry.get("time_s", "load")),
            (seconds(entry.get("time_s", "generate")), entry.get("time_s", "generate")),
            (number(speed), speed),
            (gib(memory), memory),
            (joules(entry.get("gpu", "energy_j")), entry.get("gpu", "energy_j")),
        ):
            cells.append(_cell(text, value))
        rows.append(cells)
    return {"columns": [visible(name) for name in columns], "rows": rows, "note": _differing(entries)}


def _cell(text: str, value: float | None = None) -> dict[str, Any]:
    number_like = value is not None or text == "-"
    return {
        "text": text,
        "sort": ("" if value is None else value) if number_like else text,
        "number": number_like,
    }


def _differing(entries: Sequence[Entry]) -> str:
    """The settings that are not the same in all runs, by name."""
    settings = [dict(flat(entry.config)) for entry in entries if entry.config is not None]
    if len(settings) != len(entries) or len(settings) < 2:  # noqa: PLR2004 - nothing to differ from
        return ""
    keys = list(dict.fromkeys(name for of_one in settings for name in of_one))
    unlike = [name for name in keys if any(of_one.get(name) != settings[0].get(name) for of_one in settings)]
    if not unlike:
        return "All settings are the same."
    more = f" and {len(unlike) - 20} more" if len(unlike) > 20 else ""  # noqa: PLR2004 - enough to see what was varied
    return visible(f"Settings that differ: {', '.join(unlike[:20])}{more}.")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of those points (time, score) that no other beats in both, by time."""
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    front: list[int] = []
    for place in order:
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def _accuracy(entries: Sequence[Entry], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each benchmark accuracy with its interval against the time of generating; the Pareto front is a line."""
    found = []
    for benchmark in dict.fromkeys(name for entry in entries for name in entry.get("benchmarks") or {}):
        points = [
            (name, t, share, entry.get("benchmarks", benchmark, "ci95"))
            for entry, name in zip(entries, names, strict=True)
            for t in [entry.get("time_s", "generate")]
            for share in [entry.get("benchmarks", benchmark, "accuracy")]
            if t is not None and share is not None
        ]
        if not points:
            continue
        front = pareto([(t, share) for _, t, share, _ in points])
        marks = {
            "type": "scatter",
            "mode": "markers+text",
            "name": "runs",
            "x": [t for _, t, _, _ in points],
            "y": [100 * share for _, _, share, _ in points],
            "text": [label(point[0], 28) if place in front else "" for place, point in enumerate(points)],
            "hovertext": [
                label(f"{name}: {percent(share)} in {seconds(t)}", 120) for name, t, share, _ in points
            ],
            "hoverinfo": "text",
            "textposition": "bottom right",
            "textfont": {"size": 10},
            "cliponaxis": False,
            "marker": {
                "size": 9,
                "color": [colour(1) if place in front else colour(0) for place in range(len(points))],
            },
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [100 * (ends[1] - share) if ends else 0 for _, _, share, ends in points],
                "arrayminus": [100 * (share - ends[0]) if ends else 0 for _, _, share, ends in points],
                "thickness": 1,
            },
        }
        line = {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front: none is faster and better",
            "x": [points[place][1] for place in front],
            "y": [100 * points[place][2] for place in front],
            "line": {"color": colour(1), "shape": "hv", "dash": "dash"},
            "hoverinfo": "skip",
        }
        layout = {
            "xaxis": axis("seconds of generating (loading is in the table)", rangemode="tozero"),
            "yaxis": axis("accuracy, %", range=[0, 100]),
            "hovermode": "closest",
            "margin": {"t": 28},
        }
        title = f"{visible(benchmark)}: accuracy and time"
        found.append(figure(f"pareto-{benchmark}", title, [line, marks], height=380, layout=layout))
    return found


def _speed(entries: Sequence[Entry], names: Sequence[str]) -> dict[str, Any] | None:
    """Throughput against latency, one line through the runs by batch size."""
    points = sorted(
        (size or 0, latency, speed, name)
        for entry, name in zip(entries, names, strict=True)
        for size, latency, speed in [
            (entry.get("engine", "batch_size"), _latency(entry), entry.tokens_per_s())
        ]
        if latency is not None and speed is not None
    )
    if len(points) < 2:  # noqa: PLR2004 - one point is no curve
        return None
    trace = {
        "type": "scatter",
        "mode": "lines+markers+text",
        "x": [round(latency, 4) for _, latency, _, _ in points],
        "y": [round(speed, 2) for _, _, speed, _ in points],
        "text": [str(size or "") for size, *_ in points],
        "hovertext": [
            label(f"{name}: {speed:.4g} tokens/s, latency {seconds(latency)}", 120)
            for _, latency, speed, name in points
        ],
        "hoverinfo": "text",
        "textposition": "top left",
        "cliponaxis": False,
        "line": {"color": colour(0), "width": 1},
        "marker": {"size": 9, "color": colour(0)},
        "showlegend": False,
    }
    layout = {
        "xaxis": axis("mean latency of a sample, seconds", rangemode="tozero"),
        "yaxis": axis("output tokens per second", rangemode="tozero"),
        "hovermode": "closest",
        "margin": {"t": 28},
    }
    note = "The numbers are batch sizes."
    return figure("speed", "Throughput and latency", [trace], note=note, height=380, layout=layout)


def _latency(entry: Entry) -> float | None:
    """Mean over all results of the run."""
    pairs = [
        (at(found, "latency_s", "mean"), found.get("n") or 0)
        for found in (entry.get("benchmarks") or {}).values()
    ]
    known = [(mean, count) for mean, count in pairs if mean is not None and count]
    total = sum(count for _, count in known)
    return sum(mean * count for mean, count in known) / total if total else None


def _batch(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Throughput and latency over the batch size, where it was varied."""
    points = sorted(
        (size, speed, latency)
        for entry in entries
        for size, speed, latency in [
            (entry.get("engine", "batch_size"), entry.tokens_per_s(), _latency(entry))
        ]
        if size is not None and speed is not None and latency is not None
    )
    if not 1 < len({size for size, *_ in points}) == len(points):  # not varied, or something else was too
        return None
    sizes = [str(size) for size, *_ in points]
    traces = [
        {
            "type": "bar",
            "name": "output tokens/s",
            "x": sizes,
            "y": [round(speed, 2) for _, speed, _ in points],
            "marker": {"color": colour(0)},
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "mean latency",
            "x": sizes,
            "y": [round(latency, 4) for *_, latency in points],
            "yaxis": "y2",
            "line": {"color": colour(1)},
        },
    ]
    layout = {
        "xaxis": axis("batch size", type="category"),
        "yaxis": axis("output tokens per second", rangemode="tozero"),
        "yaxis2": axis(
            "mean latency, seconds", overlaying="y", side="right", rangemode="tozero", showgrid=False
        ),
        "margin": {"r": 56},
    }
    return figure("batch", "Batch size", traces, height=380, layout=layout)


def _costs(entries: Sequence[Entry], names: Sequence[str]) -> dict[str, Any] | None:
    """Peak memory and energy of each run."""
    on_gpu = any(entry.get("memory", "peak_gpu_bytes") is not None for entry in entries)
    key = "peak_gpu_bytes" if on_gpu else "peak_rss_bytes"
    memory = [_over(entry.get("memory", key), 2**30) for entry in entries]
    energy = [entry.get("gpu", "energy_j") for entry in entries]
    if not any(value is not None for value in (*memory, *energy)):
        return None
    labels = _unlike([label(name, 28) for name in names])
    title = "peak GPU memory, GiB" if on_gpu else "peak memory of the process, GiB"
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": title,
            "y": labels,
            "x": memory,
            "marker": {"color": colour(0)},
        }
    ]
    layout = {
        "xaxis": axis(title, rangemode="tozero", domain=[0, 1]),
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "showlegend": False,
    }
    if any(value is not None for value in energy):
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": "energy, J",
                "y": labels,
                "x": energy,
                "xaxis": "x2",
                "marker": {"color": colour(1)},
            }
        )
        layout |= {
            "xaxis": axis(title, rangemode="tozero", domain=[0, 0.47]),
            "xaxis2": axis("energy while requests ran, J", rangemode="tozero", domain=[0.53, 1]),
        }
    return figure("costs", "Memory and energy", traces, height=130 + 30 * len(entries), layout=layout)


def _unlike(names: Iterable[str]) -> list[str]:
    """Names made different where two are the same: a plot would put them into one row."""
    found: list[str] = []
    for name in names:
        found.append(name if name not in found else f"{name} ({len(found) + 1})")
    return found


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value / unit, 3)
