"""Which questions a reduced run asks, drawn at random or from each subject in proportion to its size, and which worked examples stand before each."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from llmbench.benchmarks.base import Benchmark
from llmbench.config.choices import FewshotBy
from llmbench.config.schema import Config
from llmbench.errors import DataError
from llmbench.records import Sample
from llmbench.results.manifest import ALL, RANDOM, STRATIFIED, Selection, Stratum

NO_SUBJECT = "(none)"
"""Stands in the manifest for samples without a subject."""


def is_stratified(config: Config, name: str, available: int) -> bool:
    """Whether a benchmark's questions are drawn by subject: where a number of them is typed that is smaller than all.

    The numbers of a profile's table draw at random, as they always did, so that its runs ask the same questions in every version.
    """
    benchmark = config.benchmarks[name]
    asked = benchmark.num_samples
    return asked is not None and asked < available and not benchmark.takes_profile(config)


def choose(
    config: Config, name: str, samples: Sequence[Sample], subjects: Sequence[str | None]
) -> tuple[list[Sample], Selection]:
    """Draws some of a benchmark's samples with the run's seed, at random where their `subjects` are all the same; they stay in the data's order."""
    wanted = min(config.benchmarks[name].num_samples or len(samples), len(samples))
    if len(set(subjects)) > 1:
        return _stratified(config.seed, name, samples, subjects, wanted)
    chosen = [samples[place] for place in sorted(_drawn(config.seed, name, len(samples), wanted))]
    return chosen, Selection(ALL if len(chosen) == len(samples) else RANDOM, len(samples))


def _drawn(seed: int, name: str, available: int, number: int) -> list[int]:
    """The places of so many samples of all that there are, in the order in which they are drawn."""
    return generator(seed, name, "select").sample(range(available), number)


def generator(*parts: object) -> random.Random:
    """A generator of its own for each choice, seeded with the run's seed and what is chosen."""
    return random.Random(":".join(map(str, parts)))


def again(samples: Sequence[Sample], ids: Sequence[str]) -> tuple[list[Sample], Selection] | None:
    """The questions that an earlier part of a run asked, whichever version chose them; None where there was none, or some are not there any more."""
    known = set(ids)
    chosen = [sample for sample in samples if sample.id in known]
    if not known or len(chosen) < len(known):
        return None
    return chosen, Selection(ALL if len(chosen) == len(samples) else RANDOM, len(samples))


def draw_order(seed: int, name: str, samples: Sequence[Sample], chosen: Sequence[Sample]) -> list[str]:
    """The ids of the chosen questions in the order in which they were drawn; where they were drawn by subject, shuffled.

    Either way each beginning of it is a random part of them.
    """
    ids = [samples[place].id for place in _drawn(seed, name, len(samples), len(chosen))]
    if set(ids) != {sample.id for sample in chosen}:
        ids = [sample.id for sample in chosen]
        generator(seed, name, "order").shuffle(ids)
    return ids


def _stratified(
    seed: int, name: str, samples: Sequence[Sample], subjects: Sequence[str | None], number: int
) -> tuple[list[Sample], Selection]:
    strata: dict[str, list[int]] = {}
    for index, subject in enumerate(subjects):
        strata.setdefault(NO_SUBJECT if subject is None else subject, []).append(index)
    shares = allocate({subject: len(indices) for subject, indices in strata.items()}, number, (seed, name))
    chosen: list[int] = []
    for subject, indices in strata.items():
        chosen += generator(seed, name, "select", subject).sample(indices, shares[subject])
    counts = {s: Stratum(available=len(strata[s]), asked=shares[s]) for s in sorted(strata)}
    return [samples[index] for index in sorted(chosen)], Selection(STRATIFIED, len(samples), counts)


def allocate(sizes: Mapping[str, int], number: int, seed: tuple[object, ...] = ()) -> dict[str, int]:
    """How many of each subject are asked: in proportion to its size, by largest remainders (Hamilton's method).

    Args:
        sizes: How many there are of each; together at least `number`.
        number: How many are asked of all together.
        seed: Decides between subjects with equal remainders, so that small draws do not prefer the first names.

    >>> allocate({"algebra": 60, "geometry": 30, "number theory": 10}, 7)
    {'algebra': 4, 'geometry': 2, 'number theory': 1}
    """
    whole, rest = {}, {}
    for subject, size in sizes.items():
        whole[subject], rest[subject] = divmod(number * size, sum(sizes.values()))
    order = sorted(sizes)
    generator(*seed, "remainders").shuffle(order)
    order.sort(key=lambda subject: rest[subject], reverse=True)
    for subject in order[: number - sum(whole.values())]:
        whole[subject] += 1
    return whole


@dataclass(frozen=True, slots=True)
class ExamplePicker:
    """The worked examples that a benchmark may show: its protocol's own, drawn ones, or the first ones of a question's subject.

    Attributes:
        name: The benchmark's, for messages.
        pool: All examples, in the order of their data.
        count: How many a question gets.
        seed: The run's.
        by_subject: The pool by subject, where a question gets those of its own; else None.
    """

    name: str
    benchmark: Benchmark
    pool: Sequence[Sample] = ()
    count: int = 0
    seed: int = 0
    by_subject: Mapping[str | None, Sequence[Sample]] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: Config, name: str, benchmark: Benchmark, pool: Sequence[Sample]) -> Self:
        """Returns the picker that a benchmark's settings describe."""
        settings = config.benchmarks[name]
        subjects: dict[str | None, list[Sample]] | None = None
        if settings.fewshot_by is FewshotBy.subject:
            subjects = {}
            for sample in pool:
                subjects.setdefault(benchmark.subject(sample), []).append(sample)
        return cls(name, benchmark, pool, settings.fewshot or 0, config.seed, subjects)

    def pick(self, sample: Sample) -> Sequence[Sample]:
        """Returns the examples of one question, never the question itself.

        Raises:
            DataError: There are fewer than asked for.
        """
        if not self.count:
            return ()
        if own := self.benchmark.own_examples(sample):
            return self._first(own)
        if self.by_subject is None:
            return self._drawn(sample)
        subject = self.benchmark.subject(sample)
        others = (other for other in self.by_subject.get(subject, ()) if other != sample)
        of_subject = "" if subject is None else f" of the subject {subject!r}"
        all_subjects = f", or benchmarks.{self.name}.fewshot_by=null to draw them from all subjects"
        return self._first(others, of_subject, all_subjects)

    def _drawn(self, sample: Sample) -> list[Sample]:
        """Examples drawn from the pool, never the question itself; the same for the same seed."""
        others = [other for other in self.pool if other.id != sample.id or other.target != sample.target]
        if self.count > len(others):
            raise DataError(
                f"{self.name}: fewshot={self.count} is more than the {len(others)} other questions there are."
            )
        return generator(self.seed, self.name, sample.id, "fewshot").sample(others, self.count)

    def _first(self, examples: Iterable[Sample], which: str = "", or_else: str = "") -> list[Sample]:
        found = list(islice(examples, self.count))
        if len(found) < self.count:
            raise DataError(
                f"{self.name}: fewshot={self.count} is more than the {len(found)} worked examples{which} that there are; "
                f"set benchmarks.{self.name}.fewshot lower{or_else}."
            )
        return found
