"""HumanEval+, MBPP and MBPP+: what is asked, what is run, and verdicts in the real sandbox."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmbench
from llmbench.benchmarks import numpy_comparison, programs
from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.candidate import BATCH, Calls, Candidate, calls_ahead
from llmbench.benchmarks.humaneval import HumanEval
from llmbench.benchmarks.humaneval_plus import HumanEvalPlus
from llmbench.benchmarks.mbpp import MBPP, as_check, called_names
from llmbench.benchmarks.mbpp_plus import LEFT_OUT, MBPPPlus, repaired
from llmbench.benchmarks.programs import ProgramVerdict
from llmbench.engine.fake import WordTokenizer
from llmbench.errors import ConfigError, DataError
from llmbench.records import Outcome, Request, Sample
from llmbench.run.prompts import PromptWriter, requests
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status
from llmbench.sandbox.runner.values import dumps
from tests.helpers import code_rows
from tests.helpers.code_rows import ASSERTION, IS_THERE, LONGEST, ROWS, called, inner
from tests.helpers.own_data import jsonl
from tests.helpers.runs import make
from tests.helpers.settings import compose

SETS: dict[str, HumanEval] = {"humaneval_plus": HumanEvalPlus(), "mbpp": MBPP(), "mbpp_plus": MBPPPlus()}


def samples(name: str, **options: object) -> list[Sample]:
    return SETS[name].load(ROWS[name], options, 0)


def of(row: dict[str, Any], benchmark: Benchmark, **changes: object) -> Sample:
    (found,) = benchmark.load([{**row, **changes}], {}, 0)
    return found


@pytest.mark.usefixtures("sandboxed")
def test_golds_pass_and_wrong_programs_fail_through_the_whole_pipeline(tmp_path: Path) -> None:
    """The first answer to each question is the data's own, the second returns something else."""
    answers = {}
    for name, rows in ROWS.items():
        jsonl(tmp_path / f"{name}.jsonl", *rows)
        for each in samples(name):
            wrong = f"def {each.fields['entry_point']}(*given):\n    return 'something else'\n"
            answers[f"{name}/{each.id}"] = SETS[name].worked_example(each), f"```python\n{wrong}```"

    def reply(request: Request) -> str:
        question, _, repeat = request.id.rpartition("/")
        return answers[question][int(repeat)]

    data = [f"benchmarks.{name}.data_files={tmp_path / name}.jsonl" for name in ROWS]
    chosen = f"benchmark=[{','.join(ROWS)}]"
    folder = make(tmp_path / "run", reply, chosen, *data, "profile=published", "sampling.repeats=2")
    results = llmbench.load_run(folder).results
    assert len(results) == 2 * len(answers) == 2 * (12 + 12 + 14)
    unlike = [
        (r.benchmark, r.sample_id, r.score.explanation)
        for r in results
        if r.score.outcome is not (Outcome.WRONG if r.repeat else Outcome.CORRECT)
    ]
    assert not unlike
    found = llmbench.load_run(folder).summary.benchmarks
    assert {name: each.accuracy for name, each in found.items()} == dict.fromkeys(ROWS, 0.5)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", ROWS)
def test_an_answer_is_graded_again_from_what_the_journal_keeps(name: str) -> None:
    full = samples(name)[0]
    kept = Sample(full.id, json.loads(json.dumps(SETS[name].stored_fields(full))), full.target)
    program = SETS[name].extract(kept, SETS[name].worked_example(full), complete=True)
    assert program is not None
    assert SETS[name].judged(kept, program).verdict is ProgramVerdict.PASSED


def test_a_check_too_large_for_the_journal_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "JOURNAL_CHARACTERS", 100)
    full = samples("mbpp_plus")[0]
    kept = Sample(full.id, SETS["mbpp_plus"].stored_fields(full), full.target)
    assert "test" not in kept.fields
    judged = SETS["mbpp_plus"].judged(kept, full.target)
    assert (judged.verdict, "too large" in judged.why) == (ProgramVerdict.REFUSED, True)


