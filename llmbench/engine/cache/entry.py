"""An answer as it is kept: JSON, deflated and in base64, as the journal packs what is sealed, so that no text stands there as it is."""

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Self

import orjson

from llmbench.records import Completion, FinishReason


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer as it is kept: of a completion what does not depend on this run.

    `words` stand for ids that mean nothing later; `prompt_tokens` is a server's count, where the prompt has no tokens here.
    """

    text: str
    finish_reason: FinishReason
    stop_string: str | None
    output_tokens: int
    output_ids: tuple[int, ...] = ()
    words: str | None = None
    prompt_tokens: int = 0

    @classmethod
    def of(cls, completion: Completion, words: str | None) -> Self:
        """From what an engine gave."""
        return cls(
            completion.text,
            completion.finish_reason,
            completion.stop_string,
            completion.output_tokens,
            completion.output_ids if words is None else (),
            words,
            completion.prompt_tokens,
        )

    def pack(self) -> bytes:
        """As it is stored.

        Raises:
            TypeError: The text is none that JSON can hold.
        """
        row = [
            self.text,
            self.finish_reason.value,
            self.stop_string,
            self.output_tokens,
            self.output_ids,
            self.words,
            self.prompt_tokens,
        ]
        return base64.b64encode(zlib.compress(orjson.dumps(row), 1))

    @classmethod
    def unpack(cls, value: bytes) -> Self | None:
        """From what was stored; None where it is damaged."""
        try:
            text, reason, stop, tokens, ids, words, *prompt = orjson.loads(
                zlib.decompress(base64.b64decode(value))
            )
            return cls(
                text, FinishReason(reason), stop, tokens, tuple(ids), words, *prompt
            )  # entries of before have no prompt's
        except (binascii.Error, zlib.error, ValueError, TypeError):  # orjson's error is a ValueError
            return None


def completion(
    answer: CachedAnswer, request_id: str, prompt_tokens: int, output_ids: tuple[int, ...]
) -> Completion:
    """The answer as a completion of this run, without times."""
    return Completion(
        request_id=request_id,
        text=answer.text,
        output_ids=output_ids,
        output_tokens=answer.output_tokens,
        prompt_tokens=prompt_tokens,
        cached_tokens=0,
        finish_reason=answer.finish_reason,
        stop_string=answer.stop_string,
        from_cache=True,
    )
