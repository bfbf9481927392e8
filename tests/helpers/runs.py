"""Runs that the fake engine made, with all their files. A change to one is made in its files, as other programs find them."""

import io
import json
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.config.schema import Config
from llmbench.records import Request
from llmbench.report.compare.records import Comparison, RunComparison
from llmbench.report.compare.terminal_page import show
from llmbench.report.publish import publish
from llmbench.results.reader import Run
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.system.console import Terminal
from llmbench.system.signals import Stop
from tests.helpers.engines import FakeEngines
from tests.helpers.paths import DATA
from tests.helpers.settings import compose

MCQ = DATA / "mcq_sample.jsonl"
TWELVE = ("benchmark=arithmetic", "engine=fake", "limit=12", "batch_size=3")
BREAKS = "engine.args={break_after: 5}"
FORTY = ("benchmark=arithmetic", "limit=40", "profile=published")
PAGE = partial(publish, config=Config(), terminal=Terminal(quiet=True))
"""For runs of a program: their page, as the command line writes it."""
Reply = Callable[[Request], str]
Edit = Callable[[dict[str, Any]], dict[str, Any] | None]


def make(folder: Path, reply: Reply, *overrides: str, stop: Stop | None = None, **options: object) -> Path:
    """A run with all its files."""
    config = compose(overrides or FORTY)
    with FakeEngines(reply, **options).pool() as pool:
        pipeline.run(config, folder, RunOptions(overrides=overrides, stop=stop, pool=pool, publish=PAGE))
    publish(folder, config, Terminal(quiet=True))
    return folder


@cache
def golds() -> list[str]:
    rows = Arithmetic().generate(compose(FORTY).benchmarks["arithmetic"].options, 0)
    return [str(row["answer"]) for row in rows]


def gold(sample_id: str) -> str:
    return golds()[int(sample_id.rpartition("-")[2])]


def right_where(condition: Callable[[Request], bool]) -> Reply:
    return lambda request: gold(request.sample_id) if condition(request) else "The answer is 987654321"


def place(request: Request) -> int:
    return int(request.sample_id.rpartition("-")[2])


def edited(run: Path, folder: Path, edit: Edit) -> Path:
    """A copy with every journal line changed; None drops the line."""
    shutil.copytree(run, folder)
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    kept = [row for line in lines if (row := edit(line)) is not None]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return folder


def patched(folder: Path, name: str, **changes: object) -> Path:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | changes))
    return folder


def three(folder: Path) -> dict[str, Path]:
    """Forty questions each: `third` answers every third right, `most` nine in ten, `close` as `third` but for a few."""
    replies = {
        "third": right_where(lambda r: place(r) % 3 == 0),
        "most": right_where(lambda r: place(r) % 10 != 0),
        "close": right_where(lambda r: place(r) % 3 == 0 or place(r) % 20 == 1),
    }
    return {name: make(folder / name, reply) for name, reply in replies.items()}


def only(compared: Comparison) -> RunComparison:
    (run,) = compared.runs
    return run


def page(compared: Comparison) -> str:
    out = io.StringIO()
    show(compared, out)
    return out.getvalue()


def flat(text: str) -> str:
    """A page without its line breaks."""
    return " ".join(text.split())


def outcomes(run: Run) -> dict[str, tuple[str, str]]:
    """Text and outcome of each answer, by its question."""
    return {r.sample_id: (r.text, r.score.outcome) for r in run.results}