# What is asked.

ADD = (
    "You are an expert Python programmer, and here is your task: Write a function to add two numbers. Your code should pass "
    "these tests:\n\nassert plus(1, 2) == 3\nassert plus(-1, 1) == 0\nassert plus(0.5, 0.25) == 0.75"
)
AS_CHAT = "\n\nAnswer with one code block that holds the function and everything it needs."
QUESTIONS = {
    "humaneval_plus": (
        "Complete this Python function. Answer with one code block that holds the whole function and everything it needs."
        '\n\n```python\n\ndef taxed(price, rate):\n    """ taxed(price, rate) as its name says. """\n```'
    ),
    "mbpp": ADD + AS_CHAT,
    "mbpp_plus": (
        "Please provide a self-contained Python script that solves the following problem in a markdown code block:\n```\n"
        '"""\nWrite a function to do what taxed(price, rate) says.\nassert taxed(*[]) == 0\n"""\n```'
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_question_is_the_protocols(name: str) -> None:
    assert SETS[name].question(samples(name)[0]) == QUESTIONS[name]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("humaneval_plus", "OwnEval/0", "OwnEval/11"), ("mbpp", "11", "22"), ("mbpp_plus", "1000", "1102")],
)
def test_questions_have_the_ids_of_the_data(name: str, first: str, last: str) -> None:
    found = [sample.id for sample in samples(name)]
    assert (found[0], found[-1], len(set(found))) == (first, last, len(ROWS[name]))


def test_a_base_model_is_asked_as_the_paper_does(tmp_path: Path) -> None:
    jsonl(tmp_path / "mbpp.jsonl", *ROWS["mbpp"])
    settings = ["chat=false", "fewshot=1", "engine=fake", f"benchmarks.mbpp.data_files={tmp_path}/mbpp.jsonl"]
    config = compose(["benchmark=mbpp", *settings])
    assert config.benchmarks["mbpp"].options["chat"] is False
    first, second = MBPP().load(ROWS["mbpp"][:2], config.benchmarks["mbpp"].options, 0)
    asked = PromptWriter(config, "mbpp", MBPP(), WordTokenizer()).ask(
        second, MBPP().question(second), [first]
    )
    shown = f"{ADD}\n[BEGIN]\ndef plus(a, b):\n  return a + b\n[DONE]\n\n"
    assert asked.text == f"{shown}{MBPP().question(second)}\n[BEGIN]\n"
    (request,) = requests([asked], config)
    assert request.sampling.stop[-1] == "[DONE]"


def test_what_a_base_model_writes_up_to_the_mark_is_the_program_with_all_that_it_needs() -> None:
    (asked,) = MBPP().load(ROWS["mbpp"][:1], {"chat": False}, 0)
    kept = Sample(asked.id, MBPP().stored_fields(asked), asked.target)
    program = f"import math\nONE = 1\nclass Two:\n    pass\n{ADDS}"
    for text in (f"{program}\n", f"{program}\n[DONE]\nmore", f"[BEGIN]\n{program}\n[DONE]"):
        assert (MBPP().extract(kept, text, complete=True) or "").strip() == program


@pytest.mark.parametrize(("config", "size"), [("full", 500), ("sanitized", 257)])
def test_both_configs_of_mbpp_know_their_size(config: str, size: int) -> None:
    settings = compose(["benchmark=mbpp", f"benchmarks.mbpp.hub_config={config}"]).benchmarks["mbpp"]
    assert (settings.size, settings.subset, settings.fewshot_split) == (size, config, "prompt")
    assert MBPP().load(ROWS["mbpp"][:1], settings.options, 0)


