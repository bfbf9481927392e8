"""Equality of answers: a golden table, every gold of MATH-500 under every wrapping, pairs that must differ, hostile input."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbench.answers.equivalence import choice_equal, integer_equal, math_equal, number_equal
from llmbench.answers.equivalence.rational import rational
from tests.helpers.paths import CASES, SHARED
from tests.helpers.tables import each_of

pytestmark = pytest.mark.slow

MATH500 = SHARED / "math500.jsonl"

TABLE = [json.loads(line) for line in (CASES / "equal.jsonl").read_text(encoding="utf-8").splitlines()]


@each_of({f"{number:03}: {row['gold']} | {row['answer']}": row for number, row in enumerate(TABLE)})
def test_math_equal(row: dict[str, str | bool]) -> None:
    assert math_equal(str(row["gold"]), str(row["answer"])) is row["equal"]


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("025", "25", True), ("25", "25.0", True), ("25", "\\frac{50}{2}", True), ("25", "26", False), ("25", "25.5", False),
        ("1/2", "1/2", False), ("25", "x", False), ("25", "", False), ("25", "x=25", True), ("0", "000", True), ("", "", False),
    ],
)  # fmt: skip
def test_integer_equal(gold: str, answer: str, equal: bool) -> None:  # noqa: FBT001
    assert integer_equal(gold, answer) is equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("5", "5.00", True), ("1,450", "1450", True), ("70000", "70,000", True), ("18", "$18", True), ("20", "20%", True), ("-7", "-7", True),
        ("-7", "7", False), ("0.75", "3/4", True), ("1.5", "1 1/2", True), ("18", "18.01", False), ("18", "x", False), ("", "", False),
    ],
)  # fmt: skip
def test_number_equal(gold: str, answer: str, equal: bool) -> None:  # noqa: FBT001
    assert number_equal(gold, answer) is equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("B", "B", True),
        ("B", "b", True),
        ("B", "(B)", True),
        ("B", "C", False),
        ("B", "", False),
        ("", "", False),
    ],
)
def test_choice_equal(gold: str, answer: str, equal: bool) -> None:  # noqa: FBT001
    assert choice_equal(gold, answer) is equal


@cache
def golds() -> list[str]:
    if not MATH500.exists():
        pytest.skip(
            f"{MATH500} is missing: the data folder stands beside the repository only where llmbench is developed"
        )
    return [json.loads(line)["answer"] for line in MATH500.read_text(encoding="utf-8").splitlines()]


def is_value(gold: str) -> bool:
    return not re.search(r"[=,]|\\in|text|mbox|\\cup|_|begin", gold)


WRAPPINGS: dict[str, Callable[[str], str]] = {
    "none": str,
    "dollars": lambda gold: f"${gold}$",
    "inline": lambda gold: f"\\({gold}\\)",
    "display": lambda gold: f"\\[\n{gold}\n\\]",
    "boxed": lambda gold: f"\\boxed{{{gold}}}",
    "bold": lambda gold: f"**{gold}**",
    "full stop": lambda gold: f"{gold}.",
    "display style": lambda gold: f"\\displaystyle {gold}",
    "dfrac": lambda gold: re.sub(r"\\d?frac", r"\\dfrac", gold),
    "tfrac": lambda gold: re.sub(r"\\d?frac", r"\\tfrac", gold),
    "slash": lambda gold: (
        re.sub(r"(?<!\d)\\d?frac\{(\d+)\}\{(\d+)\}", r"\1/\2", gold) if is_value(gold) else gold
    ),
    "no spaces": lambda gold: re.sub(r"(?<![A-Za-z]) | (?![A-Za-z])", "", gold),
    "thin spaces": lambda gold: re.sub(r"(?<![\d!])([+=,])(?!\\!)", r"\\,\1\\;", gold),
    "sizes": lambda gold: re.sub(
        r"(?:\\right)?([)\]])", r"\\right\1", re.sub(r"(?:\\left)?([(\[])", r"\\left\1", gold)
    ),
    "big": lambda gold: gold.replace("\\left", "\\bigl").replace("\\right", "\\bigr"),
    "text as mathrm": lambda gold: re.sub(r"\\(?:text|mbox)\{", r"\\mathrm{", gold),
    "text as words": lambda gold: re.sub(r"\\(?:text|mbox)\{([^}]*)\}", r"\1", gold),
    "text in bold": lambda gold: re.sub(r"\\(?:text|mbox)\{", r"\\textbf{", gold),
    "no degrees": lambda gold: gold.replace("^\\circ", ""),
    "degrees in words": lambda gold: gold.replace("^\\circ", "\\text{ degrees}"),
    "degree sign": lambda gold: gold.replace("^\\circ", "°"),
    "bmatrix": lambda gold: gold.replace("pmatrix", "bmatrix"),
    "named": lambda gold: f"x = {gold}" if is_value(gold) else gold,
    "parenthesized": lambda gold: f"({gold})" if is_value(gold) else gold,
    "with units": lambda gold: f"{gold} \\text{{ units}}" if is_value(gold) and "circ" not in gold else gold,
    "unicode": lambda gold: (
        gold.replace("\\pi", "π")
        .replace("\\infty", "∞")
        .replace("\\cup", "∪")
        .replace("\\pm", "±")
        .replace("-", "−")
    ),
    "no currency": lambda gold: gold.replace("\\$", ""),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_gold_equals_itself_in_every_wrapping(wrapping: str) -> None:
    wrap = WRAPPINGS[wrapping]
    wrapped = {gold: wrap(gold) for gold in golds() if wrapping == "none" or wrap(gold) != gold}
    assert wrapped
    assert [g for g, text in wrapped.items() if not (math_equal(g, text) and math_equal(text, g))] == []


@given(st.data())
@settings(derandomize=True, max_examples=50, deadline=None)
def test_golds_survive_several_wrappings(data: st.DataObject) -> None:
    gold = data.draw(st.sampled_from(golds()))
    wrapped = gold
    for name in data.draw(
        st.lists(
            st.sampled_from(
                ["dfrac", "no degrees", "unicode", "text as mathrm", "dollars", "boxed", "full stop"]
            ),
            max_size=4,
        )
    ):
        wrapped = WRAPPINGS[name](wrapped)
    assert math_equal(gold, wrapped)


# Pairs of different golds that say the same.
SAME = [
    {"(-2,1)", "-2,1"}, {"-2,1", "1,-2"}, {"10,\\!080", "10080"}, {"120", "120^\\circ"}, {"15", "15\\mbox{ cm}^2"}, {"2 \\sqrt{5}", "2\\sqrt{5}"},
    {"30", "30^\\circ"}, {"36", "36^\\circ"}, {"36", "\\$36"}, {"36^\\circ", "\\$36"}, {"40", "40_9"}, {"5", "x=5"}, {"90", "90^\\circ"},
    {"\\frac14", "\\frac{1}{4}"},
]  # fmt: skip


def test_different_golds_are_not_equal() -> None:
    unique = sorted(set(golds()))
    generator = random.Random(0)
    numeric = [gold for gold in unique if rational(gold) is not None]
    others = [gold for gold in unique if rational(gold) is None]
    pairs = [(one, other) for one in others for other in others] + [
        (generator.choice(others), generator.choice(numeric)) for _ in range(2_000)
    ]
    generator.shuffle(pairs)
    wrong = [
        (one, other)
        for one, other in pairs[:2_000]
        if one != other and math_equal(one, other) and {one, other} not in SAME
    ]
    assert wrong == []


NUMBER = st.fractions(min_value=-1000, max_value=1000, max_denominator=1000)


@given(NUMBER, NUMBER)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_fractions_are_equal_exactly_where_they_are(one: object, other: object) -> None:
    assert math_equal(str(one), str(other)) is (one == other)
    assert math_equal(re.sub(r"(\d+)/(\d+)", r"\\frac{\1}{\2}", str(one)), str(one))


TERMS = st.lists(
    st.tuples(st.integers(-9, 9).filter(bool), st.sampled_from(["x^2", "x", "xy", "\\sqrt{2}", "\\pi"])),
    min_size=2,
    max_size=4,
    unique_by=lambda term: term[1],
)


@given(TERMS, st.randoms(use_true_random=False))
@settings(derandomize=True, max_examples=25, deadline=None)
def test_sums_are_equal_in_any_order_and_not_with_another_sign(
    terms: list[tuple[int, str]], generator: random.Random
) -> None:
    def written(parts: list[tuple[int, str]]) -> str:
        return "".join(f"{factor:+d}{what}" for factor, what in parts).removeprefix("+")

    shuffled = terms.copy()
    generator.shuffle(shuffled)
    negated = [(-shuffled[0][0], shuffled[0][1]), *shuffled[1:]]

    assert math_equal(written(terms), written(shuffled))
    assert not math_equal(written(terms), written(negated))


CHARACTERS = "0125.,:;!?-+=/*^_$%'()[]{}<>|\\ \nABCabxyiπ²½∞°√\x00\ud800"
FRAGMENTS = r"\frac \boxed{ \text{ \{ \} \\ \pm \cup \infty \sqrt \begin{pmatrix} \end{pmatrix} \le \in and \% \$ \overline{3} {,} \binom \approx"
PIECES = st.sampled_from([*CHARACTERS, *FRAGMENTS.split()])
STRINGS = st.lists(PIECES, max_size=10).map("".join)


@given(STRINGS, STRINGS)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_nothing_raises(one: str, other: str) -> None:
    for equal in (math_equal, integer_equal, number_equal, choice_equal):
        assert equal(one, other) in {True, False}
        assert equal(one, "") is False


HOSTILE = {
    "power tower": "9^{9^{9^9}}",
    "large power": "10^{10^{10}}",
    "large factorial": "100000!",
    "factorial of a factorial": "(9!)!",
    "large binomial": "\\binom{1000000}{500000}",
    "large gamma": "\\Gamma(100000000)",
    "long sum": "\\sum_{n=1}^{1000000000} \\frac{1}{n^2}",
    "long product": "\\prod_{k=1}^{100000000} k",
    "large argument": "\\sin(10^{90000})",
    "tower of e": "e^{e^{e^{e^{e}}}}",
    "long digits": "1" * 1_000_000,
    "deep parentheses": "(" * 900 + "1" + ")" * 900,
    "deep braces": "{" * 1_900,
    "deep fractions": "\\frac{1}{" * 60 + "2" + "}" * 60,
    "deep roots": "\\sqrt{" * 50 + "2" + "}" * 50,
    "long list": "1," * 900 + "1",
    "many signs": "\\pm" * 300,
    "many relations": "=".join("x" * 500),
    "many variables": "x" * 1_900,
    "many words": "a b " * 400,
    "many spaces": "\\quad" * 390 + "x",
    "many units": "5" + "\\text{m}" * 240 + "x",
    "many digits before dots": "0." + "12345" * 390 + "...",
    "many points left out": "x \\ne 1," * 200,
    "many alternatives": "x < 1 or " * 200 + "x > 2",
    "exponent of many digits": "1e999999999",
    "negative exponent of many digits": "10^{-999999999}",
}


def test_hostile_answers_are_refused_quickly() -> None:
    """One process reads them all, so that what each takes is seen apart from what starting takes."""
    code = (
        "import json, resource, signal, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30));"
        "from llmbench.answers.equivalence import integer_equal, math_equal, number_equal\n"
        "golds = ('5', r'\\frac{\\pi}{2}', 'x+1', '1,2')\n"
        "for name, answer in json.load(sys.stdin).items():\n"
        "    print(name, flush=True)\n"
        "    signal.setitimer(signal.ITIMER_VIRTUAL, 15)  # of its own CPU time\n"
        "    assert not any(equal(gold, answer) for gold in golds for equal in (math_equal, integer_equal, number_equal))\n"
        "print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(HOSTILE), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split("\n")[-2]) == (0, "done"), done.stdout + done.stderr
