"""Mutated run folders through everything that reads one."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import llmbench
from llmbench import compare, export, regrade, runs
from llmbench.cli.main import main
from llmbench.engine.fake import nonsense
from llmbench.report import __main__ as report_command
from llmbench.results.reader import read_journal
from tests.fuzz.common import Report, attempt, command, mutate_bytes, mutate_value
from tests.helpers.runs import MCQ, make

REGRADE_EVERY, RESUME_EVERY = 60, 30
"""They start workers."""
FILES = (
    "samples.jsonl",
    "samples.jsonl",
    "samples.jsonl",
    "summary.json",
    "summary.json",
    "manifest.json",
    "config.yaml",
    "trace.jsonl",
)
Main = Callable[[Sequence[str]], int]


def originals(folder: Path) -> list[Path]:
    """Runs to mutate: one with repeats, one whose questions are sealed, one that asked for answers."""
    return [
        make(folder / "repeats", nonsense, "engine=fake", "benchmark=arithmetic", "limit=4", "benchmarks.arithmetic.repeats=3", "sampling.temperature=1"),
        make(folder / "sealed", nonsense, "engine=fake", "benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", "limit=4"),
        make(folder / "asked", lambda _: "I do not know", "engine=fake", "benchmark=arithmetic", "limit=6"),
    ]  # fmt: skip


def plain(content: bytes, suffix: str) -> list[Any]:
    """What a file holds, or each of its lines; nothing where it was spoilt before."""
    try:
        return (
            [json.loads(content)]
            if suffix == ".json"
            else [json.loads(line) for line in content.splitlines()]
        )
    except (ValueError, RecursionError):
        return []


def without_checksum(line: Any) -> Any:  # noqa: ANN401 - whatever a line holds
    """A journal's line as it was before there were checksums."""
    return {key: value for key, value in line.items() if key != "crc32"} if isinstance(line, dict) else line


def spoil(folder: Path, generator: Random) -> str:
    """Mutates a file of a run; returns which, and what it begins with."""
    path = folder / generator.choice(FILES)
    content = path.read_bytes() if path.exists() else b""
    lines = [] if path.suffix == ".yaml" or generator.random() < 0.3 else plain(content, path.suffix)
    if not lines:
        path.write_bytes(mutate_bytes(content, generator))
    elif path.suffix == ".json":
        path.write_text(json.dumps(mutate_value(lines[0], generator)))
    else:
        if generator.random() < 0.7:  # as of a run before there were checksums, so that fields are looked at
            lines = [without_checksum(line) for line in lines]
        for _ in range(generator.randrange(1, 3)):
            if lines:
                place = generator.randrange(len(lines))
                lines[place] = mutate_value(lines[place], generator)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path.name


def read(folder: Path) -> None:
    """As a library."""
    llmbench.load_run(folder)
    list(read_journal(folder))


def run(seconds: float, seed: int) -> Report:
    """Mutates and reads until the time is over."""
    generator, report = Random(seed), Report()
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        made = originals(folder)
        end, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < end and not report.enough:
            rounds += 1
            original = generator.choice(made)
            spoilt = folder / "spoilt"
            shutil.rmtree(spoilt, ignore_errors=True)
            shutil.copytree(original, spoilt)
            names = {spoil(spoilt, generator) for _ in range(generator.randrange(1, 3))}
            case = f"{original.name} {names}"
            report.count(attempt(lambda spoilt=spoilt: read(spoilt)), case)  # type: ignore[misc]
            commands: list[tuple[str, Main, list[str]]] = [
                ("report", report_command.main, [str(spoilt)]),
                ("reports", report_command.main, [str(original), str(spoilt), "--to", str(folder / "many.html")]),
                ("compare", compare.main, [str(original), str(spoilt), "--allow-different"]),
                ("compare", compare.main, [str(spoilt), str(original), "--json"]),
                ("export", export.main, [str(spoilt)]),
                ("runs", runs.main, [str(spoilt)]),
                ("runs", runs.main, [str(folder), "--json", "--sort", "score"]),
            ]  # fmt: skip
            if rounds % REGRADE_EVERY == 0:
                commands.append(("regrade", regrade.main, [str(spoilt)]))
            if rounds % RESUME_EVERY == 0:  # last, since it changes the folder
                commands.append(("resume", main, [f"resume={spoilt}", "engine=fake", "report=false"]))
            for name, run_it, arguments in commands:
                before = len(report.findings)
                report.count(command(run_it, arguments), f"{name} {case}")
                if len(report.findings) > before:
                    kept = Path(tempfile.mkdtemp(prefix="llmbench-finding-"))
                    shutil.copytree(spoilt, kept / "spoilt")
                    report.findings[-1] += f" (kept in {kept})"
    return report
