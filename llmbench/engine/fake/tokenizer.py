"""The tokenizer of the engine without a model."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmbench.engine.fake.thoughts import ASSISTANT, OPEN, Thoughts
from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import Message


class WordTokenizer(Tokenizer):
    """Words with the white space before them as tokens, numbered as they come up."""

    def __init__(self, thoughts: Thoughts | None = None) -> None:
        """Takes what its model thinks."""
        self._thoughts = thoughts or Thoughts()
        self._ids: dict[str, int] = {}
        self._words: list[str] = []

    def chat(self, messages: Sequence[Message], options: Mapping[str, Any], day: str | None = None) -> str:  # noqa: ARG002 - no template to steer
        """The turns, a role and its content each."""
        turns = "".join(f"<{message.role}>\n{message.content}\n" for message in messages)
        return f"{turns}{ASSISTANT}{self._thoughts.in_prompt()}"

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The words."""
        return [self._words[number] for number in ids]

    def think_tag(self, options: Mapping[str, Any]) -> str:  # noqa: ARG002 - as above
        """The tag, of a model that thinks."""
        return OPEN.strip() if self._thoughts.words else ""

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:  # noqa: ARG002 - there are no special tokens
        """A number for every word."""
        return tuple(self._number(word) for word in re.findall(r"\s*\S+|\s+$", text))

    def _number(self, word: str) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]

    def decode(self, ids: Sequence[int]) -> str:
        """The words, joined."""
        return "".join(self._words[number] for number in ids)
