"""Rows of many shapes become questions with gold answers, or one sentence that names the place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llmbench.benchmarks.base import score
from llmbench.benchmarks.generic import (
    ContainsMatch,
    ExactMatch,
    IntegerAnswer,
    JudgedAnswer,
    MathAnswer,
    MultipleChoice,
    NumberAnswer,
    RegexMatch,
)
from llmbench.benchmarks.generic.base import GenericBenchmark
from llmbench.benchmarks.rows import Row, Rows, parse_csv, parse_json
from llmbench.errors import ConfigError, LlmbenchError, RowError
from llmbench.records import FinishReason, Sample


def rows_of(*rows: Row, source: str = "mine.parquet") -> Rows:
    return Rows.of(list(rows), source)


def loaded(benchmark: GenericBenchmark, rows: Rows, **options: Any) -> list[Sample]:  # noqa: ANN401
    return benchmark.load(rows, options, 0)


def letters(*rows: Row, **options: Any) -> str:  # noqa: ANN401
    mapped = {"question": "q", "answer": "a", "choices": "c"} | options
    return "".join(sample.target for sample in loaded(MultipleChoice(), rows_of(*rows), **mapped))


def refused(benchmark: GenericBenchmark, rows: Rows, **options: Any) -> str:  # noqa: ANN401
    with pytest.raises(LlmbenchError) as caught:
        loaded(benchmark, rows, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


NAMED = {"question": "q", "answer": "a"}
FOUR = ["red", "green", "blue", "grey"]
CHOICES: Mapping[str, tuple[list[Row], dict[str, Any], str]] = {
    "letters": ([{"c": FOUR, "a": "B"}, {"c": FOUR, "a": "(d)"}], {}, "BD"),
    "texts": ([{"c": FOUR, "a": "green"}, {"c": FOUR[:2], "a": "red"}], {}, "BA"),
    "numbers from 0": ([{"c": FOUR, "a": 0}, {"c": FOUR, "a": 3}], {}, "AD"),
    "numbers from 1": ([{"c": FOUR, "a": "4"}, {"c": FOUR, "a": "1"}], {}, "DA"),
    "numbers, said": ([{"c": FOUR, "a": 1}, {"c": FOUR, "a": 2}], {"count_from": 1}, "AB"),
    "numbers of a table with an empty cell": ([{"c": FOUR, "a": 0.0}, {"c": FOUR, "a": 3.0}], {}, "AD"),
    "by letter": ([{"c": {"A": "x", "B": "y"}, "a": "B"}], {}, "B"),
    "by letter, one missing": ([{"c": {"A": "x", "B": "y", "C": None}, "a": "B"}], {}, "B"),
    "the hub's lists": ([{"c": {"text": FOUR, "label": list("1234")}, "a": "2"}], {}, "B"),
    "JSON in a cell": ([{"c": json.dumps(FOUR), "a": "blue"}], {}, "C"),
    "numbers as choices": ([{"c": [10, 20], "a": 20}], {}, "B"),
    "a column for each": (
        [{"w": "1", "x": "2", "y": "3", "z": None, "a": "c"}, {"w": "1", "x": "2", "y": "3", "z": "4", "a": "D"}],
        {"choices": ["w", "x", "y", "z"]},
        "CD",
    ),
    "behind a mark": ([{"c": FOUR, "a": "It is so. #### B"}], {"answer": "#### {a}"}, "B"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_choices_and_the_right_one_are_found(name: str) -> None:
    rows, options, expected = CHOICES[name]
    assert letters(*({"q": "Which?", **row} for row in rows), **options) == expected


def test_choices_are_shown_in_their_order_as_many_as_there_are() -> None:
    rows = rows_of({"q": "Which?", "c": ["red", "green"], "a": "A"}, {"q": "And?", "c": FOUR, "a": "D"})
    benchmark = MultipleChoice()
    first, second = loaded(benchmark, rows, **NAMED, choices="c")
    assert benchmark.question(first) == "Which?\n\nA. red\nB. green"
    assert benchmark.question(second).endswith("D. grey")
    assert benchmark.stored_fields(first) == {"choices": ["red", "green"]}
    assert benchmark.extract(first, "The answer is green.", complete=True) == "B"
    assert benchmark.extract(first, "Answer: D", complete=True) is None


def test_a_right_choice_in_a_column_of_its_own_is_not_always_the_first() -> None:
    rows = rows_of(*({"q": str(n), "right": f"r{n}", "wrong": f"w{n}", "other": f"o{n}"} for n in range(40)))
    options = {"question": "q", "choices": ["right", "wrong", "other"], "answer": "right"}
    benchmark = MultipleChoice()
    samples = loaded(benchmark, rows, **options)
    assert {sample.target for sample in samples} == set("ABC")
    for sample in samples:
        assert sample.fields["choices"]["ABC".index(sample.target)] == sample.fields["right"]
    assert [s.target for s in samples] == [s.target for s in loaded(benchmark, rows, **options)]
    assert [s.target for s in samples] != [s.target for s in benchmark.load(rows, options, 1)]


AMBIGUOUS = [
    (
        [{"c": FOUR, "a": 1}, {"c": FOUR, "a": 2}],
        "may be numbers of choices counted from 0 or numbers of choices counted from 1",
    ),
    ([{"c": ["2", "1"], "a": "1"}], "may be the texts of choices or numbers"),
    ([{"c": ["B", "A"], "a": "A"}], "may be letters or the texts of choices"),
]


@pytest.mark.parametrize(("rows", "hint"), AMBIGUOUS)
def test_an_answer_that_may_mean_two_choices_is_refused(rows: list[Row], hint: str) -> None:
    said = refused(MultipleChoice(), rows_of(*({"q": "?", **row} for row in rows)), **NAMED, choices="c")
    assert hint in said
    assert "count_from=0" in said


ROWS_THAT_DO_NOT_FIT = [
    ({"c": FOUR, "a": "E"}, "row 2: the answer 'E' is none of the 4 choices (A to D), by letter, number or text; in other rows the answers are letters"),
    ({"c": FOUR, "a": None}, "row 2: the row has nothing under 'a'"),
    ({"c": ["red"], "a": "A"}, "row 2: a question has 2 to 26 choices, and not 1;"),
    ({"c": None, "a": "A"}, "row 2: 'c' holds nothing, which is not a list of choices"),
    ({"c": "red, green", "a": "A"}, "row 2: 'c' holds 'red, green', which is not a list of choices"),
    ({"c": "[red, green]", "a": "A"}, "row 2: 'c' holds '[red, green]', which is not a list of choices"),
    ({"c": ["red", None], "a": "A"}, "row 2: not all choices are texts: the row has nothing under 'c'"),
    ({"c": ["red"] * 27, "a": "A"}, "row 2: a question has 2 to 26 choices, and not 27;"),
    ({"c": FOUR, "a": "B", "q": " "}, "row 2: the row has"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "hint"), ROWS_THAT_DO_NOT_FIT)
def test_a_row_that_does_not_fit_is_named(row: Row, hint: str) -> None:
    rows = rows_of({"q": "?", "c": FOUR, "a": "A"}, {"q": "?", **row})
    assert refused(MultipleChoice(), rows, **NAMED, choices="c").startswith(f"mine.parquet, {hint}")


def test_an_empty_choice_between_others_and_equal_right_ones_are_refused() -> None:
    columns = {"question": "q", "answer": "a", "choices": ["x", "y", "z"]}
    gap = rows_of({"q": "?", "x": "1", "y": None, "z": "3", "a": "A"})
    assert "row 1: the row has nothing under 'y'" in refused(MultipleChoice(), gap, **columns)
    equal = rows_of({"q": "?", "x": "one", "y": "one", "z": "three", "a": "one"})
    assert "two of the 3 choices (A to C) are 'one'" in refused(MultipleChoice(), equal, **columns)


def test_an_empty_text_in_a_list_keeps_its_place() -> None:
    rows = rows_of({"q": "Which?", "c": ["red", " ", "blue"], "a": "C"}, {"q": "And?", "c": FOUR, "a": "A"})
    first, _ = loaded(MultipleChoice(), rows, **NAMED, choices="c")
    assert (first.target, MultipleChoice().question(first)) == ("C", "Which?\n\nA. red\nB.\nC. blue")
    assert MultipleChoice().extract(first, "Answer:", complete=True) is None


WORKED = [
    (MultipleChoice(), "A: Let us see. The answer is (B).", "Let us see. The answer is (B)."),
    (MultipleChoice(), "Answer: Grass is like that.", "Grass is like that.\n\nAnswer: B"),
    (MultipleChoice(), "The answer is C.", "The answer is C.\n\nAnswer: B"),
    (MultipleChoice(), " ", "Answer: B"),
    (MultipleChoice(), None, "Answer: B"),
    (NumberAnswer(), "Twice 4 is 8.", "Twice 4 is 8."),
    (NumberAnswer(), "It is twice four.", "It is twice four.\n\nThe final answer is 8"),
    (MathAnswer(), "So $x=8$, that is \\boxed{8}", "So $x=8$, that is \\boxed{8}"),
    (RegexMatch(), "It is 8.", "It is 8."),
    (JudgedAnswer(), "It is twice four.", "It is twice four.\n\n8"),
    (JudgedAnswer(), None, "8"),
]


@pytest.mark.parametrize(("benchmark", "worked", "shown"), WORKED)
def test_a_worked_answer_is_shown_with_the_gold_answer_where_it_does_not_state_it(
    benchmark: GenericBenchmark, worked: str | None, shown: str
) -> None:
    choice = isinstance(benchmark, MultipleChoice)
    row = {"q": "?", "c": FOUR, "a": "B" if choice else "8", "why": worked}
    options = {"choices": "c"} if choice else {}
    (sample,) = loaded(benchmark, rows_of(row), **NAMED, worked="why", **options)
    assert benchmark.worked_example(sample) == shown


def test_a_template_joins_columns_and_knows_escapes_and_doubled_braces() -> None:
    rows = rows_of({"passage": " Water. ", "High-level domain": "Physics", "a": 1})
    template = r"{passage}\n\n{High-level domain}: {{x}}\t2.\nIs it?\n"
    (sample,) = loaded(NumberAnswer(), rows, question=template, answer="a")
    assert sample.fields["question"] == "Water.\n\nPhysics: {x}\t2.\nIs it?"


@pytest.mark.parametrize("column", ["Question:", "Is it so!", "a!r", "a.b[0]", "a: b"])
def test_a_template_takes_a_column_of_any_name(column: str) -> None:
    rows = rows_of({column: "Why?", "a": "1"})
    (sample,) = loaded(NumberAnswer(), rows, question=f"{{{column}}} Say it.", answer="a")
    assert sample.fields["question"] == "Why? Say it."


@pytest.mark.parametrize(
    "formula",
    [
        r"$\theta \neq \nu$",
        r"\text{{in}}",
        r"\newline",
        r"$a \nRightarrow b \nVdash c$",
        r"$1 \\ \tau \\n$",
        r"\\\nu",
    ],
)
def test_a_template_leaves_the_commands_of_latex_as_they_are(formula: str) -> None:
    rows = rows_of({"q": "Why?", "a": "1"})
    (sample,) = loaded(NumberAnswer(), rows, question=rf"{formula}\n{{q}}", answer="a")
    assert sample.fields["question"] == f"{formula.replace('{{', '{').replace('}}', '}')}\nWhy?"


OPTIONS = [
    ({"question": "qestion"}, "question=qestion: mine.parquet has no column 'qestion'; did you mean question?"),
    ({"question": "{qestion}!"}, "has no column 'qestion'; did you mean question?"),
    ({"question": "zzz"}, "there are question, answer, level"),
    ({"question": "{question"}, "has a single brace"),
    ({"answer": "{question} {answer}"}, "names 2 columns"),
    ({"answer": "levle"}, "did you mean level?"),
    ({"subject": "levels"}, "subject=levels: mine.parquet has no column 'levels'; did you mean level?"),
    ({"worked": "levels"}, "worked=levels: mine.parquet has no column 'levels'; did you mean level?"),
    ({"choices": "level"}, "NumberAnswer has no such option"),
    ({"quest": "x"}, "did you mean question?"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "hint"), OPTIONS)
def test_an_option_that_names_no_column_is_refused_with_the_nearest(
    options: dict[str, str], hint: str
) -> None:
    rows = rows_of({"question": "1?", "answer": 1, "level": "low"})
    with pytest.raises(ConfigError) as caught:
        loaded(NumberAnswer(), rows, **options)
    assert hint in str(caught.value)


GOLDS: list[tuple[GenericBenchmark, object, str, str | None]] = [
    (NumberAnswer(), "2,125", "answer", "2125"),
    (NumberAnswer(), "$1 450.50", "answer", "1450.50"),
    (NumberAnswer(), 0.1, "answer", "0.1"),
    (NumberAnswer(), "1,5", "answer", None),
    (NumberAnswer(), "3/0", "answer", None),
    (NumberAnswer(), "1e99", "answer", None),
    (NumberAnswer(), "1e50", "answer", f"1{'0' * 50}"),
    (NumberAnswer(), "1/2%", "answer", None),
    (NumberAnswer(), "-3 / 4", "answer", "-3 / 4"),
    (IntegerAnswer(), "7" * 401, "answer", None),
    (NumberAnswer(), "<<1+1=2>>2 eggs. #### 2", "#### {}", "2"),
    (NumberAnswer(), "#### 1 and #### 2", "#### {answer}", "2"),
    (NumberAnswer(), "no mark", "#### {}", None),
    (NumberAnswer(), "(7 eggs)", "({answer} eggs)", "7"),
    (NumberAnswer(), "1e2%", "answer", "100%"),
    (IntegerAnswer(), "1,450", "answer", "1450"),
    (IntegerAnswer(), 7.0, "answer", "7"),
    (IntegerAnswer(), "7.5", "answer", None),
    (MathAnswer(), r"\frac{1}{2}", "answer", r"\frac{1}{2}"),
    (MathAnswer(), r"First \boxed{1}, so \boxed{\frac{1}{2}}.", "answer", r"\frac{1}{2}"),
    (ExactMatch(), " New York ", "answer", "New York"),
    (ExactMatch(), True, "answer", "true"),
    (ContainsMatch(), "東京", "answer", "東京"),
    (RegexMatch(), r"^\d{3}$", "answer", r"^\d{3}$"),
    (RegexMatch(), "(", "answer", None),
]


@pytest.mark.parametrize(("benchmark", "cell", "option", "target"), GOLDS)
def test_a_gold_answer_is_read_or_refused_with_its_place(
    benchmark: GenericBenchmark, cell: object, option: str, target: str | None
) -> None:
    rows = rows_of({"question": "?", "answer": cell})
    if target is None:
        assert refused(benchmark, rows, answer=option).startswith("mine.parquet, row 1: ")
    else:
        assert [sample.target for sample in loaded(benchmark, rows, answer=option)] == [target]


GRADED = [
    (ExactMatch(), "New York", "I think so.\n**Answer:** new  york.", 1.0, "new  york"),
    (ExactMatch(), "New York", "“New York”", 1.0, "New York"),
    (ExactMatch(), "New York", "Answer: York", 0.0, "York"),
    (ExactMatch(), "New York", "It is a city.\nA large one.", 0.0, None),
    (ExactMatch(), "U.S.", "Answer: U.S.", 1.0, "U.S"),
    (ExactMatch(), "ñandú", "<think>Answer: no</think>Sí.\nAnswer: ÑANDÚ", 1.0, "ÑANDÚ"),
    (ContainsMatch(), "New York", "It is new\nyork, of course.", 1.0, "new\nyork"),
    (ContainsMatch(), "art", "A party.", 0.0, "A party."),
    (ContainsMatch(), "東京", "それは東京です。", 1.0, "東京"),
    (ContainsMatch(), "5", "It is 15, or 5.2.", 0.0, "It is 15, or 5.2."),
    (ContainsMatch(), "5", "It is 5.", 1.0, "5"),
    (ContainsMatch(), "5", "It is -5.", 0.0, "It is -5."),
    (ContainsMatch(), "5", "It is $\u22125$.", 0.0, "It is $\u22125$."),
    (ContainsMatch(), "5", "It is 1.5e5, or 2e-5.", 0.0, "It is 1.5e5, or 2e-5."),
    (ContainsMatch(), "5", "- 5 (of 3-5)", 1.0, "5"),
    (ContainsMatch(), "5 apples", "I owe -5 apples", 0.0, "I owe -5 apples"),
    (ContainsMatch(), "-5", "So x = -5.", 1.0, "-5"),
    (ContainsMatch(), "-5", "It is 3-5 or 2e-5.", 0.0, "It is 3-5 or 2e-5."),
    (RegexMatch(), r"^\d{3}$", "It is\n123\nyes", 1.0, "123"),
    (RegexMatch(), r"^\d{3}$", "It is 1234", 0.0, "It is 1234"),
    (RegexMatch(), "(?<=is )42", "I think.\nThe answer is 42", 1.0, "The answer is 42"),
    (RegexMatch(), r"(?<=sure\.\n)42", "I am sure.\n42", 1.0, "I am sure.\n42"),
    (RegexMatch(), r"\Ayes\Z", "no\nyes", 0.0, "no\nyes"),
    (RegexMatch(), r"\Ayes\Z", "yes", 1.0, "yes"),
]


@pytest.mark.parametrize(("benchmark", "gold", "text", "value", "answer"), GRADED)
def test_a_text_is_graded(
    benchmark: GenericBenchmark, gold: str, text: str, value: float, answer: str | None
) -> None:
    (sample,) = loaded(benchmark, rows_of({"question": "?", "answer": gold}))
    found = score(benchmark, sample, text, FinishReason.STOP)
    assert (found.value, found.answer) == (value, answer)


def test_of_a_text_that_was_cut_only_what_is_stated_counts() -> None:
    (sample,) = loaded(ExactMatch(), rows_of({"question": "?", "answer": "New York"}))
    assert ExactMatch().extract(sample, "Answer: New", complete=False) is None
    assert ExactMatch().extract(sample, "Answer: New York\nSince", complete=False) == "New York"
    assert ContainsMatch().extract(sample, "It may be", complete=False) is None
    assert ContainsMatch().extract(sample, "It is New York, si", complete=False) == "New York"


def test_a_mark_before_all_gold_answers_is_pointed_out() -> None:
    rows = rows_of({"q": "?", "solution": "1 + 1 = 2.\n#### 2"})
    said = refused(NumberAnswer(), rows, question="q", answer="solution")
    assert said.endswith("or where each answer stands behind such a mark type 'answer=#### {solution}'.")
    assert refused(NumberAnswer(), rows_of({"q": "?", "a": "#### two"}), **NAMED).endswith("fix the row.")


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    csv = parse_csv(b'q,a\n"two\nlines",1\n\nlast,x\n')
    assert [csv.number(index) for index in range(2)] == [2, 5]
    jsonl = parse_json(b'\n{"q": 1}\n\n{"q": 2}\n')
    assert [jsonl.place(index) for index in range(2)] == ["the data, line 2", "the data, line 4"]
    assert parse_json(b'[{"q": 1}, {"q": 2}]').place(1) == "the data, row 2"
    with pytest.raises(RowError) as caught:
        loaded(NumberAnswer(), Rows.of(csv, "mine.csv"), **NAMED)
    assert str(caught.value).startswith("mine.csv, line 5: the answer 'x' is not a number")
    assert caught.value.place == "mine.csv, line 5"
    table = tmp_path / "mine.parquet"
    pd.DataFrame({"q": ["?"]}).to_parquet(table)
    assert table.exists()


def test_duplicate_questions_have_ids_of_their_own_and_are_told() -> None:
    benchmark = NumberAnswer()
    samples = loaded(benchmark, rows_of(*({"question": "1 + 1?", "answer": 2} for _ in range(3))))
    assert [sample.id for sample in samples] == ["1", "2", "3"]
    assert "What stands there more than once is asked as often: 1 question." in " ".join(
        benchmark.data_notes(samples)
    )


def test_subjects_are_stored_with_what_grading_needs() -> None:
    rows = rows_of(
        {"question": "1?", "answer": 1, "topic": "sums"}, {"question": "2?", "answer": 2, "topic": None}
    )
    first, second = loaded(NumberAnswer(), rows, subject="topic")
    assert NumberAnswer().stored_fields(first) == {"subject": "sums", "question": "1?"}
    assert NumberAnswer().stored_fields(second) == {"question": "2?"}
    assert [NumberAnswer().subject(sample) for sample in (first, second)] == ["sums", None]


def test_a_column_called_subject_groups_nothing_by_itself() -> None:
    (sample,) = loaded(ExactMatch(), rows_of({"question": "1?", "answer": "a", "subject": "Re: your mail"}))
    assert ExactMatch().subject(sample) is None
    assert "subject" not in ExactMatch().stored_fields(sample)
