"""Which requests an engine with static batches decodes together, told from the lengths of their prompts alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from llmbench.config.groups import BatchSettings

STRAY = 0.25
"""A prompt strays from a batch when it is shorter than the batch's longest by more than this share of it."""
LONG = 0.5
"""Prompts of more than this share of the context count as long: batches of them are half as large."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How batches are formed.

    Attributes:
        dynamic: By length; otherwise `static_size` at a time, in the order given.
        static_size: Requests of a batch where it is not dynamic.
        largest: Requests of a dynamic batch at most.
        smallest: Requests that a dynamic batch holds before it may close for the next prompt's length.
        context: Tokens of prompt and output together that the model may read.
    """

    dynamic: bool
    static_size: int
    largest: int
    smallest: int
    context: int

    @classmethod
    def of(cls, settings: BatchSettings, context: int) -> Self:
        """The settings of a run; `batch_size`, where it is given, stands for both sizes and bounds the smallest."""
        size = settings.batch_size
        return cls(
            dynamic=settings.use_dynamic_batching,
            static_size=size or settings.static_batch_size,
            largest=size or settings.max_batch_size,
            smallest=min(settings.min_batch_size, size or settings.min_batch_size),
            context=context,
        )

    @property
    def most(self) -> int:
        """Requests that a batch can hold."""
        return self.largest if self.dynamic else self.static_size

    def room(self, longest: int) -> int:
        """Requests that a dynamic batch may hold whose longest prompt has so many tokens: half as many for a long one."""
        halved = longest > LONG * self.context
        return max(self.smallest, self.largest // 2) if halved else self.largest


def batches(lengths: Sequence[int], batching: Batching) -> list[list[int]]:
    """Places in `lengths`, batch by batch; each place comes once.

    Dynamic: the longest first and equal ones in the order given. Before a place is added, the batch is closed if it holds as many as it has
    `room` for, or `smallest` and the place's length is less than three quarters of its longest.

    Static: `static_size` places at a time, in the order given.
    """
    if not batching.dynamic:
        size = batching.static_size
        return [list(range(begin, min(begin + size, len(lengths)))) for begin in range(0, len(lengths), size)]
    formed: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if not formed or _closed(len(formed[-1]), lengths[formed[-1][0]], lengths[place], batching):
            formed.append([])
        formed[-1].append(place)
    return formed


def _closed(size: int, longest: int, following: int, batching: Batching) -> bool:
    """Whether a batch of `size` that begins with `longest` takes no prompt of the length `following`."""
    strays = following < (1 - STRAY) * longest
    return size >= batching.room(longest) or (size >= batching.smallest and strays)
