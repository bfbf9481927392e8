"""The mathematics sets that are a YAML alone: what is asked of rows in the hub's columns, and which answers are right."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import llmbench
from llmbench.benchmarks.generic import MathAnswer
from llmbench.benchmarks.math import MATH
from llmbench.benchmarks.rows import Row, Rows, parse_csv
from llmbench.errors import LlmbenchError
from llmbench.records import Request
from llmbench.results.reader import load_run
from llmbench.run.regrade import regrade_run
from llmbench.run.request_plan import RequestPlan
from tests.helpers.paths import CASES, DATA
from tests.helpers.runs import make
from tests.helpers.settings import compose

BOX = "Reason step by step, and put the final answer in \\boxed{}."
HUB = {
    "aime26": ("math-ai/aime26", None, "test", 30),
    "hmmt_feb25": ("MathArena/hmmt_feb_2025", None, "train", 30),
    "hmmt_nov25": ("MathArena/hmmt_nov_2025", None, "train", 30),
    "hmmt_feb26": ("MathArena/hmmt_feb_2026", None, "train", 33),
    "amc23": ("math-ai/amc23", None, "test", 40),
    "olympiadbench": ("Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train", 674),
    "minerva_math": ("math-ai/minervamath", None, "test", 272),
}
FIRST = {
    "aime26": "Find the remainder when $7^{30}$ is divided by $1000$.",
    "hmmt_feb25": r"Compute $\sum_{n=1}^{5}\frac{1}{n(n+1)}$.",
    "hmmt_nov25": r"Compute $\sum_{n=1}^{6}\frac{1}{n(n+1)}$.",
    "hmmt_feb26": r"Compute $\sum_{n=1}^{7}\frac{1}{n(n+1)}$.",
    "amc23": "Tom walks $3$ miles in $45$ minutes. How many miles does he walk in two hours?",
    "olympiadbench": r"Determine the largest constant $c$ with $x^2+\frac{1}{4}\ge cx$ for all real $x$.",
    "minerva_math": "A lamp of $60$ W burns for one hour. How many joules does it use?",
}
INSTRUCTIONS = {
    "aime26": "Reason step by step, and put the final answer, an integer from 0 to 999, in \\boxed{}.",
    "olympiadbench": (
        "Reason step by step, and put the final answer in \\boxed{}, without its unit. "
        "If there are several answers, put all of them in one \\boxed{}, separated by commas."
    ),
}
SUBJECTS = {
    "hmmt_feb25": {"Algebra", "Combinatorics", "Geometry", "Geometry, Algebra", "Number Theory"},
    "hmmt_feb26": {"Algebra", "Combinatorics", "Geometry", "Geometry, Algebra", "Number Theory"},
    "olympiadbench": {"Algebra", "Combinatorics", "Geometry", "Number Theory"},
}


def settings(*names: str) -> tuple[str, ...]:
    files = (f"benchmarks.{name}.data_files={DATA / 'math_sets' / name}.jsonl" for name in names)
    return (f"benchmark=[{','.join(names)}]", "engine=fake", "profile=published", "report=false", *files)


def golds(*names: str) -> dict[str, dict[str, str]]:
    samples = RequestPlan.read(compose(settings(*names))).samples
    return {name: {sample.id: sample.target for sample in samples[name].chosen} for name in names}


def accuracies(folder: Path, targets: Mapping[str, Mapping[str, str]]) -> dict[str, float | None]:
    """Runs the sets with these boxed answers by sample; every text has an answer."""

    def reply(request: Request) -> str:
        target = targets[request.benchmark][request.sample_id]
        return f"Hence it is $\\boxed{{{target.strip('$')}}}$."

    make(folder, reply, *settings(*targets))
    return accuracies_of(folder)


def accuracies_of(folder: Path) -> dict[str, float | None]:
    run = load_run(folder)
    assert {result.score.outcome for result in run.results} <= {"correct", "wrong"}
    return {name: found.accuracy for name, found in run.summary.benchmarks.items()}


@pytest.mark.parametrize("name", HUB)
def test_the_data_set_is_the_one_that_was_checked(name: str) -> None:
    config = compose([f"benchmark={name}"]).benchmarks[name]
    assert (config.hub_id, config.hub_config, config.split, config.size) == HUB[name]


@pytest.mark.parametrize("name", HUB)
def test_a_row_is_asked_with_the_instruction_below_it(name: str) -> None:
    part = RequestPlan.read(compose(settings(name))).samples[name]
    instruction = compose(settings(name)).benchmarks[name].instruction
    assert instruction == INSTRUCTIONS.get(name, BOX)
    assert part.questions[0] == FIRST[name]
    first = 0 if name == "aime26" else 1
    assert [sample.id for sample in part.chosen] == [str(n) for n in range(first, first + 12)]
    subjects = {part.benchmark.subject(sample) for sample in part.chosen}
    assert subjects == SUBJECTS.get(name, {None})


def test_gold_answers_are_right_and_those_of_other_questions_wrong(tmp_path: Path) -> None:
    right = golds(*HUB)
    next_ones = {name: [*found.values()][1:] + [*found.values()][:1] for name, found in right.items()}
    wrong = {name: dict(zip(found, next_ones[name], strict=True)) for name, found in right.items()}
    assert accuracies(tmp_path / "right", right) == dict.fromkeys(HUB, 1.0)
    assert accuracies(tmp_path / "wrong", wrong) == dict.fromkeys(HUB, 0.0)


def test_a_tolerance_is_kept_for_grading_again(tmp_path: Path) -> None:
    near = golds("olympiadbench")["olympiadbench"] | {"10": "5.745", "11": "0.6972, 4.3028"}
    assert accuracies(tmp_path, {"olympiadbench": near}) == {"olympiadbench": 1.0}
    regrade_run(tmp_path)
    assert accuracies_of(tmp_path) == {"olympiadbench": 1.0}


PAIRS = [json.loads(line) for line in (CASES / "math_sets.jsonl").read_text().splitlines()]
ROWS: Mapping[str, Row] = {
    name: json.loads((DATA / "math_sets" / f"{name}.jsonl").read_text().splitlines()[0]) for name in HUB
}


@pytest.mark.parametrize("name", [name for name in HUB if name not in ("aime26", "amc23")])
def test_answers_of_every_form_are_right_or_wrong_as_a_reader_would_say(name: str) -> None:
    pairs = [pair for pair in PAIRS if name in pair["sets"]]
    assert len(pairs) > 20
    for pair in pairs:
        gold = {"final_answer": [pair["gold"]]} if name == "olympiadbench" else {"answer": pair["gold"]}
        row = {**ROWS[name], **gold, "error": pair.get("error")}
        found = llmbench.grade(name, row, f"So it is $\\boxed{{{pair['answer']}}}$.")
        assert found.outcome == ("correct" if pair["right"] else "wrong"), pair


@pytest.mark.parametrize("answer", ["(B) 27", r"\textbf{(B)} 27", r"\textbf{(B)}\ 27", "27"])
def test_the_letter_of_a_choice_before_the_value_says_nothing(answer: str) -> None:
    row = {**ROWS["amc23"], "answer": 27.0}
    assert llmbench.grade("amc23", row, f"So it is $\\boxed{{{answer}}}$.").outcome == "correct"
    assert (
        llmbench.grade("amc23", {**row, "answer": 28.0}, f"So it is $\\boxed{{{answer}}}$.").outcome
        == "wrong"
    )


def test_the_other_copy_of_minerva_math_is_read_from_the_boxes_of_its_solutions() -> None:
    solutions = {
        "So \\[ d = \\frac{60}{3600} \\cdot 120 = \\boxed{2.0} \\mathrm{~cm}. \\]": "2.0",
        "First $\\boxed{7}$ is tried, but the energy is \\boxed{4.5e33} erg.": "4.5e33",
        "Hence \\boxed{\\frac{A}{\\sqrt{1+k^{2}}}}": "\\frac{A}{\\sqrt{1+k^{2}}}",
    }
    rows = [
        {"problem": f"{n}?", "solution": each, "type": "Optics", "idx": n} for n, each in enumerate(solutions)
    ]
    options = {"question": "problem", "answer": "solution", "subject": "type", "tolerance": "0.01%"}
    found = MathAnswer().load(rows, options, 0)
    assert [sample.target for sample in found] == list(solutions.values())
    assert {MathAnswer().subject(sample) for sample in found} == {"Optics"}


def refused(row: Row, **options: Any) -> str:  # noqa: ANN401
    rows = Rows.of([{"question": "?", "answer": "5", "error": "0.1"}, row], "mine.jsonl")
    with pytest.raises(LlmbenchError) as caught:
        MathAnswer().load(rows, options, 0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("a bit", "row 2: the tolerance 'a bit' is not a number such as 0.01 or 1%"),
        ("-0.1", "row 2: the tolerance '-0.1' is not a number"),
        (["0.1", "0.2"], "row 2: the row has a list under 'error'"),
    ],
)
def test_a_tolerance_that_is_no_number_is_refused_with_its_place(cell: object, hint: str) -> None:
    assert hint in refused({"question": "?", "answer": "5", "error": cell}, tolerance="error")


UNBALANCED = [r"\frac{1}{2", r"\frac{1}2}", "}{", r"\left(1, 2)", r"(1, 2\right)", r"\right)\left("]
BALANCED = [
    r"\left\{1, 2\right.",
    r"\{1, 2",
    "[0, 1)",
    r"\leftarrow",
    r"\\{1}",
    r"\left(\frac{1}{2}, 3\right]",
    r"x\}",
]


@pytest.mark.parametrize("gold", UNBALANCED)
def test_a_gold_answer_of_which_a_part_is_missing_is_refused_with_its_row_and_column(gold: str) -> None:
    said = refused({"question": "?", "answer": gold, "error": None})
    assert said.startswith(f"mine.jsonl, row 2: 'answer' holds the gold answer {gold!r}, whose braces")
    with pytest.raises(LlmbenchError, match="row 0: 'answer' holds"):
        MATH().load([{"problem": "?", "answer": gold}], {}, 0)


def test_a_gold_answer_in_a_solution_is_to_be_whole_too() -> None:
    with pytest.raises(LlmbenchError, match="row 0: 'solution' holds"):
        MATH().load([{"problem": "?", "solution": r"So $\boxed{\left(1, 2)}$."}], {}, 0)


@pytest.mark.parametrize("gold", BALANCED)
def test_a_gold_answer_whose_brackets_alone_differ_is_taken(gold: str) -> None:
    assert MathAnswer().load([{"question": "?", "answer": gold}], {}, 0)[0].target == gold


def test_each_gold_answer_of_math500_is_whole(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "math500.jsonl").read_text().splitlines()]
    assert len(MATH().load(rows, {}, 0)) == len(rows) == 500


@pytest.mark.parametrize("typed", ["errors", "0.1", "%", "x%"])
def test_a_tolerance_is_a_share_or_a_column(typed: str) -> None:
    said = refused({"question": "?", "answer": "5", "error": None}, tolerance=typed)
    assert said.startswith(f"tolerance={typed}: ")
    assert "such as 1%" in said


@pytest.mark.parametrize("cell", [["a", "b"], [], None])
def test_a_list_is_a_gold_answer_only_if_it_holds_one(cell: object) -> None:
    assert "row 2: the row has" in refused({"question": "?", "answer": cell, "error": None})


def as_cell(text: str) -> bytes:
    quoted = text.replace('"', '""')
    return f'"{quoted}"\n'.encode()


LISTED = {
    "['3']": "3",
    '["3"]': "3",
    " ['3',] ": "3",
    r"['\\frac{1}{2}']": r"\frac{1}{2}",
    r'["\\theta=\\pi"]': r"\theta=\pi",
    r"['\frac{1}{2}']": r"\frac{1}{2}",
    r"['\sqrt{2}']": r"\sqrt{2}",
    "['$1,2$']": "$1,2$",
    """["f'(x)"]""": "f'(x)",
    "[1, 2]": "[1, 2]",
    "[1, 2)": "[1, 2)",
    "[3]": "[3]",
    "['3' '4']": "['3' '4']",
    "[f'(0), f'(1)]": "[f'(0), f'(1)]",
}


@pytest.mark.parametrize("cell", LISTED)
def test_a_list_of_one_text_in_a_cell_is_that_text_and_an_interval_is_not(cell: str) -> None:
    rows = Rows.of(parse_csv(b"question,final_answer\n?," + as_cell(cell)), "mine.csv")
    (sample,) = MathAnswer().load(rows, {"answer": "final_answer"}, 0)
    assert (sample.target, sample.id) == (LISTED[cell], "2")


def test_a_list_of_two_texts_in_a_cell_is_refused() -> None:
    assert "or it is a list of several" in refused({"answer": "['1', '2']", "question": "?"})


def test_a_row_without_a_tolerance_is_graded_exactly_beside_one_that_has_it() -> None:
    rows = [{"question": "?", "answer": [2.5], "error": error} for error in ("0.1", None, "", 0.05, ["0.1"])]
    samples = MathAnswer().load(rows, {"tolerance": "error"}, 0)
    assert [MathAnswer().is_equal(sample, "2.58") for sample in samples] == [True, False, False, False, True]
    assert [MathAnswer().stored_fields(sample) for sample in samples] == [
        {"tolerance": "0.1"}, {}, {}, {"tolerance": "0.05"}, {"tolerance": "0.1"}
    ]  # fmt: skip
