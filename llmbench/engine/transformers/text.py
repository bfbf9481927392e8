"""The text of an output while it grows, and stop strings in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmbench.engine.tokenizer import Tokenizer

PRIMER = 5
"""Tokens of the prompt that are decoded with the output, so that its first space is kept."""


@dataclass(slots=True)
class Text:
    """The output as text while it grows, decoded a few tokens at a time; half a character waits for its other half."""

    tokenizer: Tokenizer
    ids: list[int]  # the end of the prompt, then the output
    text: str = ""
    _before: int = 0  # `ids` from here to `_read` are decoded again with what follows, for the spaces between
    _read: int = field(init=False)

    def __post_init__(self) -> None:
        self._read = len(self.ids)

    def add(self, token: int) -> int:
        """Takes a token; returns how many characters came with it."""
        self.ids.append(token)
        return self.read(whole=False)

    def read(self, *, whole: bool = True) -> int:
        """Decodes what was not decoded yet, half characters only if `whole`; returns how many characters came."""
        known = len(self.tokenizer.decode(self.ids[self._before : self._read]))
        decoded = self.tokenizer.decode(self.ids[self._before :])
        if len(decoded) <= known or (decoded.endswith("\ufffd") and not whole):
            return 0
        self.text += decoded[known:]
        self._before, self._read = self._read, len(self.ids)
        return len(decoded) - known


def find_stop(text: str, stops: Sequence[str], new: int) -> tuple[str, int] | None:
    """The stop string that ends first among those that end in the last `new` characters, and where it begins."""
    found = []
    for order, stop in enumerate(stops):
        begin = text.find(stop, max(0, len(text) - new - len(stop) + 1)) if new else -1
        if begin >= 0:
            found.append((begin + len(stop), order, stop, begin))
    if not found:
        return None
    _, _, stop, begin = min(found)
    return stop, begin
