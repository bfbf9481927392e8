"""In which order requests are asked: the one place where that is decided. Nothing but the time of a run depends on it.

A few long answers that run alone at the end decide how long a run takes, so they should begin early. Where earlier answers to the same
questions are known (`run/answer_lengths`), the longest expected come first: on an H100 that took 0.96 of the time (BENCHMARKS.md).
"""

import itertools
from collections.abc import Sequence
from statistics import median

from llmbench.config.choices import Schedule
from llmbench.config.schema import Config
from llmbench.engine.vllm.forecast.demand import MEDIAN_SHARE
from llmbench.records import Request
from llmbench.run.answer_lengths import Lengths, question
from llmbench.run.prompts import prompt_size

BY_LIMIT = "by token limit and prompt, the longest first"


def ordered(requests: Sequence[Request], config: Config, known: Lengths) -> tuple[list[Request], str]:
    """Returns the requests in the order in which they are asked, and in words what decided it.

    Args:
        requests: In any order; what comes first stays before its equals.
        config: The settings: with `schedule=sequential` one benchmark comes after another.
        known: How long answers to the same questions were.
    """
    usual = sorted(requests, key=lambda r: (r.sampling.max_tokens, prompt_size(r)), reverse=True)
    groups = [usual]
    if config.schedule is Schedule.sequential:
        groups = [[request for request in usual if request.benchmark == name] for name in config.benchmarks]
    tokens = _expected(requests, known)
    if not tokens:
        return list(itertools.chain.from_iterable(groups)), BY_LIMIT
    found = sum(question(r.sample_id) in known.get(r.benchmark, ()) for r in requests)
    basis = f"the longest expected first, by the lengths of earlier answers to {found} of {len(requests)} requests"
    longest = (sorted(group, key=lambda r: tokens[r.id], reverse=True) for group in groups)
    return list(itertools.chain.from_iterable(longest)), basis


def _expected(requests: Sequence[Request], known: Lengths) -> dict[str, float]:
    """Returns the tokens that each answer is expected to have, by the request's id; none where nothing is known of any.

    A question without an earlier answer is expected to take its benchmark's median, one of a benchmark without any a share of its limit.
    """
    medians = {r.benchmark: median(known[r.benchmark].values()) for r in requests if known.get(r.benchmark)}
    if not medians:
        return {}
    expected = {}
    for request in requests:
        limit, name = request.sampling.max_tokens, request.benchmark
        otherwise = medians.get(name, MEDIAN_SHARE * limit)
        expected[request.id] = min(limit, known.get(name, {}).get(question(request.sample_id), otherwise))
    return expected
