"""How questions with choices become vLLM's requests and one completion again; vLLM's outputs are made up here."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from llmbench.engine.vllm.scoring import NO_NUMBER, NOT_GIVEN, Scoring
from llmbench.records import Choice, Completion, FinishReason, Request, Sampling, Timing

CONTEXT = tuple(range(100, 110))
LETTERS = (Choice("A", "A", (1,)), Choice("B", "B", (2,)))
TEXTS = (Choice("A", "one two", (1, 2)), Choice("B", "one three four", (1, 3, 4)))
TIMING = Timing.of(10.0, 11.0, 12.0, 12.0, 1)


def request(choices: tuple[Choice, ...], name: str = "b/1/0") -> Request:
    return Request(name, "b", "1", 0, CONTEXT, Sampling(1), choices=choices)


@dataclass
class Logprob:
    logprob: float


@dataclass
class Written:
    logprobs: list[dict[int, Logprob]]


@dataclass
class Output:
    """What vLLM gives: of a prompt, the log-likelihood of each token is minus its id, divided by a hundred."""

    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None
    num_cached_tokens: int = 0
    outputs: list[Written] = field(default_factory=list)


def of_prompt(scoring: Scoring, part: Request, cached: int = 0, *, tail: bool = False) -> Output:
    """As vLLM's first model runner gives it, or its second, which leaves out what was read from the cache."""
    ids = list(scoring.prompt(part))
    computed = [{token: Logprob(-token / 100)} for token in ids[cached + 1 :]]
    read = [] if tail else [{-7: Logprob(float("nan"))} for _ in range(cached)]
    return Output(ids, [None, *read, *computed], cached)


def of_next(values: dict[int, float]) -> Output:
    entry = {token: Logprob(value) for token, value in values.items()}
    return Output([], outputs=[Written([entry])])


def test_letters_of_one_token_are_asked_with_one_request() -> None:
    scoring, asked = Scoring(64), request(LETTERS)
    assert scoring.split(asked) == [asked]
    assert scoring.prompt(asked) == CONTEXT
    done = scoring.completion(asked, of_next({1: -0.25, 2: -2.0, 99: -0.1}), TIMING)
    assert done is not None
    assert [choice.loglikelihood for choice in done.choices] == [-0.25, -2.0]
    assert (done.finish_reason, done.text, done.output_tokens, done.prompt_tokens) == (
        FinishReason.SCORED, "", 0, 10,
    )  # fmt: skip
    assert scoring.join([done]) == [done]


def test_texts_are_asked_one_by_one_and_come_back_together() -> None:
    scoring, asked = Scoring(64), request(TEXTS)
    first, second = scoring.split(asked)
    assert scoring.prompt(second) == (*CONTEXT, 1, 3, 4)
    assert scoring.questions([second, first]) == [asked]
    later = scoring.completion(second, of_prompt(scoring, second), replace(TIMING, finished=20.0))
    assert later is not None
    assert scoring.join([later]) == []
    sooner = scoring.completion(first, of_prompt(scoring, first, cached=8), TIMING)
    assert sooner is not None
    (done,) = scoring.join([sooner])
    assert (done.request_id, done.prompt_tokens, done.cached_tokens) == ("b/1/0", 12 + 13, 8)
    assert [choice.name for choice in done.choices] == ["A", "B"]
    assert [choice.loglikelihood for choice in done.choices] == pytest.approx([-0.03, -0.08])
    assert [choice.tokens for choice in done.choices] == [2, 3]
    assert done.timing is not None
    assert (done.timing.queued, done.timing.finished, done.timing.queue, done.timing.decode) == (10, 20, 1, 0)


@pytest.mark.parametrize("tail", [False, True], ids=["first_runner", "second_runner"])
@pytest.mark.parametrize(("cached", "again"), [(0, False), (9, False), (10, True), (11, True)])
def test_a_choice_that_the_prefix_cache_had_in_part_is_asked_again_without_it(
    *, cached: int, again: bool, tail: bool
) -> None:
    scoring = Scoring(64)
    part = scoring.split(request(TEXTS))[1]
    done = scoring.completion(part, of_prompt(scoring, part, cached, tail=tail), TIMING)
    assert (done is None) == again
    if again:
        done = scoring.completion(part, of_prompt(scoring, part), TIMING)
    assert done is not None
    assert done.choices[0].loglikelihood == pytest.approx(-0.08)


def test_what_vllm_does_not_give_twice_is_an_error_and_so_is_no_number() -> None:
    scoring = Scoring(64)
    first, second = scoring.split(request(TEXTS))
    nothing = Output(list(scoring.prompt(first)))
    assert scoring.completion(first, nothing, TIMING) is None
    failed = scoring.completion(first, nothing, TIMING)
    fine = scoring.completion(second, of_prompt(scoring, second), TIMING)
    assert failed is not None
    assert fine is not None
    assert failed.error == NOT_GIVEN
    (done,) = scoring.join([fine, failed])
    assert (done.request_id, done.failed, done.choices) == ("b/1/0", True, ())
    broken = scoring.completion(request(LETTERS), of_next({1: float("nan"), 2: -1.0}), TIMING)
    assert broken is not None
    assert broken.error == NO_NUMBER


def test_what_does_not_fit_is_cut_from_the_left_for_each_choice_alone() -> None:
    """One place stays for the token that vLLM writes, as lm-evaluation-harness's model `vllm` has it."""
    scoring = Scoring(8)
    first, second = scoring.split(request(TEXTS))
    assert scoring.prompt(first) == (*CONTEXT[-5:], 1, 2)
    assert scoring.prompt(second) == (*CONTEXT[-4:], 1, 3, 4)
    assert scoring.prompt(request(LETTERS)) == CONTEXT[-6:]


def test_what_is_dropped_is_forgotten() -> None:
    scoring = Scoring(64)
    asked, text = request(TEXTS), replace(request((), "b/2/0"))
    parts = [*scoring.split(asked), *scoring.split(text)]
    assert scoring.questions(parts) == [asked, text]
    scoring.clear()
    again = scoring.split(asked)
    made: list[Completion] = []
    for part in again:
        done: Any = scoring.completion(part, of_prompt(scoring, part), None)
        made += scoring.join([done])
    assert [completion.timing for completion in made] == [None]