@pytest.mark.parametrize(("name", "value"), [("humaneval_plus", 0.791), ("mbpp", 0.82)])
def test_published_scores_are_those_of_the_models_reports(name: str, value: float) -> None:
    (reference,) = compose([f"benchmark={name}", "model=qwen14b"]).benchmarks[name].reference
    assert (reference.model, reference.value) == ("Qwen/Qwen2.5-14B-Instruct", value)


# What is taken for the program.

ADDS = "def plus(a, b):\n    return a + b"
TEXTS = {
    f"[BEGIN]\n{ADDS}\n[DONE]\n\nprint(other": ADDS,
    f"{ADDS}\n[DONE]\n[BEGIN]\ndef plus(a, b): return 0\n[DONE]": ADDS,
    f"[BEGIN]\nclass One:\n    pass\n{ADDS}\nclass Two:\n    pass\n[DONE]": f"class One:\n    pass\n{ADDS}\nclass Two:\n    pass",
    f"[BEGIN]\n{ADDS}\n": ADDS,
    f"Here:\n```python\n{ADDS}\n```\nDone.": ADDS,
    f"```python\nx = 1\n{ADDS}\n```\n[DONE]": f"x = 1\n{ADDS}",
    f"{ADDS}\n\nassert plus(1, 2) == 4\n": ADDS,
    "```python\ndef add(a, b):\n    return a + b\n```": "def add(a, b):\n    return a + b",
    "```bash\npip install plus\n```": None,
    "I cannot.": None,
    "    return a + b": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_the_program_is_found(text: str) -> None:
    program = MBPP().extract(samples("mbpp")[0], text, complete=True)
    assert (program and program.strip()) == TEXTS[text]


def test_a_text_that_was_cut_off_counts_as_far_as_the_function_is_whole() -> None:
    asked = samples("mbpp")[0]
    assert MBPP().extract(asked, f"[BEGIN]\n{ADDS}\n", complete=False) is None
    assert "a + b" in (MBPP().extract(asked, f"{ADDS}\n\nprint(pl", complete=False) or "")


# From assertions to a check.

CHECKS = {
    "assert f(1) == g(2)": "candidate('f(1)', {}) == candidate('g(2)', {})",
    "assert set(f((1, 2))) == set((1,))": "set(candidate('f((1, 2))', {})) == set((1,))",
    "assert math.isclose(f(2), 0.5, rel_tol=0.1)": "math.isclose(candidate('f(2)', {}), 0.5, rel_tol=0.1)",
    "assert f(One(1), root.left)[0].left == root": "candidate('f(One(1), root.left)[0].left', {}) == root",
    "assert not list(map(f, [1]))": "not list(candidate('map(f, [1])', {}))",
    "assert sorted([1], key=f) == [1]": "candidate('sorted([1], key=f)', {}) == [1]",
    "assert all(f(x) for x in (1, 2))": "all((candidate('f(x)', {'x': x}) for x in (1, 2)))",
    "assert f(1) == 1,0": "candidate('f(1)', {}) == 1",
}


@pytest.mark.parametrize("test", CHECKS)
def test_what_calls_the_program_and_nothing_else_is_evaluated_beside_it(test: str) -> None:
    check = as_check([test], ["f", "g", "One"])
    assert check.startswith(f"def check(candidate):\n    assert {CHECKS[test]}, ")


NAMES: list[tuple[list[str], str, str, list[str]]] = [
    (["assert f([Pair(1)]) == 3"], "", "class Pair: pass\ndef f(x): pass", ["f", "Pair"]),
    (["assert math.isclose(f(1), 2)"], "import math", "import math\ndef f(x): pass", ["f"]),
    (["assert str(f(root)) == '1'"], "root = Node()", "class Node: pass\ndef f(x): pass", ["f"]),
    (["assert f(1) == x", "x = 2"], "", "def other(): pass", ["f"]),
    (["assert f(1) == 2"], "", "print 'Python 2'", ["f"]),
]


@pytest.mark.parametrize(("tests", "setup", "code", "names"), NAMES)
def test_the_programs_own_names_are_found(tests: list[str], setup: str, code: str, names: list[str]) -> None:
    assert called_names(tests, setup, code) == names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_list": ["assert f(1 == 2"]}, "the tests of task 11 cannot be read"),
        ({"test_list": ["assert 1 == 1"]}, "they call no function of the program"),
        ({"test_list": "assert f(1) == 2"}, "not a list of texts"),
        ({"text": None}, "prompt"),
    ],
)
def test_a_row_that_cannot_be_asked_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(ROWS["mbpp"][0], MBPP(), **changes)


