"""BIG-Bench Hard: 27 tasks of BIG-bench that language models found hard (Suzgun et al., 2022, https://arxiv.org/abs/2210.09261).

Data: SaylorTwift/bbh, a configuration for each task, whose name a row has as `config`; 250 rows each, but 146 of `penguins_in_a_table`, 178 of
`snarks` and 187 of `causal_judgement`.
A row: {"input": "not ( True ) and ( True ) is", "target": "False", "config": "boolean_expressions"}
Protocol: three worked examples of the task, which reason step by step and end with "So the answer is …"; they are the authors' own
(https://github.com/suzgunmirac/BIG-Bench-Hard, MIT licence; `prompts/` holds them unchanged), the first stands behind a line that describes the
task. `fewshot=0` asks the bare question.
The accuracy is that of all questions, as lm-evaluation-harness has it; `mean_over_tasks` in the summary's `details` counts each task the
same, as OpenCompass does.
In three questions (two of `ruin_names`, one of `movie_recommendation`) the gold answer is a text and not a letter, since a comma in it split the options. They are kept; the
text counts.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from llmbench import answers
from llmbench.answers.equivalence import choice_equal, number_equal
from llmbench.benchmarks.base import Benchmark, accuracy_by, check_options
from llmbench.benchmarks.bbh.tasks import KINDS, WORDS, Kind, normalised, options_of, same, stated
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.generic.choice_cells import LETTERS
from llmbench.errors import DataError
from llmbench.records import Result, Sample

PROMPTS = Path(__file__).parent / "prompts"


class BBH(Benchmark):
    """Questions of 27 tasks, whose answer is a letter, a word, a number, a list of words or brackets."""

    columns = ("input", "target", "config")

    def hub_configs(self, options: Mapping[str, Any]) -> list[str]:
        """The tasks, or those that the option `tasks` names.

        Raises:
            ConfigError: It names a task that there is not.
        """
        check_options("bbh", options, {"tasks": _are_tasks})
        return list(options.get("tasks") or KINDS)

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named TASK/PLACE, the place counted in the task from 0; of the tasks that the option `tasks` names, or of all.

        Raises:
            ConfigError: The option names a task that there is not.
            DataError: A row's task is not one of the 27, or its answer is not of the task's kind.
        """
        chosen = self.hub_configs(options)
        places = dict.fromkeys(KINDS, 0)
        found = []
        for index, row in enumerate(rows):
            task = text_of(row, "config", index)
            if task not in KINDS:
                raise DataError(
                    f"bbh: row {index} has {task!r} as 'config', which is none of the 27 tasks; fix the row."
                )
            found.append(_sample(row, index, task, places[task]))
            places[task] += 1
        return [sample for sample in found if sample.fields["subject"] in chosen]

    def question(self, sample: Sample) -> str:
        """The question; the first of the worked examples has the task's description before it."""
        before = sample.fields.get("description")
        text = str(sample.fields["input"]).strip()
        return f"{before}\n\n{text}" if before else text

    def own_examples(self, sample: Sample) -> list[Sample]:
        """The three that the authors published for the question's task."""
        return _examples(sample.fields["subject"])

    def worked_example(self, sample: Sample) -> str:
        """The reasoning and the answer, as published."""
        return str(sample.fields["solution"])

    def subject(self, sample: Sample) -> str:
        """The task."""
        return str(sample.fields["subject"])

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """The task, and the options where the answer is one of their letters."""
        return {name: sample.fields[name] for name in ("subject", "choices") if name in sample.fields}

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The answer of the task's kind."""
        kind = _kind(sample)
        if kind is Kind.CHOICE:
            choices = sample.fields["choices"]
            return answers.choice(text, choices, LETTERS[: len(choices)], complete=complete)
        if kind is Kind.NUMBER:
            return answers.number_answer(text) if complete else answers.stated_number(text)
        return stated(kind, text, _words(sample), complete=complete)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Equality as the task's kind has it."""
        kind = _kind(sample)
        if kind is Kind.CHOICE:
            return choice_equal(sample.target, answer)
        if kind is Kind.NUMBER:
            return number_equal(sample.target, answer)
        return same(kind, sample.target, answer, _words(sample))

    def details(self, results: Sequence[Result]) -> dict[str, Any]:
        """The mean of the tasks' accuracies, and each of them: {"mean_over_tasks": 0.5, "tasks": {"snarks": {"n": 178, "accuracy": 0.5}}}."""
        tasks = accuracy_by("subject", results)
        return {
            "accuracy_is": "mean_over_questions",
            "mean_over_tasks": fmean(each["accuracy"] for each in tasks.values()),
            "tasks": tasks,
        }


def _are_tasks(value: object) -> bool:
    return value is None or (isinstance(value, list | tuple) and bool(value) and set(value) <= set(KINDS))


def _kind(sample: Sample) -> Kind:
    kind = KINDS[sample.fields["subject"]]
    return Kind.TEXT if kind is Kind.CHOICE and "choices" not in sample.fields else kind


def _words(sample: Sample) -> tuple[str, ...]:
    return WORDS.get(sample.fields["subject"], ())


def _sample(row: Row, index: int, task: str, place: int) -> Sample:
    question, gold = text_of(row, "input", index), text_of(row, "target", index)
    fields: dict[str, Any] = {**row, "input": question, "subject": task}
    name, kind = f"{task}/{place}", KINDS[task]
    if kind is Kind.CHOICE:
        choices, letter = options_of(question), gold.strip("()")
        if len(letter) != 1:
            return Sample(name, fields, gold)
        if letter not in LETTERS[: len(choices)]:
            raise DataError(f"bbh: the answer of row {index}, {gold!r}, is none of its options; fix the row.")
        return Sample(name, {**fields, "choices": choices}, letter)
    target = gold if kind is Kind.NUMBER else normalised(kind, gold, WORDS.get(task, ()))
    if target is None or (kind is Kind.NUMBER and not number_equal(gold, gold)):
        raise DataError(
            f"bbh: the answer of row {index}, {gold!r}, is not a {kind} as {task} has; fix the row."
        )
    return Sample(name, fields, target)


@cache
def _examples(task: str) -> list[Sample]:
    text = (PROMPTS / f"{task}.txt").read_text(encoding="utf-8").partition("\n-----\n")[2]
    description, *shown = text.strip().split("\n\nQ: ")
    found = []
    for place, each in enumerate(shown):
        question, _, solution = each.partition("\nA: ")
        fields = {"input": question, "solution": solution.strip(), "subject": task}
        if not place:
            fields["description"] = description.strip()
        found.append(Sample(f"{task}/example {place}", fields, ""))
    return found
