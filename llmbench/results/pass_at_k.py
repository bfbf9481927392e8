"""Several answers to each question: avg@k, pass@k, maj@k, and how much of the uncertainty more answers could remove.

Everything here works on one value per question, so errors cluster by question: the answers to one question are no
independent evidence. A benchmark with one answer per question has none of these.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from llmbench.records import Result
from llmbench.results import stats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric over questions, from 0 to 1.

    Attributes:
        k: Answers per question that the metric speaks of.
        stderr: Standard error over questions; None for a single question.
        questions: How many questions entered: those with at least `k` answers; for avg@k all.
    """

    k: int
    value: float
    stderr: float | None
    ci95: tuple[float, float]
    questions: int


@dataclass(frozen=True, slots=True)
class VarianceSplit:
    """Where the variance of a single answer's score comes from.

    Attributes:
        between: Variance of the questions' true means: some questions are harder than others.
        within: Variance of an answer around its question's true mean: sampling at a temperature.
        sampling_stderr: The part of avg@k's standard error that comes from `within`; more repeats lower it.
        question_stderr: The part that comes from `between`, which repeats alone cannot lower; more questions do.
    """

    between: float
    within: float
    sampling_stderr: float
    question_stderr: float


@dataclass(frozen=True, slots=True)
class RepeatStatistics:
    """What the repeats of one benchmark say; all but the counts None where no question has more than one answer.

    Attributes:
        repeats: The most answers that a question has.
        avg: The mean score of an answer.
        pass_at: The chance that at least one of k answers is right, for every k from 1 to `repeats`.
        maj: The score of the answer that most of the `repeats` answers agree on; None where a judge grades whole texts, which seldom agree.
        variance: None with fewer than two questions.
    """

    questions: int
    repeats: int
    avg: Estimate | None = None
    pass_at: tuple[Estimate, ...] | None = None
    maj: Estimate | None = None
    variance: VarianceSplit | None = None

    def named(self) -> dict[str, Estimate]:
        """The estimates that people read, such as `pass@4`: of the most answers."""
        found = {"avg": self.avg, "pass": self.pass_at[-1] if self.pass_at else None, "maj": self.maj}
        return {f"{name}@{each.k}": each for name, each in found.items() if each is not None}


IntervalOf = Callable[[Sequence[float], int | None], tuple[float, float]]
"""The 95% interval of a mean, as `stats.interval` has it: of a value for each question, and how many answers there are in all."""


def repeat_statistics(
    results: Sequence[Result], interval_of: IntervalOf = stats.interval
) -> RepeatStatistics:
    """All of them, for the results of one benchmark.

    An unfinished run may have fewer answers to some questions: those enter avg@k and pass@k as far as they go.
    """
    by_question: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_question[result.sample_id].append(result)
    repeats = max(map(len, by_question.values()), default=0)
    if repeats <= 1:
        return RepeatStatistics(len(by_question), repeats)
    scores = [[result.score.value for result in answers] for answers in by_question.values()]
    estimate = partial(_estimate, interval_of=interval_of)
    full = [answers for answers in by_question.values() if len(answers) == repeats]
    return RepeatStatistics(
        questions=len(by_question),
        repeats=repeats,
        avg=estimate(repeats, (math.fsum(values) / len(values) for values in scores), sum(map(len, scores))),
        pass_at=tuple(estimate(k, _pass_at(k, scores)) for k in range(1, repeats + 1)),
        maj=None
        if any(result.judgement is not None for result in results)
        else estimate(repeats, (majority([(r.score.answer, r.score.value) for r in a]) for a in full)),
        variance=variance_split(scores),
    )


def _estimate(
    k: int, values: Iterable[float], answers: int | None = None, interval_of: IntervalOf = stats.interval
) -> Estimate:
    one_each = list(values)
    return Estimate(
        k=k,
        value=math.fsum(one_each) / len(one_each),
        stderr=stats.standard_error(one_each),
        ci95=interval_of(one_each, answers),
        questions=len(one_each),
    )


