"""Records with values that a test does not care about."""

from dataclasses import replace
from typing import Any

from llmbench.config.choices import Startup
from llmbench.engine.vllm.startup_history import HistoryEntry, Key, observed
from llmbench.engine.workload import Took
from llmbench.records import Completion, FinishReason, Outcome, Result, Score, Timing


def timing(queued: float = 0.0, seconds: float = 2.0) -> Timing:
    """Ten tokens of a request that waits for 0.1 s and reads its prompt for 0.4 s."""
    return Timing.of(queued, queued + 0.1, queued + 0.5, queued + seconds, 10)


def score(outcome: Outcome = Outcome.CORRECT, answer: str | None = None) -> Score:
    """A score of an outcome; right and wrong ones have an answer, "4" or "5" unless it is given."""
    answers = {Outcome.CORRECT: "4", Outcome.WRONG: "5"}
    return Score(float(outcome is Outcome.CORRECT), answer or answers.get(outcome), outcome)


def result(
    number: int | str = 0,
    outcome: Outcome = Outcome.CORRECT,
    text: str = "so 4",
    *,
    answer: str | None = None,
    tokens: int = 10,
    **fields: Any,  # noqa: ANN401 - the record's own
) -> Result:
    """The answer of one completion to the question "2 + 2?" of the benchmark `b`, its id the number."""
    done = Completion(f"b/{number}/0", text, (), tokens, 100, 0, FinishReason.STOP, None, timing())
    whole = Result("b", str(number), 0, "4", "2 + 2?", "f" * 64, text, (done,), score(outcome, answer))
    return replace(whole, **fields)


RICH_TIMING = Timing(queued=1.0, finished=3.0, queue=0.5, ttft=1.0, decode=1.0, e2e=2.0, inter_token=0.25)
RICH_COMPLETION = Completion(
    "b/1/0", "two\u2028\x1b[31m", (1, 2), 2, 7, 3, FinishReason.STOP_STRING, "Answer:", RICH_TIMING
)
RICH_RESULT = Result(
    benchmark="b",
    sample_id="1",
    repeat=0,
    target="2",
    prompt="1 + 1?",
    prompt_hash="abc",
    text="two",
    completions=(RICH_COMPLETION, replace(RICH_COMPLETION, request_id="b/1/0+", timing=None, error="gone")),
    score=Score(1.0, "2", Outcome.CORRECT, "because"),
    elicited=True,
    fields={"level": 3},
)
"""Every field filled, with characters that files and terminals choke on."""

H100 = Key("NVIDIA H100 80GB HBM3", "Qwen/Qwen2.5-14B-Instruct", "bitsandbytes", "bfloat16", "0.26.0")


def measured_start(  # noqa: PLR0917
    how: Startup,
    load_s: float,
    step_s: float = 0.03,
    key: Key = H100,
    cache: str | None = None,
    batch_size: int = 40,
) -> HistoryEntry:
    """The history's entry of a run of 160 steps."""
    took = Took([160] * batch_size, 300 * batch_size, load_s, 160 * step_s, energy_j=900.0)
    return observed(key, how, cache, batch_size, took)
