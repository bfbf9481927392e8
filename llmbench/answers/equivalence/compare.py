r"""The policies of equality.

| answers | equal where | source or reason |
|---|---|---|
| numbers | exactly, as rationals; mixed numbers, repeating decimals ("0.1666...": a period written twice), thousands' commas, scales ("5 million") and parts ("7 hundredths") are read | MATH asks for exact answers |
| rounded decimals | never below six decimals; from six on (and six digits) the exact value must round to it, or go on with its digits where "..." follows | math-verify's precision, without its blindness for small numbers |
| other constants | to hundreds of digits and relative to their size, so that 1/1999! and 1/2001! differ | symbolic.py |
| percent | 15%, 15 and 0.15 if at least one has the sign; 10 and 0.1 do not | the table of edge cases |
| units, degrees, currency | left out on one side: equal; different known units: not, nor a.m. and p.m., north and south, May and June, men and women; powers of units are not compared (cm for cm² is a slip of the pen); "5 scores", "5 quarters" are counts, "5 dozen", "5 tens" numbers | units.py |
| number bases | the digits; a base left out by the answer is that of the question, one that only the answer has differs | the same table |
| residues | the modulus may be left out; two must be the same | |
| qualifiers | "at least", "or more", "less than", "over", "not", "except" and the like must stand on both sides or on none | words.py |
| names | the case and primes of symbols count ($R$ and $r$, $f'$ and $f$), a point's name may be left out | |
| equations | of one with a value ("x = 5", 5) the last member counts, unless it equates different numbers; "x=1, x=2" is a list; two equations if one is a multiple of the other; a condition ("11a + c = 7") is not its side | |
| lists, sets | as sets, whatever the order; `\pm` is two values; braces without a backslash are nothing; where all values have labels ("A: 3, B: 4", "3 boys, 4 girls"), each belongs to its label; "A and B" is not "A or B" | math-verify |
| tuples, points | in order; parentheses may be missing, a column vector may be written as a tuple, "x=8, y=-2" is (8,-2), in that order or by name | |
| intervals | both ends and both brackets; unions in any order; set builders, "all real numbers" and $\mathbb{R} \setminus \{1\}$ are unions | reals.py |
| inequalities | with an interval if the gold is one or says "x \in"; a bare interval as gold asks for interval notation; "or" is a union, "and" an intersection, a comma an intersection where there is one | math-verify |
| ratios | 1:2:3 and 2:4:6; two numbers are a quotient too, unless they may be a time (10:30) | |
| matrices | cell by cell; the brackets' form says nothing; sums and products are worked out | |
| words | without case, articles, punctuation, but word for word ("I and II" is not "III"); a choice's letter with or without parentheses; before a value, as in "(B) 27", it is nothing | |
| expressions | the same value at random points; the form (factored, expanded) is not graded; derivatives and gcd of symbols only as they are written | symbolic.py |
| angles | degrees inside a function are degrees: $\tan 20^\circ$ is $\cot 70^\circ$; 90° is 90, not $\frac{\pi}{2}$ | |

How other graders' tables compare, and what differs on purpose, is in docs/grading.md.
"""

import re
from collections.abc import Callable
from itertools import product

from llmbench.answers.equivalence import structure
from llmbench.answers.equivalence.latex import clean, fold
from llmbench.answers.equivalence.lists import as_lists, as_real_sets, as_tuples, as_unions
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.reals import as_union
from llmbench.answers.equivalence.relations import Equal, same_by_relation
from llmbench.answers.equivalence.single_values import as_ratios, as_residues, as_single_values
from llmbench.answers.equivalence.symbolic import same_expression
from llmbench.answers.equivalence.units import conflict, currency, split_unit
from llmbench.answers.equivalence.words import choice_letter, joint, qualifiers

MAX_LENGTH = 2_000
"""Characters. A longer answer is equal only to itself."""
_MAX_DEPTH = 8
_CHOICE = re.compile(
    r"\$?\s*\(?[A-E]\)(?:\s|~|\\[ ,;:]|\\q?quad(?![A-Za-z]))*(?=\$?-?\\?\$?(?:\.?\d|\\(?:[dt]?frac|sqrt|pi|left)(?![A-Za-z])))"
)
"""The letter of a choice before its value: "(B) 27"."""


