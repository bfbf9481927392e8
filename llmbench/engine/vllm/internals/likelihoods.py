"""How vLLM is asked for log-likelihoods, and where its `RequestOutput` has them."""

from collections.abc import Sequence
from typing import Any


def next_token_params(vllm: Any, token_ids: Sequence[int]) -> Any:  # noqa: ANN401 - vLLM's module and class, as everywhere here
    """`SamplingParams` with `logprob_token_ids`: what each of these tokens would have behind the prompt (since 0.26)."""
    return _params(vllm, logprob_token_ids=list(dict.fromkeys(token_ids)))


def prompt_params(vllm: Any, *, shared: bool) -> Any:  # noqa: ANN401
    """`SamplingParams` with `prompt_logprobs`: what the prompt's own tokens have (since 0.26).

    Args:
        vllm: The module.
        shared: Whether the prefix cache is read, through `skip_reading_prefix_cache`. What is read there has no log-likelihoods.
    """
    return _params(vllm, prompt_logprobs=0, skip_reading_prefix_cache=not shared)


def _params(vllm: Any, **more: Any) -> Any:  # noqa: ANN401
    """One greedy token, which nobody reads; without `detokenize`, since places that were read from the cache hold no tokens."""
    classes = vllm.sampling_params
    return classes.SamplingParams(
        max_tokens=1,
        temperature=0.0,
        detokenize=False,
        output_kind=classes.RequestOutputKind.FINAL_ONLY,
        **more,
    )


def of_next_token(output: Any, token_ids: Sequence[int]) -> list[float] | None:  # noqa: ANN401
    """From `CompletionOutput.logprobs`, a mapping of tokens for each that was written; None where one is missing (since 0.26)."""
    found = output.outputs[0].logprobs
    if not found or any(token not in found[0] for token in token_ids):
        return None
    return [float(found[0][token].logprob) for token in token_ids]


def of_last_tokens(output: Any, token_ids: Sequence[int]) -> list[float] | None:  # noqa: ANN401
    """From the end of `RequestOutput.prompt_logprobs`; None where the prefix cache had some of these tokens (since 0.26).

    The list is as long as the prompt, with anything where tokens were read from the cache, or lacks them (vLLM's second model runner).
    """
    found, cached = output.prompt_logprobs or (), output.num_cached_tokens or 0
    computed = len(output.prompt_token_ids) - 1 - cached  # tokens that follow one that was computed
    if min(len(found) - 1, computed) < len(token_ids):
        return None
    places = range(len(found) - len(token_ids), len(found))
    entries = [found[place] for place in places]
    if any(token not in entry for token, entry in zip(token_ids, entries, strict=True)):
        return None
    return [float(entry[token].logprob) for token, entry in zip(token_ids, entries, strict=True)]