UNASSERTED: list[tuple[str, dict[str, object]]] = [
    ("mbpp", {"test_list": ["plus(1, 2) == 3"]}),
    ("mbpp", {"test_list": ["assert plus(1, 2) == 3", "plus(2, 2) == 4"]}),
    ("mbpp", {"test_list": ["print(plus(1, 2))"]}),
    ("mbpp", {"test_list": ["assert plus(1, 2) == 3", "assert (plus(2, 2) == 4, 'four')"]}),
    ("mbpp_plus", {"test": "taxed(1, 2) == 3\n# assert"}),
    ("mbpp_plus", {"test": "for x in [1]:\n    taxed(x, x)\n    assert True"}),
    ("mbpp_plus", {"test": "assert(taxed(1, 2) == 3, 'three')"}),
    ("humaneval_plus", {"test": "def check(candidate):\n    candidate(1, 2) == 3\n"}),
    ("humaneval", {"test": "def check(candidate):\n    assert (\n        candidate(1) == 1, 'one'\n    )\n"}),
    ("humaneval", {"test": "def assertion(a, b):\n    a == b\n\ndef check(candidate):\n    assertion(candidate(1), 1)\n"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), UNASSERTED)
def test_a_check_that_every_program_passes_is_refused(name: str, changes: dict[str, object]) -> None:
    row = ROWS.get(name, ROWS["humaneval_plus"])[0]
    with pytest.raises(DataError, match=rf"{name}: the tests? of task .* is no assertion; fix the row\."):
        of(row, SETS.get(name, HumanEval()), **changes)


@pytest.mark.parametrize(
    "test",
    [
        "np.testing.assert_allclose(candidate(1), 1)",
        "if candidate(1) != 1: raise ValueError",
        "assert (candidate(1), 1) == (1, 1)",
        "assert (candidate(1) == 1), 'one'",
    ],
)
def test_a_check_may_fail_in_other_ways_than_by_assert(test: str) -> None:
    assert of(ROWS["humaneval_plus"][0], HumanEvalPlus(), test=f"def check(candidate):\n    {test}\n")


@pytest.mark.parametrize("name", ROWS)
def test_an_option_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"benchmarks\.{name}\.options"):
        samples(name, cpu_ss=3)


# Published tests.


def test_published_tests_that_nothing_or_everything_passes_are_repaired() -> None:
    assert LEFT_OUT in LONGEST
    assert repaired(f"inputs = {LONGEST}\n") == "inputs = [[['a'], 1]]\n"
    assert repaired(f"inputs = [[['a'], 1], {LEFT_OUT}]\n") == "inputs = [[['a'], 1]]\n"
    assert "    assert exact_match\n\n\ninputs" in repaired(f"{IS_THERE}\n\ninputs = []\n")
    for helpers in (ASSERTION, code_rows.OLDER, code_rows.AS_SETS):
        assert repaired(f"{helpers}\n\ninputs = []\n") == f"{helpers}\n\ninputs = []\n"


VALUES: list[Any] = [
    0, 1, True, 1.0, 1 + 1e-9, 1 + 1e-4, -1.0, float("inf"), -float("inf"), float("nan"), 1j, [], [1], [1.0, 1.0], (1, 1), [1.0, 2],
    [[1.0], [1.0]], range(1, 3), [float("nan")],
]  # fmt: skip


