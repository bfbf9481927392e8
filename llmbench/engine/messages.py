"""Messages in place of tokens, for a server that applies the chat template itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from llmbench.config.choices import Api
from llmbench.config.engine import EngineConfig
from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import Message, well_formed


def is_chat(engine: EngineConfig) -> bool:
    """Whether a server gets messages and not token ids, so that nothing is needed of the checkpoint."""
    return engine.api is not Api.completions


def as_rows(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as a server gets them."""
    return [{"role": message.role, "content": well_formed(message.content)} for message in messages]


def as_json(messages: Sequence[Message]) -> str:
    """The same as text."""
    return orjson.dumps(as_rows(messages)).decode()


class NoTokenizer(Tokenizer):
    """Stands for a tokenizer where only the server has one: prompts are shown as messages, and have no tokens here."""

    def chat(self, messages: Sequence[Message], options: Mapping[str, Any], day: str | None = None) -> str:  # noqa: ARG002 - the template is the server's
        """The messages as the server gets them."""
        return as_json(messages)

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:  # noqa: ARG002 - there are none
        """Nothing."""
        return ()

    def decode(self, ids: Sequence[int]) -> str:  # noqa: ARG002 - as above
        """Nothing."""
        return ""

    def pieces(self, ids: Sequence[int]) -> list[str]:  # noqa: ARG002 - as above
        """Nothing."""
        return []
