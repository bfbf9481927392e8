"""How long thinking and answers may be under `sampling.thinking_budget`."""

from llmbench.config.schema import Config

ANSWER_TOKENS = 2048
"""Of `sampling.answer_tokens`: what null means."""
CLOSING_TOKENS = 16
"""Room for the closing of a think block: `</think>` between line breaks takes three to eight tokens."""


def answer_tokens(config: Config, benchmark: str) -> int:
    """Returns the most tokens of an answer behind thinking that the budget ended, never more than the benchmark's `max_tokens`."""
    return min(config.sampling.answer_tokens or ANSWER_TOKENS, config.benchmarks[benchmark].max_tokens)


def first_limit(config: Config, benchmark: str) -> int:
    """Returns the token limit of the first request to a model that thinks: the budget, or that of the answer where it is 0."""
    budget, limit = config.sampling.thinking_budget, config.benchmarks[benchmark].max_tokens
    if budget == 0:
        return answer_tokens(config, benchmark)
    return limit if budget is None else min(budget, limit)


def longest_text(config: Config, benchmark: str) -> int:
    """Returns the most tokens that are written of a text: up to `max_tokens`, or the budget with an answer behind it."""
    budget, limit = config.sampling.thinking_budget, config.benchmarks[benchmark].max_tokens
    if budget is None or budget > limit or config.benchmarks[benchmark].asks_likelihoods:
        return limit
    return max(limit, budget + CLOSING_TOKENS + answer_tokens(config, benchmark))


def most_tokens(config: Config, benchmark: str, limit: int) -> int:
    """Returns the most tokens of a text whose first request has this limit: more where that is the budget, since the answer follows then."""
    return longest_text(config, benchmark) if 0 < limit == config.sampling.thinking_budget else limit
