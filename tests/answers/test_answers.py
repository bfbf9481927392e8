"""Answers in models' texts: golden tables of outputs as models write them, gold solutions, properties."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbench.answers import (
    choice,
    code_block,
    integer_answer,
    math_answer,
    number_answer,
    patch,
    stated_number,
    strip_thinking,
)
from llmbench.answers.equivalence import choice_equal, integer_equal, math_equal, number_equal
from tests.helpers.paths import CASES, SHARED
from tests.helpers.tables import each_of

pytestmark = pytest.mark.slow

DATA = SHARED

Row = dict[str, Any]
EXTRACT: dict[str, Callable[[str], str | None]] = {
    "math": math_answer,
    "aime": integer_answer,
    "mcq": choice,
    "gsm8k": number_answer,
}
EQUAL = {"math": math_equal, "aime": integer_equal, "mcq": choice_equal, "gsm8k": number_equal}


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(name: str) -> Callable[[Callable[[Row], None]], Callable[[], None]]:
    return each_of({row["id"]: row for row in read(CASES / f"{name}.jsonl")})


def data(name: str) -> list[Row]:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(
            f"{path} is missing: the data folder stands beside the repository only where llmbench is developed"
        )
    return read(path)


@table("edge_cases")
def test_edge_case(row: Row) -> None:
    answer = EXTRACT[row["kind"]](row["output"])
    gold = str(number_answer(row["gold"])) if row["kind"] == "gsm8k" else row["gold"]

    assert answer == row["expected_answer"]
    assert (answer is not None and EQUAL[row["kind"]](gold, answer)) is row["expected_correct"]


def test_edge_cases_differ_from_their_source_only_with_a_reason() -> None:
    ours = {row["id"]: row for row in read(CASES / "edge_cases.jsonl")}
    for row in data("answer_edge_cases"):
        own = ours[row["id"]]
        assert own["expected_correct"] is row["expected_correct"]
        assert own["expected_answer"] == row["expected_answer"] or own["reason"]


@table("math")
def test_math_answer(row: Row) -> None:
    assert math_answer(row["text"], complete=row.get("complete", True)) == row["want"]


@table("integers")
def test_integer_answer(row: Row) -> None:
    assert integer_answer(row["text"], complete=row.get("complete", True)) == row["want"]


@table("numbers")
def test_number_answer(row: Row) -> None:
    assert number_answer(row["text"]) == row["want"]
    if "stated" in row:
        assert stated_number(row["text"]) == row["stated"]


@table("cut")
def test_only_what_is_stated_without_doubt_counts_in_a_text_that_was_cut_off(row: Row) -> None:
    number, letter = row["text"].replace("ANSWER", "42"), row["text"].replace("ANSWER", "C")

    assert math_answer(number, complete=False) == ("42" if row["stated"] else None)
    assert integer_answer(number, complete=False) == ("42" if row["stated"] else None)
    assert stated_number(number) == ("42" if row["stated"] else None)
    assert choice(letter, complete=False) == ("C" if row["stated"] else None)


@table("choices")
def test_choice(row: Row) -> None:
    letters, complete = row.get("letters", "ABCD"), row.get("complete", True)
    assert choice(row["text"], row.get("choices"), letters, complete=complete) == row["want"]


@table("graded")
def test_graded(row: Row) -> None:
    """Whole outputs and whether they are right; without a gold no answer may be found."""
    answer = EXTRACT[row["kind"]](row["output"])
    if row["gold"] is None:
        assert answer is None
        return
    gold = row["gold"].removeprefix("#### ")
    assert (answer is not None and EQUAL[row["kind"]](gold, answer)) is row["correct"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("a<think>b", "a"),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("<think>a<think>b</think>c", "c"),
        ("<THINKING>a</THINKING>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
        ("<|channel|>analysis<|message|>a", ""),
        ("<reasoning>a</reasoning>b", "b"),
        ("<reasoning>a</reasoning>\n", "<reasoning>a</reasoning>"),
        ("<analysis>a", "<analysis>a"),
        ("a</reasoning>b", "a</reasoning>b"),
        ("b<|im_end|>", "b"),
        ("x < y and a > b", "x < y and a > b"),
        ("", ""),
    ],
)
def test_strip_thinking(text: str, kept: str) -> None:
    assert strip_thinking(text) == kept


def test_a_tag_of_reasoning_that_a_model_repeats_and_never_closes_is_left_as_it_is() -> None:
    text = "<analysis>\n" * 50_000 + "</b> The answer is 5."
    assert strip_thinking(text) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nprint(1)\n```", "print(1)"),
        ("```python\nprint(0)\n```\nBetter:\n```\nprint(1)\n```\nDone.", "print(1)"),
        ("1. First\n   ```python\n   if a:\n       b()\n   ```", "if a:\n    b()"),
        ("```python\nprint(1)\n```\nAnd then:\n```python\nprint(", "print(1)"),
        ("```python\nprint(", None),
        ("````md\n```python\nx\n```\n````", "```python\nx\n```"),
        ("~~~\nprint(1)\n~~~", "print(1)"),
        ("```python\nprint(1)\n```\n```\n\n```", "print(1)"),
        ("<think>```python\nprint(0)\n```</think>No code.", None),
        ("no code", None),
    ],
)
def test_code_block(text: str, code: str | None) -> None:
    assert code_block(text) == code


DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"<patch>\n{DIFF}</patch>", DIFF),
        (f"<diff>{DIFF}</diff>", DIFF),
        (f"I use <patch> tags:\n<patch>\n{DIFF}</patch>", DIFF),
        (f"<patch>\n```diff\n{DIFF}```\n</patch>", DIFF),
        (f"```diff\n{DIFF}```", DIFF),
        (f"```python\nx = 1\n```\n```\n{DIFF}```", DIFF),
        (f"Here it is.\n{DIFF}", DIFF),
        (f"<patch>\n{DIFF.rstrip()}", DIFF),
        (f"<patch>\n{DIFF} \n</patch>", f"{DIFF} \n"),
        ("```python\nx = 1\n```", None),
        ("<patch>nothing</patch>", None),
        ("", None),
    ],
)
def test_patch(text: str, found: str | None) -> None:
    assert patch(text) == found


def test_math_answer_of_every_solution_is_its_box() -> None:
    assert [
        row["unique_id"] for row in data("math500") if math_answer(row["solution"]) != row["answer"]
    ] == []


@pytest.mark.parametrize("before", ["", "Working it out step by step.\n\n", "We find\n", "The answer is "])
def test_gold_is_the_answer_of_a_text_that_ends_in_it(before: str) -> None:
    golds = [row["answer"] for row in data("math500")]

    assert [gold for gold in golds if not math_equal(gold, math_answer(before + gold) or "")] == []


def test_number_answer_of_every_solution_is_its_gold() -> None:
    for row in data("gsm8k_test_sample"):
        reasoning, _, gold = row["answer"].rpartition("####")
        assert number_answer(row["answer"]) == gold.strip()
        assert stated_number(f"{reasoning}\nThe answer is {gold.strip()}.") == gold.strip()


@pytest.mark.parametrize(
    ("text", "question", "number"),
    [
        ("It takes 120 minutes, which is 2 hours.", "How many minutes does it take?", "120"),
        ("It takes 120 minutes, which is 2 hours.", "He cooks 4 meals. How many hours does it take?", "2"),
        ("The answer is 50 cents, or $0.50.", "How many dollars does he get?", "0.50"),
        ("The answer is 50 cents, or $0.50.", "How much does he get, in cents?", "50"),
        ("She has 18 eggs, i.e. 1.5 dozen.", "How many dozen eggs has she?", "1.5"),
        ("She has 18 eggs, i.e. 1.5 dozen.", "How many eggs has she?", "18"),
    ],
)
def test_question_names_the_unit_of_a_number_given_in_two(text: str, question: str, number: str) -> None:
    assert number_answer(text, question) == number


@pytest.mark.parametrize("name", ["aime24", "aime25"])
def test_integer_answer_of_every_gold(name: str) -> None:
    for row in data(name):
        gold = str(row["answer"])
        for text in (
            f"\\boxed{{{gold}}}",
            f"The answer is {gold}.",
            f"**Final Answer**\n\n${gold}$",
            f"So we get $m+n={gold}$.",
        ):
            answer = integer_answer(text)
            assert answer is not None
            assert integer_equal(gold, answer)


def test_patches_are_found_where_they_are() -> None:
    for row in data("swebench_synthetic_outputs"):
        assert (patch(row["output"]) is not None) is row["expected_patch_found"], row["label"]


def test_code_is_found_where_it_is() -> None:
    for row in data("lcb_sample_completions"):
        assert (code_block(row["completion"]) is None) is (row["expected_error"] == "no_code"), row["label"]


CHOICES = ("1.76 μs", "2.75 μs", "3.44 μs", "2.20 μs")
STATEMENTS = (
    "Answer: {}",
    "answer: ({})",
    "**Answer: {}**",
    "**Answer:** {}.",
    "The answer is {}.",
    "The correct answer is **({})**.",
    "The correct option is {}, since the rest violates conservation.",
    "Final Answer: The final answer is $\\boxed{{{}}}$. I hope it is correct.",
    "$$\\boxed{{\\text{{{}}}}}$$",
    "\\[\n\\boxed{{\\textbf{{({})}}}}\n\\]",
    "### Final Answer\n\n**{}**",
    "Therefore, option {} is correct.",
    "So I choose {}.",
    "{}",
    "({})",
    "**{}.**",
    "{}) it follows from symmetry",
    "<answer>{}</answer>",
    "正确答案是 {}。",
)
DISCUSSIONS = (
    "",
    "Let me look at A first. A is tempting but wrong, as is B; C and D need care.\n\n",
    "A particle at point A moves to B with a speed of 3 C/D.\n\n",
    "If the answer were B, energy would not be conserved.\n\n",
    "<think>Answer: A. No, \\boxed{D}. Or C?</think>\n\n",
    "Option A is incorrect because of the sign. Option D cannot be right either.\n\n",
)


@given(st.sampled_from("ABCD"), st.sampled_from(STATEMENTS), st.sampled_from(DISCUSSIONS))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_choice_is_what_is_stated_whatever_was_discussed(
    letter: str, statement: str, discussion: str
) -> None:
    assert choice(discussion + statement.format(letter), CHOICES) == letter


@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from(
        ("The answer is {}.", "#### {}", "\\boxed{{{}}}", "So she has {} left.", "**Answer:** {}")
    ),
)
@settings(derandomize=True, max_examples=50, deadline=None)
def test_numbers_come_back_however_they_are_written(number: int, statement: str) -> None:
    for written in (f"{number}", f"{number:,}"):
        answer = number_answer(f"First 3 of 7 days, then 12.\n\n{statement.format(written)}")
        assert answer is not None
        assert number_equal(str(number), answer)


CHARACTERS = "09.,:;!?-+=/*^_$%&#`'\"()[]{}<>|\\ \n\tABCIaxπ²½∞√：，\x00\ud800"
FRAGMENTS = [
    r"\boxed{",
    r"\text{",
    r"\frac",
    r"Answer:",
    r"answer_is",
    r"**",
    r"<think>",
    r"</think>",
    r"```",
    r"####",
    r"<patch>",
    r"option_",
    r"so_it_is",
    r"10,000",
    r"\(",
    r"\)",
]
PIECES = st.sampled_from(
    [*CHARACTERS, *(fragment.replace("_", " ") for fragment in FRAGMENTS), "--- a/x\n+++ b/x\n"]
)


@given(st.lists(PIECES, max_size=30).map("".join))
@settings(derandomize=True, max_examples=150, deadline=None)
def test_nothing_raises(text: str) -> None:
    for extract in (math_answer, integer_answer, number_answer, stated_number, choice, code_block, patch):
        answer = extract(text)
        assert answer is None or answer.strip()


READ_ALL = """
import json, signal, sys
from llmbench.answers import *
for text in json.load(sys.stdin):
    print(repr(text[:20]), flush=True)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2)  # of its own CPU time
    READ
