"""Checks of the vLLM engine that share one load of the model. Prints how many there were and how many passed."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace

from llmbench.cli.compose import compose
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.vllm.internals import engine as internals
from llmbench.engine.workload import Workload
from llmbench.records import Choice, Completion, FinishReason, Message, Request, Sampling
from llmbench.run import elicitation
from tests.helpers.asked import finish

BATCH = 4
CHECKS: list[Callable[["Bench"], None]] = []


def check(function: Callable[["Bench"], None]) -> Callable[["Bench"], None]:
    CHECKS.append(function)
    return function


class Bench:
    """An engine, its tokenizer, and a counter for request ids."""

    def __init__(self, engine: VllmEngine, tokenizer: HubTokenizer) -> None:
        self.engine, self.tokenizer, self.count = engine, tokenizer, 0

    def request(self, question: str, **sampling: object) -> Request:
        self.count += 1
        text = self.tokenizer.chat([Message("user", question)], {})
        ids = self.tokenizer.encode(text, special=False)
        options = {"max_tokens": 12, **sampling}
        return Request(f"b/{self.count}/0", "b", str(self.count), 0, ids, Sampling(**options))  # type: ignore[arg-type]

    def finish(self, *requests: Request) -> dict[str, Completion]:
        return finish(self.engine, *requests)


@check
def timing_follows_its_definitions(bench: Bench) -> None:
    requests = [bench.request(f"Tell me about the number {n}.") for n in range(6)]
    for completion in bench.finish(*requests).values():
        timing = completion.timing
        assert timing is not None
        assert timing.queue >= 0
        assert timing.ttft >= timing.queue
        assert abs(timing.e2e - timing.ttft - timing.decode) < 1e-6
        assert abs(timing.finished - timing.queued - timing.e2e) < 1e-6
        assert timing.inter_token is not None
        assert abs(timing.inter_token * (completion.output_tokens - 1) - timing.decode) < 1e-6


@check
def no_more_than_the_batch_size_runs_at_once(bench: Bench) -> None:
    requests = [bench.request(f"Count from {n}.", ignore_eos=True) for n in range(9)]
    spans = []
    for completion in bench.finish(*requests).values():
        timing = completion.timing
        assert timing is not None
        spans.append((timing.queued + timing.queue, timing.finished))
    busiest = max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)
    assert busiest == BATCH, busiest


@check
def waiting_for_a_place_is_not_timed(bench: Bench) -> None:
    """Little's law: with at most BATCH in the system, the times in it add up to at most BATCH times the whole."""
    requests = [bench.request(f"Count down from {n}.", max_tokens=4 + n, ignore_eos=True) for n in range(12)]
    timings = [c.timing for c in bench.finish(*requests).values() if c.timing is not None]
    whole = max(t.finished for t in timings) - min(t.queued for t in timings)
    assert sum(t.e2e for t in timings) <= BATCH * whole * 1.01


@check
def the_state_is_the_schedulers(bench: Bench) -> None:
    """With room for fewer requests than the batch holds, as with a full KV cache, some wait in vLLM and the rest here."""
    core = bench.engine._llm.llm_engine.engine_core.engine_core
    assert internals.limit_running(bench.engine._llm, 2)
    try:
        for n in range(9):
            bench.engine.submit(bench.request(f"Count from {n}.", max_tokens=6, ignore_eos=True))
        bench.engine.step()
        state, own = bench.engine.state(), core.scheduler.make_stats()
        assert (own.num_running_reqs, own.num_waiting_reqs) == (2, 3)  # a batch of 4 and one ahead
        assert (state.running, state.waiting, state.queued) == (2, 3, 4), state
        assert state.kv_cache_use == own.kv_cache_usage > 0
        done = bench.finish()
    finally:
        internals.limit_running(bench.engine._llm, BATCH)
    waits = sorted(c.timing.queue for c in done.values() if c.timing is not None)
    assert waits[-1] > 10 * waits[0]
    state = bench.engine.state()
    assert (state.running, state.waiting, state.queued) == (0, 0, 0)
    assert state.preemptions == 0


@check
def requests_are_taken_while_others_run(bench: Bench) -> None:
    first = bench.request("Write a long story.", max_tokens=40, ignore_eos=True)
    bench.engine.submit(first)
    for _ in range(3):
        bench.engine.step()
    second = bench.request("Say hello.", max_tokens=4, ignore_eos=True)
    done = list(bench.finish(second))
    assert done == [second.id, first.id]


