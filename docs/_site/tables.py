"""Tables in Markdown."""

import re
from collections.abc import Iterable, Sequence

import yaml

from llmbench.config.schema import ModelConfig

WORDS = {
    r".*finish_tokens.*": "as many as the model needs to end by itself",
    r".*debug_samples.*": f"{ModelConfig.debug_samples}, or what the model's YAML says",
    r".*llmbench\.served:.*": "as the server calls it",
    r".*llmbench\.chat:.*": "true, and false under `scoring=loglikelihood`",
    r"\$\{\.options\.(\w+)\}": r"what the option `\1` says",
    r"\$\{\.hub_config\}": "the configuration that is named above",
    r"\$\{oc\.select:\.options\.(\w+)\.\$\{\.(\w+)\},null\}": r"what the option `\1` says of `\2`",
    r"\$\{\.+(\w+)\}": r"as `\1`",
}
"""What interpolations in YAML stand for."""


def code(text: object) -> str:
    """The text in a fixed-width font, whatever marks are in it."""
    words = str(text)
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `|` and line breaks in a cell are made harmless."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def plain(value: object) -> str:
    """A value in words.

    Raises:
        ValueError: The value is an interpolation that WORDS has no words for.
    """
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    for pattern, words in WORDS.items():
        if found := re.fullmatch(pattern, text):
            return found.expand(words)
    if "${" in text:
        raise ValueError(f"{text} has no words in docs/_site/tables.WORDS, so no page can show it; add them.")
    return text


def in_yaml(value: object) -> str:
    """A value as it is typed."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
        .removesuffix("\n")
        .removesuffix("\n...")
        .strip("{}" if isinstance(value, dict) else "")
    )


def linked(text: str) -> str:
    """The text with its addresses as links."""
    return re.sub(r"https?://[^\s(),]+", lambda found: f"<{found[0]}>", text)
