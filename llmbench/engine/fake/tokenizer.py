"""The tokenizer of the engine without a model, and an artificial think block: `engine.args={thinks: {words: 40, opened: true}}`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import Message, Request
from llmbench.system import thinking

OPEN, CLOSE = "<think>\n", "\n</think>\n\n"
ASSISTANT = "<assistant>\n"
"""Where an answer begins in a prompt."""


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What the model thinks before it answers.

    Attributes:
        words: Words of its thinking; 0: it has no think block. The second answer to a question thinks twice as long, and so on.
        opened: The prompt opens the block.
    """

    words: int = 0
    opened: bool = False

    def in_prompt(self) -> str:
        """What a prompt ends with."""
        return OPEN if self.words and self.opened else ""

    def text(self, request: Request, prompt: str, answer: str) -> str:
        """What the model writes behind a prompt that may hold a part of its text already."""
        said = prompt.rpartition(ASSISTANT)[2] if ASSISTANT in prompt else ""
        begins = thinking.answer_begins(said)
        if not self.words:
            return answer
        # the block is closed, and perhaps a part of the answer there
        if begins is not None and begins < len(said):
            begun = said[begins:].strip()
            return answer.removeprefix(begun) if begun else answer
        steps = " ".join(f"step-{number}" for number in range(1, 1 + self.words * (1 + request.repeat)))
        whole = f"{OPEN}{steps}{CLOSE}{answer}"
        return whole.removeprefix(said)


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
        return tuple(map(self._number, re.findall(r"\s*\S+|\s+$", text)))

    def _number(self, word: str) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]

    def decode(self, ids: Sequence[int]) -> str:
        """The words, joined."""
        return "".join(self.pieces(ids))
