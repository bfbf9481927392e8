"""What a comparison of runs comes to; the names are those that `python -m llmbench.compare --json` prints."""

from dataclasses import dataclass

from llmbench.results.agreement import JudgeAgreement
from llmbench.results.paired_tests import Flip, PairedDifference, PairedTest
from llmbench.results.settings import Setting


@dataclass(frozen=True, slots=True)
class RunHead:
    """Which run this is, as its summary says."""

    folder: str
    model: str
    profile: str
    status: str
    comparable: bool


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something measured in both runs: its name in summary.json, its unit, and run / baseline; None: not measured."""

    name: str
    unit: str
    baseline: float | None
    run: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Side:
    """One run on the questions in common: shares of 1; `answered` is the share of texts in which an answer was found, and judged where a judge is asked."""

    accuracy: float
    stderr: float | None
    ci95: tuple[float, float]
    answered: float


@dataclass(frozen=True, slots=True)
class BenchmarkComparison:
    """One benchmark in two runs; differences are the run minus the baseline, in shares of 1.

    Attributes:
        questions: How many both runs have.
        answers: How many answers to them each run has; more than `questions` with repeats.
        distinguishable: Whether the test's p value is below 0.05.
        smallest_detectable: See `llmbench.results.paired_tests.smallest_detectable`.
        better: Questions that the run scored more on; `worse` those it scored less on.
        quantities: Time, throughput and latency of the benchmark, over all that each run asked.
        notes: What a reader has to know about which questions these are.
        judges: How far two judges agree on answers of the same text; None where there are none.
    """

    benchmark: str
    questions: int
    answers: int
    baseline: Side
    run: Side
    difference: PairedDifference
    significance: PairedTest
    distinguishable: bool
    smallest_detectable: float | None
    better: tuple[Flip, ...]
    worse: tuple[Flip, ...]
    quantities: tuple[Quantity, ...]
    notes: tuple[str, ...]
    judges: JudgeAgreement | None = None


@dataclass(frozen=True, slots=True)
class RunComparison:
    """A run against the baseline; `settings` is None where a config.yaml is missing."""

    run: RunHead
    benchmarks: tuple[BenchmarkComparison, ...]
    quantities: tuple[Quantity, ...]
    settings: tuple[Setting, ...] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Any number of runs against one baseline."""

    baseline: RunHead
    runs: tuple[RunComparison, ...]
