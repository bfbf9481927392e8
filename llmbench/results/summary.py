"""What a run found: the metrics of each benchmark, with their validity, and where the time went.

The field names are those of `summary.json`, which other programs read (see README). What was not measured is None.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from llmbench.records import Timing
from llmbench.results import cache_use
from llmbench.results.cache_use import CacheUse
from llmbench.results.generation import Generation
from llmbench.results.judge_use import JudgeUse
from llmbench.results.likelihood import LikelihoodStatistics
from llmbench.results.manifest import Attempt, FileRecord
from llmbench.results.pass_at_k import RepeatStatistics
from llmbench.results.stats import Distribution
from llmbench.results.stopping import StopEntry
from llmbench.results.thinking_use import ThinkingUse
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import GpuUse, Memory

VERSION = 1
UNKNOWN = "unknown"
"""What an old or damaged summary does not say."""
FAKE = "fake"
"""The engine without a model."""
MODEL = re.compile(r"model(\.(name|path|hub_id|lora))?=")
"""How a typed setting begins that names a model."""


def answered_by(engine: str, model: str, typed: Iterable[str]) -> str:
    """Returns what a run is called by: its model, but the engine where that answers without one and no model was typed."""
    return FAKE if engine == FAKE and not any(map(MODEL.match, typed)) else model


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of a benchmark's results, 0 to 1.

    Attributes:
        truncated: Cut by the token limit before an answer.
        stopped: Ended by a stop string.
        elicited: Asked for the answer after the text had stopped without one.
        no_answer: No answer was found, truncated ones included.
        error: The engine or the grader failed, time-outs included.
        limited: Reached the token limit before an answer, whether or not it was then asked for.
        repeating: Nothing but one short piece over and over, or no text at all.
        unjudged: There is an answer and no verdict of the judge.
    """

    truncated: float = 0.0
    stopped: float = 0.0
    elicited: float = 0.0
    no_answer: float = 0.0
    error: float = 0.0
    limited: float = 0.0
    repeating: float = 0.0
    unjudged: float = 0.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums over a benchmark's completions."""

    prompt: int = 0
    output: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """Per second of the benchmark's time from first admission to last completion."""

    samples_per_s: float | None = None
    output_tokens_per_s: float | None = None
    total_tokens_per_s: float | None = None


NOT_MEASURED, NO_TOKENS, NO_THROUGHPUT = Distribution(), Tokens(), Throughput()