@check
def stop_strings_end_the_text_before_them(bench: Bench) -> None:
    plain = bench.request("What is 3 + 4?")
    text = bench.finish(plain)[plain.id].text
    stop = text.split()[1]
    stopped = bench.request("What is 3 + 4?", stop=(stop,))
    completion = bench.finish(stopped)[stopped.id]
    assert (completion.finish_reason, completion.stop_string) == (FinishReason.STOP_STRING, stop)
    assert text.startswith(completion.text)
    assert stop not in completion.text
    assert stop in bench.tokenizer.decode(completion.output_ids)


@check
def a_continuation_equals_an_undisturbed_text(bench: Bench) -> None:
    """With an empty cue, no stop string and no limit of its own the joined tokens are those of `early_stopping=off`."""
    # Long enough that the blocks of 128 tokens of the CPU's prefix cache can be used again.
    question = "Tell me a story about a fox, a hen and a farmer. " * 12
    for tokens in (1, 10, 29):
        off = bench.request(question, max_tokens=tokens + 30, ignore_eos=True)
        undisturbed = bench.finish(off)[off.id]
        begun = bench.request(question, max_tokens=tokens, ignore_eos=True)
        first = bench.finish(begun)[begun.id]
        sampling = replace(begun.sampling, max_tokens=30)
        request = elicitation.continuation(begun, first, "", sampling, bench.tokenizer)
        second = bench.finish(request)[request.id]
        assert (*first.output_ids, *second.output_ids) == undisturbed.output_ids
        assert second.cached_tokens >= 128


@check
def the_same_batch_gives_the_same_texts(bench: Bench) -> None:
    texts = []
    for _ in range(2):
        requests = [bench.request(f"What is {n} times 3?") for n in range(4)]
        done = bench.finish(*requests)
        texts.append([done[request.id].text for request in requests])
    assert texts[0] == texts[1]


@check
def a_seed_makes_a_sampled_text_repeatable(bench: Bench) -> None:
    texts = []
    for seed in (1, 1, 2):
        request = bench.request("Tell me a story.", temperature=1.0, seed=seed)
        texts.append(bench.finish(request)[request.id].text)
    assert texts[0] == texts[1] != texts[2]


@check
def an_impossible_request_comes_back_as_an_error(bench: Bench) -> None:
    long = bench.request("word " * 3000)
    fine = bench.request("What is 1 + 1?")
    done = bench.finish(long, fine)
    assert done[long.id].finish_reason is FinishReason.ABORT
    assert done[long.id].error
    assert done[fine.id].text


@check
def what_is_aborted_does_not_run_on(bench: Bench) -> None:
    requests = [bench.request("Tell me a story.", ignore_eos=True, max_tokens=500) for _ in range(6)]
    for request in requests:
        bench.engine.submit(request)
    bench.engine.step()
    dropped = bench.engine.abort()
    assert {completion.request_id for completion in dropped} == {request.id for request in requests}
    assert bench.engine.unfinished == 0
    short = bench.request("Say hello.", max_tokens=2, ignore_eos=True)
    bench.engine.submit(short)
    steps = 0
    while bench.engine.unfinished:
        steps += 1
        bench.engine.step()
    assert steps < 8


@check
def tokens_are_counted_while_they_come(bench: Bench) -> None:
    before = bench.engine.state().generated_tokens
    request = bench.request("Tell me a story.", max_tokens=10, ignore_eos=True)
    bench.finish(request)
    after = bench.engine.state().generated_tokens
    assert before is not None
    assert after is not None
    assert after - before == 10


@check
def the_batch_size_changes_in_place_and_the_cache_is_emptied(bench: Bench) -> None:
    question = "Tell me a story about a fox, a hen and a farmer. " * 12
    small = Workload(6, 64, 6 * 64, batch_size=2)
    bench.finish(bench.request(question))
    bench.engine.begin(bench.tokenizer, small, loaded=False, notice=print)
    assert bench.engine.report().batch_size == 2
    requests = [bench.request(f"{question} {n}", ignore_eos=True) for n in range(6)]
    done = list(bench.finish(*requests).values())
    spans = [(c.timing.queued + c.timing.queue, c.timing.finished) for c in done if c.timing is not None]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) == 2
    assert done[0].cached_tokens == 0
    bench.engine.begin(
        bench.tokenizer, Workload(BATCH, 64, BATCH * 64, batch_size=BATCH), loaded=False, notice=print
    )
    assert bench.engine.report().batch_size == BATCH
    assert bench.engine.state().generated_tokens == 0


@check
def several_are_admitted_together_where_that_is_wanted(bench: Bench) -> None:
    """Nothing is lost or starved, and no more than the batch size runs."""
    bench.engine._queue.refill = 3
    try:
        requests = [bench.request(f"Count from {n}.", max_tokens=4 + n, ignore_eos=True) for n in range(10)]
        done = bench.finish(*requests)
    finally:
        bench.engine._queue.refill = 1
    assert {r.id: r.sampling.max_tokens for r in requests} == {
        key: c.output_tokens for key, c in done.items()
    }


