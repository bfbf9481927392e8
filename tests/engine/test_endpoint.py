import threading
import time
from collections import deque
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from llmbench.engine.endpoint import trouble
from llmbench.engine.endpoint.health import LOST
from llmbench.errors import EngineDiedError, EngineError, StoppedError
from llmbench.records import FinishReason, Message
from tests.helpers.endpoints import chat, engine, finish
from tests.helpers.stand_in_server import Body, Fault, StandIn, last_message, serving


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FIRST_S", 0.02)


def test_a_chat_is_sent_as_messages_and_comes_back_as_text() -> None:
    with serving() as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
    (body,) = server.asked
    assert body["messages"] == [{"role": "user", "content": "2 + 2?"}]
    assert (body["model"], body["max_completion_tokens"], body["temperature"]) == ("org/tiny", 32, 0.0)
    assert (done.text, done.finish_reason, done.output_tokens) == ("It is 4.", FinishReason.STOP, 3)
    assert done.prompt_tokens > 0
    assert done.timing is not None
    assert done.timing.queue == 0
    assert done.timing.e2e >= done.timing.ttft > 0


def test_sampling_reaches_vllm_in_full_so_that_no_default_of_the_models_counts() -> None:
    stops = ("a!", "b!", "c!", "d!", "e!", "f!")
    with serving() as server, engine(server) as made:
        finish(made, chat(1, stop=stops, seed=5, temperature=0.6, top_k=7))
    (body,) = server.asked
    assert {
        "top_p": 1.0,
        "top_k": 7,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": 5,
    }.items() <= body.items()
    assert body["stop"] == list(stops)


def test_another_server_gets_only_what_its_api_knows() -> None:
    with serving(StandIn(vllm=False)) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
    assert done.text == "It is 4."


def test_the_stop_string_is_known_where_the_server_says_it() -> None:
    with serving(StandIn(reply=lambda _: "Well. Therefore it is 4.")) as server, engine(server) as made:
        (done,) = finish(made, chat(1, stop=("Therefore",))).values()
    assert (done.text, done.stop_string) == ("Well. ", "Therefore")
    assert done.finish_reason is FinishReason.STOP_STRING


def test_the_token_limit_is_told_apart() -> None:
    with serving() as server, engine(server) as made:
        (done,) = finish(made, chat(1, max_tokens=2)).values()
    assert (done.text, done.finish_reason, done.output_tokens) == ("It is", FinishReason.LENGTH, 2)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_thinking_that_is_kept_apart_stands_before_the_text(field: str) -> None:
    stand_in = StandIn(reply=lambda _: ("Two and two.", "It is 4."), reasoning_field=field)
    with serving(stand_in) as server, engine(server) as made:
        whole, cut = finish(made, chat(1), chat(2, max_tokens=2)).values()
    if whole.finish_reason is FinishReason.LENGTH:
        whole, cut = cut, whole
    assert whole.text == "<think>Two and two.</think>It is 4."
    assert cut.text == "<think>Two and"


def test_a_stop_string_within_thinking_leaves_it_open() -> None:
    stand_in = StandIn(reply=lambda _: ("Well. Therefore it is so.", "It is 4."))
    with serving(stand_in) as server, engine(server) as made:
        (done,) = finish(made, chat(1, stop=("Therefore",))).values()
    assert (done.text, done.stop_string) == ("<think>Well. ", "Therefore")


@pytest.mark.parametrize("usage", [{}, {"completion_tokens": None, "prompt_tokens": None}])
def test_a_usage_that_says_nothing_is_none(usage: dict[str, None]) -> None:
    with serving(StandIn(usage=usage, vllm=False)) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
        report = made.report()
    assert (done.text, done.output_tokens, done.error) == ("It is 4.", 0, None)
    assert report.server is not None
    assert (report.server.unknown_usage, report.server.retries) == (1, 0)


def test_no_more_are_in_flight_than_the_batch_size() -> None:
    with serving(StandIn(word_s=0.01)) as server, engine(server, batch_size=3) as made:
        done = finish(made, *(chat(number) for number in range(10)))
        report = made.report()
    assert server.most_in_flight == 3
    assert len(done) == len(server.asked) == 10
    assert report.server is not None
    assert report.server.place_wait_s > 0
    spans = [(c.timing.queued, c.timing.finished) for c in done.values() if c.timing is not None]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) <= 3


