"""The metrics of a run's results, with their validity, and what makes a score doubtful."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmbench.records import Completion, FinishReason, Outcome, Result
from llmbench.results import cache_use, stats
from llmbench.results.cache_use import CacheUse
from llmbench.results.judge_use import JudgeUse
from llmbench.results.likelihood import LikelihoodStatistics
from llmbench.results.manifest import Selection
from llmbench.results.pass_at_k import repeat_statistics
from llmbench.results.stats import Distribution
from llmbench.results.summary import BenchmarkSummary, Rates, Throughput, Tokens
from llmbench.results.thinking_use import ThinkingUse, last_own
from llmbench.system.number_format import count

BEGINNING = 400
"""Characters of a text that stay in memory once it is in the journal."""


def without_texts(result: Result) -> Result:
    """Returns the result without its texts, which the journal has; only their beginnings stay in memory."""
    completions = tuple(replace(c, text=c.text[:BEGINNING], output_ids=()) for c in result.completions)
    said = result.judgement
    if said is not None:
        said = replace(said, completion=replace(said.completion, text="", output_ids=()))
    return replace(result, prompt="", text="", completions=completions, judgement=said)


def results_of(name: str, results: Sequence[Result]) -> list[Result]:
    """Returns the results of one benchmark."""
    return [result for result in results if result.benchmark == name]


Summarise = Callable[[Sequence[Result]], BenchmarkSummary]
"""The metrics of one benchmark's results, with all else given."""


def summarise(  # noqa: PLR0913 - all but three are optional
    results: Sequence[Result],
    expected: int,
    repeats: int,
    *,
    sittings: int = 1,
    cache: bool = False,
    details: Callable[[Sequence[Result]], dict[str, Any] | None] | None = None,
    selection: Selection | None = None,
) -> BenchmarkSummary:
    """The metrics of one benchmark's results.

    Args:
        results: One for each sample and repeat.
        expected: How many the run set out to get.
        repeats: Answers to each question.
        sittings: Processes that they come from; of several there is no single time or throughput.
        cache: Whether the response cache was on.
        details: The benchmark's own.
        selection: How its questions were chosen, where that is known.
    """
    by_sample: dict[str, list[float]] = {}
    for result in results:
        by_sample.setdefault(result.sample_id, []).append(result.score.value)
    means = [math.fsum(values) / len(values) for values in by_sample.values()]
    completions = [completion for result in results for completion in result.completions]
    time_s = _span(completions) if sittings == 1 else None
    generated = [[c for c in result.completions if not c.from_cache] for result in results]
    whole = sum(len(made) == len(result.completions) for made, result in zip(generated, results, strict=True))
    return BenchmarkSummary(
        n=len(results),
        samples=len(by_sample),
        repeats=repeats,
        expected=expected,
        accuracy=math.fsum(means) / len(means) if means else None,
        stderr=stats.standard_error(means),
        ci95=stats.interval(means, len(results)) if means else None,
        bounds=bounds(results, expected),
        rates=_rates(results),
        tokens=_tokens([result.completions for result in results]),
        time_s=time_s,
        throughput=_throughput(whole, _tokens(generated), time_s),
        likelihood=LikelihoodStatistics.of(results),
        repeated=repeat_statistics(results) if results and repeats > 1 else None,
        details=details(results) if details and results else None,
        cache=CacheUse.of(completions, on=cache),
        selection=selection.strategy if selection is not None else None,
        judge=JudgeUse.of(results),
        thinking=ThinkingUse.of(results),
        stopping=None,
        **_times(results),
    )


def _tokens(completions: Sequence[Sequence[Completion]]) -> Tokens:
    """The sums over the completions of each result."""
    return Tokens(
        prompt=sum(map(_prompt_tokens, completions)),
        output=sum(c.output_tokens for of_one in completions for c in of_one),
        cached=sum(c.cached_tokens for of_one in completions for c in of_one),
    )


def _prompt_tokens(completions: Sequence[Completion]) -> int:
    """Tokens given to the model: the prompt, and the cue of a continuation, whose prompt repeats what came before."""
    if not completions:
        return 0
    *before, last = completions
    return max(completions[0].prompt_tokens, last.prompt_tokens - sum(c.output_tokens for c in before))


