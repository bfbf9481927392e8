"""Text to token ids and back, with the model's own chat template."""

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Protocol

from llmbench.engine import chat_template
from llmbench.engine.checkpoint import Checkpoint, needs_code
from llmbench.engine.template_file import TemplateFile
from llmbench.errors import ModelError, first_line, shortened
from llmbench.records import Message
from llmbench.system import thinking


class Tokenizer(Protocol):
    """What rendering and elicitation need; what concerns a chat template stays as it is here where there is none."""

    def chat(self, messages: Sequence[Message], options: Mapping[str, Any], day: str | None = None) -> str:
        """The chat as the model reads it, up to where its answer begins.

        The chat template is given `options` beside the turns, and writes the date `day` (YYYY-MM-DD), None for today, where it writes one.
        """

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Token ids; `special` adds what the tokenizer puts before a plain text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens, but with those that mark thinking."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, special tokens too."""

    def remarks(self, options: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 - for those with a template
        """Sentences about what the chat template does with its options, the date and system prompts."""
        return []

    def think_tag(self, options: Mapping[str, Any]) -> str:  # noqa: ARG002 - as above
        """The tag that opens the model's think block, where its chat template names one; nothing where it names none."""
        return ""


class HubTokenizer:
    """A transformers tokenizer; `hub` is the library's own object."""

    def __init__(
        self, checkpoint: Checkpoint, *, trust_remote_code: bool, template: TemplateFile | None = None
    ) -> None:
        """Reads it from the checkpoint; `template` stands in the place of the model's own chat template.

        Raises:
            ModelError: The checkpoint has no usable tokenizer.
            ConfigError: `template` has no generation prompt.
        """
        from transformers import AutoTokenizer

        try:
            self.hub = AutoTokenizer.from_pretrained(
                checkpoint.name, revision=checkpoint.revision, trust_remote_code=trust_remote_code
            )
        except Exception as error:  # of the library, about the checkpoint's files: its kinds are many
            if "trust_remote_code" in str(error):
                raise ModelError(needs_code(checkpoint.name)) from error
            raise ModelError(
                f"The tokenizer of {checkpoint.name} cannot be read ({type(error).__name__}: {first_line(error)}); copy tokenizer.json, "
                "tokenizer_config.json and config.json again."
            ) from error
        own = getattr(self.hub, "chat_template", None)
        self._templates = template.text if template else chat_template.find(own, checkpoint.folder)
        self._day: str | None = None
        self._moved_system_prompt = False
        if template is not None:
            template.check_generation_prompt(
                partial(self.hub.apply_chat_template, chat_template=template.text, tokenize=False)
            )

    def chat(self, messages: Sequence[Message], options: Mapping[str, Any], day: str | None = None) -> str:
        """The chat template's text; a system prompt goes into the first user turn where the template takes none.

        Raises:
            ModelError: The model has no chat template, several without a default, or it refuses the messages.
        """
        template = chat_template.choose(self._templates, options.get("chat_template"))
        more = {name: value for name, value in options.items() if name != "chat_template"}
        if day is not None and chat_template.mentions(template, chat_template.NOW):
            template, self._day = chat_template.dated(template, day), day

        def write(turns: list[chat_template.Turn]) -> str:
            text = self.hub.apply_chat_template(
                turns, chat_template=template, tokenize=False, add_generation_prompt=True, **more
            )
            return str(text)

        try:
            text, moved = chat_template.render(messages, write)
        except Exception as error:
            raise ModelError(
                f"The model's chat template refuses the prompt: {shortened(str(error))}."
            ) from error
        self._moved_system_prompt |= moved
        return text

    def remarks(self, options: Mapping[str, Any]) -> list[str]:
        """Sentences about what the chat template does with its options, the date and system prompts."""
        found = []
        if self._moved_system_prompt:
            found.append(
                "The model's chat template takes no system prompt: it stands before the first question. "
                "model.system_prompt=false leaves it out."
            )
        if self._day is not None:
            found.append(
                f"The model's chat template writes the date into every prompt: {self._day}, also when this run is resumed later. "
                "model.template_date=YYYY-MM-DD sets another."
            )
        if self._templates:
            template = chat_template.choose(self._templates, options.get("chat_template"))
            found += [
                f"model.chat_template_kwargs.{name} changes nothing: the model's chat template does not read it."
                for name in options
                if name != "chat_template" and not chat_template.mentions(template, name)
            ]
        return found

    def think_tag(self, options: Mapping[str, Any]) -> str:
        """The tag that opens the model's think block, where its chat template names one; nothing where it names none."""
        if not self._templates:
            return ""
        return thinking.opening(chat_template.choose(self._templates, options.get("chat_template")))

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Token ids; `special` adds what the tokenizer puts before a plain text, but nothing behind it, where the answer begins."""
        ids = tuple(self.hub(text, add_special_tokens=special)["input_ids"])
        return ids[: len(ids) - self._behind] if special else ids

    @cached_property
    def _behind(self) -> int:
        """How many tokens the tokenizer puts behind a plain text."""
        plain, whole = (list(self.hub("a", add_special_tokens=s)["input_ids"]) for s in (False, True))
        ends = (end for end in range(len(whole), 0, -1) if whole[:end][-len(plain) :] == plain)
        return len(whole) - next(ends, len(whole))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, special tokens too."""
        return [str(self.hub.decode([token], skip_special_tokens=False)) for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text as generated, without special tokens other than those that mark thinking."""
        hidden = self._hidden
        if self.marks_thinking:
            kept = [token for token in ids if token not in hidden]
            return str(self.hub.decode(kept, skip_special_tokens=False, **self._decode_options))
        return str(self.hub.decode(list(ids), skip_special_tokens=True, **self._decode_options))

    @cached_property
    def marks_thinking(self) -> bool:
        """Whether tokens that mark thinking are special ones, which engines leave out of texts."""
        return any(thinking.is_mark(text) for text in self._special.values())

    def visible(self, text: str) -> str:
        """An engine's text with all special tokens, without those that do not mark thinking."""
        for token in self._hidden.values():
            text = text.replace(token, "")
        return text

    @cached_property
    def _special(self) -> dict[int, str]:
        """Special tokens by their ids."""
        added = getattr(self.hub, "added_tokens_decoder", {})
        special = {number: str(token) for number, token in added.items() if getattr(token, "special", False)}
        own = zip(self.hub.all_special_ids, self.hub.all_special_tokens, strict=False)
        return special | {number: str(token) for number, token in own}

    @cached_property
    def _hidden(self) -> dict[int, str]:
        return {number: token for number, token in self._special.items() if not thinking.is_mark(token)}

    @cached_property
    def _decode_options(self) -> dict[str, Any]:
        known = inspect.signature(self.hub.decode).parameters
        return {"clean_up_tokenization_spaces": False} if "clean_up_tokenization_spaces" in known else {}
