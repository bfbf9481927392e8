"""How much of a run came from the cache. Whoever measures time or speed asks here what the engine really did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmbench.records import Completion, Result, Timing


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Completions, continuations included, and those among them that came from the cache with the tokens they hold."""

    hits: int
    completions: int
    output_tokens: int

    @classmethod
    def of(cls, completions: Sequence[Completion], *, on: bool) -> "CacheUse | None":
        """Counted; None where the cache is off and nothing came from it in an attempt before either."""
        hits = [completion for completion in completions if completion.from_cache]
        if not hits and not on:
            return None
        return cls(len(hits), len(completions), sum(c.output_tokens for c in hits))


def timings(result: Result) -> list[Timing]:
    """The times of a result's completions; none where a part came from the cache, since the rest is not its time."""
    if any(completion.from_cache for completion in result.completions):
        return []
    return [completion.timing for completion in result.completions if completion.timing is not None]


def total(uses: Iterable[CacheUse | None]) -> CacheUse | None:
    """The use of several benchmarks; None where the cache was off."""
    known = [use for use in uses if use is not None]
    if not known:
        return None
    return CacheUse(
        sum(use.hits for use in known),
        sum(use.completions for use in known),
        sum(use.output_tokens for use in known),
    )


def sentence(use: CacheUse | None) -> str | None:
    """What a reader of times has to know of all benchmarks' use; None where the cache was off."""
    if use is None:
        return None
    if not use.hits:
        return f"None of the {use.completions} completions was in the response cache."
    if use.hits == use.completions:
        return f"All {use.hits} completions came from the response cache: no latency and no throughput was measured."
    return (
        f"{use.hits} of {use.completions} completions came from the response cache: latency and throughput are of the "
        "others."
    )
