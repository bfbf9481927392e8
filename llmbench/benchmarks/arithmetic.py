"""Arithmetic: questions that a seeded generator makes on the spot, so that no download is needed and no model has seen them.

A row: {"question": "What is 7 + 5?", "answer": "12", "level": "sum1"}. No two questions of a run are alike.
Levels: sums, products and differences of one- and two-digit numbers (`sum1` … `product2`), one-step word problems (`word`).
Options: `levels`, and `per_level`, how many questions of each are made.
"""

import operator
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.dataset import Row
from llmbench.benchmarks.gsm8k import GSM8K
from llmbench.errors import ConfigError
from llmbench.records import Sample
from llmbench.system.text import suggest

Question = tuple[str, int]
Compute = Callable[[int, int], int]

DIGITS = {1: range(1, 10), 2: range(10, 100)}
OPERATIONS: dict[str, tuple[str, Compute]] = {
    "sum": ("+", operator.add),
    "difference": ("-", operator.sub),
    "product": ("*", operator.mul),
}
STORIES: tuple[tuple[str, Compute], ...] = (
    ("{name} has {a} {thing} and gets {b} more. How many {thing} does {name} have now?", operator.add),
    ("{name} has {a} {thing} and gives {b} away. How many {thing} are left?", operator.sub),
    ("{name} has {a} boxes with {b} {thing} in each. How many {thing} does {name} have?", operator.mul),
)
NAMES = ("Ada", "Ben", "Chen", "Dina", "Emil", "Fatou", "Goro", "Hana")
THINGS = ("apples", "books", "coins", "marbles", "pencils", "shells", "stamps", "tickets")
IN_STORIES = range(2, 13)
"""The numbers of a word problem."""


class Arithmetic(GSM8K):
    """Generated questions, asked and graded as GSM8K's are."""

    name = "arithmetic"
    columns = ("question", "answer", "level")
    checks: Mapping[str, Callable[[Any], bool]] = {
        "levels": lambda v: isinstance(v, Sequence) and bool(v),
        "per_level": lambda v: isinstance(v, int) and v > 0,
    }

    def generate(self, options: Mapping[str, Any], seed: int) -> list[Row]:
        """Rows of every chosen level, mixed; the same for the same options and seed.

        Raises:
            ConfigError: A level does not exist, or has fewer different questions than `per_level` asks for.
        """
        check_options(self.name, options, self.checks)
        levels = list(dict.fromkeys(options.get("levels", LEVELS)))
        per_level = int(options.get("per_level", 40))
        generator = random.Random(f"arithmetic:{seed}")
        rows: list[Row] = []
        for level in levels:
            if level not in LEVELS:
                raise ConfigError(
                    f"benchmarks.arithmetic.options.levels: {level!r} is no level{suggest(level, LEVELS)}"
                )
            pool = LEVELS[level]()
            if per_level > len(pool):
                raise ConfigError(
                    f"benchmarks.arithmetic.options.per_level={per_level} is refused: {level} has {len(pool)} questions."
                )
            rows += [
                {"question": q, "answer": str(a), "level": level}
                for q, a in generator.sample(pool, per_level)
            ]
        generator.shuffle(rows)
        return rows

    def sample(self, row: Row, index: int) -> Sample:
        """Named by level and place."""
        named = super().sample(row, index)
        return replace(named, id=f"{row.get('level', 'own')}-{index:03d}")

    def worked_example(self, sample: Sample) -> str:
        """The bare number, as a sentence."""
        return f"The final answer is {sample.target}"


def _of_two(sign: str, compute: Compute, numbers: range) -> list[Question]:
    pairs = product(numbers, repeat=2)
    return [(f"What is {a} {sign} {b}?", compute(a, b)) for a, b in pairs if compute(a, b) >= 0]


def _words() -> list[Question]:
    return [
        (story.format(name=name, thing=thing, a=a, b=b), compute(a, b))
        for story, compute in STORIES
        for name, thing, a, b in product(NAMES, THINGS, IN_STORIES, IN_STORIES)
        if compute(a, b) > 0
    ]


LEVELS: dict[str, Callable[[], list[Question]]] = {
    f"{name}{digits}": partial(_of_two, sign, compute, numbers)
    for digits, numbers in DIGITS.items()
    for name, (sign, compute) in OPERATIONS.items()
} | {"word": _words}
