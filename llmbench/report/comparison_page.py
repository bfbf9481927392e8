"""The page of several runs: what each found, speed against score, and the questions on which they differ."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llmbench.report import thinking_sweep, tradeoff_charts
from llmbench.report.escaping import visible
from llmbench.report.figures import drawn
from llmbench.report.run_entry import RunEntry, benchmarks_of, differing, names_of
from llmbench.report.run_page import problems
from llmbench.report.run_pairs import RunPair, compared, pairs_of, unpaired
from llmbench.report.sample_data import pack, sample_rows
from llmbench.report.template import render
from llmbench.results.manifest import REPORT
from llmbench.results.summary import BenchmarkSummary
from llmbench.system.number_format import NONE, joules, memory, number, percent, seconds

MOST_COMPARED = 12
"""Pairs of runs whose questions are compared."""

UNCORRECTED = "The p-values are each for one pair alone: of twenty pairs without a difference one is below 0.05 by chance."

MOST_PROBLEMS = 12
"""Sentences at the top of the page."""

MOST_NAMED = 4
"""Runs that such a sentence names."""

PERCENT = re.compile(r"\b(\d+)%")


def report_of_many(entries: Sequence[RunEntry], failed: Mapping[str, str], folder: Path) -> str:
    """The page, as HTML; `folder` is where it will lie, for links to the runs' own pages."""
    names, places = names_of(entries), pairs_of(entries)
    pairs = [
        (pair, *compared(entries[pair[0]], entries[pair[1]], (names[pair[0]], names[pair[1]])))
        for pair in places[:MOST_COMPARED]
    ]
    flipped = {(place, key) for pair, _, keys in pairs for place in pair for key in keys}
    differ = [
        [r for r in entry.run.results if (place, r.key) in flipped] for place, entry in enumerate(entries)
    ]
    named = list(zip(entries, differ, names, strict=True))
    packed, _ = pack(
        lambda limit: [each for entry, own, name in named for each in sample_rows(entry, own, limit, name)]
    )
    shown = [r for entry, own, _ in named for r in own if r.benchmark not in entry.run.sealed]
    figures = drawn(
        [
            *thinking_sweep.figures(entries),
            *tradeoff_charts.accuracy(entries, names),
            tradeoff_charts.speed(entries, names),
            *tradeoff_charts.costs(entries, names),
        ]
    )
    context = {
        "title": f"{len(entries)} runs" if len(entries) != 1 else "1 run",
        "about": [visible(word) for word in sorted({entry.summary.model for entry in entries})],
        "problems": _problems(entries, names, failed),
        "table": _table(entries, names, folder) | {"note": _note(entries, names, places)},
        "comparisons": [context for _, context, _ in pairs],
        "several_runs": True,
        "cut": "The samples are those on which two compared runs differ.",
    }
    return render(context, figures, packed, shown)


def shared(sentences: Sequence[tuple[str, str]], everywhere: int) -> list[str]:
    """Sentences of runs, each said once with the names of the runs it is true of; what is true of more runs comes first.

    Sentences that differ in percentages alone count as one, with the least and the most.
    """
    alike: dict[str, dict[str, str]] = {}
    for name, sentence in sentences:
        alike.setdefault(PERCENT.sub("%", sentence), {})[name] = sentence
    said = []
    for of_runs in sorted(alike.values(), key=len, reverse=True):
        names = [
            *list(of_runs)[:MOST_NAMED],
            *([f"{len(of_runs) - MOST_NAMED} more"] * (len(of_runs) > MOST_NAMED)),
        ]
        who = "All runs" if len(of_runs) == everywhere > 1 else ", ".join(names)
        said.append(f"{who}: {_merged(list(of_runs.values()))}")
    return said


def _merged(sentences: Sequence[str]) -> str:
    """The first sentence with each percentage that differs in the others as a range."""
    columns = zip(*(map(int, PERCENT.findall(sentence)) for sentence in sentences), strict=True)
    ranges = iter([f"{min(c)}%" if min(c) == max(c) else f"{min(c)} to {max(c)}%" for c in columns])
    return PERCENT.sub(lambda _: next(ranges), sentences[0])


def _problems(entries: Sequence[RunEntry], names: Sequence[str], failed: Mapping[str, str]) -> list[str]:
    own = [
        (name, sentence)
        for entry, name in zip(entries, names, strict=True)
        for sentence in problems(entry)
        if "Not comparable" not in sentence
    ]
    reasons = list(failed.values())  # a job that left a folder says itself why it failed
    unsaid = [job for job in failed.items() if sum(job[1] in said for _, said in own) < reasons.count(job[1])]
    found = shared(unsaid, 0) + shared(own, len(entries))
    more = [f"… and {len(found) - MOST_PROBLEMS} more; each run's own report has them."]
    return [visible(s) for s in found[:MOST_PROBLEMS]] + (more if len(found) > MOST_PROBLEMS else [])