def _span(completions: Sequence[Completion]) -> float | None:
    timings = [c.timing for c in completions if c.timing is not None]
    return max(t.finished for t in timings) - min(t.queued for t in timings) if timings else None


def _throughput(count: int, tokens: Tokens, time_s: float | None) -> Throughput:
    if not time_s:
        return Throughput(None, None, None)
    return Throughput(
        count / time_s if count else None, tokens.output / time_s, (tokens.prompt + tokens.output) / time_s
    )


def only_errors(name: str, results: Sequence[Result], *, scored_later: bool = False) -> str | None:
    """Says that a benchmark has no score, since each of its samples ended in an error.

    Args:
        name: The benchmark's.
        results: Its results.
        scored_later: Another program gives the scores (SWE-bench), so that an error with an answer only says "not yet".

    Returns:
        A sentence with the first error; None where at least one sample was graded.
    """
    graded = [
        result
        for result in results
        if result.score.outcome not in (Outcome.ERROR, Outcome.UNJUDGED)
        or (scored_later and result.score.outcome is Outcome.ERROR and result.score.answer is not None)
    ]
    if graded or not results:
        return None
    unjudged = [result for result in results if result.score.outcome is Outcome.UNJUDGED]
    if unjudged:
        return (
            f"{name} has no score: none of its {count(len(unjudged), 'answer')} has a judge's verdict, the first one since "
            f"{unjudged[0].score.explanation[:LONGEST_ERROR]}."
        )
    first = " ".join((results[0].score.explanation or "no reason given").split()).rstrip(".")
    which = "its only sample" if len(results) == 1 else f"each of its {len(results)} samples"
    return f"{name} has no score: {which} ended in an error, the first in this one: {first[:LONGEST_ERROR]}."


LONGEST_ERROR = 300
"""Characters of an error that a sentence shows."""
UNSCORED = (Outcome.NO_ANSWER, Outcome.TRUNCATED, Outcome.TIMEOUT, Outcome.ERROR, Outcome.UNJUDGED)
"""Outcomes without a verdict on an answer: they count as 0, and as 1 in the upper bound."""


def bounds(results: Sequence[Result], expected: int) -> tuple[float, float] | None:
    """The accuracy if all unanswered, unjudged and unasked questions were wrong, and if they were right."""
    if not results:
        return None
    planned = max(expected, len(results))
    right = math.fsum(result.score.value for result in results)
    unscored = sum(result.score.outcome in UNSCORED for result in results)
    return right / planned, (right + unscored + planned - len(results)) / planned


def _rates(results: Sequence[Result]) -> Rates | None:
    if not results:
        return None

    def share(hits: int) -> float:
        return hits / len(results)

    outcomes = [result.score.outcome for result in results]
    return Rates(
        truncated=share(outcomes.count(Outcome.TRUNCATED)),
        stopped=share(sum(_ended_by(r) is FinishReason.STOP_STRING for r in results)),
        elicited=share(sum(r.elicited for r in results)),
        no_answer=share(outcomes.count(Outcome.NO_ANSWER) + outcomes.count(Outcome.TRUNCATED)),
        error=share(outcomes.count(Outcome.ERROR) + outcomes.count(Outcome.TIMEOUT)),
        limited=share(sum(_limited(result) for result in results)),
        repeating=share(sum(_repeats_itself(result) for result in results)),
        unjudged=share(outcomes.count(Outcome.UNJUDGED)),
    )


def _ended_by(result: Result) -> FinishReason | None:
    last = last_own(result)
    return None if last is None else last.finish_reason


def _limited(result: Result) -> bool:
    return _ended_by(result) is FinishReason.LENGTH and (result.elicited or result.score.answer is None)


_ONE_PIECE = re.compile(r"\s*(\S.{0,15}?)(?:\s*\1){7,}\s*", re.DOTALL)
_SOME_TOKENS = 8