def math_equal(gold: str, answer: str) -> bool:
    """Whether an answer to a mathematics problem equals the gold one; the module's table gives the policies."""
    if gold.strip() == answer.strip():
        return bool(gold.strip())
    if any(_equal(one, other, 0) for one, other in readings(gold, answer)):
        return True
    value = _CHOICE.sub("", answer.strip(), count=1) if _CHOICE.match(answer.strip()) else ""
    return bool(value) and math_equal(gold, value)


def readings(gold: str, answer: str) -> list[tuple[str, str]]:
    """Returns what the two may mean, cleaned; nothing where length, qualifiers or units already tell them apart."""
    if len(gold) > MAX_LENGTH or len(answer) > MAX_LENGTH:
        return []
    if _qualifiers(gold) != _qualifiers(answer) and not choice_letter(clean(gold)):
        return []
    if conflict(_units(gold), _units(answer)):
        return []
    return list(product(_readings(clean(gold)), _readings(clean(answer))))


def _qualifiers(text: str) -> frozenset[str]:
    """Those of a value; of "all real numbers except 1" the words say the set."""
    found = qualifiers(text)
    return frozenset() if found and as_union(clean(text)) else found


def _units(text: str) -> frozenset[str]:
    cleaned = clean(text)
    percent = frozenset({"unit:percent"} if cleaned.endswith("%") else ())
    units = split_unit(cleaned)[1]
    kind = "degrees" if "unit:degree" in units else "plain"
    angle = frozenset({f"angle:{kind}"} if "\\pi" in cleaned else ())  # π/4 is no angle of π/4 degrees
    return currency(text) | units | percent | joint(text) | angle


def integer_equal(gold: str, answer: str) -> bool:
    """Whether both are the same integer: "025", "25" and "25.0" are."""
    if re.search(r"\d\s*:\s*\d", answer):
        return False  # a ratio
    one, other = rational(gold), rational(answer)
    if one is not None and other is not None:
        return one == other and one.denominator == 1
    return other is None and one is not None and one.denominator == 1 and math_equal(gold, answer)


def number_equal(gold: str, answer: str) -> bool:
    """Whether both are the same number, exactly: "5.00" and "5", "1,450" and "1450"; currency and percent signs are nothing."""
    one, other = (
        rational(re.sub(r"\\?[$%]|[€£¥]|\s", "", text)) if "/" not in text else rational(text)
        for text in (gold, answer)
    )
    return one is not None and one == other


def choice_equal(gold: str, answer: str) -> bool:
    """Whether both are the same letter, in whatever case or parentheses."""
    one, other = (text.strip().strip("()[].:* ").upper() for text in (gold, answer))
    return bool(one) and one == other


_COMMAS = re.compile(r"(?<![\d.,_^{\[(])-?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?![\d,])")


def _readings(text: str) -> list[str]:
    r"""`1,234` is a number or, less likely, a list; in brackets a tuple or, less likely, a number. "\approx 3.2" is 3.2."""
    text = text.removeprefix("\\approx").lstrip()
    joined = _COMMAS.sub(lambda match: re.sub("[, ]", "", match[0]), text)
    return [text] if joined == text else [joined, text]


def _equal(gold: str, answer: str, depth: int) -> bool:
    one, other = fold(gold), fold(answer)
    if not one or not other or depth > _MAX_DEPTH:
        return False
    if one == other:
        return True

    def parts_equal(one: str, other: str) -> bool:
        return _equal(one, other, depth + 1)

    return any(compare(gold, answer, parts_equal) for compare in _COMPARISONS)


def _as_matrices(gold: str, answer: str, equal: Equal) -> bool:
    one, other = structure.matrix(gold), structure.matrix(answer)
    if (one is None) != (other is None) and min(text.count("\\begin{") for text in (gold, answer)) > 0:
        return same_expression(gold, answer)  # a sum or product of matrices
    if one is None or other is None or [len(row) for row in one] != [len(row) for row in other]:
        return False
    return all(all(map(equal, row, others)) for row, others in zip(one, other, strict=True))


_COMPARISONS: tuple[Callable[[str, str, Equal], bool], ...] = (
    as_lists,
    as_tuples,
    as_unions,
    as_real_sets,
    as_ratios,
    as_residues,
    _as_matrices,
    same_by_relation,
    as_single_values,
)
"""Each says yes, or leaves it to the next."""
