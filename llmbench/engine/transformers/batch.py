"""Rows that are decoded together."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmbench.engine.transformers.text import Text
from llmbench.records import Request

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(slots=True)
class Row:
    """A request that is being decoded: `generator` None where it is greedy, `seen` and `written` None where nothing is penalised."""

    request: Request
    limit: int
    text: Text
    generator: "Generator | None"
    seen: "Tensor | None"
    written: "Tensor | None"
    output: list[int] = field(default_factory=list)
    first_token: float = 0.0
    ended: bool = False


@dataclass(slots=True)
class Batch:
    """Rows that are decoded together, and what the model reads next for them."""

    rows: list[Row]
    formed: float
    ids: "Tensor"
    mask: "Tensor"
    positions: "Tensor"
    cache: Any = None

    @property
    def running(self) -> list[Row]:
        """The rows that have not ended."""
        return [row for row in self.rows if not row.ended]
