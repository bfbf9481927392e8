"""When a benchmark has been asked enough, and what its answers say then: a rule, the monitor that follows it, and its entry in summary.json.

Questions are asked in a random order, which the seed decides, and only a beginning of that order counts: questions of which all
earlier ones have been answered too. What else was answered by then came quickly, so it is short, and short answers are right more
often than long ones: it is left out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from llmbench.records import Outcome, Result
from llmbench.results import stats
from llmbench.results.confidence_sequence import ROUNDING, ConfidenceSequence
from llmbench.system.number_format import count, interval, number, percent, points

Interval = tuple[float, float]

KIND = "confidence sequence"
"""An interval that holds at every look (`confidence_sequence`)."""
LEVEL = 0.95
"""Of `ci95`."""
FAILED = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.UNJUDGED)
"""Answers that count as 0 though nobody knows whether they are right."""


class Reason(StrEnum):
    """Why no more was asked."""

    NARROW = "narrow"
    """The interval of the accuracy is as narrow as was wanted."""
    BETTER = "better"
    """The run is better than the one it is compared with."""
    WORSE = "worse"
    SAME = "no_difference"
    """The difference is smaller than the margin, either way."""
    ALL = "all_asked"
    """There was nothing left that could have settled it."""
    OPEN = "open"
    """It was interrupted before; or as the answers are graded now it would go on, or the run to compare with is gone."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a benchmark has been asked enough.

    Attributes:
        order: The ids of its questions, as they are asked.
        repeats: Answers to each.
        level: Of the intervals, such as 0.95.
        least: Questions to ask at least.
        width: Of the accuracy's interval, in shares of 1; None: the difference to `scores` is to be settled.
        margin: A difference that is smaller, either way, counts as none; None: none does.
        against: The folder of the run with `scores`.
        scores: That run's means by question.
        failed: Those of them with an answer that failed or has no verdict.
    """

    order: Sequence[str]
    repeats: int = 1
    level: float = LEVEL
    least: int = 1
    width: float | None = None
    margin: float | None = None
    against: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()

    def of_all(self) -> ConfidenceSequence:
        """Of the accuracy that asking all questions would give."""
        return ConfidenceSequence(self.level, len(self.order), self.width)

    def of_kind(self, level: float) -> ConfidenceSequence:
        """Of the accuracy on questions of this kind, of which the benchmark's are a sample."""
        return ConfidenceSequence(level, None, self.width)

    def ci95(self, values: Sequence[float], answers: int | None = None) -> Interval:  # noqa: ARG002 - as `stats.interval` is called
        """Returns the 95% interval of a metric on questions of this kind that holds whenever a run stops.

        Args:
            values: From 0 to 1, one for each question in the rule's order.
            answers: Makes no difference here.
        """
        return _followed(self.of_kind(LEVEL), [min(1.0, max(0.0, value)) for value in values])

    def of_difference(self) -> ConfidenceSequence:
        """Of (difference + 1) / 2, on questions of this kind."""
        return ConfidenceSequence(self.level, None, self.margin)

    def settled(self, ends: Interval) -> Reason | None:
        """Returns what an interval settles: `of_all`'s where there is a width, else `of_difference`'s."""
        if self.width is not None:
            return Reason.NARROW if ends[1] - ends[0] <= self.width else None
        low, high = _difference(ends)
        if low > ROUNDING or high < -ROUNDING:
            return Reason.BETTER if low > 0 else Reason.WORSE
        margin = self.margin
        return Reason.SAME if margin is not None and -margin <= low and high <= margin else None


