"""A token from a row of logits, by vLLM's rules."""

from typing import TYPE_CHECKING

from llmbench.records import Sampling

if TYPE_CHECKING:
    from torch import Generator, Tensor

GREEDY_BELOW, COLDEST = 1e-5, 1e-2
"""Temperatures as vLLM takes them: below the first it is greedy, below the second it is the second."""


def penalised(logits: "Tensor", seen: "Tensor", written: "Tensor", sampling: Sampling) -> "Tensor":
    """Logits with those of earlier tokens made smaller, in vLLM's order.

    Args:
        logits: Of one row.
        seen: Whether a token is in the prompt or the output: these the repetition penalty divides
            (https://arxiv.org/abs/1909.05858, section 4.1).
        written: How often a token is in the output: the frequency penalty is taken off that often, the presence penalty once
            (https://platform.openai.com/docs/api-reference/completions).
        sampling: The penalties.
    """
    factor = sampling.repetition_penalty
    logits = logits.where(~seen, (logits / factor).where(logits > 0, logits * factor))
    return logits - sampling.frequency_penalty * written - sampling.presence_penalty * (written > 0)


def penalises(sampling: Sampling) -> bool:
    """Whether any penalty is on."""
    return sampling.repetition_penalty != 1 or bool(sampling.presence_penalty or sampling.frequency_penalty)


def draw(logits: "Tensor", sampling: Sampling, generator: "Generator") -> int:
    """A token from one row of logits: temperature, then min_p, top_k and top_p, in vLLM's order."""
    logits = logits / max(sampling.temperature, COLDEST)
    if sampling.min_p > 0:
        probabilities = logits.softmax(-1)
        logits = logits.masked_fill(probabilities < sampling.min_p * probabilities.max(), float("-inf"))
    if 0 < sampling.top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(sampling.top_k).values[-1], float("-inf"))
    if sampling.top_p < 1:
        ascending, order = logits.sort()
        tail = ascending.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        tail[-1] = False
        logits = logits.index_fill(0, order[tail], float("-inf"))
    return int(logits.softmax(-1).multinomial(1, generator=generator))