def _pass_at(k: int, scores: Sequence[Sequence[float]]) -> list[float]:
    enough = [values for values in scores if len(values) >= k]
    return [pass_at_k(len(v), sum(value >= 1 for value in v), k) for v in enough]


def pass_at_k(count: int, correct: int, k: int) -> float:
    """The unbiased estimate of the chance that at least one of `k` answers is right, from `count` of which `correct` are.

    1 - C(n - c, k) / C(n, k): the share of k-subsets with a right answer in them (Chen et al. 2021,
    https://arxiv.org/abs/2107.03374, equation 1). Whole numbers until the last division, so nothing is lost to rounding.

    Raises:
        ValueError: Not 0 <= correct <= count, or not 1 <= k <= count.
    """
    if not 0 <= correct <= count or not 1 <= k <= count:
        raise ValueError(f"pass@{k} of {correct} right among {count} answers is not defined")
    subsets = math.comb(count, k)
    return (subsets - math.comb(count - correct, k)) / subsets


def majority(answers: Sequence[tuple[str | None, float]]) -> float:
    """The score of the most frequent answer, from (extracted answer, score) pairs.

    Answers vote together where they are the same but for white space and case, or the same number (see `_NUMBER`), or all
    right: what equals the gold answer is equal. None has no vote. A group's score is the mean of its answers' scores. Among
    equally frequent groups one is taken to be drawn at random, and the expectation is given: the mean of their scores.
    Without any vote the score is 0.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for answer, value in answers:
        if answer is not None:
            groups["right" if value >= 1 else _vote(answer)].append(value)
    if not groups:
        return 0.0
    most = max(map(len, groups.values()))
    tied = [math.fsum(values) / most for values in groups.values() if len(values) == most]
    return math.fsum(tied) / len(tied)


def _vote(answer: str) -> str:
    plain = "".join(answer.split()).casefold()
    number = plain.replace(",", "")
    try:
        return f"number {Fraction(number)}" if _NUMBER.fullmatch(number) else f"text {plain}"
    except ZeroDivisionError:
        return f"text {plain}"


_NUMBER = re.compile(r"[-+]?(?:\d{1,60}/\d{1,60}|(?:\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})(?:e[-+]?\d{1,2})?)")
"""Numbers that are small when written exactly, for votes are counted without a limit of time: `1e999999999` has a billion digits."""


def variance_split(scores: Sequence[Sequence[float]]) -> VarianceSplit | None:
    """Splits the variance of scores into that between questions and that within them, by the method of moments.

    One-way random effects with unequal group sizes (Searle, Casella and McCulloch, Variance Components, 1992, chapter 3):
    within = MSW, between = (MSB - MSW) / n0, n0 = (N - sum n_i^2 / N) / (questions - 1); a negative estimate counts as 0.
    The standard error of the mean of question means is then sqrt(question_stderr^2 + sampling_stderr^2).

    Returns:
        None with fewer than two questions, or where no question has two scores.
    """
    sizes = [len(values) for values in scores]
    total, questions = sum(sizes), len(sizes)
    if questions < 2 or total == questions:  # noqa: PLR2004 - a variance needs two
        return None
    means = [math.fsum(values) / len(values) for values in scores]
    grand = math.fsum(mean * size for mean, size in zip(means, sizes, strict=True)) / total
    squares_within = math.fsum(
        (value - mean) ** 2 for values, mean in zip(scores, means, strict=True) for value in values
    )
    squares_between = math.fsum(size * (mean - grand) ** 2 for mean, size in zip(means, sizes, strict=True))
    within = squares_within / (total - questions)
    typical = (total - math.fsum(size**2 for size in sizes) / total) / (questions - 1)
    between = max(0.0, (squares_between / (questions - 1) - within) / typical)
    return VarianceSplit(
        between=between,
        within=within,
        sampling_stderr=math.sqrt(within * math.fsum(1 / size for size in sizes)) / questions,
        question_stderr=math.sqrt(between / questions),
    )