def compared(function: Callable[..., object], *given: object, **settings: float) -> bool:
    try:
        return function(*given, **settings) in (True, None)
    except (AssertionError, TypeError, ValueError):
        return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("atol", [0, 1e-6])
def test_values_are_close_where_numpy_says_so(atol: float) -> None:
    unlike = [
        (one, other)
        for one, other in product(VALUES, repeat=2)
        if np.shape(one) == np.shape(other)
        for ours, theirs in (
            (numpy_comparison.allclose, np.allclose),
            (numpy_comparison.assert_allclose, np.testing.assert_allclose),
        )
        if compared(ours, one, other, rtol=1e-7, atol=atol)
        != compared(theirs, one, other, rtol=1e-7, atol=atol)
    ]
    assert not unlike


@pytest.mark.parametrize("value", [[], [1.0], (1.0, 1.0), [[1.0]], range(1, 2)])
def test_a_number_is_not_close_to_a_list_of_it(value: object) -> None:
    for close in (numpy_comparison.allclose, numpy_comparison.assert_allclose):
        assert not compared(close, value, 1.0)
        assert not compared(close, 1.0, value)
        assert not compared(close, [1.0, 1.0], [value, value])


@pytest.mark.parametrize("value", [None, "1", {1}, {1: 1}, [None], ["1"], object()])
def test_what_is_no_number_is_close_to_nothing(value: object) -> None:
    assert not compared(numpy_comparison.allclose, value, 1.0)
    assert not compared(numpy_comparison.allclose, [1.0], value)


# Verdicts.


def plus_row(inputs: str, results: str, name: str = "f") -> Sample:
    test = f"{ASSERTION}\n\ndef check(candidate):\n{inner(called('candidate', inputs, results))}"
    row = ROWS["humaneval_plus"][0] | {"prompt": f"def {name}(n):\n", "entry_point": name, "test": test}
    return of(row, HumanEvalPlus())


TEN = plus_row(
    "[[n] for n in range(10)]".replace("[n] for n in range(10)", ", ".join(f"[{n}]" for n in range(10))),
    repr(list(range(10))),
)
VERDICTS = {
    "return n": ("passed", ""),
    "print('passed'); return n + 1": ("wrong answer", "AssertionError"),
    "return n if n < 7 else -n": ("wrong answer", "AssertionError"),
    "while n == 2: pass\n    return 1": ("wrong answer", "AssertionError"),
    "while n == 2: pass\n    return n": ("time limit", "CPU time"),
    "return [1][n]": ("wrong answer", "AssertionError"),
    "return [0, 1, 2][n]": ("runtime error", "IndexError"),
    "return bytearray(1 << 40) if n == 3 else n": ("memory limit", ""),
    "import os; os._exit(0)": ("runtime error", "before it was done"),
    "raise SystemExit(0)": ("runtime error", "SystemExit"),
    "import sys; sys.modules['__main__'] = None; return type('Yes', (), {'__eq__': lambda a, b: True})()": (
        "wrong answer",
        "",
    ),
    "global _llmbench_calls; _llmbench_calls = None; return n": ("passed", ""),
    "import builtins; builtins.globals = lambda: {'f': int}; return -n": ("wrong answer", ""),
    "return (": ("compile error", ""),
}


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("body", VERDICTS)
def test_verdicts_on_calls_in_batches(body: str) -> None:
    verdict, why = VERDICTS[body]
    problem = Sample(TEN.id, {**TEN.fields, "cpu_s": 0.5 if verdict == "time limit" else 3.0}, "")
    judged = HumanEvalPlus().judged(problem, f"def f(n):\n    {body}\n")
    assert (judged.verdict.value, why in judged.why) == (verdict, True), judged


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("code", "verdict", "why"),
    [
        ("exec('def plus(a, b): return a + b')", "passed", ""),
        ("def plus(a, b):\n    return a - b", "wrong answer", "AssertionError: plus(1, 2) == 3"),
        ("def plus(a):\n    return a", "runtime error", "TypeError"),
        ("class Solution:\n    def plus(self, a, b):\n        return a + b", "passed", ""),
        ("def plus(a, b):\n    return type('Yes', (), {'__eq__': lambda a, b: True})()", "wrong answer", ""),
        ("eval = globals = exec = lambda *_: 3\nplus = 3", "runtime error", "not callable"),
        ("def add(a, b):\n    return a + b", "runtime error", "nothing in it is named plus; it defines add"),
        ("for plus in (1,):\n    pass", "runtime error", "not callable"),
    ],
)
def test_verdicts_on_assertions(code: str, verdict: str, why: str) -> None:
    judged = MBPP().judged(samples("mbpp")[0], code)
    assert (judged.verdict.value, why in judged.why) == (verdict, True), judged


