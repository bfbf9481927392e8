"""How far two judges agree on the same answers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from llmbench.records import Result
from llmbench.system.number_format import count, percent


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An answer on which two judges give different verdicts."""

    sample_id: str
    repeat: int
    baseline: str
    run: str


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Two judges on the answers of the same text that both gave a verdict on.

    Attributes:
        baseline: One judge's name; `run` the other's.
        answers: How many such answers there are.
        agreement: The share with the same verdict, 0 to 1.
        kappa: Cohen's kappa; None where both give one and the same verdict throughout, so that chance would agree as well.
        differing: The other answers.
    """

    baseline: str
    run: str
    answers: int
    agreement: float
    kappa: float | None
    differing: tuple[Disagreement, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[Result, Result]]) -> Self | None:
        """Compares pairs of results of the same question; None where no pair has verdicts of two judges."""
        names: tuple[str, str] | None = None
        verdicts, differing = [], []
        for first, second in pairs:
            one, other = first.judgement, second.judgement
            if one is None or other is None or one.judge == other.judge or first.text != second.text:
                continue
            if one.verdict is None or other.verdict is None:
                continue
            names = names or (one.judge, other.judge)
            verdicts.append((one.verdict, other.verdict))
            if one.verdict != other.verdict:
                differing.append(Disagreement(first.sample_id, first.repeat, one.verdict, other.verdict))
        if names is None:
            return None
        same = 1 - len(differing) / len(verdicts)
        return cls(*names, len(verdicts), same, cohen_kappa(verdicts), tuple(differing))

    def sentence(self) -> str:
        """How far they agree, in words."""
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.2f}"
        alike = self.answers - len(self.differing)
        return (
            f"The judges {self.baseline} and {self.run} agree on {alike} of {count(self.answers, 'answer')} that both gave a verdict on "
            f"({percent(self.agreement)}); Cohen's kappa {kappa}."
        )


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Returns Cohen's kappa of two judges' verdicts: agreement beyond chance, 1 for full agreement (https://doi.org/10.1177/001316446002000104).

    With `p` the share of pairs that agree and `e` the share that would agree by chance, the sum over the verdicts of the product of both judges' shares, it
    is (p - e) / (1 - e).

    Returns:
        None where there are no pairs, or both judges give one and the same verdict throughout.

    >>> cohen_kappa([("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15)
    0.4
    """
    total = len(pairs)
    if not total:
        return None
    alike = sum(one == other for one, other in pairs)
    firsts, seconds = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(firsts[verdict] * seconds[verdict] for verdict in firsts)  # times total squared
    if chance == total * total:
        return None
    return (alike * total - chance) / (total * total - chance)
