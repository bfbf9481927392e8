"""Reads mutated questions of every benchmark, in every form of file; every few of them are run on the fake engine."""

import json
import os
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from llmbench.cli.compose import compose
from llmbench.cli.main import main
from llmbench.config.schema import Config
from llmbench.engine.fake import WordTokenizer
from llmbench.run.request_plan import RequestPlan
from tests.fuzz.common import Report, attempt, command, mutate, mutate_bytes, mutate_value

DATA = Path(__file__).parents[1] / "data"
RUN_EVERY = 40
TEXTS = (
    "",
    "The answer is 3",
    "Answer: B",
    "```python\nprint(1)\n```",
    "<patch>\n--- a/x\n+++ b/x\n</patch>",
    "\\boxed{x}",
)
MADE: dict[str, list[dict[str, Any]]] = {
    "aime": [{"id": 60, "problem": "What is $1+1$?", "answer": "002", "solution": "So \\boxed{2}.", "year": "2024"}],
    "math": [
        {"problem": "What is $1+1$?", "answer": "2", "solution": "So \\boxed{2}.", "subject": "Algebra", "level": 2, "unique_id": "t/1"},
        {"problem": "And $2$?", "solution": "It is \\boxed{2}.", "type": "Algebra", "level": "Level 5"},
    ],
    "gsm8k": [{"question": "What is 1 + 1?", "answer": "1+1=<<1+1=2>>2\n#### 2"}],
    "arithmetic": [{"question": "What is 1 + 1?", "answer": "2", "level": "sum1"}],
    "humaneval": [
        {"task_id": "H/0", "prompt": 'def f(x):\n    """One more."""\n', "entry_point": "f", "canonical_solution": "    return x+1\n", "test": "def check(c):\n    assert c(1) == 2\n"}
    ],
}  # fmt: skip


def lines_of(name: str) -> list[dict[str, Any]]:
    """Rows of a file in tests/data."""
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


BENCHMARKS = MADE | {
    "gpqa": lines_of("mcq_sample.jsonl"),
    "livecodebench": lines_of("lcb_sample.jsonl"),
    "swe_bench": lines_of("swebench_synthetic.jsonl"),
}
CONFIGS: dict[str, Config] = {}


def config_of(name: str, path: Path) -> Config:
    """The settings that read the benchmark from a file."""
    if name not in CONFIGS:
        CONFIGS[name] = compose([f"benchmark={name}", "engine=fake", "limit=3"])
    CONFIGS[name].benchmarks[name].data_files = str(path)
    return CONFIGS[name]


def read(name: str, path: Path) -> None:
    """All that a run does with the questions before it asks them, and extraction from a few texts."""
    config = config_of(name, path)
    questions = RequestPlan.read(config).write(WordTokenizer())
    benchmark = questions.benchmarks[name]
    for asked in questions.asked.values():
        for text in TEXTS:
            answer = benchmark.extract(asked.sample, text, complete=True)
            if answer is not None and not benchmark.runs_code:
                benchmark.is_equal(asked.sample, answer)


def made(name: str, folder: Path, generator: Random) -> Path:
    """A mutated file of questions."""
    rows: Any = [generator.choice(BENCHMARKS[name]) for _ in range(generator.randrange(1, 5))]
    if name != "swe_bench" and generator.random() < 0.5:
        rows = [row | ({"id": number} if "id" in row else {}) for number, row in enumerate(rows)]
    rows = mutate_value(rows, generator)
    suffix = generator.choice((".jsonl", ".jsonl", ".jsonl", ".json", ".csv", ".parquet"))
    path = folder / f"rows{suffix}"
    path.unlink(missing_ok=True)
    if suffix in (".csv", ".parquet"):
        table(rows, path)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if generator.random() < 0.3:
        path.write_bytes(mutate_bytes(path.read_bytes(), generator))
    elif generator.random() < 0.05:
        path.write_bytes(mutate(path.read_bytes().decode("utf-8", "replace"), generator).encode("utf-16"))
    return path


def table(rows: list[Any], path: Path) -> None:
    """Rows as a table, where they can be one; else as JSON under a table's name."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        columns = pa.Table.from_pylist([row for row in rows if isinstance(row, dict)])
        (csv.write_csv if path.suffix == ".csv" else parquet.write_table)(columns, path)
    except (pa.ArrowException, TypeError, ValueError, OSError, AttributeError):
        path.write_text(json.dumps(rows))


def run(seconds: float, seed: int) -> Report:
    """Reads until the time is over."""
    generator, report = Random(seed), Report()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
        while time.monotonic() < end and not report.enough:
            name = generator.choice(list(BENCHMARKS))
            path = made(name, folder, generator)
            case = f"{name} {path.suffix} {path.read_bytes()[:400]!r}"
            if report.cases % RUN_EVERY:
                report.count(attempt(lambda name=name, path=path: read(name, path)), case)  # type: ignore[misc]
                continue
            arguments = [
                "engine=fake",
                f"benchmark={name}",
                f"benchmarks.{name}.data_files={path}",
                "limit=3",
            ]
            report.count(command(main, [*arguments, f"runs_dir={folder / 'runs'}"]), case)
    return report