def _table(entries: Sequence[RunEntry], names: Sequence[str], folder: Path) -> dict[str, Any]:
    benchmarks = benchmarks_of(entries)
    rows = [_row(entry, name, benchmarks, folder) for entry, name in zip(entries, names, strict=True)]
    columns = [
        column for column in zip(*rows, strict=True) if any(cell["text"] != NONE for _, cell in column)
    ]
    headings = [(visible(column[0][0]), all(cell["number"] for _, cell in column)) for column in columns]
    return {"columns": headings, "rows": [[cell for _, cell in row] for row in zip(*columns, strict=True)]}


def _row(
    entry: RunEntry, name: str, benchmarks: Sequence[str], folder: Path
) -> list[tuple[str, dict[str, Any]]]:
    """The cells of a run with their columns' headings."""
    summary, times = entry.summary, entry.summary.time_s
    scores = [(benchmark, entry.benchmark(benchmark)) for benchmark in benchmarks]
    peak = summary.memory.peak_gpu_bytes or summary.memory.peak_rss_bytes
    uses = [found.judge for found in summary.benchmarks.values() if found.judge is not None]
    unjudged = sum(use.unjudged for use in uses)
    asked = f"{unjudged} of {sum(use.asked for use in uses)}"
    speed = summary.tokens_per_s or None
    return [
        ("run", _cell(name, link=_link(entry.run.folder, folder))),
        ("status", _cell(summary.status)),
        *((benchmark, _cell(_score(score), score.accuracy)) for benchmark, score in scores),
        ("judge", _cell(", ".join(dict.fromkeys(use.name for use in uses)) or NONE)),
        ("without a verdict", _cell(asked, unjudged) if uses else _cell(NONE)),
        ("time to score", _cell(seconds(times.total), times.total)),
        ("loading", _cell(seconds(times.load), times.load)),
        ("generating", _cell(seconds(times.generate), times.generate)),
        ("tokens/s", _cell(number(speed), speed)),
        ("peak memory", _cell(memory(peak), peak)),
        ("energy", _cell(joules(summary.gpu.energy_j), summary.gpu.energy_j)),
        ("cost", _cell(number(summary.cost), summary.cost)),
    ]


def _score(score: BenchmarkSummary) -> str:
    ends = f" [{100 * score.ci95[0]:.0f}, {100 * score.ci95[1]:.0f}]" if score.ci95 else ""
    return percent(score.accuracy) + ends


def _link(run: Path, folder: Path) -> str | None:
    """The address of a run's own page, from the folder of this one; None where it has none."""
    page = run / REPORT
    return quote(os.fsencode(os.path.relpath(page, folder))) if page.is_file() else None


def _cell(text: str, value: float | None = None, link: str | None = None) -> dict[str, Any]:
    number_like = value is not None or text == NONE
    text = visible(text)
    sort = ("" if value is None else value) if number_like else text
    return {"text": text, "sort": sort, "number": number_like, "link": link}


def _note(entries: Sequence[RunEntry], names: Sequence[str], pairs: Sequence[RunPair]) -> str:
    """A sentence about the settings that are not the same in all runs, and on what is compared."""
    found, settings = [], differing(entries)
    if settings:
        more = f" and {len(settings) - 20} more" if len(settings) > 20 else ""  # noqa: PLR2004 - enough to see what was varied
        found.append(visible(f"Settings that differ: {', '.join(settings[:20])}{more}."))
    elif settings is not None:
        found.append("All settings are the same.")
    if pairs:
        found.append(
            "Below, runs that differ in one setting are compared, each with the one that has that setting's first value; a run that differs in more, with the first."
        )
    if len(pairs) > 1:
        found.append(UNCORRECTED)
    if len(pairs) > MOST_COMPARED:
        found.append(
            f"Of {len(pairs)} pairs the {MOST_COMPARED} with the most questions in common are compared; python -m llmbench.compare RUN_A RUN_B compares others."
        )
    if alone := unpaired(entries, pairs):
        more = f" and {len(alone) - MOST_NAMED} more" if len(alone) > MOST_NAMED else ""
        listed = ", ".join(names[place] for place in alone[:MOST_NAMED])
        found.append(f"Not compared, as no other run answered the same questions: {listed}{more}.")
    return " ".join(found)