def _repeats_itself(result: Result) -> bool:
    """Whether a model wrote one piece over and over from the beginning, as one with broken weights does."""
    if not result.completions or result.completions[0].finish_reason is FinishReason.ABORT:
        return False
    first = result.completions[0]
    if first.choices:
        return False
    if not first.text.strip():
        return first.stop_string is None
    return first.output_tokens >= _SOME_TOKENS and _ONE_PIECE.fullmatch(first.text[:BEGINNING]) is not None


def _times(results: Sequence[Result]) -> dict[str, Distribution]:
    """Distributions over results; a result's times are the sums over its completions, its first token the first one's."""
    timed = [timings for result in results if (timings := cache_use.timings(result))]
    parts = {"latency_s": "e2e", "queue_s": "queue", "prefill_s": "prefill", "decode_s": "decode"}
    sums = {
        name: stats.distribution([math.fsum(getattr(t, part) for t in timings) for timings in timed])
        for name, part in parts.items()
    }
    between = [t[0].inter_token for t in timed if t[0].inter_token is not None]
    return sums | {
        "ttft_s": stats.distribution([timings[0].ttft for timings in timed]),
        "inter_token_s": stats.distribution(between),
    }


def warnings_of(summaries: Mapping[str, BenchmarkSummary], *, asks: bool = True) -> list[str]:
    """What makes a score doubtful, one sentence each, with the setting that would fix it."""
    found = []
    for name, summary in summaries.items():
        rates = summary.rates
        if rates is None:
            continue
        if summary.n < summary.expected:
            found.append(
                f"{name}: {summary.expected - summary.n} of {summary.expected} are missing, so this is no score of the whole."
            )
        if rates.repeating > MOST:
            found.append(
                f"{name}: {rates.repeating:.0%} of the texts are one piece over and over, or empty: the weights may be broken (NaN), or "
                "model.dtype or model.quantization do not suit them; look at samples.jsonl."
            )
        elif asks and rates.elicited and rates.limited > DOUBTFUL:
            found.append(
                f"{name}: {rates.limited:.0%} of the texts reached the token limit before an answer and were asked for it; "
                f"with {_limit_of(name, summary)} higher they would end by themselves."
            )
        elif rates.truncated > DOUBTFUL:
            found.append(
                f"{name}: {rates.truncated:.0%} of the answers were cut off by the token limit; "
                f"set {_limit_of(name, summary)} higher."
            )
        elif rates.no_answer > DOUBTFUL:
            found.append(
                f"{name}: {rates.no_answer:.0%} of the texts hold no answer; "
                + (
                    f"set early_stopping=answer, or early_stopping=off with a higher benchmarks.{name}.max_tokens."
                    if rates.stopped > DOUBTFUL and not asks
                    else "look at samples.jsonl for what the model wrote instead."
                )
            )
        found += summary.thinking.warnings(name, DOUBTFUL) if summary.thinking is not None else []
        found += _ties(name, summary.likelihood)
        if summary.judge is not None and rates.unjudged:
            found.append(f"{name}: {summary.judge.unjudged_sentence()}")
        if rates.error:
            found.append(
                f"{name}: {rates.error:.0%} of the samples ended in an error; llmbench.log and samples.jsonl say why."
            )
    return found


def _limit_of(name: str, summary: BenchmarkSummary) -> str:
    """The setting that ended most of the answers which reached a limit; behind a budget of thinking there are two, and the lower one counts."""
    by_budget = summary.thinking is not None and summary.thinking.ended > MOST
    return (
        f"sampling.answer_tokens and benchmarks.{name}.max_tokens"
        if by_budget
        else f"benchmarks.{name}.max_tokens"
    )


def _ties(name: str, scored: LikelihoodStatistics | None) -> list[str]:
    if scored is None or scored.ties <= DOUBTFUL * scored.questions:
        return []
    tied = f"{name}: of {scored.ties} of {count(scored.questions, 'question')} several choices have the largest log-likelihood"
    return [f"{tied}, and the first of them counts as the answer; model.dtype=float32 tells more apart."]


MOST = 0.5
DOUBTFUL = 0.1
"""The share of missing or truncated answers above which a run says so first."""
