"""Runs mutated settings and YAML: composed, shown, and run on the fake engine."""

import tempfile
import time
from pathlib import Path
from random import Random

from llmbench.cli.compose import compose
from llmbench.cli.main import main
from llmbench.config.dump import as_yaml_data
from llmbench.config.paths import config_folder
from llmbench.results.settings import flat
from tests.fuzz.common import Report, attempt, command, edit, mutate, mutate_bytes

TYPED = (
    "null", "true", "-1", "0", "1", "3", "1e400", "nan", "-inf", "''", "[]", "{}", "[1,2]", "{a: 1}", "99999999999999999999", "abc",
    "${seed}", "${nope}", "${.x}", "${oc.env:HOME}", "${llmbench.names:1}", "${", "\x00", "é", "'", '"', "[[[[", "a" * 300, "???",
    "1.5", "!!python/object:os.system", "{a: {b: {c: [1, {d: null}]}}}", "[a,[b]]", "os", "llmbench", "documented", "../..", " ",
    "[null]", "{1: 2}", "\\", "=", "1,2", "0x10", "1_000", "'a b'",
)  # fmt: skip
PARTS = (
    "&a ", "*a", "<<: *a", "!!python/object/apply:os.system [id]", "!!binary x", "? [a]\n: b\n", "\t", "- ", ": ", "{", "}", "[", "]",
    "null", "~", ".inf", "1e400", "9" * 400, "'", '"', "|\n", ">\n", "---\n", "%YAML 9.9\n", "#", "\x00", "\ud7ff", "${x}", "???", "\n",
    "  ", "defaults:\n  - x\n", "# @package _global_\n", "hydra:\n  run: 1\n", "2024-01-01", "1:30", "0o17", "!!set {a}", "&b [*b]",
)  # fmt: skip
NOT_FUZZED = (
    "engine.name",
    "runs_dir",
    "tracker",
    "engine.args",
    "model.path",
    "model.hub_id",
    "model.embedded",
    "resume",
)
"""They choose what runs, or where; what they hold is tried in tests/cli/test_bad_input.py."""
RUN_EVERY = 8
KINDS = ("benchmark", "model", "profile", "engine")


def settings() -> list[str]:
    """Names of settings, known and nearly so."""
    known = [name for name, _ in flat(as_yaml_data(compose([])))]
    tables = (
        "benchmarks.arithmetic",
        "model",
        "sampling",
        "profile",
        "benchmarks",
        "hydra.job.num",
        "hydra",
        "suite",
        "sweep",
        "x",
    )
    return [name for name in [*known, *tables] if name not in NOT_FUZZED]


def override(names: list[str], generator: Random) -> str:
    """Something that may be typed."""
    name = generator.choice(names)
    if generator.random() < 0.05:
        name = mutate(name, generator)[:200]
    sign = generator.choice(("=", "=", "=", "=", "", "==", ":"))
    text = f"{generator.choice(('', '', '', '+', '++', '~'))}{name}{sign}{generator.choice(TYPED)}"
    return text if not text.startswith("-") else f"x{text}"


def written(folder: Path, generator: Random) -> list[str]:
    """Writes a mutated YAML into a folder for `--config-dir`, and returns what chooses it."""
    kind = generator.choice(KINDS)
    names = sorted((config_folder() / kind).glob("*.yaml"))
    source = {"engine": "fake", "benchmark": "arithmetic"}.get(kind)
    path = next((name for name in names if name.stem == source), generator.choice(names))
    text = path.read_text()
    for _ in range(generator.randrange(1, 5)):
        text = edit(text, generator, PARTS) if generator.random() < 0.8 else text
    content = text.encode("utf-8", "replace")
    if generator.random() < 0.2:
        content = mutate_bytes(content, generator)
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / kind / "fuzz.yaml").write_bytes(content)
    others = ["engine=fake"] if kind != "engine" else []
    return ["--config-dir", str(folder), f"{kind}=fuzz", *others]


def run(seconds: float, seed: int) -> Report:
    """Composes, shows and runs until the time is over."""
    generator, report = Random(seed), Report()
    names = settings()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        while time.monotonic() < end and not report.enough:
            typed = [override(names, generator) for _ in range(generator.choice((1, 1, 1, 2)))]
            report.count(attempt(lambda typed=typed: compose(["engine=fake", *typed])), f"compose {typed}")  # type: ignore[misc]
            shape = ["--cfg", "job", *([] if generator.random() < 0.5 else ["--resolve"])]
            if generator.random() < 0.5:
                typed = written(folder / "conf", generator)
                content = next((folder / "conf").rglob("fuzz.yaml"), folder)
                typed_as = f"{typed} {content.read_bytes()[:300]!r}"
            else:
                typed, typed_as = ["engine=fake", *typed], str(typed)
            ends = [f"runs_dir={folder / 'runs'}", "limit=2", "report=false"]
            arguments = [*typed, *ends] if report.cases % RUN_EVERY == 1 else [*shape, *typed]
            report.count(command(main, arguments), f"main {typed_as}")
            for path in (folder / "conf").rglob("fuzz.yaml"):
                path.unlink()
    return report