def test_without_a_batch_size_at_most_64_are_in_flight() -> None:
    with serving(StandIn(word_s=0.05)) as server, engine(server) as made:
        finish(made, *(chat(number) for number in range(70)))
        assert made.report().batch_size == 64
    assert server.most_in_flight <= 64


def test_a_first_request_goes_before_those_that_wait() -> None:
    with serving(StandIn(word_s=0.05)) as server, engine(server, batch_size=1) as made:
        for number in range(3):
            made.submit(chat(number, f"question {number}"))
        made.submit(chat(9, "the first"), first=True)
        done: list[str] = []
        while len(done) < 4:
            done += [completion.request_id for completion in made.step()]
    assert done.index("b/9/0") <= 1


PASSING = [
    (429, "slow down"), (500, "oops"), (503, "later"), "half", "wrong_json", "wrong_shape", "drop", "error_inside",
]  # fmt: skip


@pytest.mark.parametrize("fault", PASSING)
def test_what_can_pass_is_asked_again(fault: str | tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FIRST_S", 0.5)
    with serving(StandIn(faults=deque([fault]))) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
        report = made.report()
    assert (done.text, done.error) == ("It is 4.", None)
    assert len(server.asked) == 2
    assert report.server is not None
    assert report.server.retries == 1
    assert done.timing is not None
    assert report.server.backoff_s > 0
    assert done.timing.e2e < report.server.backoff_s  # which is in no timing


def test_a_server_that_is_silent_is_asked_again() -> None:
    with serving(StandIn(faults=deque(["silence"]))) as server, engine(server, "engine_wait_s=2") as made:
        (done,) = finish(made, chat(1)).values()
    assert done.text == "It is 4."
    assert len(server.asked) == 2


def test_tokens_that_are_not_counted_are_unknown() -> None:
    stand_in = StandIn(faults=deque(["no_usage"]), vllm=False)
    with serving(stand_in) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
        report = made.report()
    assert (done.output_tokens, done.prompt_tokens) == (0, 0)
    assert report.server is not None
    assert report.server.unknown_usage == 1


def test_a_refusal_that_meets_one_request_alone_is_its_own_error() -> None:
    faults: list[Fault] = [(400, "the content filter blocks this prompt")]
    with serving(StandIn(faults=deque(faults), word_s=0.1)) as server, engine(server, batch_size=4) as made:
        done = finish(made, *(chat(number) for number in range(8)))
    errors = [completion.error for completion in done.values() if completion.error]
    assert len(errors) == 1
    assert "the content filter blocks this prompt" in errors[0]
    assert sum(completion.text == "It is 4." for completion in done.values()) == 7


def test_refusals_in_flight_with_an_answer_are_each_their_own_error() -> None:
    faults: list[Fault] = [(400, "filtered")] * 6
    with serving(StandIn(faults=deque(faults), word_s=0.1)) as server, engine(server, batch_size=8) as made:
        done = finish(made, *(chat(number) for number in range(8)))
    assert sum("filtered" in str(completion.error) for completion in done.values()) == 6


def test_refusals_that_follow_an_answer_one_after_another_end_the_run() -> None:
    with serving() as server, engine(server, batch_size=1) as made:
        finish(made, chat(1))
        server.faults.extend([(400, "top_k is not supported")] * 9)
        with pytest.raises(EngineError, match=r"refuses \(400: top_k"):
            finish(made, *(chat(number) for number in range(2, 9)))
    assert len(server.asked) == 1 + LOST + 1


def test_a_request_that_alone_always_fails_ends_no_run() -> None:
    with (
        serving(StandIn(faults=deque([(500, "oops")] * 50))) as server,
        engine(server, "engine.retry_s=1") as made,
    ):
        (done,) = finish(made, chat(1)).values()
    assert "the server failed for engine.retry_s=1 s: it answered 500 (oops)" in str(done.error)


def test_a_server_that_fails_every_request_stops_the_run() -> None:
    with (
        serving(StandIn(faults=deque([(500, "oops")] * 500))) as server,
        engine(server, "engine.retry_s=1", batch_size=8) as made,
        pytest.raises(StoppedError, match="it answered 500"),
    ):
        finish(made, *(chat(number) for number in range(8)))


def test_a_long_retry_after_is_waited_for_as_long_as_retries_last() -> None:
    fault: Fault = (429, "slow down")
    stand_in = StandIn(faults=deque([fault]), retry_after="3600")
    with serving(stand_in) as server, engine(server, "engine.retry_s=1") as made:
        (done,) = finish(made, chat(1)).values()
    assert (done.text, len(server.asked)) == ("It is 4.", 2)


def limited(until: float) -> StandIn:
    """A server that has no room for one request until it was asked so many."""
    stand_in = StandIn(word_s=0.02)
    stand_in.fault = lambda body: (
        (429, "slow down") if last_message(body) == "late" and len(stand_in.asked) < until else None
    )
    return stand_in


def test_a_rate_limit_is_waited_for_while_others_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(limited(25)) as server, engine(server, "engine.retry_s=0.5", batch_size=2) as made:
        done = finish(made, chat(1, "late"), *(chat(number) for number in range(2, 30)))
    assert {(completion.text, completion.error) for completion in done.values()} == {("It is 4.", None)}
    said = capsys.readouterr().out
    assert said.count("429 (slow down); such requests wait for as long as others are answered") == 1


def test_a_rate_limit_that_is_left_alone_stops_the_run() -> None:
    with (
        serving(limited(inf)) as server,
        engine(server, "engine.retry_s=0.5", batch_size=2) as made,
        pytest.raises(StoppedError, match=r"429 \(slow down\); what was finished is kept"),
    ):
        finish(made, chat(1, "late"), *(chat(number) for number in range(2, 12)))


def test_a_quota_that_is_used_up_ends_the_run_at_once() -> None:
    with (
        serving(StandIn(faults=deque(["quota"]))) as server,
        engine(server) as made,
        pytest.raises(EngineError, match=r"refuses \(429: You exceeded your quota\)"),
    ):
        finish(made, chat(1))


SHAPES = ["whole_line", "whole_indented", "no_choices", "parts", "no_reason"]


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_of_other_shapes_are_read(shape: str) -> None:
    with serving(StandIn(faults=deque([shape]))) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
    assert (done.text, done.output_tokens, len(server.asked)) == ("It is 4.", 3, 1)


def test_answers_that_a_filter_ended_are_named() -> None:
    with serving(StandIn(reason="content_filter")) as server, engine(server) as made:
        finish(made, chat(1))
        assert ["content filter ended 1 answer" in said for said in made.report().warnings()] == [True]


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_server_broke_off_is_asked_again(reason: str) -> None:
    def reply(_: Body) -> str:
        server.reason = "stop" if len(server.asked) > 1 else reason
        return "It is 4." if len(server.asked) > 1 else "It"

    with serving(StandIn(reply=reply)) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
    assert (done.text, done.finish_reason, len(server.asked)) == ("It is 4.", FinishReason.STOP, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_ends_the_run_at_once(status: int) -> None:
    with (
        serving(StandIn(faults=deque([(status, "no such thing")]))) as server,
        engine(server) as made,
        pytest.raises(EngineError, match=rf"refuses \({status}: .*no such thing"),
    ):
        finish(made, chat(1))
    assert len(server.asked) == 1


def test_a_request_that_fails_alone_is_an_error_of_its_own() -> None:
    def reply(body: dict[str, object]) -> str:
        if "bad" in last_message(body):
            raise OSError
        return "fine"

    stand_in = StandIn(reply=reply, word_s=0.02)
    with serving(stand_in) as server, engine(server, "engine.retry_s=1", batch_size=2) as made:
        done = finish(made, chat(1, "bad"), *(chat(number) for number in range(2, 60)))
    assert done["b/1/0"].finish_reason is FinishReason.ABORT
    assert "engine.retry_s=1 s" in str(done["b/1/0"].error)
    assert sum(completion.text == "fine" for completion in done.values()) == 58


def test_no_run_is_stopped_while_an_answer_is_coming(capsys: pytest.CaptureFixture[str]) -> None:
    coming = threading.Event()

    def reply(body: Body) -> str:
        if "bad" in last_message(body):
            coming.wait()
            time.sleep(0.3)  # for its first piece
            raise OSError
        coming.set()
        return "word " * 20

    with (
        serving(StandIn(reply=reply, word_s=0.1)) as server,
        engine(server, "engine.retry_s=1", batch_size=2) as made,
    ):
        done = finish(made, chat(1, "bad"), chat(2))
    assert (len(done["b/2/0"].text.split()), "engine.retry_s=1 s" in str(done["b/1/0"].error)) == (20, True)
    assert capsys.readouterr().out == ""


def test_a_server_that_breaks_every_answer_stops_the_run() -> None:
    with (
        serving(StandIn(reply=lambda _: "word " * 10, faults=deque(["half"] * 500), word_s=0.05)) as server,
        engine(server, "engine.retry_s=1", batch_size=4) as made,
        pytest.raises(StoppedError, match=r"gave no whole answer|the connection broke"),
    ):
        finish(made, *(chat(number) for number in range(4)))


def test_a_server_that_is_gone_stops_the_run() -> None:
    with serving() as server, engine(server, "engine.retry_s=0.5") as made:
        finish(made, chat(1))
        server.faults.extend(["drop"] * 50)
        with pytest.raises(StoppedError, match=r"engine\.retry_s=0\.5 s.*kept"):
            finish(made, chat(2))


def test_a_server_that_comes_back_in_time_loses_nothing() -> None:
    stand_in = StandIn()
    with serving(stand_in) as server, engine(server) as made:
        finish(made, chat(1))
        server.faults.extend(["drop"] * 4)
        done = finish(made, *(chat(number) for number in range(2, 6)))
    assert {completion.text for completion in done.values()} == {"It is 4."}
    assert len(done) == 4


def test_what_is_aborted_ends_at_the_server_too() -> None:
    with serving(StandIn(reply=lambda _: "word " * 200, word_s=0.02)) as server:
        with engine(server, batch_size=2) as made:
            for number in range(5):
                made.submit(chat(number, max_tokens=500))
            while server.in_flight < 2:
                time.sleep(0.01)
            dropped = made.abort()
            assert {completion.request_id for completion in dropped} == {f"b/{n}/0" for n in range(5)}
            assert made.state().running == made.state().queued == 0
        while server.in_flight:
            time.sleep(0.01)
    assert len(server.asked) == 2


def test_an_answer_that_nobody_took_before_an_abort_answers_no_later_request() -> None:
    said = iter(["It is 4.", "It is 5."])
    with serving(StandIn(reply=lambda _: next(said))) as server, engine(server) as made:
        made.submit(chat(1))
        while made.state().running or made.state().queued or not server.asked:
            time.sleep(0.01)
        made.abort()
        assert {completion.text for completion in finish(made, chat(1)).values()} == {"It is 5."}


def test_no_thread_is_left_where_closing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "llmbench-endpoint"]

    before = threads()
    with serving() as server, engine(server) as made:
        assert len(threads()) > len(before)
        client: Any = made._client
        close = client.close

        async def fails() -> None:
            await close()
            raise OSError("no such socket")

        monkeypatch.setattr(client, "close", fails)
        with pytest.raises(OSError, match="no such socket"):
            made.close()
    assert threads() == before


def test_a_killed_engine_ends_its_step() -> None:
    with serving(StandIn(word_s=0.5)) as server, engine(server) as made:
        made.submit(chat(1))
        threading.Timer(0.1, made.kill, ["It hangs."]).start()
        with pytest.raises(EngineDiedError, match="It hangs"):
            finish(made, chat(2))


def test_no_request_is_asked_that_could_cost_too_much() -> None:
    limits = ("engine.price={input: 0, output: 1e6}", "engine.max_cost=7")
    with serving() as server, engine(server, *limits, batch_size=1) as made:
        finish(made, chat(1, max_tokens=4))  # it takes 3 tokens
        assert made.report().server is not None
        assert made.report().server.cost == pytest.approx(3.0)  # type: ignore[union-attr]
        finish(made, chat(2, max_tokens=4))
        with pytest.raises(StoppedError, match=r"engine\.max_cost=7 .*spent so far: 6"):
            finish(made, chat(3, max_tokens=4))
    assert len(server.asked) == 2


def test_an_answer_that_falls_silent_may_have_cost_something() -> None:
    limits = ("engine.price={input: 0, output: 1e6}", "engine.max_cost=10", "engine_wait_s=1")
    with (
        serving(StandIn(faults=deque(["half_silence"]))) as server,
        engine(server, *limits, batch_size=1) as made,
    ):
        finish(made, chat(1, max_tokens=4))  # which takes 3 tokens
        with pytest.raises(StoppedError, match=r"engine\.max_cost=10 .*spent so far: 3"):
            finish(made, chat(2, max_tokens=4))
    assert len(server.asked) == 2


def test_an_answer_without_usage_may_have_cost_all_that_it_could() -> None:
    limits = ("engine.api=completions", "engine.price={input: 0, output: 1e6}", "engine.max_cost=12")
    asked = [replace(chat(n, max_tokens=4), messages=(), prompt_ids=(1, 2, 3)) for n in range(4)]
    stand_in = StandIn(faults=deque(["no_usage"] * 4), vllm=False)
    with (
        serving(stand_in) as server,
        engine(server, *limits, batch_size=1) as made,
        pytest.raises(StoppedError, match=r"engine\.max_cost=12 .*spent so far: 12"),
    ):
        finish(made, *asked)
    assert len(server.asked) == 3


def test_a_turn_of_the_assistant_is_continued() -> None:
    with serving() as server, engine(server) as made:
        begun = chat(1)
        more = replace(begun, id=begun.id + "+", messages=(*begun.messages, Message("assistant", "So it is")))
        finish(made, more)
    (body,) = server.asked
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False


def test_a_continuation_that_a_chat_template_does_not_take_gives_nothing_and_is_counted() -> None:
    with serving(StandIn(faults=deque([(400, "no")]))) as server, engine(server) as made:
        begun = chat(1)
        more = replace(begun, id=begun.id + "+", messages=(*begun.messages, Message("assistant", "So it is")))
        (done,) = finish(made, more).values()
        report = made.report()
    assert (done.text, done.finish_reason, done.error) == ("", FinishReason.ABORT, None)
    assert ["1 missing answer" in said for said in report.warnings()] == [True]


TOO_LONG = [
    "This model's maximum context length is 2048 tokens. However, you requested 100 output tokens and your prompt contains 1949",
    "Requested token count exceeds the model's maximum context length of 2048 tokens.",
    "the request exceeds the available context size, try increasing it",
]


@pytest.mark.parametrize("message", TOO_LONG)
def test_an_answer_may_fill_what_a_long_prompt_leaves_of_the_context(message: str) -> None:
    with serving(StandIn(faults=deque([(400, message)]))) as server, engine(server) as made:
        (done,) = finish(made, chat(1)).values()
        report = made.report()
    assert (done.text, done.error) == ("It is 4.", None)
    assert [body.get("max_completion_tokens") for body in server.asked] == [32, None]
    assert report.warnings() == []


def test_a_prompt_that_is_too_long_is_an_error_of_its_own() -> None:
    with (
        serving(StandIn(faults=deque([(400, TOO_LONG[0])] * 2))) as server,
        engine(server, batch_size=1) as made,
    ):
        done = finish(made, chat(1), chat(2))
    assert "maximum context length" in str(done["b/1/0"].error)
    assert done["b/2/0"].text == "It is 4."


def test_a_text_that_fills_the_context_is_left_as_it_is() -> None:
    with serving(StandIn(faults=deque([(400, TOO_LONG[0])] * 2))) as server, engine(server) as made:
        begun = chat(1)
        more = replace(begun, id=begun.id + "+", messages=(*begun.messages, Message("assistant", "So it is")))
        (done,) = finish(made, more).values()
        assert (done.text, done.finish_reason, done.error) == ("", FinishReason.ABORT, None)
        assert made.report().warnings() == []


def test_a_server_that_knows_only_the_older_name_of_the_limit_gets_it() -> None:
    with serving(StandIn(older=True, word_s=0.05)) as server, engine(server, batch_size=2) as made:
        done = finish(made, *(chat(number) for number in range(4)))
    assert {completion.text for completion in done.values()} == {"It is 4."}
    assert sum("max_tokens" in body for body in server.asked) == 4


TOO_MANY = "max_completion_tokens is too large: 32. This model gives at most 16 completion tokens"
PRICED = ("engine.price={input: 1, output: 1}", "engine.max_cost=5")


@pytest.mark.parametrize(("message", "more"), [(TOO_MANY, ()), (f"{TOO_LONG[0]} ({TOO_MANY})", PRICED)])
def test_a_limit_that_is_refused_for_its_value_stays(message: str, more: tuple[str, ...]) -> None:
    def fault(body: Body) -> Fault | None:
        return (400, message) if last_message(body) == "long" else None

    with serving(StandIn(fault=fault)) as server, engine(server, *more, batch_size=1) as made:
        done = finish(made, chat(1), chat(2, "long"), chat(3))
    assert message in str(done["b/2/0"].error)
    assert [body.get("max_completion_tokens") for body in server.asked] == [32] * 3


def test_answers_beyond_their_limit_are_named() -> None:
    with (
        serving(StandIn(usage={"completion_tokens": 99, "prompt_tokens": 5})) as server,
        engine(server) as made,
    ):
        finish(made, chat(1))
        assert ["more tokens than were asked for" in said for said in made.report().warnings()] == [True]


def test_a_server_that_is_away_and_comes_back_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(StandIn(faults=deque(["drop"] * 6))) as server, engine(server) as made:
        finish(made, chat(1), chat(2))
    away, back = capsys.readouterr().out.splitlines()
    assert "cannot be reached" in away
    assert "answers again after" in back


def test_a_server_that_comes_back_with_another_model_stops_the_run() -> None:
    stand_in = StandIn(faults=deque(["drop"] * 4), root="org/tiny")
    with serving(stand_in) as server, engine(server, batch_size=1) as made:
        server.root = "org/other"
        with pytest.raises(
            StoppedError, match=r"came back with another model: org/tiny \(org/other\), not org/tiny;"
        ):
            finish(made, chat(1))


def test_a_server_that_comes_back_is_looked_at_once_and_again_where_that_fails() -> None:
    with serving(StandIn(faults=deque(["drop"] * 24), word_s=0.1)) as server:
        with engine(server, batch_size=8) as made:
            before, server.failing_looks = server.looks, 2
            done = finish(made, *(chat(number) for number in range(8)))
        assert {(completion.text, completion.error) for completion in done.values()} == {("It is 4.", None)}
        assert server.looks - before == 3


def test_a_server_that_does_not_say_what_it_came_back_with_stops_the_run() -> None:
    with (
        serving(StandIn(faults=deque(["drop"] * 3))) as server,
        engine(server, "engine.retry_s=1", batch_size=1) as made,
    ):
        server.failing_looks = 1000
        with pytest.raises(StoppedError, match=r"refuses \(500: not yet\).* kept"):
            finish(made, chat(1))


@pytest.mark.parametrize("named", [(), ("engine.served_model=org/tiny",)])
def test_a_server_that_does_not_know_its_model_any_more_stops_the_run(named: tuple[str, ...]) -> None:
    with serving() as server, engine(server, *named, batch_size=4) as made:
        finish(made, chat(1))
        server.models = ("org/other",)
        server.faults.extend([(404, "The model `org/tiny` does not exist.")] * 4)
        with pytest.raises(StoppedError, match=r"org/other.*serve that again, and resume"):
            finish(made, *(chat(number) for number in range(2, 6)))


def test_fields_and_headers_of_a_providers_own_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame-sesame")
    monkeypatch.setenv("MY_PROJECT", "project-17")
    own = ("engine.api_key_env=MY_KEY", "engine.headers_env={X-Project: MY_PROJECT}")
    with (
        serving(StandIn(key="sesame-sesame")) as server,
        engine(server, *own, "engine.extra_body={reasoning_effort: low, temperature: 1}") as made,
    ):
        finish(made, chat(1))
    (body,), (headers,) = server.asked, server.headers
    assert (body["reasoning_effort"], body["temperature"]) == ("low", 1)
    assert headers["authorization"] == "Bearer sesame-sesame"
    assert headers["x-project"] == "project-17"
