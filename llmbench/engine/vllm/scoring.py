"""Requests for log-likelihoods: as vLLM is asked for them, and back into one completion for each question.

Where each choice is a single token, one request asks for all: the context is read once, and the next token's log-likelihoods are those of the
choices. Otherwise each choice is a request of its own, context and choice together, with the log-likelihoods of the prompt. vLLM leaves
its prefix cache unread for such requests; llmbench has it read, so that what the choices have in common is computed once
in whole blocks (16 tokens on a GPU, 128 on the CPU). Where the cache had tokens of a choice too, that one is asked again without it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmbench.engine.vllm.internals import likelihoods as internals
from llmbench.engine.vllm.outputs import sampling_params
from llmbench.records import Completion, FinishReason, Request, ScoredChoice, Timing

UNREAD = 1
"""Tokens of the context that are left for the token which vLLM writes."""
NO_NUMBER = "a log-likelihood is not a number: the weights may be broken, or model.dtype does not suit them"
NOT_GIVEN = "vLLM gave no log-likelihood for each token of a choice"


@dataclass(slots=True)
class _Question:
    """A question whose choices are asked one by one, and what came back for them by their places."""

    request: Request
    parts: dict[int, Completion] = field(default_factory=dict)


@dataclass(slots=True)
class Scoring:
    """What vLLM is asked for questions with choices, from `begin` to `begin`.

    Attributes:
        max_length: Tokens of the model's context; a longer prompt loses its beginning.
    """

    max_length: int
    _questions: dict[str, _Question] = field(default_factory=dict)
    _places: dict[str, tuple[str, int]] = field(default_factory=dict)  # question and place by a part's id
    _alone: set[str] = field(default_factory=set)  # parts that are asked without the prefix cache

    def split(self, request: Request) -> list[Request]:
        """Returns the requests that vLLM gets for one: itself, or one for each choice."""
        if not request.choices or _is_joint(request):
            return [request]
        self._questions[request.id] = _Question(request)
        parts = [
            replace(request, id=f"{request.id}#{choice.name}", choices=(choice,))
            for choice in request.choices
        ]
        self._places |= {part.id: (request.id, place) for place, part in enumerate(parts)}
        return parts

    def questions(self, requests: Iterable[Request]) -> list[Request]:
        """Returns the requests that parts belong to, each once."""
        places = self._places
        wholes = (self._questions[places[r.id][0]].request if r.id in places else r for r in requests)
        return list({whole.id: whole for whole in wholes}.values())

    def clear(self) -> None:
        """Forgets what is unfinished."""
        for kept in (self._questions, self._places, self._alone):
            kept.clear()

    def prompt(self, request: Request) -> Sequence[int]:
        """Returns the tokens that vLLM reads, without those at the left that the context has no room for."""
        if not request.choices:
            return request.prompt_ids
        room = self.max_length - UNREAD
        if _is_joint(request):
            return request.prompt_ids[-(room - 1) :]
        (choice,) = request.choices
        return (*request.prompt_ids, *choice.ids)[-room:]

    def params(self, vllm: Any, request: Request, *, skip_special_tokens: bool) -> Any:  # noqa: ANN401 - vLLM's module and class
        """Returns how vLLM is asked."""
        if not request.choices:
            return sampling_params(vllm, request.sampling, skip_special_tokens=skip_special_tokens)
        if _is_joint(request):
            return internals.next_token_params(vllm, [choice.ids[0] for choice in request.choices])
        return internals.prompt_params(vllm, shared=request.id not in self._alone)

    def completion(self, request: Request, output: Any, timing: Timing | None) -> Completion | None:  # noqa: ANN401
        """Returns the completion of a request of `split`; None where it must be asked again, which `params` will know."""
        if _is_joint(request):
            values = internals.of_next_token(output, [choice.ids[0] for choice in request.choices])
        else:
            (choice,) = request.choices
            found = internals.of_last_tokens(output, choice.ids)
            values = None if found is None else [math.fsum(found)]
        if values is None and not _is_joint(request) and request.id not in self._alone:
            self._alone.add(request.id)
            return None
        if values is None or not all(map(math.isfinite, values)):
            return Completion.aborted(request, NOT_GIVEN if values is None else NO_NUMBER)
        read = len(self.prompt(request))
        scored = tuple(map(ScoredChoice.of, request.choices, values))
        cached = output.num_cached_tokens or 0
        return Completion(
            request.id, "", (), 0, read, cached, FinishReason.SCORED, timing=timing, choices=scored
        )

    def join(self, completions: Iterable[Completion]) -> list[Completion]:
        """Returns completions of whole requests: parts wait for the others of their question."""
        joined = []
        for completion in completions:
            part = self._places.get(completion.request_id)
            if part is None:
                joined.append(completion)
                continue
            question = self._questions[part[0]]
            question.parts[part[1]] = completion
            if len(question.parts) == len(question.request.choices):
                joined.append(_joined(question))
                self._forget(question)
        return joined

    def _forget(self, question: _Question) -> None:
        del self._questions[question.request.id]
        for part in question.parts.values():
            del self._places[part.request_id]
            self._alone.discard(part.request_id)


def _is_joint(request: Request) -> bool:
    """Whether the next token's log-likelihoods answer it."""
    return all(len(choice.ids) == 1 for choice in request.choices)


def _joined(question: _Question) -> Completion:
    """The completion of a question whose parts are all there; an error of one is its."""
    parts = [question.parts[place] for place in sorted(question.parts)]
    errors = [part.error for part in parts if part.failed]
    if errors:
        return Completion.aborted(question.request, errors[0])
    timings = [part.timing for part in parts if part.timing is not None]
    return replace(
        parts[0],
        request_id=question.request.id,
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        timing=_span(timings) if len(timings) == len(parts) else None,
        choices=tuple(choice for part in parts for choice in part.choices),
    )


def _span(timings: Sequence[Timing]) -> Timing:
    """From the first part's beginning to the last one's end, which is when the question is answered; nothing is decoded."""
    queued = min(timing.queued for timing in timings)
    scheduled = min(timing.queued + timing.queue for timing in timings)
    finished = max(timing.finished for timing in timings)
    return Timing.of(queued, scheduled, finished, finished, 1)
