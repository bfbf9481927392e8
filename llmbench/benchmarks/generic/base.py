"""What the generic benchmarks have in common: rows become samples as their options say."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.generic.templates import Gold, Template, joined, no_column, short
from llmbench.benchmarks.rows import Row, Rows
from llmbench.errors import ConfigError
from llmbench.records import Sample
from llmbench.system.number_format import count
from llmbench.system.text import suggest

MARK = "####"
"""What stands before the gold answer in the solutions of GSM8K and of data that follows it."""
MAPPED = "mapped_by"
"""A field of the samples that options mapped: how their gold answers were read."""
GRADED_AS = "Answers are graded as "
"""Begins the note on how texts are graded; behind a semicolon stands how the gold answers were read."""
WORKED = "worked_answer"
"""Likewise: the cell with the worked answer, None where there is none."""
COLUMNS = {"subject": "subject", "worked": WORKED}
"""Options that are a column's name, and the field that has its cell."""
LABEL = re.compile(r"\AA(?:nswer)?:\s*")
"""Before a worked answer: the prompt says by itself who answers."""


class GenericBenchmark(Benchmark):
    """A benchmark whose options map its columns; a class of a benchmark's own may load its rows by itself.

    Attributes:
        options: The options that there are.
        question_field: The sample's field that holds the question as it is asked.
        subject_fields: Of rows that a class loads by itself, the fields that may hold the subject; the first that does counts.
        grading: How answers are graded, in words.
    """

    options: tuple[str, ...] = ("question", "answer", "subject", "worked")
    question_field: str = "question"
    subject_fields: tuple[str, ...] = ()
    grading: str = ""

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named by their line or row in the data.

        Raises:
            ConfigError: An option is refused, or names a column that is not there.
            DataError: A row does not fit; the message begins with its place.
        """
        placed = Rows.of(rows)
        given = self._checked(options)
        columns = placed[0].keys()
        question = Template.read("question", given.get("question", "question"), columns, placed.source)
        for option in COLUMNS:
            if option in given and given[option] not in columns:
                raise ConfigError(
                    f"{option}={given[option]}: {no_column(str(given[option]), columns, placed.source)} Or type {option}=null."
                )
        found = []
        for index, (target, fields) in enumerate(self.answers(placed, given, columns, seed)):
            asked = {self.question_field: question.fill(placed, index), MAPPED: self.grading}
            row = placed[index]
            named = {
                field: joined(row.get(given[option])) if option in given else None
                for option, field in COLUMNS.items()
            }
            found.append(Sample(str(placed.number(index)), {**row, **asked, **named, **fields}, target))
        return found

    def answers(
        self, rows: Rows, options: Mapping[str, Any], columns: Collection[str], seed: int
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Returns each row's gold answer, and fields that its sample has beside the row's.

        Raises:
            ConfigError: An option names a column that is not there.
            RowError: A row has no gold answer, or one that cannot be graded.
        """
        gold = Gold.read(options.get("answer", "answer"), columns, rows.source)
        return [(self._target(rows, index, gold), {}) for index in range(len(rows))]

    def _target(self, rows: Rows, index: int, gold: Gold) -> str:
        text = gold.of(rows, index)
        target = self.target(text)
        if target is None:
            marked = not gold.before and self.target(text.rpartition(MARK)[2].strip()) is not None
            way_out = (
                f", or where each answer stands behind such a mark type 'answer={MARK} {{{gold.column}}}'"
            )
            raise rows.wrong(
                index,
                f"the answer {short(text)} is not {self.kind_of_gold}; fix the row{way_out if marked else ''}.",
            )
        return target

    kind_of_gold: str = "an answer"
    """What a gold answer is, for messages."""

    def target(self, gold: str) -> str | None:
        """Returns a cell's gold answer as it is compared, or None where it is none. By default the cell as it is."""
        return gold

    def question(self, sample: Sample) -> str:
        """The question as it stands."""
        return str(sample.fields[self.question_field])

    def worked_example(self, sample: Sample) -> str:
        """The worked answer of the data, with the gold answer behind it where it does not state that; without one, the gold answer alone."""
        cell = sample.fields.get(WORKED) if MAPPED in sample.fields else None
        text = LABEL.sub("", str(cell or "").strip())
        found = self.extract(sample, text, complete=True) if text else None
        if found is not None and self.is_equal(sample, found):
            return text
        return f"{text}\n\n{self.shown_answer(sample)}".strip()

    def shown_answer(self, sample: Sample) -> str:
        """Returns the gold answer as a worked example states it. By default there is none to show.

        Raises:
            ConfigError: The data has no solutions to show.
        """
        return super().worked_example(sample)

    def solution(self, sample: Sample) -> str:
        """Returns the worked solution in a row that a class of its own loads; an empty text where there is none."""
        return "" if MAPPED in sample.fields else str(sample.fields.get("solution") or "").strip()

    def subject(self, sample: Sample) -> str | None:
        """What the mapped column says, or one of `subject_fields`."""
        found = self._subject(sample)
        return None if found is None else str(found)

    def _subject(self, sample: Sample) -> Any:  # noqa: ANN401 - a cell
        names = ("subject",) if MAPPED in sample.fields else self.subject_fields
        return next((found for name in names if (found := sample.fields.get(name)) is not None), None)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by."""
        found = self._subject(sample)
        return {} if found is None else {"subject": found}

    def data_notes(self, samples: Sequence[Sample]) -> list[str]:
        """How the data was understood; of rows that a class of its own loads nothing."""
        if not samples or MAPPED not in samples[0].fields:
            return []
        notes = [f"{GRADED_AS}{samples[0].fields[MAPPED]}."]
        groups = set(map(self.subject, samples)) - {None}
        if groups:
            notes.append(f"They have {count(len(groups), 'subject')}.")
        again = sum(n > 1 for n in Counter(map(self.question, samples)).values())
        if again:
            notes.append(f"What stands there more than once is asked as often: {count(again, 'question')}.")
        return notes

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options that are set; refuses those that there are not, but for a null: one YAML may serve several classes."""
        for name in options:
            if name not in self.options and options[name] is not None:
                raise ConfigError(
                    f"{name}={options[name]} is refused: {type(self).__name__} has no such option{suggest(name, self.options)}"
                )
        return {name: value for name, value in options.items() if value is not None}
