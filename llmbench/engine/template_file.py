"""A chat template in a file of the user's (`model.chat_template`), which stands in the place of the model's own."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jinja2

from llmbench.config.schema import ModelConfig
from llmbench.errors import ConfigError, first_line
from llmbench.system import files

OF_TRANSFORMERS = re.compile(r"{%-?\s*(end)?generation\s*-?%}")
"""Tags that transformers adds to Jinja's."""
PROBE = "llmbench asks", "llmbench answers"
"""A question and an answer, to see what a template writes between them."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template's file, by its absolute path, and the SHA-256 of what it holds, in hex."""

    path: str
    sha256: str
    text: str = field(repr=False)

    def row(self) -> dict[str, str]:
        """What the manifest says of it."""
        return {"path": self.path, "sha256": self.sha256}

    def check_generation_prompt(self, write: Callable[..., Any]) -> None:
        """Refuses a template that leaves it to the model to begin its turn.

        A template need not write anything where an answer follows the question directly, as Mistral's do; so what it writes of a
        whole exchange is looked at.

        Args:
            write: A tokenizer's `apply_chat_template`, with this template.

        Raises:
            ConfigError: Before an answer stands what the template does not write before a missing one.
        """
        question, answer = (
            {"role": r, "content": c} for r, c in zip(("user", "assistant"), PROBE, strict=True)
        )
        try:
            asked, without = (
                str(write([question], add_generation_prompt=wanted)) for wanted in (True, False)
            )
            head = str(write([question, answer], add_generation_prompt=False)).partition(PROBE[1])[0]
        except Exception:  # noqa: BLE001 - a template may raise anything, and the run's own prompts say what is wrong
            return
        if asked == without and head.startswith(asked) and head.removeprefix(asked).strip():
            raise ConfigError(
                f"model.chat_template={self.path} has no generation prompt: before an answer it writes "
                f"{head.removeprefix(asked).strip()!r}, but not where the answer is to come; write that in "
                "{% if add_generation_prompt %}…{% endif %} at its end."
            )


def read(model: ModelConfig) -> TemplateFile | None:
    """Reads the file of `model.chat_template`; None where none is set.

    Raises:
        ConfigError: There is no such file, it holds no Jinja template, or another template is chosen beside it.
    """
    if model.chat_template is None:
        return None
    path = files.expanded(model.chat_template, ConfigError, "model.chat_template").absolute()
    setting = f"model.chat_template={path}"
    if "chat_template" in model.chat_template_kwargs:
        raise ConfigError(
            f"{setting} and model.chat_template_kwargs.chat_template both choose a template; leave one of them out."
        )
    try:
        content = files.read(path, files.JSON_BYTES)
        text = content.decode()
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False).parse(  # noqa: S701 - prompts are no HTML
            OF_TRANSFORMERS.sub("", text)
        )
    except (OSError, UnicodeDecodeError, jinja2.TemplateSyntaxError) as error:
        line = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ConfigError(f"{setting} is not a Jinja template: {line}{reason}; fix the file.") from error
    return TemplateFile(str(path), hashlib.sha256(content).hexdigest(), text)
