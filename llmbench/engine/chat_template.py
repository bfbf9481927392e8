"""The chat template of a model: which of several, which date it writes, and what it does with a system prompt."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from llmbench.errors import ModelError
from llmbench.records import Message
from llmbench.system import files

NOW = "strftime_now"
"""The function of transformers with which a template writes today's date."""
Turn = dict[str, Any]
"""As templates take it: `role`, and `content` as text or as a list of parts."""


def find(own: object, folder: str | None) -> str | Mapping[str, str] | None:
    """The template that the tokenizer has, else the one in a file beside it that its class does not read.

    Raises:
        ModelError: There is something else under `chat_template`.
    """
    found, place = own, "The model's tokenizer"
    if not found and folder is not None:
        for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
            path = Path(folder, name)
            found, place = _in_file(path), str(path)
            if found:
                break
    if isinstance(found, list):  # how files write templates with names
        with suppress(TypeError, KeyError):
            found = {str(row["name"]): str(row["template"]) for row in found}
    if not found:
        return None
    if isinstance(found, str | Mapping):
        return found
    raise ModelError(f"{place} holds no chat template that can be read; fix the file, or use chat=false.")


def _in_file(path: Path) -> object:
    if path.suffix == ".json":
        return files.json_object(path).get("chat_template")
    return files.read(path, files.JSON_BYTES).decode(errors="replace") if path.is_file() else None


def choose(templates: str | Mapping[str, str] | None, name: str | None) -> str:
    """One template's text: the one that `chat_template_kwargs.chat_template` names, "default", or the only one.

    Raises:
        ModelError: There is none, or there are several and none is chosen.
    """
    if not templates:
        raise ModelError("The model has no chat template; use chat=false, and fewshot=K for a base model.")
    if isinstance(templates, str):
        return name or templates
    name = name if name is not None else "default" if "default" in templates else None
    if name is None and len(templates) == 1:
        return next(iter(templates.values()))
    if name is None:
        raise ModelError(
            f"The model has several chat templates ({', '.join(templates)}) and none is the default; choose one with "
            f"model.chat_template_kwargs.chat_template={next(iter(templates))}."
        )
    return templates.get(name, name)  # else a template's own text


def mentions(template: str, name: str) -> bool:
    """Whether a template reads an option, or calls a function."""
    return re.search(rf"\b{re.escape(name)}\b", template) is not None


def dated(template: str, day: str) -> str:
    """The template with a macro in the place of transformers' function, so that it writes this day (YYYY-MM-DD) and not today.

    The function itself cannot be given: transformers passes plain data to templates only.
    """
    codes = sorted(set(re.findall(r"%-?[A-Za-z]", template)))
    replaced = "".join(f".replace('{code}', '{date.fromisoformat(day).strftime(code)}')" for code in codes)
    return f"{{% macro {NOW}(format) %}}{{{{ format{replaced} }}}}{{% endmacro %}}{{{{ '' }}}}{template}"


def render(messages: Sequence[Message], write: Callable[[list[Turn]], str]) -> tuple[str, bool]:
    """The chat's text, and whether the system prompt was moved to the first user turn since the template takes none.

    Some templates read a turn's text only as a list of parts, as models of images have it: then it is given so.

    Raises:
        Exception: What `write`, the template, raises for each form of the turns.
        ModelError: The template leaves out what the user says, or changes it.
    """
    turns: list[Turn] = [{"role": message.role, "content": message.content} for message in messages]
    asked = [message.content.strip() for message in messages if message.role == "user"]
    refusal: Exception | None = None
    for form in (
        lambda turn: turn,
        lambda turn: {**turn, "content": [{"type": "text", "text": turn["content"]}]},
    ):
        try:
            text, moved = _with_system(turns, lambda given, form=form: write([form(turn) for turn in given]))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            refusal = refusal or error
            continue
        if all(words in text for words in asked):
            return text, moved
    if refusal is not None:
        raise refusal
    raise ModelError("it leaves out the question, or changes it; use another template, or chat=false")


def _with_system(turns: list[Turn], write: Callable[[list[Turn]], str]) -> tuple[str, bool]:
    has_system = turns[0]["role"] == "system"
    try:
        text = write(turns)
    except Exception:
        if not has_system:
            raise
        text = None
    if text is not None and (not has_system or turns[0]["content"].strip() in text):
        return text, False
    system, first, *rest = turns
    folded = {"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}
    return write([folded, *rest]), True