@dataclass(slots=True)
class StopMonitor:
    """Follows a rule: takes results in any order, and looks at each beginning of the questions' order once.

    Attributes:
        reason: Why no more is to be asked; None: more is.
        counted: Questions from the beginning of the order that were looked at; what comes later does not count.
        answered: Questions with all their answers, wherever they stand.
    """

    rule: StopRule
    reason: Reason | None = None
    counted: int = 0
    answered: int = 0
    _values: dict[str, list[float]] = field(default_factory=dict)
    _sequence: ConfidenceSequence = field(init=False)
    _shared: int = field(init=False)  # questions ahead that the other run has too

    def __post_init__(self) -> None:
        rule = self.rule
        self._sequence = rule.of_all() if rule.width is not None else rule.of_difference()
        self._shared = sum(sample_id in rule.scores for sample_id in rule.order)

    def add(self, result: Result) -> None:
        """Takes a result of the benchmark."""
        values = self._values.setdefault(result.sample_id, [])
        values.append(result.score.value)
        self.answered += len(values) == self.rule.repeats
        while self.reason is None and self._next_is_whole():
            self._look()

    def _next_is_whole(self) -> bool:
        values = self._values.get(self.rule.order[self.counted], ())
        return len(values) == self.rule.repeats

    def _look(self) -> None:
        rule, sample_id = self.rule, self.rule.order[self.counted]
        score = _mean(self._values[sample_id])
        self.counted += 1
        if rule.width is not None:
            self._sequence.add(score)
        elif sample_id in rule.scores:
            self._sequence.add(_pair(score, rule.scores[sample_id]))
            self._shared -= 1
        if self._sequence.count >= rule.least:
            self.reason = self.rule.settled(self._sequence.interval())
        done = self.counted == len(rule.order) or (rule.width is None and not self._shared)
        if done and (self.reason is None or rule.width is not None):
            self.reason = Reason.ALL


@dataclass(frozen=True, slots=True)
class StopEntry:
    """What `stop_when` came to for a benchmark. Intervals are confidence sequences, of level `level`, in shares of 1.

    Attributes:
        questions: Asked from the beginning of the order, and counted; `of` there are. `left_out`: answers to others.
        interval: Of the accuracy that asking all `of` would have given.
        of_kind: Of the accuracy on questions of this kind, of which the benchmark's are a sample; `ci95` is the same at 95%.
        ordinary_ci95: What `ci95` would be had the number of questions been fixed beforehand: not valid where it was not.
        shared: Of the counted questions those that the other run has; `difference` is this run's mean less the other's on them.
        failed: Of those the ones with an answer, of either run, that failed or has no verdict, which counts as 0.
    """

    questions: int
    of: int
    reason: str
    left_out: int = 0
    kind: str = KIND
    level: float = LEVEL
    width: float | None = None
    interval: Interval | None = None
    of_kind: Interval | None = None
    ordinary_ci95: Interval | None = None
    against: str | None = None
    margin: float | None = None
    shared: int | None = None
    failed: int | None = None
    difference: float | None = None
    difference_interval: Interval | None = None

    def sentences(self) -> list[str]:
        """What a person reads of it."""
        level, what = percent(self.level, 0), count(self.of, "question")
        said = [f"asked {self.questions:,} of {what}, {self._why()}."]
        if self.failed:
            said.append(
                f"On {count(self.failed, 'shared question')} an answer of one of the runs failed or has no verdict: it counts as 0, right or not."
            )
        said.append(
            f"{level} intervals of the accuracy: {interval(self.interval)} for all {what} of the run, "
            f"{interval(self.of_kind)} for questions of this kind. "
            f"Both are {KIND}s, which hold whenever a run stops. The ordinary 95% interval, {interval(self.ordinary_ci95)}, holds "
            "only for a number of questions that was fixed beforehand."
        )
        if self.left_out:
            said.append(
                f"{count(self.left_out, 'answer')} to later questions came before it stopped and {'is' if self.left_out == 1 else 'are'} left "
                "out, since quick answers are not like the others."
            )
        return said

    def _why(self) -> str:
        if self.against is None:
            width = f"stop_when.ci_width={number(self.width)}"
            if self.reason == Reason.NARROW:
                return f"then the interval for all {self.of:,} was no wider than {width}"
            if self.reason == Reason.ALL:
                return f"all there are: {width} was not reached before"
            return f"and so far the interval for all {self.of:,} is wider than {width}"
        if self.difference is None or self.difference_interval is None:
            return f"and the difference to {self.against} is not known"
        low, high = self.difference_interval
        found = (
            f"the difference to {self.against} is {points(self.difference)} points on {count(self.shared or 0, 'shared question')}, "
            f"{percent(self.level, 0)} {KIND} [{points(low)}, {points(high)}]"
        )
        margin = f"within stop_when.margin={number(self.margin)}, so no difference of that size"
        words = {
            Reason.BETTER: "so this run is better",
            Reason.WORSE: "so this run is worse",
            Reason.SAME: margin,
            Reason.ALL: "not settled, and no shared question is left",
        }
        return f"{found}, {words.get(Reason(self.reason), 'not settled so far')}"