@dataclass(frozen=True, slots=True)
class BenchmarkSummary:
    """One benchmark's metrics. Times are seconds.

    Attributes:
        n: Results, one for each sample and repeat; `expected` is how many the run set out to get.
        accuracy: Mean over questions of the mean over repeats; its error and interval are clustered by question.
        bounds: The accuracy if every sample without an answer, or not asked yet, were wrong, and if it were right.
        likelihood: acc_norm, where the accuracy is that of the choice with the largest log-likelihood; None where texts are graded.
        repeated: avg@k, pass@k, maj@k and the split of the variance; None with one answer to each question.
        queue_s: Waiting in the engine's scheduler; `prefill_s`: reading the prompt; `ttft_s`: both, to the first token.
        details: What the benchmark adds: verdicts on programs and patches, accuracy by difficulty.
        selection: How its questions were chosen (`manifest.Selection.strategy`); None where an older run does not say.
        judge: What the judge said of the answers, and how often nothing; None where none was asked. Its tokens are in none of `tokens`.
        thinking: How much of the answers was thinking; None where none has a think block.
        stopping: Where `stop_when` was set, how many questions count and which intervals hold then; `ci95` is one of these. Else None.
        cache: What came from the response cache, which is in no time and no throughput, but in `tokens`; None where it is off.
    """

    n: int = 0
    samples: int = 0
    repeats: int = 1
    expected: int = 0
    accuracy: float | None = None
    stderr: float | None = None
    ci95: tuple[float, float] | None = None
    bounds: tuple[float, float] | None = None
    rates: Rates | None = None
    latency_s: Distribution = NOT_MEASURED
    queue_s: Distribution = NOT_MEASURED
    prefill_s: Distribution = NOT_MEASURED
    ttft_s: Distribution = NOT_MEASURED
    decode_s: Distribution = NOT_MEASURED
    inter_token_s: Distribution = NOT_MEASURED
    tokens: Tokens = NO_TOKENS
    time_s: float | None = None
    throughput: Throughput = NO_THROUGHPUT
    likelihood: LikelihoodStatistics | None = None
    repeated: RepeatStatistics | None = None
    details: dict[str, Any] | None = None
    cache: CacheUse | None = None
    selection: str | None = None
    judge: JudgeUse | None = None
    thinking: ThinkingUse | None = None
    stopping: StopEntry | None = None


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of requests, added up."""

    queue: float
    prefill: float
    decode: float

    @classmethod
    def of(cls, timings: Sequence[Timing]) -> Self | None:
        """The sums; None where nothing was timed."""
        if not timings:
            return None
        return cls(*(math.fsum(getattr(t, name) for t in timings) for name in ("queue", "prefill", "decode")))


class TimeSplit(msgspec.Struct, rename={"import_": "import"}):
    """Seconds of a run's parts, each by its own clock; `prepare` goes on beside `load`.

    Attributes:
        total: From the start of the process to the summary.
        import_: Importing the engine's libraries.
        data: Reading the questions.
        tokenizer: Reading the tokenizer.
        prepare: Writing the prompts.
        load: From there to an engine that can be asked; `load_parts` says what it went into.
        first_token: From the start of the process to the first token of an answer.
        generate: From the first request to the last token.
        requests: Seconds that all requests together spent in each phase (`Phases`): of one that waits while three decode for a second,
            queue 1 and decode 3. Of the last attempt, without what came from the cache.
        generation: How generating went: its tail, its decode steps and their limit. Of the last attempt, without what came from the cache; None
            where it did not end, or an engine was replaced meanwhile.
        grade_tail: From the last token to the last grade.
    """

    total: float | None = None
    import_: float | None = None
    data: float | None = None
    tokenizer: float | None = None
    prepare: float | None = None
    load: float | None = None
    load_parts: dict[str, float | None] = msgspec.field(default_factory=dict)
    first_token: float | None = None
    generate: float | None = None
    requests: Phases | None = None
    generation: Generation | None = None
    grade_tail: float | None = None


@dataclass(slots=True, eq=False)
class Summary(FileRecord):
    """A whole run, as summary.json holds it.

    Attributes:
        sittings: How often it was begun, each with its time ; `time_s` is the last one's.
        resume: The command that resumes it, if it did not finish.
        cost: Of the requests of all attempts by `engine.price`; None without prices.
        judge_cost: Of the requests to the judge's server by `judge.price`; None without prices.
        notes: What was not as it should be about its files, or changed between attempts.
    """

    status: str = UNKNOWN
    model: str = UNKNOWN
    profile: str = UNKNOWN
    comparable: bool = False
    not_comparable: list[str] = field(default_factory=list)
    time_s: TimeSplit = field(default_factory=TimeSplit)
    engine: EngineReport | None = None
    memory: Memory = field(default_factory=Memory)
    gpu: GpuUse = field(default_factory=GpuUse)
    benchmarks: dict[str, BenchmarkSummary] = field(default_factory=dict)
    preflight: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    recovery: list[str] = field(default_factory=list)
    sittings: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resume: str | None = None
    restarts: list[str] = field(default_factory=list)
    error: str | None = None
    cost: float | None = None
    judge_cost: float | None = None
    version: int = VERSION

    @property
    def cache(self) -> CacheUse | None:
        """What came from the response cache; None where it was off."""
        return cache_use.total(benchmark.cache for benchmark in self.benchmarks.values())

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens of all benchmarks that the engine generated for each second of generating.

        None where they come from several processes, of which `time_s` has the last one's seconds only: then benchmarks have no
        time of their own either.
        """
        if any(benchmark.n and benchmark.time_s is None for benchmark in self.benchmarks.values()):
            return None
        tokens = sum(benchmark.tokens.output for benchmark in self.benchmarks.values())
        tokens -= self.cache.output_tokens if self.cache is not None else 0
        return tokens / self.time_s.generate if self.time_s.generate and tokens else None

    @property
    def latency_s(self) -> float | None:
        """Mean over all results of the run."""
        known = [(b.latency_s.mean, b.n) for b in self.benchmarks.values() if b.n]
        measured = [(mean, n) for mean, n in known if mean is not None]
        total = sum(n for _, n in measured)
        return sum(mean * n for mean, n in measured) / total if total else None
