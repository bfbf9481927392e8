"""The full part and the tail of generating, its decode steps, and what the memory's bandwidth allows; expected values are computed by hand."""

import random
from dataclasses import replace

import pytest

from llmbench.records import Completion, FinishReason, Timing
from llmbench.results.generation import Generation, context_read, decode_steps, generation, tail
from llmbench.telemetry.engine_report import EngineReport, ReplicaReport, ServerReport, Speculation

GB = 10**9
H100 = EngineReport("vllm", device="cuda", step_weights_bytes=28 * GB, kv_bytes_per_token=200_000)


def made(first: float, last: float, tokens: int, *, prompt: int = 100, queued: float = 0.0) -> Completion:
    """A completion whose prompt was read from the moment it was queued."""
    timing = Timing.of(queued, queued, first, last, tokens)
    return Completion("b/1/0", "", (), tokens, prompt, 0, FinishReason.LENGTH, None, timing)


FOUR = [made(1.0, 1.0 + 10 * count, 100 * count + 1) for count in (1, 2, 3, 8)]
"""All begin at 0 with their first token at 1 s; a step takes 0.1 s throughout: 800 steps."""


def test_the_split_the_steps_and_the_limit_of_four_requests() -> None:
    found = generation(FOUR, H100, generate_s=81.0, bandwidth_gb_s=2000.0)
    assert found is not None
    # four run at most; fewer than two from 31 s, when the third ends, to 81 s
    assert (found.full, found.tail, found.most_running, found.last_tenth) == (31.0, 50.0, 4, None)
    assert found.steps == 800
    assert found.step == pytest.approx(0.1)
    # keys and values: n requests' tokens, each step 100 of the prompt and those written so far
    contexts = [100 * n * 100 + 100 * n * (100 * n + 1) / 2 for n in (1, 2, 3, 8)]
    assert sum(contexts) == 140_000 + 390_700
    least_s = (800 * 28 * GB + 530_700 * 200_000) / (2000 * GB)
    assert found.limit is not None
    assert found.limit.step == pytest.approx(least_s / 800)
    assert found.limit.share == pytest.approx(least_s / 81.0)
    assert found.limit.share == pytest.approx(0.13893, abs=1e-5)


def test_the_keys_and_values_that_a_completion_reads() -> None:
    assert context_read(made(1.0, 1.0, 1)) == 0  # the only token came of reading the prompt
    assert context_read(made(1.0, 2.0, 2, prompt=7)) == 8  # those of the prompt and of the first token
    assert context_read(made(1.0, 3.0, 4, prompt=7)) == 8 + 9 + 10


def test_the_last_tenth_is_timed_from_ten_requests_on() -> None:
    ends = [float(end) for end in range(1, 21)]
    found = generation([made(0.5, end, 10) for end in ends], H100, 20.0, None)
    assert found is not None
    assert found.last_tenth == 2.0  # two of twenty: they end at 19 and 20, the eighteenth at 18
    few = generation([made(0.5, end, 10) for end in ends[:9]], H100, 9.0, None)
    assert few is not None
    assert few.last_tenth is None


def test_steps_get_faster_as_requests_end() -> None:
    """Where all begin together the steps are the longest answer's, however fast each was."""
    done = [made(1.0, 11.0, 101), made(1.0, 13.0, 141), made(1.0, 14.0, 181)]
    found = generation(done, H100, 14.0, None)
    assert found is not None
    assert found.steps == 180
    assert found.step == pytest.approx(13.0 / 180)


def test_seconds_in_which_nothing_was_decoded_are_no_steps() -> None:
    steps, busy = decode_steps([(0.0, 10.0, 100), (50.0, 60.0, 200)])
    assert (steps, busy) == (300, 20.0)


@pytest.mark.parametrize("seed", range(4))
def test_places_that_are_taken_again_are_counted_within_a_hundredth(seed: int) -> None:
    """An engine with 16 places and 200 requests, whose steps take longer the more of them run."""
    generator, clock, steps = random.Random(seed), 0.0, 0
    waiting = [max(2, int(generator.lognormvariate(6.0, 0.7))) for _ in range(200)]
    running: list[tuple[float, int, int]] = []
    spans = []
    while waiting or running:
        while waiting and len(running) < 16:
            running.append((clock, steps, waiting.pop()))
        clock += 0.01 + 0.001 * len(running)
        steps += 1
        spans += [(began, clock, float(length)) for began, at, length in running if at + length == steps]
        running = [row for row in running if row[1] + row[2] > steps]
    counted, busy = decode_steps(spans)
    assert counted == pytest.approx(steps, rel=0.01)
    assert busy == pytest.approx(clock)


@pytest.mark.parametrize(
    ("report", "generate_s", "bandwidth"),
    [
        (H100, 81.0, None),
        (H100, None, 2000.0),
        (H100, 0.0, 2000.0),
        (replace(H100, step_weights_bytes=None), 81.0, 2000.0),
        (replace(H100, kv_bytes_per_token=None), 81.0, 2000.0),
    ],
)
def test_no_limit_is_guessed(report: EngineReport, generate_s: float | None, bandwidth: float | None) -> None:
    found = generation(FOUR, report, generate_s, bandwidth)
    assert found is not None
    assert (found.tail, found.steps, found.limit) == (50.0, 800, None)


@pytest.mark.parametrize(
    "report",
    [
        replace(H100, replicas=[ReplicaReport(), ReplicaReport()]),
        replace(H100, server=ServerReport("http://localhost:1/v1", "m", "chat")),
    ],
)
def test_engines_whose_steps_are_not_known_have_none(report: EngineReport) -> None:
    assert generation(FOUR, report, 81.0, 2000.0) == Generation(31.0, 50.0, None, 4)


def test_what_was_drafted_costs_no_step() -> None:
    decoded = 100 + 200 + 300 + 800
    speculating = replace(H100, speculation=Speculation.of(500, 1000, decoded / 2))
    found, plain = (generation(FOUR, report, 81.0, 2000.0) for report in (speculating, H100))
    assert found is not None
    assert plain is not None
    assert found.steps == 400
    assert found.step == pytest.approx(0.2)
    assert found.limit is not None
    assert plain.limit is not None
    assert found.limit.share == pytest.approx(plain.limit.share / 2)
    assert speculating.speculation is not None
    assert speculating.speculation.acceptance_rate == 0.7


def test_what_was_not_timed_is_left_out() -> None:
    assert generation([], H100, 1.0, 2000.0) is None
    kept = replace(FOUR[0], timing=None, from_cache=True)
    assert generation([kept], H100, 1.0, 2000.0) is None
    assert generation([*FOUR, kept], H100, 81.0, 2000.0) == generation(FOUR, H100, 81.0, 2000.0)


def test_one_token_each_is_no_step() -> None:
    found = generation([made(1.0, 1.0, 1), made(2.0, 2.0, 1)], H100, 2.0, 2000.0)
    assert found == Generation(2.0, 0.0, None, 2)


def test_a_request_that_waits_does_not_run() -> None:
    waits = Timing.of(0.0, 8.0, 9.0, 10.0, 10)
    assert tail([Timing.of(0.0, 0.0, 1.0, 4.0, 10), waits]) == (0.0, 1)
