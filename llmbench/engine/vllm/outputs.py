"""From a request's sampling to vLLM's `SamplingParams`, and from its `RequestOutput` to a completion."""

from collections.abc import Callable
from typing import Any

from llmbench.engine.vllm.internals.engine import Stamps
from llmbench.records import Completion, FinishReason, Request, Sampling, Timing

REASONS = {"length": FinishReason.LENGTH, "stop": FinishReason.STOP}


def sampling_params(vllm: Any, sampling: Sampling, *, skip_special_tokens: bool) -> Any:  # noqa: ANN401 - vLLM's module and class
    """How vLLM is to sample; the whole text comes at the end."""
    classes = vllm.sampling_params  # vLLM's own name for the class looks it up in its modules each time
    return classes.SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        stop=list(sampling.stop),
        seed=sampling.seed,
        ignore_eos=sampling.ignore_eos,
        skip_special_tokens=skip_special_tokens,
        output_kind=classes.RequestOutputKind.FINAL_ONLY,
    )


def completion(
    request: Request,
    output: Any,  # noqa: ANN401 - vLLM's class
    stamps: Stamps | None,
    free_since: float,
    visible: Callable[[str], str] | None,
) -> Completion:
    """The completion of a finished request.

    Args:
        request: It.
        output: VLLM's `RequestOutput`.
        stamps: Its times, None where they are unknown.
        free_since: When the place of a request that was admitted early fell free, else 0.
        visible: Removes special tokens but the marks of thinking from a text, where vLLM left all in it.
    """
    made = output.outputs[0]
    ids = tuple(made.token_ids)
    stop = made.stop_reason if isinstance(made.stop_reason, str) else None
    reason = REASONS.get(made.finish_reason, FinishReason.ABORT)
    return Completion(
        request_id=request.id,
        text=made.text if visible is None else visible(made.text),
        output_ids=ids,
        output_tokens=len(ids),
        prompt_tokens=len(request.prompt_ids),
        cached_tokens=output.num_cached_tokens or 0,
        finish_reason=FinishReason.STOP_STRING if stop else reason,
        stop_string=stop,
        timing=timing(stamps, len(ids), free_since),
        error=None if made.finish_reason in REASONS else f"vLLM ended it: {made.finish_reason}",
    )


def timing(stamps: Stamps | None, tokens: int, free_since: float) -> Timing | None:
    """The stamps' differences; a request that was admitted early counts as queued from when a place was free."""
    if stamps is None or not stamps.first_token:
        return None
    queued = min(max(stamps.queued, free_since), stamps.scheduled)
    return Timing.of(queued, stamps.scheduled, stamps.first_token, stamps.last_token, tokens)
