"""A page for each benchmark, from its YAML in conf/benchmark and the docstring of its module, so that neither can say something else."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from choices_page import first_comment
from tables import code, table

import llmbench
from llmbench.config.paths import config_folder

HEAD = """# Benchmarks

What can be asked. `profile=documented`, the default, asks few questions with short answers; `profile=published` asks all of them, to the model's own length.

    python -m llmbench benchmark=math model=qwen14b profile=published
"""
OWN_DATA = "custom.data=mine.csv custom.question=question custom.answer=answer custom.grade=number"
COLUMNS = ("documented", "before", "published", "debug")


def names() -> list[str]:
    """Of all benchmarks."""
    return sorted(path.stem for path in (config_folder() / "benchmark").glob("*.yaml"))


@cache
def _settings(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((config_folder() / "benchmark" / f"{name}.yaml").read_text())
    if "defaults" in found:  # what it takes over from another
        for other in found["defaults"]:
            if isinstance(other, str) and other in names():
                found = {
                    **_settings(other),
                    **{key: value for key, value in found.items() if key != "defaults"},
                }
    return found


def index() -> str:
    """The list of all."""
    rows = []
    for name in names():
        settings = _settings(name)
        size = _plain(settings.get("size"))
        rows.append((f"[`{name}`]({name}.md)", _title(name), size, _source(settings), _comment(name)))
    return HEAD + "\n" + table(("name", "is", "questions", "data", "in short"), rows)


def page(name: str) -> str:
    """The page of one."""
    settings = _settings(name)
    command = OWN_DATA if name == "custom" else f"benchmark={name} model=qwen14b profile=published"
    parts = [f"# {_title(name)}\n", _comment(name) + "\n", f"    python -m llmbench {command}\n"]
    if name == "custom":
        parts.append(
            "`custom.data` chooses `benchmark=custom` by itself; [the page on own data](../how-to/own-data.md) has more.\n"
        )
    parts += ["## Data\n", _data(name, settings)]
    parts += ["## How it is asked and graded\n", _docstring(settings), _asked(settings)]
    parts += ["## Profiles\n", _profiles(settings)]
    if settings.get("options") and name != "custom":
        parts += [
            "## Options\n",
            f"Of this benchmark alone, as `benchmarks.{name}.options.NAME=VALUE`.\n",
            _options(name, settings["options"]),
        ]
    parts += ["## Published scores\n", _references(settings)]
    return "\n".join(part for part in parts if part)


def _title(name: str) -> str:
    return "Data of your own" if name == "custom" else str(_settings(name).get("title") or name)


def _comment(name: str) -> str:
    return first_comment(config_folder() / "benchmark" / f"{name}.yaml")


def _source(settings: Mapping[str, Any]) -> str:
    if not settings.get("hub_id"):
        return "made on the spot"
    if "llmbench.custom" in settings["hub_id"]:
        return "a file, or a data set on the hub"
    config = f", {settings['hub_config']}" if settings.get("hub_config") else ""
    name = re.sub(
        r"\$\{\.options\.(\w+)\}", lambda found: str(settings["options"][found[1]]), settings["hub_id"]
    )
    return f"{code(name)}{config}, {settings.get('split', 'test')}"


def _data(name: str, settings: Mapping[str, Any]) -> str:
    rows = [("source", _source(settings)), ("questions", _plain(settings.get("size")) or "not fixed")]
    if settings.get("hub_id") and "${" not in settings["hub_id"]:
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
    if settings.get("subset"):
        rows.append(("subset", _plain(settings["subset"])))
    if settings.get("sealed"):
        rows.append(("sealed", "questions and answers are never written in plain text, as its authors ask"))
    return table(("", ""), rows)


def _docstring(settings: Mapping[str, Any]) -> str:
    """What the module says of data and protocol; paragraphs and lists of facts stay as they are."""
    name = str(settings["module"])
    name = "llmbench.benchmarks.generic" if "llmbench.custom" in name else name.partition(":")[0]
    module = name.removeprefix("llmbench.").replace(".", "/")
    base = Path(llmbench.__file__).parent / module
    path = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    text = re.sub(r"^A row: (\{.*?\})$", r"A row:\n\n    \1\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\n(?=(?:Data|Protocol|A row|Options|Grading)\b)", "\n\n", text)
    return _indented_rows(text) + "\n"


def _indented_rows(text: str) -> str:
    """Braces of an example row that runs over several lines are code in each of them."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = inside or line.startswith("    {")
        lines.append("    " + line.strip() if inside and line.strip() else line)
        inside = inside and not line.rstrip().endswith("}")
    return "\n".join(lines)


def _asked(settings: Mapping[str, Any]) -> str:
    texts = {
        "system prompt": settings.get("system_prompt"),
        "behind the question": settings.get("instruction"),
        "cue, where no answer stands yet": settings.get("cue"),
    }
    if "llmbench.custom" in str(settings.get("cue")):
        return "Instruction and cue are those of the grade; `benchmarks.custom.instruction` and `benchmarks.custom.cue` set others.\n"
    rows = [(what, code(str(text).strip().replace("\n", "\\n"))) for what, text in texts.items() if text]
    if settings.get("cue") and settings.get("cue_tokens"):
        rows.append(("tokens behind the cue", str(settings["cue_tokens"])))
    return table(("", ""), rows) if rows else ""


def _profiles(settings: Mapping[str, Any]) -> str:
    rows = []
    for column in COLUMNS:
        found = (settings.get("profiles") or {}).get(column)
        if found is None:
            continue
        stop = ", ".join(code(text) for text in found.get("stop") or []) or "none"
        if column == "debug":
            rows.append((code(column), _plain(found.get("num_samples")), "as documented", "as documented"))
        else:
            rows.append(
                (
                    code(column),
                    _plain(found.get("num_samples")) or "all",
                    _plain(found.get("max_tokens")),
                    stop,
                )
            )
    return table(("profile", "questions", "tokens", "stop strings"), rows)


def _options(name: str, options: Mapping[str, Any]) -> str:
    comments = dict(
        re.findall(
            r"^  (\w+):[^#\n]*#\s*(.+)$",
            (config_folder() / "benchmark" / f"{name}.yaml").read_text(),
            re.MULTILINE,
        )
    )
    return table(
        ("option", "by default", "meaning"),
        [(code(key), code(_plain(value) or "null"), comments.get(key, "")) for key, value in options.items()],
    )


def _references(settings: Mapping[str, Any]) -> str:
    found = settings.get("reference") or []
    if not found:
        return "None is shown: none was found whose protocol can be followed.\n"
    rows = []
    for each in found:
        mode = ", ".join(f"{key}: {_plain(value)}" for key, value in (each.get("mode") or {}).items())
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
                _plain(each.get("max_tokens")),
                sampling,
                _linked(str(each["source"])),
            )
        )
    shown = "Shown beside a run of the same model under `profile=published`, with everything that differs. What a source does not state is empty.\n"
    return (
        shown + "\n" + table(("model", "score", "metric", "protocol", "tokens", "sampling", "source"), rows)
    )


def _linked(source: str) -> str:
    return re.sub(r"https?://[^\s()]+", lambda found: f"<{found[0]}>", source)


WORDS = {
    r".*finish_tokens.*": "as many as the model needs to end by itself",
    r".*debug_samples.*": "3, or what the model's YAML says",
    r"\$\{\.options\.(\w+)\}": r"what the option `\1` says",
    r".*\.window.*": "of the window",
}
"""What interpolations in YAML stand for."""


def _plain(value: object) -> str:
    """A value in words."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    for pattern, words in WORDS.items():
        if found := re.fullmatch(pattern, text):
            return found.expand(words)
    return text
