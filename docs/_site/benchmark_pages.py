"""A page for each benchmark, from its YAML in conf/benchmark and the docstring of its module, so that neither can say something else."""

import inspect
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import yaml
from choices_page import first_comment
from tables import code, in_yaml, linked, plain, table

from llmbench.benchmarks import generic
from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.importing import import_benchmark
from llmbench.cli.compose import compose
from llmbench.config.choices import FewshotBy
from llmbench.config.custom import BENCHMARK
from llmbench.config.paths import config_folder
from llmbench.config.schema import BenchmarkConfig, ProfileConfig

DEFAULT_PROFILE = ProfileConfig.samples
HEAD = """---
hide: [toc]
---
# Benchmarks

What can be asked. `profile=documented`, the default, asks few questions with short answers; `profile=published` asks all of them, to the model's own length.
[Data of your own](../how-to/own-data.md) is asked with one command too.

    python -m llmbench benchmark=math model=qwen14b profile=published
"""
CHOOSING = """## How each is asked, and what that was checked against

The protocol is that of `profile=published`. Columns and prompts were compared with how the named program reads and words the same data, grading with its verdicts or with
answers whose verdict is known. Nothing here says that a score is right: [a report](../reading-a-report.md) names what keeps one from standing beside published ones.
"""


def names() -> list[str]:
    """Of all benchmarks that have data of their own; `custom` has the user's."""
    found = (path.stem for path in (config_folder() / "benchmark").glob("*.yaml"))
    return sorted(name for name in found if name != BENCHMARK)


@cache
def _settings(name: str) -> dict[str, Any]:
    base, own = (
        yaml.safe_load((config_folder() / path).read_text())
        for path in ("benchmark_base.yaml", f"benchmark/{name}.yaml")
    )
    return {**base, **own, "profiles": {**base["profiles"], **own["profiles"]}}


def index() -> str:
    """The list of all, and how each is asked, graded and checked."""
    listed, compared = [], []
    for name in names():
        settings = _settings(name)
        link = f"[`{name}`]({name}.md)"
        listed.append((link, _comment(name), _size(name), _source(settings)))
        compared.append((link, _protocol(settings), plain(settings.get("checked")) or "nothing yet"))
    return "\n".join(
        [
            HEAD,
            table(("name", "is", "questions", "data"), listed),
            CHOOSING,
            table(("name", "protocol", "checked"), compared),
        ]
    )


def page(name: str) -> str:
    """The page of one."""
    settings = _settings(name)
    parts = [
        f"# {_title(name)}\n",
        _comment(name) + "\n",
        f"    python -m llmbench benchmark={name} model=qwen14b profile=published\n",
    ]
    parts += ["## Data\n", _data(name, settings)]
    parts += ["## How it is asked and graded\n", _docstring(settings), _asked(name, settings)]
    parts += ["## Profiles\n", _remark(name, "profiles"), _profiles(settings)]
    if settings.get("options"):
        parts += [
            "## Options\n",
            f"Of this benchmark alone, as `benchmarks.{name}.options.NAME=VALUE`.\n",
            _options(name),
        ]
    parts += ["## Published scores\n", _references(settings)]
    return "\n".join(part for part in parts if part)


def _title(name: str) -> str:
    return str(_settings(name).get("title") or name)


def _comment(name: str) -> str:
    return first_comment(config_folder() / "benchmark" / f"{name}.yaml")


def _remark(name: str, setting: str) -> str:
    """The comment beside a setting in the YAML, as a sentence."""
    text = (config_folder() / "benchmark" / f"{name}.yaml").read_text()
    found = re.search(rf"^{setting}:.*?\s#\s*(.+)$", text, re.MULTILINE)
    return f"{found[1][0].upper()}{found[1][1:]}.\n" if found else ""


def _size(name: str) -> str:
    """The number of questions as it is composed, since a YAML may look it up in its options."""
    return plain(_composed(name).size)


@cache
def _composed(name: str) -> BenchmarkConfig:
    """The benchmark's settings as its protocol has them."""
    return compose([f"benchmark={name}", "profile=published"]).benchmarks[name]