def entry(rule: StopRule, results: Sequence[Result], left_out: int) -> StopEntry:
    """Returns what the counted results of a benchmark say, under whatever grades they have now.

    Args:
        rule: When it was to stop.
        results: All answers to the questions that count, which are a beginning of the rule's order.
        left_out: Answers to other questions.
    """
    means = means_of(rule, results)
    pairs = [(mean, rule.scores[sample_id]) for sample_id, mean in means.items() if sample_id in rule.scores]
    failed = rule.failed | failed_of(results)
    scores, shared = list(means.values()), sum(sample_id in rule.scores for sample_id in rule.order)
    of_all = _followed(rule.of_all(), scores)
    of_difference = _followed(rule.of_difference(), [_pair(*pair) for pair in pairs])
    whole = len(scores) == len(rule.order)
    if rule.width is None:
        reason = rule.settled(of_difference) if len(pairs) >= rule.least else None
    else:  # of all that were asked the accuracy is known, and nothing was spared
        reason = rule.settled(of_all) if rule.least <= len(scores) and not whole else None
    return StopEntry(
        questions=len(scores),
        of=len(rule.order),
        reason=reason or (Reason.ALL if whole or (rule.scores and len(pairs) == shared) else Reason.OPEN),
        left_out=left_out,
        level=rule.level,
        width=rule.width,
        interval=of_all,
        of_kind=_followed(rule.of_kind(rule.level), scores),
        ordinary_ci95=stats.interval(scores, len(results)) if scores else None,
        against=rule.against,
        margin=rule.margin,
        shared=len(pairs) if rule.against is not None else None,
        failed=sum(i in failed for i in means if i in rule.scores) if rule.against is not None else None,
        difference=math.fsum(own - other for own, other in pairs) / len(pairs) if pairs else None,
        difference_interval=_difference(of_difference) if pairs else None,
    )


def means_of(rule: StopRule, results: Sequence[Result]) -> dict[str, float]:
    """Returns the mean score of each question that has results, in the rule's order."""
    values: dict[str, list[float]] = {}
    for result in results:
        values.setdefault(result.sample_id, []).append(result.score.value)
    return {sample_id: _mean(values[sample_id]) for sample_id in rule.order if sample_id in values}


def failed_of(results: Sequence[Result]) -> frozenset[str]:
    """Returns the questions with an answer that failed or has no verdict."""
    return frozenset(result.sample_id for result in results if result.score.outcome in FAILED)


def _followed(sequence: ConfidenceSequence, values: Sequence[float]) -> Interval:
    for value in values:
        sequence.add(value)
    return sequence.interval()


def _mean(values: Sequence[float]) -> float:
    return min(1.0, max(0.0, math.fsum(values) / len(values)))


def _pair(own: float, other: float) -> float:
    """The difference of two scores, from 0 to 1."""
    return (own - other + 1) / 2


def _difference(ends: Interval) -> Interval:
    return 2 * ends[0] - 1, 2 * ends[1] - 1