def choices(bench: Bench, context: str, *texts: str) -> Request:
    """A question's choices behind a context, by their letters."""
    before = bench.tokenizer.encode(context, special=True)
    behind = [bench.tokenizer.encode(context + text, special=True)[len(before) :] for text in texts]
    request = bench.request("")
    made = tuple(map(Choice, "ABCD", texts, behind))
    return replace(request, prompt_ids=before, choices=made, sampling=Sampling(1))


def likelihoods(completion: Completion) -> list[float]:
    return [choice.loglikelihood for choice in completion.choices]


LONG = "The fox met a hen and a farmer on the way to the market. " * 20
"""More than a block of the prefix cache, which has 128 tokens on the CPU."""


@check
def choices_get_the_same_log_likelihoods_however_they_are_asked(bench: Bench) -> None:
    """Letters with one request, texts with one each; what the prefix cache holds changes nothing."""
    context = f"{LONG}The fox said"
    texts = choices(bench, context, " A B", " nothing at all", " nothing of the kind, and left")
    first = bench.finish(texts)[texts.id]
    again = replace(texts, id="b/again/0")
    second = bench.finish(again)[again.id]
    assert (first.finish_reason, first.text, first.output_tokens) == (FinishReason.SCORED, "", 0)
    assert first.cached_tokens >= 2 * 2 * 128
    assert first.prompt_tokens == sum(len(texts.prompt_ids) + len(choice.ids) for choice in texts.choices)
    assert max(likelihoods(first)) < 0
    for one, two in zip(likelihoods(first), likelihoods(second), strict=True):
        assert abs(one - two) < 1e-3
    letters, behind = choices(bench, context, " A", " B"), choices(bench, f"{context} A", " A", " B")
    done = bench.finish(letters, behind)
    both = likelihoods(done[letters.id])[0] + likelihoods(done[behind.id])[1]
    assert abs(both - likelihoods(first)[0]) < 1e-3
    assert done[letters.id].prompt_tokens == len(letters.prompt_ids)
    assert first.timing is not None
    assert first.timing.decode == 0
    assert bench.engine.unfinished == 0


@check
def a_choice_whose_tokens_the_prefix_cache_holds_is_computed_all_the_same(bench: Bench) -> None:
    texts = choices(bench, "The fox said", f" {LONG}and left", f" {LONG}and stayed")
    assert len(texts.choices[0].ids) > 2 * 128
    first = bench.finish(texts)[texts.id]
    again = replace(texts, id="b/held/0")
    second = bench.finish(again)[again.id]
    assert second.error is None
    for one, two in zip(likelihoods(first), likelihoods(second), strict=True):
        assert abs(one - two) < 1e-2
    tokens = {choice.name: choice.tokens for choice in first.choices}
    assert tokens == {choice.name: len(choice.ids) for choice in texts.choices}


@check
def choices_that_are_dropped_come_back_as_one_question(bench: Bench) -> None:
    texts = choices(bench, f"{LONG}It said", " nothing at all", " something else")
    bench.engine.submit(texts)
    bench.engine.submit(bench.request("Tell me a story.", ignore_eos=True, max_tokens=50))
    dropped = bench.engine.abort()
    assert [completion.request_id for completion in dropped].count(texts.id) == 1
    assert bench.engine.unfinished == 0


def main(checkpoint_folder: str) -> None:
    # float32: in bf16 a prompt computed as a whole and one computed token by token may round apart
    config = compose(
        ["model.dtype=float32", f"batch_size={BATCH}", "model.max_length=2048", "log_level=WARNING"]
    )
    checkpoint = Checkpoint(checkpoint_folder, None, local=True)
    tokenizer = HubTokenizer(checkpoint, trust_remote_code=False)
    passed = 0
    work = Workload(requests=BATCH, longest=64, output_tokens=BATCH * 64, batch_size=BATCH)
    engine = VllmEngine(config, checkpoint)
    engine.prepare()
    engine.load(work, lambda _: None)
    engine.begin(tokenizer, work, loaded=True, notice=print)
    try:
        bench = Bench(engine, tokenizer)
        for function in CHECKS:
            try:
                function(bench)
            except AssertionError as error:
                sys.stdout.write(
                    f"FAILED {function.__name__}: {error!r} line {error.__traceback__ and error.__traceback__.tb_next and error.__traceback__.tb_next.tb_lineno}\n"
                )
            else:
                passed += 1
        assert engine.report().preemptions == 0
    finally:
        engine.close()
    sys.stdout.write(json.dumps({"checks": len(CHECKS), "passed": passed}) + "\n")
