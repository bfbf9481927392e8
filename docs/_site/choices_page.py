"""The page of what can be chosen in each group of settings, from the YAML files of conf/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tables import code, linked, plain, table

from llmbench.config.paths import config_folder

HEAD = """---
hide: [toc]
---
# Choices

Each group takes one choice, `GROUP=NAME`, or a list of them where it says so. `python -m llmbench --help` prints the same names.
A file of your own in a folder given with `--config-dir` adds a choice ([a model](../adding-a-model.md), [a benchmark](../adding-a-benchmark.md)).
"""
GROUPS = {
    "profile": "How much is asked, and how close to published protocols.",
    "engine": "What generates.",
    "suite": "Benchmarks by purpose.",
    "sweep": "Several values of a setting, `+sweep=NAME`; `'+sweep=[A,B]'` is the product.",
    "ablation": "Experiments with a table of their own.",
    "hydra/launcher": "Where the jobs of a sweep run. Without one of these they run here, with one engine for many jobs; `hydra/launcher=basic` takes them as they come.",
}


def page() -> str:
    """The page, in Markdown."""
    parts = [
        HEAD,
        "## `benchmark`\n",
        "[One page each](../benchmarks/index.md); `'benchmark=[aime,math]'` takes several.\n",
    ]
    parts += ["## `model`\n", _models()]
    for group, sentence in GROUPS.items():
        rows = [
            (code(path.stem), linked(first_comment(path)), *([_benchmarks(path)] if group == "suite" else []))
            for path in _files(group)
        ]
        headings = ("name", "is", "benchmarks")[: len(rows[0])]
        parts += [f"## `{group}`\n", sentence + "\n", table(headings, rows)]
    return "\n".join(parts)


def _benchmarks(path: Path) -> str:
    """What a suite asks."""
    defaults = yaml.safe_load(path.read_text())["defaults"]
    chosen = [each.get("override /benchmark") or [] for each in defaults if isinstance(each, dict)]
    return ", ".join(f"[`{name}`](../benchmarks/{name}.md)" for names in chosen for name in names)


def _models() -> str:
    rows = []
    for path in _files("model"):
        settings = yaml.safe_load(path.read_text())
        rows.append(
            (
                code(path.stem),
                linked(first_comment(path)),
                _hub_id(settings),
                plain(settings.get("parameters_b")),
                _weights(settings),
                _sampling(settings),
                plain(settings.get("finish_tokens")),
            )
        )
    headings = (
        "name",
        "is",
        "on the hub",
        "parameters, billions",
        "weights",
        "sampling as published",
        "tokens to its end",
    )
    return table(headings, rows)


def _hub_id(settings: Mapping[str, Any]) -> str:
    hub_id = settings.get("hub_id") or ""
    return code(hub_id) if hub_id and "${" not in hub_id else plain(hub_id)


def _weights(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{column}: {value or settings.get('dtype', 'bfloat16')}"
        for column, value in (settings.get("weights") or {}).items()
    )


def _sampling(settings: Mapping[str, Any]) -> str:
    own = (settings.get("sampling") or {}).get("own") or {}
    return ", ".join(f"{name} {value}" for name, value in own.items())


def first_comment(path: Path) -> str:
    """What the first comment of a file says, without Hydra's own line."""
    said: list[str] = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            said.append(line.lstrip("# "))
    return " ".join(said)


def _files(group: str) -> list[Path]:
    return sorted((config_folder() / group).glob("*.yaml"))