def _source(settings: Mapping[str, Any]) -> str:
    if not settings.get("hub_id"):
        return "made on the spot"
    config = f", {settings['hub_config']}" if settings.get("hub_config") else ""
    name = re.sub(
        r"\$\{\.options\.(\w+)\}", lambda found: str(settings["options"][found[1]]), settings["hub_id"]
    )
    return f"{code(name)}{config}, {settings.get('split', 'test')}"


def _data(name: str, settings: Mapping[str, Any]) -> str:
    rows = [("source", _source(settings)), ("questions", _size(name) or "not fixed")]
    if settings.get("hub_id"):
        rows.append(
            (
                "revision",
                code(settings.get("revision", "main")) + "; what it resolved to is in the run's manifest",
            )
        )
        rows.append(
            (
                "a local copy",
                code(f"benchmarks.{name}.data_files=FILE")
                + ", .jsonl, .json, .csv or .parquet under the same field names",
            )
        )
    if settings.get("checked"):
        rows.append(("checked", plain(settings["checked"])))
    if settings.get("subset"):
        rows.append(("subset", plain(settings["subset"])))
    if settings.get("sealed"):
        rows.append(("sealed", "questions and answers are never written in plain text, as its authors ask"))
    return table(("", ""), rows)


def _docstring(settings: Mapping[str, Any]) -> str:
    """What the module says of data and protocol; each of its parts is a paragraph, an example row is code."""
    text = _described(settings)
    text = re.sub(
        r"^A row: (\{.*?\})(?:\. |$)", r"\nA row:\n\n    \1\n\n", text, flags=re.MULTILINE | re.DOTALL
    )
    text = re.sub(r"^(Data|Protocol|Levels|Options|Outcomes): ", r"\n**\1:** ", text, flags=re.MULTILINE)
    text = re.sub(r"^(?=A row's fields:)", "\n", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", linked(_indented_rows(text))) + "\n"


def _described(settings: Mapping[str, Any]) -> str:
    """The docstring of a benchmark's module; of a class that a YAML names, how it grades."""
    module, _, kind = settings["module"].partition(":")
    if not kind:
        return inspect.getdoc(import_module(module)) or ""
    found = getattr(import_module(module), kind)
    return (inspect.getdoc(found) or "") + f"\nProtocol: graded as {found.grading}."


def _protocol(settings: Mapping[str, Any]) -> str:
    """The first part of the sentence on the protocol; where there is none, what the class says of its grading."""
    found = re.search(
        r"^Protocol: (.*?)(?:[.;](?:\s|\Z)|\n\n|\Z)", _described(settings), re.MULTILINE | re.DOTALL
    )
    shots = settings["profiles"]["published"].get("fewshot")
    if found is not None and shots and ":" in settings["module"]:
        return f"{shots} worked examples, {' '.join(found[1].split())}"
    if found is None:
        grading = getattr(import_benchmark("", settings["module"]), "grading", "")
        return f"graded as {grading}" if grading else "as its page says"
    return " ".join(found[1].split())


def _indented_rows(text: str) -> str:
    """Braces of an example row that runs over several lines are code in each of them."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = inside or line.startswith("    {")
        lines.append("    " + line.strip() if inside and line.strip() else line)
        inside = inside and not line.rstrip().endswith("}")
    return "\n".join(lines)


def _asked(name: str, settings: Mapping[str, Any]) -> str:
    composed = _composed(name)
    texts = {
        "system prompt": composed.system_prompt,
        "behind the question": composed.instruction,
        "cue, where no answer stands yet": composed.cue,
    }
    rows = [(what, code(str(text).strip().replace("\n", "\\n"))) for what, text in texts.items() if text]
    if composed.cue_tokens:
        rows.append(("tokens behind the cue", str(composed.cue_tokens)))
    else:
        rows.append(("an answer that is missing", "is not asked for"))
    rows.append(("worked examples", _worked_examples(name, settings)))
    return table(("", ""), rows)


def _worked_examples(name: str, settings: Mapping[str, Any]) -> str:
    kind = type(import_benchmark(name, settings["module"]))
    if kind.worked_example is Benchmark.worked_example:
        return "none: the data has no solutions to show"
    if kind.own_examples is not Benchmark.own_examples:
        protocol = settings["profiles"]["published"].get("fewshot", 0)
        return f"{protocol}, of the protocol's own; `fewshot=N` shows fewer"
    split = settings.get("fewshot_split")
    source = (
        f"the split {code(split)}, or with `data_files` from the other questions"
        if split
        else "the other questions"
    )
    if settings.get("fewshot_by") == FewshotBy.subject.value:
        source += ", the first ones of the question's subject"
    protocol = (settings["profiles"].get("published") or {}).get("fewshot")
    first = f"{protocol} with `profile=published`, else none" if protocol else "none"
    return f"{first}, or as many as `fewshot=N` says, from {source}"


def _profile(name: str) -> dict[str, Any]:
    """The settings of a profile, with those that it takes over."""
    found: dict[str, Any] = yaml.safe_load((config_folder() / "profile" / f"{name}.yaml").read_text())
    for other in found.pop("defaults", []):
        found = _profile(other) | found
    return found


def _profiles(settings: Mapping[str, Any]) -> str:
    rows, columns = [], settings["profiles"]
    paths = (config_folder() / "profile").glob("*.yaml")
    for path in sorted(paths, key=lambda each: (each.stem != DEFAULT_PROFILE, each.stem)):
        profile = _profile(path.stem)
        stop = columns[profile["stops"]]["stop"] if profile["early_stopping"] != "off" else []
        row = (
            code(path.stem),
            plain(columns[profile["samples"]]["num_samples"]) or "all",
            plain(columns[profile["tokens"]]["max_tokens"]),
            ", ".join(map(code, stop)) or "none",
        )
        rows.append(row)
    return table(("profile", "questions", "tokens", "stop strings"), rows)


def _options(name: str) -> str:
    """The options with their values as they are composed; one that is a table of its own follows as such."""
    lines = (config_folder() / "benchmark" / f"{name}.yaml").read_text().partition("\noptions:")[2]
    comments = dict(re.findall(r"^ +(\w+):.*?\s#\s*(.+)$", lines, re.MULTILINE))
    mapping = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", generic.__doc__ or "", re.MULTILINE))
    rows, tables = [], ""
    for key, value in _composed(name).options.items():
        if isinstance(value, dict):
            entries = [
                (code(entry), code(in_yaml(of)), comments.get(entry, "")) for entry, of in value.items()
            ]
            tables += f"\n### `{key}`\n\n" + table(("name", "value", "of"), entries)
            shown = "the table below"
        else:
            shown = code(in_yaml(value))
        rows.append((code(key), comments.get(key) or mapping.get(key, ""), shown))
    return table(("option", "meaning", "by default"), rows) + tables


def _references(settings: Mapping[str, Any]) -> str:
    found = settings.get("reference") or []
    if not found:
        return "None is shown: none was found whose protocol can be followed.\n"
    rows = []
    for each in found:
        mode = ", ".join(f"{key}: {plain(value)}" for key, value in (each.get("mode") or {}).items())
        sampling = ", ".join(
            f"{key} {each[key]}"
            for key in ("temperature", "top_p", "top_k", "presence_penalty")
            if key in each
        )
        rows.append(
            (
                code(each["model"]) + (f" ({mode})" if mode else ""),
                f"{100 * each['value']:.1f}%",
                str(each.get("metric", "accuracy")),
                "; ".join([str(each.get("protocol", "")), *map(str, each.get("otherwise") or [])]).strip(
                    "; "
                ),
                plain(each.get("max_tokens")),
                sampling,
                linked(str(each["source"])),
            )
        )
    shown = "Shown beside a run of the same model under `profile=published`, with everything that differs. What a source does not state is empty.\n"
    return (
        shown + "\n" + table(("model", "score", "metric", "protocol", "tokens", "sampling", "source"), rows)
    )
