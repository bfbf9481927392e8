"""An answer as it is kept: JSON, deflated and in base64, as the journal packs what is sealed, so that no text stands there as it is."""

import base64
import binascii
import zlib
from dataclasses import dataclass, replace
from typing import Self

import msgspec

from llmbench.records import Completion, Request, ScoredChoice


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer as it is kept: a completion without what depends on its run."""

    completion: Completion

    @classmethod
    def of(cls, completion: Completion) -> Self:
        """From what an engine gave."""
        return cls(replace(completion, request_id="", cached_tokens=0, timing=None, from_cache=True))

    def pack(self) -> bytes:
        """As it is stored."""
        return base64.b64encode(zlib.compress(msgspec.json.encode(self), 1))

    @classmethod
    def unpack(cls, value: bytes) -> Self | None:
        """From what was stored; None where it is damaged."""
        try:
            return msgspec.json.decode(zlib.decompress(base64.b64decode(value)), type=cls)
        except (binascii.Error, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def given_to(self, request: Request) -> Completion:
        """The completion of a request of this run; the engine's count of the prompt counts where it has no tokens here."""
        kept = self.completion
        known = len(request.prompt_ids) if not request.choices else 0
        scored = zip(request.choices, kept.choices, strict=True)
        return replace(
            kept,
            request_id=request.id,
            prompt_tokens=known or kept.prompt_tokens,
            choices=tuple(ScoredChoice.of(choice, before.loglikelihood) for choice, before in scored),
        )
