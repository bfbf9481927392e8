"""Which worked examples stand before a question: its protocol's own, drawn ones, or the first ones of its subject."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from llmbench.benchmarks.base import Benchmark
from llmbench.config.choices import FewshotBy
from llmbench.config.schema import Config
from llmbench.errors import DataError
from llmbench.records import Sample
from llmbench.run.selection import generator


@dataclass(frozen=True, slots=True)
class ExamplePicker:
    """The worked examples that a benchmark may show.

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
