"""Questions with choices, whose answer is a letter."""

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from llmbench import answers
from llmbench.answers.equivalence import choice_equal
from llmbench.benchmarks.generic.base import MAPPED, GenericBenchmark
from llmbench.benchmarks.generic.choice_cells import LETTERS, choices_of, right_choices
from llmbench.benchmarks.generic.templates import Gold
from llmbench.benchmarks.rows import Rows
from llmbench.errors import ConfigError
from llmbench.records import Sample

ANSWER = "Answer:"


class MultipleChoice(GenericBenchmark):
    """Questions with two to twenty-six choices, A, B, C and so on, whose answer is a letter."""

    options = (*GenericBenchmark.options, "choices", "count_from")
    grading = "choices: the letter that is stated last, or that of the choice whose text is"
    has_choices = True

    def answers(
        self, rows: Rows, options: Mapping[str, Any], columns: Collection[str], seed: int
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Each row's letter, and its choices in the order in which they are shown.

        Raises:
            ConfigError: `choices` is missing, a column is not there, or the data can be read in two ways.
            RowError: A row's choices or its answer do not fit.
        """
        option, count_from = options.get("choices"), options.get("count_from")
        if option is None:
            raise ConfigError(
                "choices= is missing; give the column with the list of choices, or several as [a,b,c,d]."
            )
        if count_from not in (None, 0, 1):
            raise ConfigError(f"count_from={count_from} is refused: choices are counted from 0 or from 1.")
        gold = Gold.read(options.get("answer", "answer"), columns, rows.source)
        found = choices_of(rows, option, columns)
        if isinstance(option, list | tuple) and gold == Gold(gold.column) and gold.column in map(str, option):
            right = list(map(str, option)).index(gold.column)
            return [self._shuffled(rows, i, each.texts, right, seed) for i, each in enumerate(found)]
        golds = [gold.of(rows, index) for index in range(len(rows))]
        places, how = right_choices(rows, found, golds, count_from)
        read_as = f"{self.grading}; the gold answers are {how}"
        return [
            (LETTERS[place], {"choices": list(each.texts), MAPPED: read_as})
            for place, each in zip(places, found, strict=True)
        ]

    def _shuffled(
        self, rows: Rows, index: int, texts: Sequence[str], right: int, seed: int
    ) -> tuple[str, Mapping[str, Any]]:
        if right >= len(texts) or texts.count(texts[right]) > 1:
            raise rows.wrong(index, "the right choice is missing, or stands there twice; fix the row.")
        order = list(texts)
        random.Random(f"{seed}:{rows.number(index)}").shuffle(order)
        read_as = f"{self.grading}; the right one has a column of its own, so that the choices are shuffled"
        return LETTERS[order.index(texts[right])], {"choices": order, MAPPED: read_as}

    def question(self, sample: Sample) -> str:
        """The question and its choices, a line each."""
        return "\n".join([super().question(sample), "", *self._lines(sample)])

    def _lines(self, sample: Sample) -> list[str]:
        choices = sample.fields["choices"]
        return [f"{letter}. {text}".rstrip() for letter, text in zip(LETTERS, choices, strict=False)]

    def choices(self, sample: Sample) -> Sequence[str]:
        """Their texts, in the order in which they are shown."""
        return tuple(sample.fields["choices"])

    def likelihood_prompt(self, sample: Sample, *, shows_choices: bool) -> str:
        """As lm-evaluation-harness words its tasks: MMLU's, whose choices stand in the prompt, or ARC's, whose do not."""
        question = super().question(sample)
        if shows_choices:
            return "\n".join([question, *self._lines(sample), ANSWER])
        return f"Question: {question}\n{ANSWER}"

    def shown_answer(self, sample: Sample) -> str:
        """The line that is asked for."""
        return f"Answer: {sample.target}"

    def letters(self, sample: Sample) -> str:
        """Returns the letters that an answer may be."""
        return LETTERS[: len(sample.fields["choices"])]

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The letter last stated, or that of the choice whose text was."""
        return answers.choice(text, sample.fields.get("choices"), self.letters(sample), complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """The same letter."""
        return choice_equal(sample.target, answer)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by, and the choices as shown."""
        return {"choices": sample.fields["choices"], **super().stored_fields(sample)}
