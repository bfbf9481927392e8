"""What a run's requests cost: by `engine.price` over all its attempts, and a judge's by `judge.price`."""

from collections.abc import Mapping, Sequence

from llmbench.config.endpoint import cost_of
from llmbench.records import Completion, FinishReason, Result
from llmbench.results.manifest import Attempt


def of_results(results: Sequence[Result], price: Mapping[str, float], *, judges: bool = False) -> float:
    """Returns what results cost by the tokens that the journal has of them; `judges`: the same server gave the verdicts."""
    own = [completion for result in results for completion in result.completions]
    return _of([*own, *_verdicts(results)] if judges else own, price)


def of_judge(results: Sequence[Result], price: Mapping[str, float]) -> float | None:
    """Returns what the verdicts on results cost by `judge.price`; None without prices."""
    return _of(_verdicts(results), price) if price else None


def _verdicts(results: Sequence[Result]) -> list[Completion]:
    return [result.judgement.completion for result in results if result.judgement is not None]


def _of(completions: Sequence[Completion], price: Mapping[str, float]) -> float:
    return sum(
        cost_of(price, completion.prompt_tokens, completion.output_tokens)
        for completion in completions
        if not completion.from_cache and completion.finish_reason is not FinishReason.ABORT
    )


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
