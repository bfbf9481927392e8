"""What a run's requests cost by `engine.price`, over all its attempts."""

from collections.abc import Iterator, Mapping, Sequence

from llmbench.config.endpoint import cost_of
from llmbench.records import Completion, FinishReason, Result
from llmbench.results.manifest import Attempt


def of_results(results: Sequence[Result], price: Mapping[str, float], *, judges: bool = False) -> float:
    """Returns what results cost by the tokens that the journal has of them; `judges`: the same server gave the verdicts."""
    return sum(
        cost_of(price, completion.prompt_tokens, completion.output_tokens)
        for result in results
        for completion in _completions(result, judges=judges)
        if not completion.from_cache and completion.finish_reason is not FinishReason.ABORT
    )


def _completions(result: Result, *, judges: bool) -> Iterator[Completion]:
    yield from result.completions
    if judges and result.judgement is not None:
        yield result.judgement.completion


def of_attempts(
    attempts: Sequence[Attempt],
    results: Sequence[Result],
    price: Mapping[str, float],
    *,
    judges: bool = False,
) -> float:
    """Returns what attempts cost: as each wrote it at its end, or by its results where it was killed before.

    Args:
        attempts: In their order; the last one may be under way.
        results: Of all of them, in the order of the journal.
        price: Now.
        judges: Whether the same server gave the verdicts on answers.
    """
    total, place = 0.0, 0
    for number, attempt in enumerate(attempts, 1):
        end = len(results) if number == len(attempts) else place + attempt.results
        total += (
            of_results(results[place:end], price, judges=judges) if attempt.cost is None else attempt.cost
        )
        place = end
    return total
