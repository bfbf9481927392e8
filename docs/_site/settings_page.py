"""The page of all settings: names, types and meanings from the dataclasses of `llmbench.config` and the comments in them, values from conf/."""

import ast
import dataclasses
import inspect
import re
import tokenize
import types
import typing
from collections.abc import Iterator
from enum import Enum
from io import StringIO
from typing import Any

from omegaconf import MISSING
from tables import code, table

from llmbench.cli.compose import compose
from llmbench.config import engine, groups, schema
from llmbench.config.custom import CustomSettings

HEAD = """# Settings

Every setting of `python -m llmbench`, by the name that is typed: `NAME=VALUE`. `--cfg job --resolve` prints all of a command with their values; a mistyped name is refused with the nearest right one.
Values with spaces, braces or commas want quotes: `'engine.args={max_num_batched_tokens: 8192}'`.
"""
SECTIONS = {
    "benchmarks.NAME": (schema.BenchmarkConfig, "`benchmarks.aime.num_samples=5` sets one of AIME's; [`benchmark=NAME`](../benchmarks/index.md) chooses the benchmarks."),
    "benchmarks.NAME.sampling": (schema.SamplingOverrides, ""),
    "sampling": (schema.SamplingConfig, "The model's YAML and the profile give the values."),
    "custom": (CustomSettings, "[Own data](../how-to/own-data.md) has examples."),
    "judge": (groups.JudgeSettings, "[Judges](../how-to/judges.md) explains them."),
    "stop_when": (groups.StopSettings, "[Stopping early](../how-to/stop-early.md) explains them."),
    "model": (schema.ModelConfig, "[`model=NAME`](choices.md#model) chooses a set of values."),
    "engine": (engine.EngineConfig, "[`engine=NAME`](choices.md#engine) chooses a set of values."),
    "profile": (schema.ProfileConfig, "[`profile=NAME`](choices.md#profile) chooses a set of values."),
    "point": (schema.PointConfig, "[`ablation=NAME`](choices.md#ablation) sets them."),
}  # fmt: skip
"""Groups of settings with a name before the dot, and what is said of each beside its docstring."""
TITLES = {
    groups.QuestionSettings: "Questions",
    groups.BatchSettings: "Batches",
    groups.FaultSettings: "Faults",
    groups.CacheSettings: "Earlier runs",
    groups.OutputSettings: "Output",
}
VARIES = ("benchmarks", "model")
"""Groups whose values stand in the YAML of what is chosen."""


def page() -> str:
    """The page, in Markdown."""
    config = compose([])
    parts = [HEAD, "## Without a group\n"]
    for base, title in TITLES.items():
        parts += [f"### {title}\n", _introduction(base), _table("", base, config)]
    for prefix, (kind, remark) in SECTIONS.items():
        parts += [f"## `{prefix}`\n", _introduction(kind, remark), _table(f"{prefix}.", kind, config)]
    return "\n".join(parts)


def _introduction(kind: type, remark: str = "") -> str:
    return f"{_in_yaml(inspect.getdoc(kind) or '')} {remark}".strip() + "\n"


def _table(prefix: str, kind: type, config: schema.Config) -> str:
    meanings = dict(_meanings(kind))
    hints = typing.get_type_hints(kind)
    rows = [
        (
            code(f"{prefix}{f.name}"),
            meanings[f.name] or (f"as `sampling.{f.name}`" if kind is schema.SamplingOverrides else ""),
            _type(hints[f.name]),
            _value(prefix, kind, f.name, config),
        )
        for f in dataclasses.fields(kind)
        if not dataclasses.is_dataclass(hints[f.name])
    ]
    return table(("setting", "meaning", "value", "by default"), rows)


def _meanings(kind: type) -> Iterator[tuple[str, str]]:
    """Each field with the comment beside it or above it."""
    for base in reversed(kind.__mro__[:-1]):
        source = inspect.getsource(base)
        comments = {
            token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
            for token in tokenize.generate_tokens(StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        (tree,) = ast.parse(source).body
        for node in tree.body if isinstance(tree, ast.ClassDef) else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                beside = comments.get(node.end_lineno or node.lineno, ("", False))
                above: list[str] = []
                line = node.lineno - 1
                while line in comments and comments[line][1]:
                    above.insert(0, comments[line][0])
                    line -= 1
                words = [*above, *([beside[0]] if not beside[1] else [])]
                yield node.target.id, _in_yaml(" ".join(words).strip())


def _in_yaml(text: str) -> str:
    return re.sub(r"\bNone\b", "null", text)


def _type(hint: Any) -> str:  # noqa: ANN401 - a type hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(
            code(choice.value if isinstance(choice.value, str) else choice.name) for choice in hint
        )
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if kind is type(None) else _type(kind) for kind in inner)
    if origin in (list, dict) or hint in (list, dict):
        return "list" if (origin or hint) is list else "mapping"
    words = {bool: "true, false", int: "whole number", float: "number", str: "text"}
    return words.get(hint, "any")


def _value(prefix: str, kind: type, name: str, config: schema.Config) -> str:
    """The value without anything typed, or where it is to be found."""
    group = prefix.partition(".")[0]
    if group in VARIES:
        value = getattr(kind(), name)
    else:
        value = getattr(getattr(config, group) if group else config, name)
    if value == MISSING:
        return f"by {group.rstrip('s')}"
    return code(_plain(value)) if value != "" else "empty"


def _plain(value: Any) -> str:  # noqa: ANN401 - of any setting
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Enum):
        return str(value.value if isinstance(value.value, str) else value.name)
    return re.sub(r"\.0$", "", str(value)) if isinstance(value, float) else str(value)
