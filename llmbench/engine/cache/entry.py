"""An answer as it is kept: JSON, deflated and in base64, as the journal packs what is sealed, so that no text stands there as it is."""

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Self

import msgspec

from llmbench.records import Completion, FinishReason, Request, ScoredChoice


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer as it is kept: of a completion what does not depend on this run.

    `words` stand for ids that mean nothing later; `prompt_tokens` is the engine's count, which counts where the prompt has no tokens here;
    `loglikelihoods` are those of the request's choices, in its order.
    """

    text: str
    finish_reason: FinishReason
    stop_string: str | None
    output_tokens: int
    output_ids: tuple[int, ...] = ()
    words: str | None = None
    prompt_tokens: int = 0
    loglikelihoods: tuple[float, ...] = ()

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
            tuple(choice.loglikelihood for choice in completion.choices),
        )

    def pack(self) -> bytes:
        """As it is stored.

        Raises:
            UnicodeEncodeError: The text is none that JSON can hold.
        """
        return base64.b64encode(zlib.compress(msgspec.json.encode(self), 1))

    @classmethod
    def unpack(cls, value: bytes) -> Self | None:
        """From what was stored; None where it is damaged."""
        try:
            return msgspec.json.decode(zlib.decompress(base64.b64decode(value)), type=cls)
        except (binascii.Error, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
            return None


def completion(answer: CachedAnswer, request: Request, output_ids: tuple[int, ...]) -> Completion:
    """The answer as a completion of this run, without times."""
    scored = zip(request.choices, answer.loglikelihoods, strict=False)
    known = len(request.prompt_ids) if not request.choices else 0
    return Completion(
        request_id=request.id,
        text=answer.text,
        output_ids=output_ids,
        output_tokens=answer.output_tokens,
        prompt_tokens=known or answer.prompt_tokens,
        cached_tokens=0,
        finish_reason=answer.finish_reason,
        stop_string=answer.stop_string,
        from_cache=True,
        choices=tuple(ScoredChoice.of(choice, value) for choice, value in scored),
    )