print("done")
"""


def each_is_read_in_time(texts: list[str], read: str) -> None:
    """In one process, which ends when a text takes too long: a process each would mostly import."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL.replace("READ", read)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split("\n")[-2]) == (0, "done"), done.stdout + done.stderr


def test_long_texts_are_read_in_time() -> None:
    pieces = (
        "a ", "1 ", "$", "\\boxed{", "answer ", "A is ", "**", "(", "so ", "it is B. ", "A) 5 B) 6 ", "<reasoning>", "```\n",
        "<patch>", "1,000", "= ", "\n\n", "\\boxed{1} ", "x or ", "7", "x", "111,",
    )  # fmt: skip
    each_is_read_in_time(
        [*(piece * (30_000 // len(piece)) for piece in pieces), "<analysis>I think. " * 4_000 + "</b>"],
        "[f(text) for f in (math_answer, integer_answer, number_answer, choice, code_block, patch)]",
    )


def test_one_long_word_is_no_number_and_hides_none() -> None:
    for word in ("7" * 50_000, "111," * 10_000 + "111"):
        assert not number_equal("7", number_answer(rf"\boxed{{{word}}}") or "")
        assert not number_equal("7", stated_number(f"The answer is {word}.") or "")
        assert number_answer(f"{word}\n\nSo the answer is 12.") == "12"


def test_long_texts_are_compared_with_the_choices_in_time() -> None:
    pieces = (
        "It is B. ", "I think it is ", "The answer is ", "答案", "选", "so ", "then ", "B is the ", "not A but ", "leaving ",
        "answer: 4, ",
    )  # fmt: skip
    each_is_read_in_time(
        [piece * (30_000 // len(piece)) for piece in pieces],
        "[choice(text, ('a ring', '2.5, at rest', 'B cells', '4'), complete=complete) for complete in (True, False)]",
    )


def test_short_texts_that_are_nearly_an_expression_are_read_in_time() -> None:
    texts = [
        piece * (900 // len(piece)) + end
        for piece in (" ", "1", "1,", "x ", "\\quad", "and ")
        for end in ("", "?", "§")
    ]
    texts += [f"\\boxed{{1}}{text}\\boxed{{2}}" for text in texts]
    each_is_read_in_time(texts, "[f(text) for f in (math_answer, number_answer)]")


def test_importing_is_light() -> None:
    code = "import sys, llmbench.answers, llmbench.answers.equivalence; sys.exit(bool({'sympy', 'math_verify'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