@pytest.mark.parametrize("name", ROWS)
def test_a_function_of_another_name_is_wrong_with_an_explanation(name: str) -> None:
    asked = samples(name)[0]
    program = SETS[name].extract(asked, "```python\ndef other(*given):\n    return 1\n```", complete=True)
    assert program is not None
    found = SETS[name].grade(asked, program)
    assert (found.outcome, found.explanation) == (
        Outcome.WRONG,
        f"runtime error: nothing in it is named {asked.fields['entry_point']}; it defines other",
    )


# Batches.


class Recorder(SandboxBox):
    """A sandbox that notes how many calls each process makes."""

    made: Counter[int]

    def run(self, program: Program, limits: Limits | None = None) -> Ran:
        self.made[len(program.arguments[1]) if program.call == BATCH else 1] += 1
        return super().run(program, limits)


def all_made(code: str, ahead: Sequence[str], asked: Sequence[str]) -> tuple[Counter[int], list[Ran]]:
    with Recorder(Limits(cpu_s=3, idle_s=3)) as box:
        box.made = Counter()
        calls = Candidate(box, Calls(code, "f", ahead=ahead), 0.0)
        return box.made, [calls.call(each) for each in asked]


@pytest.mark.usefixtures("sandboxed")
def test_hundreds_of_calls_take_few_processes_and_give_what_each_gives_alone() -> None:
    keys = [dumps([n]) for n in range(400)]
    made, found = all_made("kept = []\ndef f(n):\n    kept.append(n)\n    return kept[-2:]", keys, keys)
    assert made == {4: 1, 16: 1, 64: 1, 256: 1, 60: 1}
    assert [ran.encoded for ran in found[:4]] == ["[0]", "[0, 1]", "[1, 2]", "[2, 3]"]  # as they were then
    assert {ran.status for ran in found} == {Status.DONE}


@pytest.mark.usefixtures("sandboxed")
def test_a_call_that_ends_a_batch_is_made_alone() -> None:
    keys = [dumps([n]) for n in range(9)]
    made, found = all_made("import os\ndef f(n):\n    return os._exit(0) if n == 5 else n", keys, keys)
    assert [ran.status is Status.DONE for ran in found] == [n != 5 for n in range(9)]
    assert made[1] >= 1
    made, found = all_made("def f(n):\n    return n", keys, [dumps([n]) for n in (7, 100, 8)])
    assert (made, [ran.encoded for ran in found]) == ({2: 1, 1: 1}, ["7", "100", "8"])


def test_the_calls_of_a_check_are_read_from_its_text() -> None:
    assert calls_ahead("inputs = [[1, (2,)], [-inf, 'a']]") == [dumps([1, (2,)]), dumps([-float("inf"), "a"])]
    assert calls_ahead(
        "def check(candidate):\n    assert candidate('f(1)', {}) == candidate('f(x)', {'x': x})\n"
    ) == [dumps(["f(1)", {}])]
    for unknown in ("inputs = [[n] for n in range(3)]", "inputs = [", "inputs = 3", "x = 1"):
        assert calls_ahead(unknown) == []
