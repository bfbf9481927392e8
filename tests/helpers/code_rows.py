"""Rows of our own in the forms that HumanEval+, MBPP and MBPP+ have on the hub."""

from typing import Any

ASSERTION = """import numpy as np

def is_floats(x) -> bool:
    # check if it is float; List[float]; Tuple[float]
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False


def assertion(out, exp, atol):
    exact_match = out == exp

    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match
"""
OLDER = ASSERTION.replace(
    "assert np.allclose(out, exp, rtol=1e-07, atol=atol)", "np.testing.assert_allclose(out, exp, atol=atol)"
)
AS_SETS = ASSERTION.replace("exact_match = out == exp", "exact_match = set(out) == set(exp)")
IS_THERE = "def assertion(out, exp, atol):\n    if isinstance(out, bool):\n        exact_match = out == exp\n    else:\n        exact_match = exp == (out is not None)\n"
"""Asserts nothing, as three published tests."""
LOOP = "for i, (inp, exp) in enumerate(zip(inputs, results)):\n"


def inner(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def called(function: str, inputs: str, results: str) -> str:
    return f"inputs = {inputs}\nresults = {results}\n{LOOP}    assertion({function}(*inp), exp, 0)\n"


def referred(function: str, inputs: str) -> str:
    return f"inputs = {inputs}\nfor i, inp in enumerate(inputs):\n    assertion({function}(*inp), ref_func(*inp), 0)\n"


POLYNOMIAL = "import math\n\ndef _poly(xs: list, x: float):\n    return sum([coeff * math.pow(x, i) for i, coeff in enumerate(xs)])\n\n\n"
ROOT = (
    "inputs = [[[-3, 1]], [[6, 2]]]\nresults = [3.0, -3.0]\n"
    + LOOP
    + "    assert _poly(*candidate(*inp), inp) <= 0.0001\n"
)
# head and body of the function, the helpers of its test, and what the test calls
PLUS = {
    "taxed(price, rate)": ("return price * (100 + rate) / 100", ASSERTION, called("candidate", "[[10.1, 7], [3, 19], [0, 0]]", "[10.807, 3.57, 0.0]")),
    "spread(xs)": ("return [x / 3 for x in xs]", OLDER, called("candidate", "[[[1, 2]], [[]], [[6.0]]]", "[[0.3333333333, 0.6666666667], [], [2.0]]")),
    "mirrored(text)": ("return text + text[::-1]", ASSERTION, called("candidate", "[['ab'], [''], ['\\n\"']]", "['abba', '', '\\n\"\"\\n']")),
    "pairs(xs)": ("return list(zip(xs, xs[1:]))", ASSERTION, called("candidate", "[[[1, 2, 3]], [(4,)]]", "[[(1, 2), (2, 3)], []]")),
    "counted(text)": ("return {c: text.count(c) for c in text}", ASSERTION, called("candidate", "[['aab'], ['']]", "[{'a': 2, 'b': 1}, {}]")),
    "shared(xs, ys)": ("return set(xs) & set(ys)", ASSERTION, called("candidate", "[[['a', 'b'], ['b', 'c', 'b']], [[1], [2]]]", "[{'b'}, set()]")),
    "least(xs)": ("return min(xs, default=float('inf'))", "from math import inf\n" + ASSERTION, called("candidate", "[[[]], [[3, -inf]], [[2]]]", "[inf, -inf, 2]")),
    "powered(n)": ("return 7 ** n", ASSERTION, called("candidate", "[[2], [9000]]", f"[49, 0x{7**9000:x}]")),
    "digits(n)": ("return str(3 ** n)[:2]", ASSERTION, called("candidate", "[[4], [20000]]", f"['81', '{3**20000 // 10**9541}']")),
    "root(xs)": ("return -xs[0] / xs[1]", POLYNOMIAL, ROOT),
    "stairs(n)": ("return list(range(n, 3 * n, 2))", ASSERTION + "\n\ndef ref_func(n):\n    return [n + 2 * i for i in range(n)]\n", referred("candidate", "[[1], [4], [100000]]")),
    "zeros(n)": ("return 10 ** n", ASSERTION + "\n\ndef ref_func(n):\n    return int('1' + '0' * 9) ** (n // 9) * 10 ** (n % 9)\n", referred("candidate", "[[3], [1000002]]")),
}  # fmt: skip
HUMANEVAL_PLUS: list[dict[str, Any]] = [
    {
        "task_id": f"OwnEval/{number}",
        "prompt": f'\ndef {head}:\n    """ {head} as its name says. """\n',
        "canonical_solution": f"    {body}\n",
        "entry_point": head.partition("(")[0],
        "test": f"\n\n{helpers}\n\ndef check(candidate):\n{inner(calls)}\n",
    }
    for number, (head, (body, helpers, calls)) in enumerate(PLUS.items())
]
MBPP_PLUS: list[dict[str, Any]] = [
    {
        "task_id": 1000 + number,
        "code": f"def {head}:\r\n  {body}",
        "prompt": f"Write a function to do what {head} says.",
        "source_file": "own.ipynb",
        "test_imports": ["import math"] if "math" in helpers else [],
        "test_list": [f"assert {head.partition('(')[0]}(*[]) == 0"] * 3,
        "test": f"{helpers}\n\n{calls.replace('candidate(', head.partition('(')[0] + '(')}",
    }
    for number, (head, (body, helpers, calls)) in enumerate(PLUS.items())
    if head != "root(xs)"
] + [
    {
        "task_id": 1100 + number,
        "code": code,
        "prompt": "Write a function.",
        "source_file": "own.ipynb",
        "test_imports": [],
        "test_list": [f"assert {name}('x')"],
        "test": f"{helpers}\n\n{called(name, inputs, results)}",
    }
    for number, (name, code, helpers, inputs, results) in enumerate([
        ("letters", "def letters(text):\n    return list(text)", AS_SETS, "[['ab'], ['b']]", "[['b', 'a'], ['b']]"),
        ("first", "import re\ndef first(text):\n    return re.match('a', text)", IS_THERE, "[['ab'], ['b']]", "[True, False]"),
        ("check", "def check(text):\n    return text > 'b'", ASSERTION, "[['ab'], ['c']]", "[False, True]"),
    ])
]  # fmt: skip
LONGEST = f"[{[['Dog', 'Cat', 'CatBird', 'Bird', 'Fish'], 77]!r}, [['a'], 1]]"
"""Inputs of which the first is left out, as published."""

_CLASS = "class Node:\r\n  def __init__(self, value):\r\n    self.value = value\r\n    self.left = self.right = None\r\n"
# the task, its code, its assertions, and what the row has besides
TASKS: list[tuple[str, str, list[str], dict[str, Any]]] = [
    ("add two numbers.", "def plus(a, b):\r\n  return a + b", ["assert plus(1, 2) == 3", "assert plus(-1, 1) == 0", "assert plus(0.5, 0.25) == 0.75"], {}),
    ("find the height of a tree.", _CLASS + "def height(node):\r\n  return 0 if node is None else 1 + max(height(node.left), height(node.right))", ["assert (height(root)) == 2", "assert (height(root.left)) == 1 ", "assert height(None) == 0"], {"test_setup_code": "root = Node(1)\r\nroot.left = Node(2)"}),
    ("chain pairs.", "class Pair(object):\r\n  def __init__(self, a, b):\r\n    self.a, self.b = a, b\r\ndef chained(pairs):\r\n  return sum(p.b - p.a for p in pairs)", ["assert chained([Pair(1, 3), Pair(3, 4)]) == 3", "assert chained([]) == 0", "assert Pair(1, 2).b == 2"], {}),
    ("check a binary string.", "def check(string):\r\n  return 'Yes' if set(string) <= {'0', '1'} else 'No'", ["assert check('0101') == \"Yes\"", 'assert check("a1") == "No"', "assert check('') == ('Yes')"], {}),
    ("undo a list.", "def forth(xs):\n  return xs[::-1]\ndef back(xs):\n  return forth(xs)", ["assert back(forth([1, 2])) == [1, 2]", "assert forth([1, 2]) == [2, 1]", "assert list(map(forth, [[1, 2]])) == [[2, 1]]"], {}),
    ("count.", "count = 0\r\ndef counted():\r\n  global count\r\n  count += 1\r\n  return count", ["assert counted() == 1", "assert counted() == 2", "assert [counted() for _ in range(1)]"], {}),
    ("find shared items.", "def shared(xs, ys):\r\n  return tuple(set(xs) & set(ys))", ["assert set(shared((3, 4), (4, 5))) == set((4,))", "assert not shared((), (1,))", "assert sorted(shared([1, 2], [2, 1])) == [1, 2]"], {"test_setup_code": ""}),
    ("find the area of a circle.", "import math\ndef area(r):\n  return math.pi * r ** 2", ["assert math.isclose(area(2), 12.566370614359172, rel_tol=0.001)", "assert math.isclose(area(0), 0, rel_tol=0.001)"], {"test_imports": ["import math"]}),
    ("count letters.", "from collections import Counter\ndef letters(text):\n  return Counter(text)", ["assert letters('aab') == Counter('aba')", "assert letters('aab')['a'] == 2"], {"test_imports": ["from collections import Counter"]}),
    ("find the first word.", "import re\ndef first(text):\n  return re.search('a', text)", ["assert first('ba').start() == 1", "assert first('b') is None", "assert first('a').group(0) == 'a'"], {}),
    ("give the largest and its count.", "def largest(xs):\r\n  return max(xs)", ["assert largest([1, 2, 2]) ==  2", "assert largest([3]) == 3,1"], {}),
    ("square numbers.", "squared = lambda x: x * x", ["assert squared(3) == 9", "assert all(squared(x) == x for x in (0, 1))", "assert {squared(2): 'a'} == {4: 'a'}"], {}),
]  # fmt: skip
MBPP: list[dict[str, Any]] = [
    {"task_id": 11 + number, ("prompt" if "test_imports" in more else "text"): f"Write a function to {task}", "code": code, "test_list": tests}
    | ({"source_file": "own.ipynb"} if "test_imports" in more else {"test_setup_code": "", "challenge_test_list": []})
    | more
    for number, (task, code, tests, more) in enumerate(TASKS)
]  # fmt: skip
"""In the form of `full`, but for two in that of `sanitized`, which has `prompt` and `test_imports`."""
ROWS = {"humaneval_plus": HUMANEVAL_PLUS, "mbpp": MBPP, "mbpp_plus": MBPP_PLUS}
