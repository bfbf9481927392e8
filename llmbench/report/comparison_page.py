"""The page of several runs: what each found, speed against score, and the questions on which they differ."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llmbench.report import thinking_sweep, tradeoff_charts
from llmbench.report.difference_tables import compared
from llmbench.report.escaping import visible
from llmbench.report.figures import drawn
from llmbench.report.run_entry import RunEntry, benchmarks_of, differing, names_of
from llmbench.report.run_page import CODE, MATH, has, problems
from llmbench.report.run_pairs import RunPair, pairs_of, unpaired
from llmbench.report.sample_data import pack, sample_rows
from llmbench.report.template import render
from llmbench.results.manifest import REPORT
from llmbench.results.summary import Summary
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
    pairs = [compared(entries, names, pair) for pair in places[:MOST_COMPARED]]
    flipped = {(place, key) for pair in pairs for place in pair.places for key in pair.keys}
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
        "comparisons": [pair.context for pair in pairs],
        "several_runs": True,
        "cut": "The samples are those on which two compared runs differ.",
    }
    return render(context, figures, packed, math=has(MATH, shown), code=has(CODE, shown))


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
    columns = [
        "run",
        "status",
        *benchmarks,
        "judge",
        "without a verdict",
        "time to score",
        "loading",
        "generating",
        "tokens/s",
        "peak memory",
        "energy",
        "cost",
    ]
    rows = []
    for entry, name in zip(entries, names, strict=True):
        summary = entry.summary
        peak = summary.memory.peak_gpu_bytes or summary.memory.peak_rss_bytes
        cells = [_cell(name, link=_link(entry.run.folder, folder)), _cell(summary.status)]
        for benchmark in benchmarks:
            score = entry.benchmark(benchmark)
            ends = f" [{100 * score.ci95[0]:.0f}, {100 * score.ci95[1]:.0f}]" if score.ci95 else ""
            cells.append(_cell(percent(score.accuracy) + ends, score.accuracy))
        cells += _judged(summary)
        times = (summary.time_s.total, summary.time_s.load, summary.time_s.generate)
        cells += [_cell(seconds(value), value) for value in times]
        cells += [
            _cell(number(summary.tokens_per_s or None), summary.tokens_per_s or None),
            _cell(memory(peak), peak),
            _cell(joules(summary.gpu.energy_j), summary.gpu.energy_j),
            _cell(number(summary.cost), summary.cost),
        ]
        rows.append(cells)
    known = [place for place in range(len(columns)) if any(row[place]["text"] != NONE for row in rows)]
    columns, rows = [columns[place] for place in known], [[row[place] for place in known] for row in rows]
    numbers = [all(row[place]["number"] for row in rows) for place in range(len(columns))]
    headings = [(visible(name), right) for name, right in zip(columns, numbers, strict=True)]
    return {"columns": headings, "rows": rows}


def _judged(summary: Summary) -> list[dict[str, Any]]:
    """Who judged, and how many answers have no verdict."""
    uses = [found.judge for found in summary.benchmarks.values() if found.judge is not None]
    if not uses:
        return [_cell(NONE), _cell(NONE)]
    unjudged = sum(use.unjudged for use in uses)
    names = ", ".join(dict.fromkeys(use.name for use in uses))
    return [_cell(names), _cell(f"{unjudged} of {sum(use.asked for use in uses)}", unjudged)]


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
