"""Text to token ids and back, with the model's own chat template."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from llmbench.errors import ModelError
from llmbench.models import Checkpoint
from llmbench.records import Message


class Tokenizer(Protocol):
    """What rendering and elicitation need."""

    def chat(self, messages: Sequence[Message], options: Mapping[str, Any]) -> str:
        """The chat as the model reads it, up to where its answer begins."""

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Token ids; `special` adds what the tokenizer puts around a plain text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""


class HubTokenizer:
    """A transformers tokenizer; `hub` is the library's own object."""

    def __init__(self, checkpoint: Checkpoint, *, trust_remote_code: bool) -> None:
        """Reads it from the checkpoint.

        Raises:
            ModelError: The checkpoint has no usable tokenizer.
        """
        from transformers import AutoTokenizer

        try:
            self.hub = AutoTokenizer.from_pretrained(
                checkpoint.name, revision=checkpoint.revision, trust_remote_code=trust_remote_code
            )
        except Exception as error:  # of the library, about the checkpoint's files: its kinds are many
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ModelError(f"The tokenizer of {checkpoint.name} cannot be read: {reason}.") from error

    def chat(self, messages: Sequence[Message], options: Mapping[str, Any]) -> str:
        """The chat template's text.

        Raises:
            ModelError: The model has no chat template, or the template refuses the messages.
        """
        if not self.hub.chat_template:
            raise ModelError(
                "The model has no chat template; use chat=false, and fewshot=K for a base model."
            )
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(
                self.hub.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **options)
            )
        except Exception as error:
            raise ModelError(f"The model's chat template refuses the prompt: {error}.") from error

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Token ids; `special` adds what the tokenizer puts around a plain text."""
        return tuple(self.hub(text, add_special_tokens=special)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens, spaces as generated."""
        return str(self.hub.decode(list(ids), skip_special_tokens=True, **self._decode_options()))

    def _decode_options(self) -> dict[str, Any]:
        known = inspect.signature(self.hub.decode).parameters
        return {"clean_up_tokenization_spaces": False} if "clean_up_tokenization_spaces" in known else {}
